"""Sources bright enough to leave artefacts, and what an interferometer measures of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft, ndimage

from neanias_ml.simulation.imaging.interferometer import Coverage
from neanias_ml.simulation.sources.models import Covariance, Gaussians, Patch, SourceModel, patch_moments

CULPRIT_SNR = 40.0
"""Compact sources fainter than this leave no sidelobes above the noise and are skipped."""
MAX_CULPRITS = 16
"""Only the brightest so many compact sources are treated."""
EXTENDED_SNR = 12.0
"""Extended emission whose peak is fainter leaves no residual of CLEAN above the noise."""
MAX_EXTENDED = 8
"""Only so many pieces of extended emission, those of most flux, are treated."""
MAX_DILUTION = 4.0
"""Gaussians with more total flux per peak than this are extended."""
_PATCH_PADDING = 4


@dataclass(frozen=True)
class Culprit:
    """A part of a source that leaves artefacts.

    Attributes
    ----------
    number
        1-based place in the list of sources.
    part
        Its compact Gaussians, or all the rest of it.
    extended
        Which of the two.
    x, y
        Pixel that serves as the phase centre.
    """

    number: int
    part: SourceModel
    extended: bool
    x: int
    y: int


def find_culprits(sources: list[SourceModel], *, beam: Covariance, noise: float) -> list[Culprit]:
    """Compact culprits, brightest first, and then the extended ones, those of most flux first.

    Parameters
    ----------
    sources
        All sources of the field.
    beam
        Pixel covariance (2, 2) of the restoring beam.
    noise
        Typical rms, Jy/beam.
    """
    compact, extended = [], []
    for number, source in enumerate(sources, start=1):
        peaks = source.gaussians.peak_flux(beam)
        narrow = source.gaussians.total_flux < MAX_DILUTION * peaks
        bright = narrow & (peaks > 0.1 * peaks.max(where=narrow, initial=0.0))
        peak = float(peaks.max(where=bright, initial=0.0))
        if peak >= CULPRIT_SNR * noise:
            compact.append((-peak, _culprit(number, source.kind, source.gaussians.select(bright), None, False)))
        wide = source.gaussians.select(~narrow)
        if len(wide) or source.patch is not None:
            rest = SourceModel(source.kind, wide, source.patch)
            if _extended_peak(rest, beam) >= EXTENDED_SNR * noise:
                extended.append((-rest.total_flux, _culprit(number, source.kind, wide, source.patch, True)))
    ranked = sorted(compact, key=_rank)[:MAX_CULPRITS] + sorted(extended, key=_rank)[:MAX_EXTENDED]
    return [culprit for _, culprit in ranked]


def _rank(row: tuple[float, Culprit]) -> tuple[float, int]:
    return row[0], row[1].number


def _culprit(number: int, kind: str, gaussians: Gaussians, patch: Patch | None, extended: bool) -> Culprit:
    part = SourceModel(kind, gaussians, patch)
    x, y, _ = part.moments()
    return Culprit(number, part, extended, round(x), round(y))


def _extended_peak(part: SourceModel, beam: Covariance) -> float:
    """Peak in Jy/beam, about: the brightest Gaussian, or a Gaussian with the patch's flux and moments."""
    peak = float(part.gaussians.peak_flux(beam).max(initial=0.0))
    if part.patch is not None:
        flux, _, width = patch_moments(part.patch)
        peak = max(peak, flux * math.sqrt(float(np.linalg.det(beam) / np.linalg.det(width + beam))))
    return peak


def source_visibilities(culprit: Culprit, coverage: Coverage) -> NDArray[np.complex128]:
    """Visibilities (M,) of a culprit in Jy, with the phase centre on its reference pixel."""
    parts = culprit.part.gaussians
    rows = np.stack([parts.x - culprit.x, parts.y - culprit.y, parts.total_flux, parts.cxx, parts.cxy, parts.cyy], -1)
    visibilities = np.zeros(len(coverage.kx), dtype=np.complex128)
    _add_gaussians(coverage.kx, coverage.ky, np.ascontiguousarray(rows, dtype=np.float64), visibilities)
    if culprit.part.patch is not None:
        visibilities += _patch_visibilities(culprit.part.patch, coverage, x=culprit.x, y=culprit.y)
    return visibilities


@njit(cache=True, nogil=True)
def _add_gaussians(
    kx: NDArray[np.float64], ky: NDArray[np.float64], rows: NDArray[np.float64], out: NDArray[np.complex128]
) -> None:
    """Add the transform of Gaussians ``rows`` (N, 6): x, y, flux, cxx, cxy, cyy."""
    for i in range(len(out)):
        for row in range(len(rows)):
            x, y, flux, cxx, cxy, cyy = rows[row]
            form = cxx * kx[i] * kx[i] + 2.0 * cxy * kx[i] * ky[i] + cyy * ky[i] * ky[i]
            exponent = 2.0 * math.pi**2 * form
            if exponent < 20.0:
                phase = -2.0 * math.pi * (kx[i] * x + ky[i] * y)
                size = flux * math.exp(-exponent)
                out[i] += complex(size * math.cos(phase), size * math.sin(phase))


def _patch_visibilities(patch: Patch, coverage: Coverage, *, x: int, y: int) -> NDArray[np.complex128]:
    """Transform (M,) of a patch, read off a padded transform between its cells."""
    rows, columns = patch.brightness.shape
    size = fft.next_fast_len(_PATCH_PADDING * max(rows, columns), real=True)
    padded = np.zeros((size, size), dtype=np.float32)
    padded[:rows, :columns] = patch.brightness
    # the middle of the patch goes to pixel (0, 0), so that phases change slowly from cell to cell
    spectrum = fft.fft2(np.roll(padded, (-(rows // 2), -(columns // 2)), (0, 1)), workers=1)
    place = np.stack([np.mod(coverage.ky * size, size), np.mod(coverage.kx * size, size)])
    parts = (spectrum.real, spectrum.imag)
    values = [ndimage.map_coordinates(part, place, order=1, mode="grid-wrap") for part in parts]
    dx, dy = patch.x0 + columns // 2 - x, patch.y0 + rows // 2 - y
    ramp = np.exp(-2j * math.pi * (coverage.kx * dx + coverage.ky * dy))
    visibilities: NDArray[np.complex128] = (values[0] + 1j * values[1]) * ramp
    return visibilities
