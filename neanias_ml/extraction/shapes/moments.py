"""Moments of islands over their pixels: Hu and Zernike moments, eccentricity, bending of the ridge, flux statistics."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.shapes.contours import IntPixels

FloatArray = NDArray[np.float64]
Offsets = NDArray[np.int64]
FloatPixels = NDArray[np.float32]

ZERNIKE_ORDERS = (
    (2, 0), (2, 2), (3, 1), (3, 3), (4, 0), (4, 2), (4, 4), (5, 1), (5, 3), (5, 5), (6, 0), (6, 2), (6, 4), (6, 6),
)  # fmt: skip
"""(n, m) of the moments kept: up to order 6, without (0, 0) and (1, 1), which the normalisation fixes."""
_ORDERS = np.array(ZERNIKE_ORDERS, dtype=np.int64)
_RADIAL = np.array(
    [
        [-1, 2, 0, 0], [1, 0, 0, 0], [-2, 3, 0, 0], [1, 0, 0, 0], [1, -6, 6, 0], [-3, 4, 0, 0], [1, 0, 0, 0],
        [3, -12, 10, 0], [-4, 5, 0, 0], [1, 0, 0, 0], [-1, 12, -30, 20], [6, -20, 15, 0], [-5, 6, 0, 0], [1, 0, 0, 0],
    ],
    dtype=np.float64,
)  # fmt: skip
"""Coefficients in powers of rho^2 of the radial polynomials R_nm(rho) / rho^m."""

FLUX_COLUMNS = ("flux_mean", "flux_std", "flux_median", "flux_mad", "flux_skewness", "flux_kurtosis")
HU_COLUMNS = tuple(f"hu_{order}" for order in range(1, 8))
FLUX_HU_COLUMNS = tuple(f"flux_{name}" for name in HU_COLUMNS)
ZERNIKE_COLUMNS = tuple(f"zernike_{n}_{m}" for n, m in ZERNIKE_ORDERS)
MOMENT_COLUMNS = (
    *FLUX_COLUMNS, "eccentricity", "tilt", "ridge_bend", *HU_COLUMNS, *FLUX_HU_COLUMNS, *ZERNIKE_COLUMNS,
)  # fmt: skip


@njit(cache=True, nogil=True)
def measure_moments(
    y: IntPixels, x: IntPixels, flux: FloatPixels, offsets: Offsets
) -> FloatArray:  # pragma: no cover (compiled)
    """`MOMENT_COLUMNS` of N islands, (N, 37); NaN where they do not exist.

    Hu moments are those of Hu (1962, IRE Trans. Inf. Theory 8, 179), of the island's shape (every pixel counts 1) and
    of its flux in units of its mean. Zernike moments are magnitudes of the flux, normalised to a sum of 1, in the
    circle around the flux centroid that reaches half a pixel beyond the farthest pixel (Khotanzad & Hong 1990, IEEE
    TPAMI 12, 489). Pixels of negative flux count as 0 in moments, as they are in statistics.
    """
    result = np.full((len(offsets) - 1, 37), np.nan)
    for island in range(len(offsets) - 1):
        start, stop = offsets[island], offsets[island + 1]
        if stop == start:
            continue
        row, values = result[island], flux[start:stop].astype(np.float64)
        dx, dy = (x[start:stop] - x[start]).astype(np.float64), (y[start:stop] - y[start]).astype(np.float64)
        _flux_statistics(values, row[0:6])
        shape = _centred_moments(dx, dy, np.ones(len(values)))
        row[6], row[7] = _eccentricity_and_tilt(shape)
        _hu_moments(shape, row[9:16])
        weight = np.maximum(values, 0.0)
        bright = _centred_moments(dx, dy, weight)
        if bright[0] > 0.0:
            row[8] = _ridge_bend(dx, dy, weight, bright)
            _zernike_magnitudes(dx, dy, weight, bright, row[23:37])
            bright[0] = shape[0]  # a mean flux of 1
            _hu_moments(bright, row[16:23])
    return result


@njit(cache=True, nogil=True)
def _flux_statistics(values: FloatArray, out: FloatArray) -> None:  # pragma: no cover (compiled)
    """Mean, standard deviation, median, median absolute deviation (unscaled), skewness and excess kurtosis."""
    mean = values.mean()
    second, third, fourth = 0.0, 0.0, 0.0
    for value in values:
        square = (value - mean) ** 2
        second += square
        third += square * (value - mean)
        fourth += square * square
    second, third, fourth = second / len(values), third / len(values), fourth / len(values)
    median = np.median(values)
    out[0], out[1], out[2], out[3] = mean, math.sqrt(second), median, np.median(np.abs(values - median))
    if second > 1e-12 * mean * mean:
        out[4], out[5] = third / second**1.5, fourth / second**2 - 3.0


@njit(cache=True, nogil=True)
def _centred_moments(dx: FloatArray, dy: FloatArray, weight: FloatArray) -> FloatArray:  # pragma: no cover (compiled)
    """(10,) sum of the weights, centroid, and means of xx, xy, yy, xxx, xxy, xyy, yyy about it."""
    out = np.zeros(10)
    total = weight.sum()
    out[0] = total
    if total <= 0.0:
        return out
    for place in range(len(weight)):
        out[1] += weight[place] * dx[place] / total
        out[2] += weight[place] * dy[place] / total
    for place in range(len(weight)):
        x, y, share = dx[place] - out[1], dy[place] - out[2], weight[place] / total
        out[3] += share * x * x
        out[4] += share * x * y
        out[5] += share * y * y
        out[6] += share * x * x * x
        out[7] += share * x * x * y
        out[8] += share * x * y * y
        out[9] += share * y * y * y
    return out


@njit(cache=True, nogil=True)
def _eccentricity_and_tilt(moments: FloatArray) -> tuple[float, float]:  # pragma: no cover (compiled)
    """Eccentricity of the ellipse of equal second moments, and the angle of its major axis in [0, 180) degrees."""
    xx, xy, yy = moments[3], moments[4], moments[5]
    mean, half = 0.5 * (xx + yy), math.sqrt(0.25 * (xx - yy) ** 2 + xy * xy)
    tilt = math.degrees(0.5 * math.atan2(2.0 * xy, xx - yy)) % 180.0
    return (math.sqrt(2.0 * half / (mean + half)) if mean > 0.0 else 0.0), tilt


@njit(cache=True, nogil=True)
def _hu_moments(moments: FloatArray, out: FloatArray) -> None:  # pragma: no cover (compiled)
    """The seven invariants of translation, rotation and scale; the last changes sign in a mirror."""
    total = moments[0]
    n20, n11, n02 = moments[3] / total, moments[4] / total, moments[5] / total
    scale = total**1.5
    n30, n21, n12, n03 = moments[6] / scale, moments[7] / scale, moments[8] / scale, moments[9] / scale
    p, q = n30 + n12, n21 + n03
    u, v = n30 - 3.0 * n12, 3.0 * n21 - n03
    difference = n20 - n02
    out[0] = n20 + n02
    out[1] = difference**2 + 4.0 * n11**2
    out[2] = u**2 + v**2
    out[3] = p**2 + q**2
    out[4] = u * p * (p**2 - 3.0 * q**2) + v * q * (3.0 * p**2 - q**2)
    out[5] = difference * (p**2 - q**2) + 4.0 * n11 * p * q
    out[6] = v * p * (p**2 - 3.0 * q**2) - u * q * (3.0 * p**2 - q**2)


@njit(cache=True, nogil=True)
def _zernike_magnitudes(
    dx: FloatArray, dy: FloatArray, weight: FloatArray, moments: FloatArray, out: FloatArray
) -> None:  # pragma: no cover (compiled)
    """Magnitudes (n + 1) / pi |sum f V*_nm| of the orders `ZERNIKE_ORDERS`."""
    reach = 0.0
    for place in range(len(weight)):
        reach = max(reach, (dx[place] - moments[1]) ** 2 + (dy[place] - moments[2]) ** 2)
    radius = math.sqrt(reach) + 0.5
    sums = np.zeros(len(_ORDERS), dtype=np.complex128)
    powers = np.ones(7, dtype=np.complex128)
    for place in range(len(weight)):
        point = complex(dx[place] - moments[1], moments[2] - dy[place]) / radius
        square = point.real**2 + point.imag**2
        for power in range(1, 7):
            powers[power] = powers[power - 1] * point
        share = weight[place] / moments[0]
        for order in range(len(_ORDERS)):
            terms = _RADIAL[order]
            radial = terms[0] + square * (terms[1] + square * (terms[2] + square * terms[3]))
            sums[order] += share * radial * powers[_ORDERS[order, 1]]
    for order in range(len(_ORDERS)):
        out[order] = (_ORDERS[order, 0] + 1) / math.pi * abs(sums[order])


@njit(cache=True, nogil=True)
def _ridge_bend(
    dx: FloatArray, dy: FloatArray, weight: FloatArray, moments: FloatArray
) -> float:  # pragma: no cover (compiled)
    """Angle in degrees by which a parabola through the flux along its principal axis turns from end to end.

    The parabola is the least-squares fit, weighted by flux, of the offset across the axis.
    """
    turn = 0.5 * math.atan2(2.0 * moments[4], moments[3] - moments[5])
    cosine, sine = math.cos(turn), math.sin(turn)
    low, high = np.inf, -np.inf
    second, third, fourth, across = 0.0, 0.0, 0.0, 0.0
    for place in range(len(weight)):
        x, y, share = dx[place] - moments[1], dy[place] - moments[2], weight[place] / moments[0]
        along, offset = x * cosine + y * sine, y * cosine - x * sine
        low, high = min(low, along), max(high, along)
        second += share * along**2
        third += share * along**3
        fourth += share * along**4
        across += share * along**2 * offset
    if second <= 0.0:
        return 0.0
    spread = fourth - second**2 - third**2 / second
    if spread <= 1e-9 * fourth:
        return 0.0
    curve = across / spread
    slope = -curve * third / second
    return math.degrees(abs(math.atan(slope + 2.0 * curve * high) - math.atan(slope + 2.0 * curve * low)))
