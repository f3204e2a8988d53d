"""Beam size in pixels from the noise itself, for maps whose header has lost the pixel size.

The noise of an interferometer's image is correlated over the beam, and two cases bracket how. White noise that was
smoothed with the beam has an autocorrelation wider than the beam by the square root of two (Condon 1997, PASP 109,
166). Naturally weighted visibilities have the dirty beam itself as the autocorrelation of their noise. Within that
bracket the narrowest bright sources decide; without sources the middle is at most 19 per cent off. Where all sources
are resolved the value is taken from the upper half, since real maps of extended sources are mostly of the second kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from neanias_ml.maps.beam import FWHM_PER_SIGMA

_SOURCE_SIGMA, _SKIRT_SIGMA = 4.0, 2.0
"""Noise sigmas of a source's peak and of the skirt that is masked with it."""
_MARGIN = 3
_MASK_ROUNDS = 4
_BACKGROUND_WIDTH = 41
_PEDESTAL_ROUNDS = 4
_BRIGHT_SIGMA = 15.0
_LARGEST_LAG = 24
_FEWEST_PIXELS = 400
_FIT_LEVEL = 0.35
"""Autocorrelation below which sidelobes of the dirty beam distort the Gaussian."""
_FEWEST_BEAMS = 60
_LARGEST_FWHM = 16.0
_HALVES_AGREEMENT = 1.25


@dataclass(frozen=True)
class BeamSizeEstimate:
    """Geometric-mean beam FWHM in pixels measured from the map, and whether it can be relied on.

    Attributes
    ----------
    fwhm
        Pixels; NaN when nothing could be measured.
    axis_ratio
        Major over minor axis of the correlation.
    reason
        Why the value is not trustworthy; empty when it is.
    """

    fwhm: float
    axis_ratio: float = math.nan
    reason: str = ""

    @property
    def is_trustworthy(self) -> bool:
        """Whether all checks passed."""
        return not self.reason


def estimate_beam_fwhm(pixels: NDArray[np.floating], *, axis_ratio: float | None = None) -> BeamSizeEstimate:
    """Measure the beam's size in pixels from the autocorrelation of the noise and the narrowest sources.

    Parameters
    ----------
    pixels
        (ny, nx) map, NaN where blank.
    axis_ratio
        Known major over minor axis of the beam, for a consistency check.

    Notes
    -----
    Sources are masked with a margin, large-scale structure is removed by a running mean, and pairs
    of valid pixels alone are counted. The halves of the map must agree.
    """
    noise, is_valid = _noise_field(np.asarray(pixels, dtype=np.float64))
    if is_valid.sum() < _FEWEST_PIXELS:
        return BeamSizeEstimate(fwhm=math.nan, reason="there are too few source-free pixels")
    correlated, ratio = _correlation_fwhm(noise, is_valid)
    if not math.isfinite(correlated):
        return BeamSizeEstimate(fwhm=math.nan, reason="the noise shows no correlation over neighbouring pixels")
    fwhm = _within_bracket(correlated, _narrowest_sources(noise, is_valid))
    return BeamSizeEstimate(fwhm=fwhm, axis_ratio=ratio, reason=_doubt(noise, is_valid, fwhm, ratio, axis_ratio))


def _within_bracket(correlated: float, source: float) -> float:
    """Beam FWHM from that of the noise correlation and that of the narrowest sources (NaN when there are none)."""
    if not math.isfinite(source):
        return correlated / 2**0.25
    if source > correlated:
        return correlated / 2**0.125
    return max(source, correlated / math.sqrt(2.0))


