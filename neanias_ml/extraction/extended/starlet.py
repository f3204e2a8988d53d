"""The starlet (isotropic undecimated wavelet) transform of maps with blank pixels, and its noise.

Starck, Fadili & Murtagh 2007, IEEE Trans. Image Processing 16, 297: smoothing by the B3 spline with holes ("a trous");
a plane is the difference of two successive smoothings, so that the planes and the last smoothing add up to the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]
Profile = NDArray[np.float64]

B3_SPLINE = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
FWHM_TO_SIGMA = 1.0 / 2.3548200450309493


@dataclass(frozen=True)
class Starlet:
    """Planes and smoothings of a map.

    Attributes
    ----------
    smoothed
        (scales + 1, ny, nx) float32; row 0 is the map itself, each next one is smoothed twice as widely;
        0 where the map is blank.
    valid
        (ny, nx) bool, False where the map is blank.
    """

    smoothed: FloatMap
    valid: NDArray[np.bool_]

    def plane(self, scale: int) -> FloatMap:
        """(ny, nx) wavelet plane of a scale from 1 (finest) to the number of scales."""
        return self.smoothed[scale - 1] - self.smoothed[scale]


def starlet_transform(image: NDArray[np.floating], *, scales: int) -> Starlet:
    """Smooth a map by the B3 spline at dyadic scales.

    Pixels that are blank or beyond the edge have no weight (normalised convolution), so neither pulls the
    smoothing of its neighbours to zero.

    Parameters
    ----------
    image
        (ny, nx), NaN where blank.
    scales
        Number of planes.
    """
    valid = np.isfinite(image)
    smoothed = np.empty((scales + 1, *image.shape), dtype=np.float32)
    smoothed[0] = np.where(valid, image, 0.0)
    weight = valid.astype(np.float32)
    scratch = np.empty_like(weight)
    norm = np.empty_like(weight)
    everywhere = bool(valid.all())
    for scale in range(scales):
        step = 1 << scale
        _smooth(smoothed[scale], scratch, smoothed[scale + 1], step)
        if everywhere:
            smoothed[scale + 1] *= _edge_norm(image.shape[0], step)[:, None]
            smoothed[scale + 1] *= _edge_norm(image.shape[1], step)
        else:
            _smooth(weight, scratch, norm, step)
            smoothed[scale + 1] *= weight / np.maximum(norm, np.float32(1e-6))
    return Starlet(smoothed, valid)


def _edge_norm(length: int, step: int) -> NDArray[np.float32]:
    """Factor that makes up for the weights that fall beyond the two ends of an axis."""
    norm = np.zeros(length)
    for tap, weight in enumerate(B3_SPLINE):
        offset = (tap - 2) * step
        norm[max(0, -offset) : max(0, length - max(0, offset))] += weight
    return (1.0 / norm).astype(np.float32)


@njit("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], int64)", cache=True, nogil=True)
def _smooth(image: FloatMap, scratch: FloatMap, out: FloatMap, step: int) -> None:
    """Convolve with the spline whose taps are ``step`` pixels apart; nothing lies beyond the edge."""
    ny, nx = image.shape
    centre, near, far = np.float32(6.0 / 16.0), np.float32(4.0 / 16.0), np.float32(1.0 / 16.0)
    for y in range(ny):
        row = scratch[y]
        for x in range(nx):
            row[x] = centre * image[y, x]
        for tap in range(4):
            other = y + (tap - 2 if tap < 2 else tap - 1) * step
            if 0 <= other < ny:
                weight = far if tap in (0, 3) else near
                for x in range(nx):
                    row[x] += weight * image[other, x]
        for x in range(nx):
            out[y, x] = centre * row[x]
        for tap in range(4):
            offset = (tap - 2 if tap < 2 else tap - 1) * step
            weight = far if tap in (0, 3) else near
            for x in range(max(0, -offset), min(nx, nx - offset)):
                out[y, x] += weight * row[x + offset]


@dataclass(frozen=True)
class BeamNoise:
    """Noise of smoothed maps whose unsmoothed noise has unit variance and the correlation of a Gaussian beam.

    The correlation of such noise is the beam convolved with itself. All filters are separable, so a variance is the
    product of two sums along one axis.

    Attributes
    ----------
    beam_fwhm
        Geometric-mean width of the beam in pixels.
    factor
        Pixels along the side of a bin.
    """

    beam_fwhm: float
    factor: int

    def correlation(self, reach: int) -> Profile:
        """(2 reach + 1,) covariance of two bins along one axis against their distance in bins."""
        lag = np.arange(-self.factor + 1, self.factor)
        overlap = (self.factor - np.abs(lag)) / self.factor**2
        distance = self.factor * np.arange(-reach, reach + 1)[:, None] + lag
        sigma = self.beam_fwhm * FWHM_TO_SIGMA
        return (np.exp(-(distance**2) / (4 * sigma**2)) * overlap).sum(axis=1)

    def covariance(self, first: Profile, second: Profile) -> float:
        """Covariance of two smoothings with square separable filters of these centred profiles (odd lengths)."""
        lags = np.correlate(first, second, mode="full")
        return float(lags @ self.correlation(len(lags) // 2)) ** 2

    def smoothing(self, scale: int) -> float:
        """Standard deviation of the map smoothed to a scale."""
        profile = smoothing_profile(scale)
        return self.covariance(profile, profile) ** 0.5

    def plane(self, scale: int) -> float:
        """Standard deviation of a wavelet plane."""
        fine, coarse = smoothing_profile(scale - 1), smoothing_profile(scale)
        variance = self.covariance(fine, fine) - 2 * self.covariance(fine, coarse) + self.covariance(coarse, coarse)
        return max(variance, 0.0) ** 0.5


def smoothing_profile(scale: int) -> Profile:
    """One axis of the filter that takes the map to the smoothing of a scale; sums to 1."""
    profile = np.ones(1)
    for step in (1 << level for level in range(scale)):
        taps = np.zeros(4 * step + 1)
        taps[::step] = B3_SPLINE
        profile = np.convolve(profile, taps)
    return profile


def smoothing_reach(scale: int) -> int:
    """Pixels on each side that the smoothing of a scale looks at."""
    return 2 * ((1 << scale) - 1)
