"""Completeness, reliability, flux and position errors of injected point sources against signal to noise.

    python -m tests.benchmarks.extraction_accuracy [--fields 6] [--size 2048] [--seed 1]

Beam-convolved white noise of constant rms; point sources at random sub-pixel places, a dozen beams apart, of known
signal to noise (peak over the true rms). Limits of a fit: Condon (1997, PASP 109, 166) for noise correlated like the
beam. Beside them stands what CAESAR's repository encodes for its survey: its completeness, bias and resolution at the
same signal to noise (noise 300 uJy, selection at 1.5 mJy).

Condon's limits are semi-empirical. Unweighted least squares over all pixels of a beam have exactly sqrt(2) times the
error of his position and of a flux of the beam's shape in such noise; the peak of the map alone has 1/sqrt(2) times
the former and once the latter, so that a fit of a source's core may come out below the limit.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

from neanias_ml.cli.options import silent_libraries
from neanias_ml.evaluation import match_pixels
from neanias_ml.evaluation.intervals import wilson_interval
from neanias_ml.extraction import Extraction, SourceFinder
from neanias_ml.maps import FWHM_PER_SIGMA, Beam, RadioMap
from tests.benchmarks.extraction_ours import spurious_islands
from tests.benchmarks.extraction_tables import markdown, number, percent

FloatArray = NDArray[np.float64]

SIGNAL_TO_NOISE = (3.3, 4.5, 5.0, 6.0, 6.7, 7.0, 8.0, 10.0, 13.0, 15.0, 17.0, 20.0, 30.0, 50.0, 100.0)
PIXEL = 2.0 / 3600.0
BEAM = Beam(12.0 / 3600.0, 9.0 / 3600.0, 30.0)
RMS = 2e-5
SPACING_BEAMS = 12.0
FALSE_BINS = (4.0, 5.0, 5.5, 6.0, 7.0, 10.0, math.inf)

CAESAR_NOISE = 3e-4
CAESAR_SNR = (3.3, 4.5, 5.0, 6.7, 10.0, 13.0, 17.0, 33.0, 67.0)
CAESAR_BIAS = (0.20, 0.12, 0.10, 0.064, 0.033, 0.020, 0.014, 0.004, 0.001)
CAESAR_RESOLUTION = (0.27, 0.21, 0.19, 0.15, 0.105, 0.083, 0.069, 0.040, 0.023)


@dataclass(frozen=True)
class Field:
    """A simulated map and the point sources in it: places in pixels and true signal to noise, each (N,)."""

    radio_map: RadioMap
    x: FloatArray
    y: FloatArray
    snr: FloatArray


def simulate(*, size: int, rng: np.random.Generator) -> Field:
    """Noise and isolated point sources on a jittered lattice."""
    empty = RadioMap.from_array(np.zeros((size, size)), beam=BEAM, pixel_scale=PIXEL)
    spacing = SPACING_BEAMS * empty.beam_fwhm
    places = np.arange(0.75 * spacing, size - 0.75 * spacing, spacing)
    x, y = (axis.ravel() + rng.uniform(-0.15, 0.15, axis.size) * spacing for axis in np.meshgrid(places, places))
    snr = rng.permutation(np.resize(SIGNAL_TO_NOISE, x.size))
    pixels = noise(size, covariance=empty.beam_covariance, rng=rng)
    add_point_sources(pixels, x, y, snr, covariance=empty.beam_covariance)
    return Field(RadioMap.from_array(RMS * pixels, beam=BEAM, pixel_scale=PIXEL), x, y, snr)


def noise(size: int, *, covariance: FloatArray, rng: np.random.Generator) -> FloatArray:
    """White noise (size, size) convolved with the beam, unit rms."""
    fy, fx = np.meshgrid(fft.fftfreq(size), fft.rfftfreq(size), indexing="ij")
    form = covariance[0, 0] * fx**2 + 2 * covariance[0, 1] * fx * fy + covariance[1, 1] * fy**2
    spectrum = fft.rfft2(rng.standard_normal((size, size))) * np.exp(-2.0 * np.pi**2 * form)
    pixels: FloatArray = fft.irfft2(spectrum, s=(size, size))
    unit_rms = math.sqrt(4.0 * math.pi * math.sqrt(float(np.linalg.det(covariance))))
    return pixels * unit_rms


def add_point_sources(
    pixels: FloatArray, x: FloatArray, y: FloatArray, peak: FloatArray, *, covariance: FloatArray
) -> None:
    """Add beams of given peaks to a map in place."""
    inverse = np.linalg.inv(covariance)
    half = math.ceil(6.0 * math.sqrt(float(covariance.max())))
    for column, row, height in zip(x, y, peak, strict=True):
        x0, y0 = round(column) - half, round(row) - half
        dy, dx = np.ogrid[y0 - row : y0 - row + 2 * half + 0.5, x0 - column : x0 - column + 2 * half + 0.5]
        form = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
        pixels[y0 : y0 + 2 * half + 1, x0 : x0 + 2 * half + 1] += height * np.exp(-0.5 * form)


@dataclass(frozen=True)
class Measured:
    """Injected sources with what was found of them, each (N,), NaN where not found; and rows that are none of them.

    Attributes
    ----------
    peak, flux
        Measured over true.
    along_major, along_minor
        Position error along the beam's axes in units of Condon's limit.
    flux_pull, x_pull
        Error of flux and of position over the error that the catalogue states.
    false_snr
        (M,) signal to noise of rows far from any source.
    """

    snr: FloatArray
    peak: FloatArray
    flux: FloatArray
    along_major: FloatArray
    along_minor: FloatArray
    flux_pull: FloatArray
    x_pull: FloatArray
    false_snr: FloatArray

    @property
    def found(self) -> NDArray[np.bool_]:
        """(N,) whether a source was found."""
        return np.isfinite(self.flux)


def measure(field: Field, extraction: Extraction) -> Measured:
    """Match the components to the sources within a beam."""
    table = extraction.components
    table = table.select(~np.isin(table.island_id, spurious_islands(extraction)))
    width = field.radio_map.beam_fwhm
    match = match_pixels(field.x, field.y, table.x, table.y, radius=width)
    true = RMS * field.snr[match.first]
    offset = np.stack([table.x[match.second] - field.x[match.first], table.y[match.second] - field.y[match.first]])
    variance, axes = np.linalg.eigh(field.radio_map.beam_covariance)
    along = (axes.T @ offset) / np.sqrt(variance)[:, None] * field.snr[match.first]

    def spread(values: FloatArray) -> FloatArray:
        result = np.full(len(field.x), np.nan)
        result[match.first] = values
        return result

    near_source = match_near(table.x, table.y, field, radius=2.0 * width)
    total, total_error = table.total_flux[match.second], table.total_flux_err[match.second]
    return Measured(
        snr=field.snr,
        peak=spread(table.peak_flux[match.second] / true),
        flux=spread(total / true),
        along_major=spread(along[1]),
        along_minor=spread(along[0]),
        flux_pull=spread((total - true) / total_error),
        x_pull=spread(offset[0] / table.x_err[match.second]),
        false_snr=table.snr[~near_source],
    )


def match_near(x: FloatArray, y: FloatArray, field: Field, *, radius: float) -> NDArray[np.bool_]:
    """Whether each place is within a radius of any source."""
    distance = np.hypot(x[:, None] - field.x, y[:, None] - field.y)
    near: NDArray[np.bool_] = distance.min(axis=1, initial=np.inf) <= radius
    return near


def together(parts: Iterable[Measured]) -> Measured:
    """The measurements of several fields as one."""
    members = list(parts)
    return Measured(*(np.concatenate([getattr(part, name) for part in members]) for name in Measured.__annotations__))


def robust_scatter(values: FloatArray) -> float:
    """Standard deviation of the Gaussian with the same median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if values.size else math.nan


