"""The map of the SKA Data Challenge 1 against its truth, with the two PyBDSF catalogues that came with it.

A true source counts from the peak that the beam makes of it: its flux, attenuated by the primary beam, spread over its
size and the beam. The field is crowded, so that a faint true source lies near any place: the share of random places
that would match is printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.evaluation import match_pixels
from neanias_ml.extraction import Extraction
from neanias_ml.maps import RadioMap
from tests.benchmarks.extraction_ours import catalogue_rows
from tests.benchmarks.extraction_tables import markdown, percent

FloatArray = NDArray[np.float64]
MAP = "SDC1_B1/B1_1000h_0.05tr.fits"
CATALOGUES = {"PyBDSF, Gaussians": ".pybdsm.gaul", "PyBDSF, sources": ".pybdsm.srl"}
EDGES = (5.0, 7.0, 10.0, 20.0, np.inf)
FAINTEST = 2.5
"""True sources of a smaller expected signal to noise do not make a row true."""


@dataclass(frozen=True)
class Truth:
    """True sources inside the map, each (N,): pixels, apparent flux (Jy), expected signal to noise of the peak."""

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    snr: FloatArray


def read_truth(folder: Path, radio_map: RadioMap, *, rms: float) -> Truth:
    """The truth of the map, as the telescope sees it."""
    rows = Table.read((folder / MAP).parent / "truth_B1_1000h_0.05tr.csv")
    ra, dec = np.array(rows["ra_core"], dtype=float), np.array(rows["dec_core"], dtype=float)
    assert radio_map.sky is not None
    x, y = radio_map.sky.to_pixel(ra, dec)
    flux = np.array(rows["flux_Jy"], dtype=float) * primary_beam(folder, ra, dec)
    beam = 3600.0 * np.array([radio_map.beam.major, radio_map.beam.minor])
    wider = [np.hypot(np.array(rows[name]), beam[i]) / beam[i] for i, name in enumerate(("bmaj_arcsec", "bmin_arcsec"))]
    snr = flux / (wider[0] * wider[1]) / rms
    inside = (x > 0) & (y > 0) & (x < radio_map.shape[1] - 1) & (y < radio_map.shape[0] - 1)
    return Truth(x[inside], y[inside], flux[inside], snr[inside])


def primary_beam(folder: Path, ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Attenuation at some places (degrees)."""
    path = (folder / MAP).parent / "PrimaryBeam_B1.fits"
    x, y = WCS(fits.getheader(path)).celestial.all_world2pix(ra, dec, 0)
    values: FloatArray = ndimage.map_coordinates(np.squeeze(fits.getdata(path)).astype(float), [y, x], order=1)
    return values


def our_rows(extraction: Extraction) -> FloatArray:
    """Places (pixels), peaks and fluxes (N, 4) of ours."""
    return catalogue_rows(extraction)[:, :4]


def their_rows(folder: Path, radio_map: RadioMap, ending: str) -> FloatArray:
    """The same of a PyBDSF catalogue."""
    path = folder / MAP.replace(".fits", ending)
    rows = Table.read(path, format="ascii.commented_header", header_start=-1)
    assert radio_map.sky is not None
    x, y = radio_map.sky.to_pixel(np.array(rows["RA"]), np.array(rows["DEC"]))
    return np.stack([x, y, np.array(rows["Peak_flux"]), np.array(rows["Total_flux"])], axis=1)


def sdc1_table(folder: Path, extraction: Extraction) -> str:
    """Completeness, reliability and fluxes of ours and of PyBDSF."""
    radio_map = extraction.radio_map
    rms = float(np.median(extraction.noise.evaluate()[1]))
    truth = read_truth(folder, radio_map, rms=rms)
    catalogues = {"ours": our_rows(extraction)}
    catalogues |= {name: their_rows(folder, radio_map, ending) for name, ending in CATALOGUES.items()}
    bins = [np.digitize(truth.snr, EDGES) == i for i in range(1, len(EDGES))]
    header = ["catalogue", "rows"]
    header += [f"complete from {low:g} ({part.sum()})" for low, part in zip(EDGES, bins, strict=False)]
    header += ["reliability %", "flux over truth, S/N > 7 (16 to 84 %)", "offset, px"]
    real = np.flatnonzero(truth.snr > FAINTEST)
    radius = 0.5 * radio_map.beam_fwhm
    chance = 1.0 - np.exp(-len(real) * np.pi * radius**2 / radio_map.data.size)
    lines = []
    for name, rows in catalogues.items():
        match = match_pixels(truth.x[real], truth.y[real], rows[:, 0], rows[:, 1], radius=radius)
        found = np.zeros(len(truth.x), dtype=bool)
        found[real[match.first]] = True
        bright = truth.snr[real[match.first]] > 7.0
        ratio = rows[match.second, 3][bright] / truth.flux[real[match.first]][bright]
        middle, low, high = np.percentile(ratio, [50, 16, 84])
        cells = [percent(float(found[part].mean())) if part.any() else "-" for part in bins]
        quality = [percent(len(match) / max(len(rows), 1), ".1f"), f"{middle:.3f} ({low:.3f} to {high:.3f})"]
        lines.append([name, str(len(rows)), *cells, *quality, f"{np.median(match.separation):.2f}"])
    note = f"{100 * chance:.0f} % of random places would match; median rms {rms:.3g} Jy/beam."
    return f"{markdown(header, lines)}\n\n{note}"
