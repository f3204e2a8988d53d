"""From islands to components: which Gaussians are fitted to which pixels, and how good they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.extraction.gaussian_fit import PARAMETERS, GaussianFit, fit_gaussians, starting_parameters
from neanias_ml.extraction.peaks import find_peaks
from neanias_ml.extraction.tables import IslandTable, SourceFlag
from neanias_ml.maps import FWHM_PER_SIGMA, RadioMap, covariances_of_ellipses

FloatMap = NDArray[np.float32]
FloatArray = NDArray[np.float64]

MAX_COMPONENTS = 8
"""Most Gaussians fitted to one island at once."""
MAX_FIT_PIXELS = 2500
"""Larger islands are fitted on a regular subset of their pixels."""


@dataclass(frozen=True)
class FittedComponent:
    """One Gaussian of an island in pixels, before it is put on the sky.

    Attributes
    ----------
    parameters
        (6,) as in `gaussian_fit`.
    errors
        (6, 6) error covariance of the parameters.
    quality
        3 good, 2 acceptable, 1 poor, 0 no fit (moments).
    """

    island_row: int
    parameters: FloatArray
    errors: FloatArray
    quality: int
    flags: int


@dataclass(frozen=True)
class FitContext:
    """All that the fit of an island needs to know of its map.

    Attributes
    ----------
    labels
        (ny, nx) int32 island label map.
    background
        (ny, nx) float32, Jy/beam.
    islands
        The measured islands.
    seed
        Least signal to noise of a component's peak, as for islands.
    """

    radio_map: RadioMap
    labels: NDArray[np.int32]
    background: FloatMap
    islands: IslandTable
    seed: float


def fit_island(context: FitContext, *, row: int) -> list[FittedComponent]:
    """Fit the components of one island (a row of the table); its moments where no fit is acceptable."""
    islands, beam = context.islands, context.radio_map.beam_covariance
    stamp = _Stamp.cut(context, row)
    rms, flags = float(islands.local_rms[row]), int(islands.flags[row])
    peaks = find_peaks(stamp.flux / rms, stamp.inside, threshold=context.seed)
    if len(peaks) > MAX_COMPONENTS:
        peaks, flags = peaks[:MAX_COMPONENTS], flags | SourceFlag.MANY_COMPONENTS
    step = stamp.thinning()
    values, x, y = stamp.fit_pixels(step)
    most = max(1, values.size // PARAMETERS)
    if len(peaks) > most:
        peaks, flags = peaks[:most], flags | SourceFlag.MANY_COMPONENTS
    amplitudes = np.maximum(stamp.flux[peaks[:, 0], peaks[:, 1]], rms)
    peak_x, peak_y = peaks[:, 1].astype(np.float64) + stamp.x0, peaks[:, 0].astype(np.float64) + stamp.y0
    start = starting_parameters(amplitudes, peak_x, peak_y, beam)
    if values.size < start.size:
        return [_from_moments(context.radio_map, islands, row, flags)]
    fit = fit_gaussians(values, x, y, rms=rms, start=start, beam_covariance=beam, step=step)
    quality = _quality(fit)
    if not _is_acceptable(fit, islands, row, beam):
        bounds = _bounds(start, islands, row, beam)
        fit = fit_gaussians(values, x, y, rms=rms, start=start, beam_covariance=beam, bounds=bounds, step=step)
        quality = min(_quality(fit), 1)
    if not _is_acceptable(fit, islands, row, beam):
        return [_from_moments(context.radio_map, islands, row, flags)]
    return [
        FittedComponent(row, parameters, errors, quality, flags)
        for parameters, errors in zip(fit.parameters, fit.parameter_covariance, strict=True)
    ]


@dataclass(frozen=True)
class _Stamp:
    """The box of an island, widened by half a beam, with the pixels that a fit may use."""

    flux: FloatArray
    inside: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    x0: int
    y0: int

    @classmethod
    def cut(cls, context: FitContext, row: int) -> _Stamp:
        islands, radio_map = context.islands, context.radio_map
        margin = max(1, round(0.5 * radio_map.beam_fwhm))
        y0, x0 = max(0, int(islands.y0[row]) - margin), max(0, int(islands.x0[row]) - margin)
        box = (slice(y0, int(islands.y1[row]) + margin), slice(x0, int(islands.x1[row]) + margin))
        data, label = radio_map.data[box], context.labels[box]
        inside = label == islands.island_id[row]
        near = ndimage.binary_dilation(inside, iterations=margin)
        usable = near & (inside | (label == 0)) & np.isfinite(data)
        flux = np.where(np.isfinite(data), data - context.background[box], 0.0).astype(np.float64)
        return cls(flux=flux, inside=inside, usable=usable, x0=x0, y0=y0)

    def thinning(self) -> int:
        """Spacing of the lattice of pixels that keeps a fit quick; 1 for all of them."""
        return max(1, math.ceil(math.sqrt(np.count_nonzero(self.usable) / MAX_FIT_PIXELS)))

    def fit_pixels(self, step: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Values and positions of the usable pixels on a lattice of spacing ``step``."""
        lattice = np.zeros_like(self.usable)
        lattice[::step, ::step] = True
        rows, cols = np.nonzero(self.usable & lattice)
        x = cols.astype(np.float64) + self.x0
        y = rows.astype(np.float64) + self.y0
        return self.flux[rows, cols], x, y