def caesar_completeness(snr: float) -> float:
    """Completeness that CAESAR's repository encodes."""
    return 0.987 * 0.5 * (1.0 + float(special.erf((math.log10(snr * CAESAR_NOISE) + 2.874) / 0.3945)))


def caesar(values: tuple[float, ...], snr: float) -> float:
    """Its bias or resolution between the tabulated signals to noise; NaN beyond."""
    return float(np.interp(math.log(snr), np.log(CAESAR_SNR), values, left=math.nan, right=math.nan))


def completeness_table(measured: Measured) -> str:
    """Completeness against CAESAR's."""
    rows = []
    for snr in SIGNAL_TO_NOISE:
        chosen = measured.snr == snr
        successes = measured.found[chosen]
        low, high = (float(bound[0]) for bound in wilson_interval([successes.sum()], [successes.size], confidence=0.95))
        cells = [percent(successes.mean(), ".1f"), f"{100 * low:.1f} to {100 * high:.1f}"]
        rows.append([f"{snr:g}", str(successes.size), *cells, percent(caesar_completeness(snr), ".1f")])
    return markdown(["S/N", "injected", "completeness %", "95 % interval", "CAESAR %"], rows)


def flux_table(measured: Measured) -> str:
    """Bias and scatter of fluxes against the limits and CAESAR's."""
    rows = []
    for snr in SIGNAL_TO_NOISE:
        chosen = measured.found & (measured.snr == snr)
        peak, flux = measured.peak[chosen], measured.flux[chosen]
        if not flux.size:
            continue
        rows.append(
            [
                f"{snr:g}",
                str(flux.size),
                percent(float(np.median(peak)) - 1.0, "+.1f"),
                percent(float(np.median(flux)) - 1.0, "+.1f"),
                percent(math.exp(float(np.log(flux).mean())) - 1.0, "+.1f"),
                percent(caesar(CAESAR_BIAS, snr), "+.1f"),
                percent(robust_scatter(flux), ".1f"),
                percent(math.sqrt(3.0) / snr, ".1f"),
                percent(1.0 / snr, ".1f"),
                percent(caesar(CAESAR_RESOLUTION, snr), ".1f"),
                number(robust_scatter(measured.flux_pull[chosen])),
            ]
        )
    header = ["S/N", "found", "peak bias %", "flux bias %, median", "of mean log", "CAESAR %", "flux scatter %"]
    header += ["limit, free shape", "limit, beam's shape", "CAESAR %", "flux error / stated"]
    return markdown(header, rows)


