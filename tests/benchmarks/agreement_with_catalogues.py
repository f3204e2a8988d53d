"""Components of real maps against catalogues that other finders made of them.

    NEANIAS_REAL_DATA=path python -m tests.benchmarks.agreement_with_catalogues

PyBDSF on two LoTSS maps, on its own test map and on a map of the SKA Data Challenge 1, Aegean on its test map, Selavy
on a synthetic ASKAP one; counterparts lie within half a beam, one to one. Rows of a catalogue that lie outside the map
or on its blank pixels are left out: no finder can see them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from neanias_ml.cli.options import silent_libraries
from neanias_ml.evaluation import CrossMatch, flux_ratios, match_sky
from neanias_ml.extraction import SourceFinder
from neanias_ml.maps import RadioMap, read_map
from tests.benchmarks.extraction_ours import spurious_islands
from tests.benchmarks.extraction_tables import markdown

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """A map with another finder's catalogue: file names, column names (PyBDSF's), flux unit in Jy, how to read it."""

    name: str
    map_file: str
    catalogue: str
    ra: str = "RA"
    dec: str = "DEC"
    total: str = "Total_flux"
    peak: str = "Peak_flux"
    flux_unit: float = 1.0
    text: bool = False

    def read(self, folder: Path) -> Table:
        """The catalogue's rows."""
        path = folder / self.catalogue
        if self.text:
            return Table.read(path, format="ascii.commented_header", header_start=-1)
        return Table.read(path, hdu=1) if path.suffix.lower() == ".fits" else Table.read(path)


REFERENCES = (
    Reference(
        name="LoTSS DR1 (600 px), PyBDSF",
        map_file="LoTSS_DR1/P205+55_600px_ra207.fits",
        catalogue="LoTSS_DR1/P205+55_600px_ra207_pybdsf_srl.csv",
        flux_unit=1e-3,
    ),
    Reference(
        name="LoTSS DR1 (200 px), PyBDSF",
        map_file="LoTSS_DR1/P218+55_200px.fits",
        catalogue="LoTSS_DR1/P218+55_200px_pybdsf_srl.csv",
        flux_unit=1e-3,
    ),
    Reference(
        name="PyBDSF's test map, PyBDSF",
        map_file="finder_tests/pybdsf/tbdsf.ch0_I.fits",
        catalogue="finder_tests/pybdsf/tbdsf.gaul.FITS",
    ),
    Reference(
        name="SDC1, PyBDSF",
        map_file="SDC1_B1/B1_1000h_0.05tr.fits",
        catalogue="SDC1_B1/B1_1000h_0.05tr.pybdsm.gaul",
        text=True,
    ),
    Reference(
        name="Aegean's test map, Aegean",
        map_file="finder_tests/aegean/1904-66_SIN.fits",
        catalogue="finder_tests/aegean/1904_comp.fits",
        ra="ra",
        dec="dec",
        total="int_flux",
        peak="peak_flux",
    ),
    Reference(
        name="VAST synthetic map, Selavy",
        map_file="finder_tests/vast_selavy_synthetic/epoch01.fits",
        catalogue="finder_tests/vast_selavy_synthetic/epoch01.selavy.components.csv",
        ra="ra_deg_cont",
        dec="dec_deg_cont",
        total="flux_int",
        peak="flux_peak",
        flux_unit=1e-3,
    ),
)


def seen(radio_map: RadioMap, ra: FloatArray, dec: FloatArray) -> NDArray[np.bool_]:
    """Whether each place (degrees) is a pixel of the map that is not blank."""
    assert radio_map.sky is not None
    x, y = radio_map.sky.to_pixel(ra, dec)
    rows, columns = (np.rint(np.nan_to_num(axis, nan=-1.0)).astype(int) for axis in (y, x))
    inside = (rows >= 0) & (rows < radio_map.shape[0]) & (columns >= 0) & (columns < radio_map.shape[1])
    inside[inside] = np.isfinite(radio_map.data[rows[inside], columns[inside]])
    return inside


def ratio_text(match: CrossMatch, theirs: FloatArray, ours: FloatArray) -> str:
    """Median of ours over theirs, and where 68 % lie."""
    if not len(match):
        return "-"
    middle, low, high = np.nanpercentile(flux_ratios(match, theirs, ours), [50, 16, 84])
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def compare(reference: Reference, folder: Path) -> list[str]:
    """One row of the table."""
    radio_map = read_map(folder / reference.map_file)
    extraction = SourceFinder()(radio_map)
    components = extraction.components
    components = components.select(~np.isin(components.island_id, spurious_islands(extraction)))
    rows = reference.read(folder)
    ra, dec = np.array(rows[reference.ra], dtype=float), np.array(rows[reference.dec], dtype=float)
    visible = seen(radio_map, ra, dec)
    rows, ra, dec = rows[visible], ra[visible], dec[visible]
    beam = 3600.0 * float(np.sqrt(radio_map.beam.major * radio_map.beam.minor))
    match = match_sky(ra, dec, components.ra, components.dec, radius_arcsec=0.5 * beam)
    theirs = [np.array(rows[name], dtype=float) * reference.flux_unit for name in (reference.peak, reference.total)]
    unmatched = np.setdiff1d(np.arange(len(components)), match.second)
    return [
        reference.name,
        f"{len(match)} of {len(ra)}",
        f"{len(match)} of {len(components)}",
        f"{np.median(components.snr[unmatched]):.1f}" if len(unmatched) else "-",
        f"{np.median(match.separation) / beam:.3f}" if len(match) else "-",
        ratio_text(match, theirs[0], components.peak_flux),
        ratio_text(match, theirs[1], components.total_flux),
    ]


def agreement_table(folder: Path) -> str:
    """The comparison with every catalogue."""
    header = ["map, catalogue", "its rows that we have", "ours that it has", "median S/N of ours alone"]
    header += ["median offset, beams", "peak ratio (16 to 84 %)", "total ratio (16 to 84 %)"]
    return markdown(header, [compare(reference, folder) for reference in REFERENCES])


def main() -> None:
    """Run the comparison and print its table."""
    with silent_libraries():
        print(agreement_table(Path(os.environ["NEANIAS_REAL_DATA"])))


if __name__ == "__main__":
    main()