def _is_acceptable(fit: GaussianFit, islands: IslandTable, row: int, beam_covariance: FloatArray) -> bool:
    """Finite, inside the island's box, neither far smaller than the beam nor far larger than the island."""
    if not np.isfinite(fit.parameters).all() or not np.isfinite(fit.parameter_covariance).all():
        return False
    inside_x = (fit.x > islands.x0[row] - 1.5) & (fit.x < islands.x1[row] + 0.5)
    inside_y = (fit.y > islands.y0[row] - 1.5) & (fit.y < islands.y1[row] + 0.5)
    width = np.linalg.eigvalsh(fit.covariance)
    beam = np.linalg.eigvalsh(beam_covariance)
    island_size = max(islands.x1[row] - islands.x0[row], islands.y1[row] - islands.y0[row])
    sane_size = (width[:, 0] > 0.09 * beam[0]) & (width[:, 1] < max(float(island_size), beam[1] ** 0.5 * 3) ** 2)
    sane_peak = fit.amplitude < 3.0 * max(float(islands.peak_flux[row]), 3.0 * float(islands.local_rms[row]))
    return bool((inside_x & inside_y & sane_size & sane_peak).all())


def _bounds(start: FloatArray, islands: IslandTable, row: int, beam: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Parameters within which a component stays on its island: the second attempt, when a free fit has run away."""
    size = float(max(islands.x1[row] - islands.x0[row], islands.y1[row] - islands.y0[row]))
    narrowest, widest = np.sqrt(np.linalg.eigvalsh(beam))
    smallest, largest = np.log(0.6 * narrowest), np.log(max(1.5 * widest, 0.5 * size))
    brightest = np.log(2.0 * max(float(islands.peak_flux[row]), float(islands.local_rms[row])))
    low = np.array([brightest - 12.0, islands.x0[row] - 1.0, islands.y0[row] - 1.0, smallest, -size, smallest])
    high = np.array([brightest, islands.x1[row], islands.y1[row], largest, size, largest])
    return np.broadcast_to(low, start.shape), np.broadcast_to(high, start.shape)


def _quality(fit: GaussianFit) -> int:
    """Grade a fit by its convergence and its residual in units of the noise and of its peak."""
    relative = fit.residual_rms
    if fit.converged and relative < 1.6:
        return 3
    return 2 if fit.converged and relative < 4.0 else 1


def _from_moments(radio_map: RadioMap, islands: IslandTable, row: int, flags: int) -> FittedComponent:
    """A component with the island's position, shape and flux, for islands that no Gaussian describes."""
    beam = radio_map.beam_covariance
    narrowest = 0.5 * FWHM_PER_SIGMA
    major, minor = (max(float(axis[row]), narrowest) for axis in (islands.major, islands.minor))
    shape = covariances_of_ellipses(major, minor, islands.pixel_angle[row])
    total = max(float(islands.total_flux[row]), float(islands.local_rms[row]))
    amplitude = total * np.sqrt(np.linalg.det(beam) / np.linalg.det(shape))
    parameters = starting_parameters(
        np.array([amplitude]), islands.x[[row]].astype(float), islands.y[[row]].astype(float), shape
    )[0]
    relative = float(islands.total_flux_err[row]) / total
    position = np.trace(shape) * relative**2
    errors = np.diag([relative**2, position, position, relative**2, np.trace(shape) * relative**2, relative**2])
    return FittedComponent(row, parameters, errors, 0, flags | SourceFlag.FIT_FAILED)