def position_table(measured: Measured) -> str:
    """Position errors in units of the limit along the beam's axes."""
    rows = []
    for snr in SIGNAL_TO_NOISE:
        chosen = measured.found & (measured.snr == snr)
        if not chosen.any():
            continue
        sides = measured.along_major[chosen], measured.along_minor[chosen]
        error = 1.0 / math.sqrt(chosen.sum())
        biases = [f"{np.median(side):+.2f}" for side in sides]
        scatters = [f"{robust_scatter(side):.2f}" for side in sides]
        limit = 1.0 / (FWHM_PER_SIGMA * snr)
        pull = number(robust_scatter(measured.x_pull[chosen]))
        rows.append([f"{snr:g}", f"{limit:.4f}", *scatters, *biases, f"{1.25 * error:.2f}", pull])
    header = ["S/N", "limit, beam FWHM", "scatter/limit, major", "minor", "bias/limit, major", "minor", "its error"]
    return markdown([*header, "error / stated"], rows)


def reliability_table(measured: Measured, *, n_pixels: int, covariance: FloatArray) -> str:
    """Rows that are no source, beside the peaks that Gaussian noise has above the threshold."""
    area = 2.0 * math.sqrt(float(np.linalg.det(covariance)))
    rows = []
    for low, high in pairwise(FALSE_BINS):
        counts = [math.exp(-0.5 * snr**2) * snr if np.isfinite(snr) else 0.0 for snr in (low, high)]
        expected = (counts[0] - counts[1]) * n_pixels / (area * (2.0 * math.pi) ** 1.5)
        false = int(((measured.false_snr >= low) & (measured.false_snr < high)).sum())
        rows.append([f"{low:g} to {high:g}", str(false), f"{expected:.1f}"])
    real, false = int(measured.found.sum()), len(measured.false_snr)
    rows.append(["all", str(false), f"reliability {100 * real / max(real + false, 1):.2f} %"])
    return markdown(["measured S/N", "false rows", "peaks of Gaussian noise"], rows)


def main() -> None:
    """Simulate, extract and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=6)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, parts = np.random.default_rng(options.seed), []
    with silent_libraries():
        for _ in range(options.fields):
            field = simulate(size=options.size, rng=rng)
            parts.append(measure(field, SourceFinder()(field.radio_map)))
    measured = together(parts)
    print(f"## Completeness of point sources\n\n{completeness_table(measured)}\n")
    print(f"## Fluxes\n\n{flux_table(measured)}\n")
    print(f"## Positions\n\n{position_table(measured)}\n")
    n_pixels, covariance = options.fields * options.size**2, field.radio_map.beam_covariance
    print(f"## Reliability\n\n{reliability_table(measured, n_pixels=n_pixels, covariance=covariance)}")


if __name__ == "__main__":
    main()