def _narrowest_sources(residual: NDArray[np.float64], is_valid: NDArray[np.bool_]) -> float:
    """Lower quartile of the FWHM in pixels at the peaks of bright sources, from the curvature of the logarithm."""
    sigma = _robust_sigma(residual[is_valid])
    is_peak = (residual == ndimage.maximum_filter(residual, 5)) & (residual > _BRIGHT_SIGMA * sigma)
    is_peak[[0, -1], :] = is_peak[:, [0, -1]] = False
    y, x = np.nonzero(is_peak)
    patch = {(dy, dx): residual[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    is_sound = np.logical_and.reduce([value > 0 for value in patch.values()])
    log = {offset: np.log(value[is_sound]) for offset, value in patch.items()}
    xx = 2 * log[0, 0] - log[0, 1] - log[0, -1]
    yy = 2 * log[0, 0] - log[1, 0] - log[-1, 0]
    xy = (log[1, -1] + log[-1, 1] - log[1, 1] - log[-1, -1]) / 4
    determinant = xx * yy - xy**2
    widths = FWHM_PER_SIGMA * determinant[determinant > 0] ** -0.25
    return float(np.quantile(widths, 0.25)) if len(widths) else math.nan


def _doubt(
    noise: NDArray[np.float64], is_valid: NDArray[np.bool_], fwhm: float, ratio: float, expected: float | None
) -> str:
    beams = is_valid.sum() / (math.pi / 4 / math.log(2) * fwhm**2)
    if beams < _FEWEST_BEAMS:
        return f"the source-free area holds only {beams:.0f} beams"
    if not 1.5 <= fwhm <= _LARGEST_FWHM:
        return f"the measured size of {fwhm:.1f} pixels is outside 1.5 to {_LARGEST_FWHM:.0f}"
    if expected is not None and not 0.6 <= ratio / expected <= 1.6:
        return f"the noise is correlated with axis ratio {ratio:.2f}, the beam has {expected:.2f}"
    longer = int(np.argmax(noise.shape))
    halves = [
        _correlation_fwhm(part, mask)[0]
        for part, mask in zip(
            np.array_split(noise, 2, axis=longer), np.array_split(is_valid, 2, axis=longer), strict=True
        )
    ]
    if not all(math.isfinite(half) for half in halves) or max(halves) / min(halves) > _HALVES_AGREEMENT:
        return f"the halves of the map disagree ({halves[0]:.1f} and {halves[1]:.1f} pixels)"
    return ""


def _noise_field(pixels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Background-subtracted map and the mask of its source-free pixels, each (ny, nx)."""
    is_finite = np.isfinite(pixels) & (pixels != 0.0)  # exact zeros are padding
    filled = np.where(is_finite, pixels, 0.0)
    is_valid, residual = is_finite, filled
    for _ in range(_MASK_ROUNDS):
        if is_valid.sum() < _FEWEST_PIXELS:
            break
        residual = np.where(is_finite, filled - _local_mean(filled, is_valid), 0.0)
        sigma = _robust_sigma(residual[is_valid])
        seeds = np.abs(residual) > _SOURCE_SIGMA * sigma
        islands = ndimage.binary_propagation(seeds, mask=np.abs(residual) > _SKIRT_SIGMA * sigma)
        is_valid = is_finite & ~ndimage.binary_dilation(islands, iterations=_MARGIN)
    return residual, is_valid


def _local_mean(filled: NDArray[np.float64], is_valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    weight = ndimage.uniform_filter(is_valid.astype(np.float64), _BACKGROUND_WIDTH)
    total = ndimage.uniform_filter(np.where(is_valid, filled, 0.0), _BACKGROUND_WIDTH)
    overall = float(np.median(filled[is_valid]))
    return np.where(weight > 0.05, total / np.maximum(weight, 0.05), overall)


def _robust_sigma(values: NDArray[np.float64]) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _correlation_fwhm(noise: NDArray[np.float64], is_valid: NDArray[np.bool_]) -> tuple[float, float]:
    """Geometric-mean FWHM of the noise's autocorrelation in pixels and its axis ratio; NaN when the fit fails.

    Subtracting the running mean lowered the correlation by its integral over the mean's area; the fit gives this back.
    """
    correlation = _autocorrelation(noise, is_valid)
    if correlation is None:
        return math.nan, math.nan
    lost = 0.0
    for _ in range(_PEDESTAL_ROUNDS):
        sigma, ratio = _fit_core((correlation + lost) / (1.0 + lost))
        if not math.isfinite(sigma):
            break
        lost = min(2 * math.pi * sigma**2 / _BACKGROUND_WIDTH**2, 0.5)
    return FWHM_PER_SIGMA * sigma, ratio


def _fit_core(correlation: NDArray[np.float64]) -> tuple[float, float]:
    """Geometric-mean sigma and axis ratio of the Gaussian core of an autocorrelation; NaN when there is none."""
    lags = np.arange(-_LARGEST_LAG, _LARGEST_LAG + 1)
    dy, dx = np.meshgrid(lags, lags, indexing="ij")
    core, _ = ndimage.label(correlation > _FIT_LEVEL)
    is_used = core == core[_LARGEST_LAG, _LARGEST_LAG]
    is_used[_LARGEST_LAG, _LARGEST_LAG] = False  # uncorrelated (pixel) noise adds to lag zero alone
    if is_used.sum() < 6 or is_used[0].any() or is_used[:, 0].any():
        return math.nan, math.nan
    x, y, value = dx[is_used], dy[is_used], correlation[is_used]
    terms = np.column_stack([np.ones(len(x)), x * x, 2 * x * y, y * y])
    _, xx, xy, yy = np.linalg.lstsq(terms * value[:, None], np.log(value) * value, rcond=None)[0]
    eigenvalues = np.linalg.eigvalsh(-2.0 * np.array([[xx, xy], [xy, yy]]))  # of the inverse covariance
    if eigenvalues[0] <= 0:
        return math.nan, math.nan
    return float(np.prod(eigenvalues) ** -0.25), math.sqrt(float(eigenvalues[1] / eigenvalues[0]))


def _autocorrelation(noise: NDArray[np.float64], is_valid: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Autocorrelation over pairs of valid pixels for lags up to ``_LARGEST_LAG``, (2L + 1, 2L + 1), 1 at lag zero."""
    if is_valid.sum() < _FEWEST_PIXELS // 2:
        return None
    values = np.where(is_valid, noise - noise[is_valid].mean(), 0.0)
    shape = tuple(fft.next_fast_len(max(length, _LARGEST_LAG) + _LARGEST_LAG + 2, real=True) for length in noise.shape)

    def lagged_sums(field: NDArray[np.float64]) -> NDArray[np.float64]:
        spectrum = fft.rfft2(field, shape)
        sums = np.fft.fftshift(fft.irfft2(np.abs(spectrum) ** 2, shape))
        y, x = shape[0] // 2, shape[1] // 2
        return sums[y - _LARGEST_LAG : y + _LARGEST_LAG + 1, x - _LARGEST_LAG : x + _LARGEST_LAG + 1]

    pairs = np.maximum(lagged_sums(is_valid.astype(np.float64)), 1.0)
    correlation = lagged_sums(values) / pairs
    variance = correlation[_LARGEST_LAG, _LARGEST_LAG]
    return correlation / variance if variance > 0 else None
