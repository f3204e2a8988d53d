"""Moments of islands over their pixels: Hu and Zernike moments, eccentricity, bending of the ridge, flux statistics."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.shapes.contours import IntPixels
from neanias_ml.extraction.shapes.medians import median_of

FloatArray = NDArray[np.float64]
Offsets = NDArray[np.int64]
FloatPixels = NDArray[np.float32]

ZERNIKE_ORDERS = (
    (2, 0), (2, 2), (3, 1), (3, 3), (4, 0), (4, 2), (4, 4), (5, 1), (5, 3), (5, 5), (6, 0), (6, 2), (6, 4), (6, 6),
)  # fmt: skip
"""(n, m) of the moments kept: up to order 6, without (0, 0) and (1, 1), which the normalisation fixes."""
MOST = 6
"""Highest order of the moments."""
_RADIAL = (
    (-1, 2), (1,), (-2, 3), (1,), (1, -6, 6), (-3, 4), (1,), (3, -12, 10), (-4, 5), (1,),
    (-1, 12, -30, 20), (6, -20, 15), (-5, 6), (1,),
)  # fmt: skip
"""Coefficients in powers of rho^2 of the radial polynomials R_nm(rho) / rho^m."""


def _zernike_weights() -> FloatArray:
    """(14, 7, 7) coefficients of x^p y^q in (n + 1) / pi V*_nm, of the real part for even q and the imaginary for odd.

    With x + i y turned clockwise, as angles in images are, V*_nm = R_nm(rho) / rho^m (x - i y)^m.
    """
    weights = np.zeros((len(ZERNIKE_ORDERS), MOST + 1, MOST + 1))
    for order, ((n, m), radial) in enumerate(zip(ZERNIKE_ORDERS, _RADIAL, strict=True)):
        for half, factor in enumerate(radial):  # factor (x^2 + y^2)^half (x - i y)^m
            for square in range(half + 1):
                for q in range(m + 1):
                    sign = (1, -1, -1, 1)[q % 4]  # of the real or imaginary part of (-i)^q
                    term = factor * math.comb(half, square) * math.comb(m, q) * sign
                    weights[order, m - q + 2 * (half - square), q + 2 * square] += (n + 1) / math.pi * term
    return weights


_ZERNIKE_WEIGHTS = _zernike_weights()

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
) -> FloatArray:
    """`MOMENT_COLUMNS` of N islands, (N, 37); NaN where they do not exist.

    Hu moments are those of Hu (1962, IRE Trans. Inf. Theory 8, 179), of the island's shape (every pixel counts 1) and
    of its flux in units of its mean. Zernike moments are magnitudes of the flux, normalised to a sum of 1, in the
    circle around the flux centroid that reaches half a pixel beyond the farthest pixel (Khotanzad & Hong 1990, IEEE
    TPAMI 12, 489). Pixels of negative flux count as 0 in moments, as they are in statistics.
    """
    count = len(offsets) - 1
    result = np.full((count, 37), np.nan)
    most = 0
    for island in range(count):
        most = max(most, offsets[island + 1] - offsets[island])
    scratch = np.empty(most)
    sums = np.empty((MOST + 1, MOST + 1))
    for island in range(count):
        start, stop = offsets[island], offsets[island + 1]
        if stop == start:
            continue
        row, rows, columns, values = result[island], y[start:stop], x[start:stop], flux[start:stop]
        _flux_statistics(values, scratch[: stop - start], row[0:6])
        shape, bright = _centroids(rows, columns, values)
        _power_sums(rows, columns, values, shape, False, sums)
        shape_moments = _moments_of(sums)
        row[6], row[7] = _eccentricity_and_tilt(shape_moments)
        _hu_moments(shape_moments, row[9:16])
        if bright[2] > 0.0:
            reach = _power_sums(rows, columns, values, bright, True, sums)
            moments = _moments_of(sums)
            row[8] = _ridge_bend(rows, columns, bright, sums)
            _zernike_magnitudes(sums, math.sqrt(reach) + 0.5, row[23:37])
            moments[0] = shape_moments[0]  # a mean flux of 1
            _hu_moments(moments, row[16:23])
    return result


@njit(cache=True, nogil=True)
def _flux_statistics(values: FloatPixels, scratch: FloatArray, out: FloatArray) -> None:
    """Mean, standard deviation, median, median absolute deviation (unscaled), skewness and excess kurtosis."""
    count, total = len(values), 0.0
    for place in range(count):
        scratch[place] = values[place]
        total += scratch[place]
    mean, second, third, fourth = total / count, 0.0, 0.0, 0.0
    for place in range(count):
        off = scratch[place] - mean
        square = off * off
        second += square
        third += square * off
        fourth += square * square
    second, third, fourth = second / count, third / count, fourth / count
    median = median_of(scratch)
    for place in range(count):
        scratch[place] = abs(scratch[place] - median)
    out[0], out[1], out[2], out[3] = mean, math.sqrt(second), median, median_of(scratch)
    if second > 1e-12 * mean * mean:
        out[4], out[5] = third / second**1.5, fourth / second**2 - 3.0


@njit(cache=True, nogil=True)
def _centroids(
    y: IntPixels, x: IntPixels, flux: FloatPixels
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Centroid (x, y) from the first pixel and weight of an island, every pixel counting 1, and by flux."""
    sum_x, sum_y, total, flux_x, flux_y = 0, 0, 0.0, 0.0, 0.0
    for place in range(len(x)):
        dx, dy, weight = x[place] - x[0], y[place] - y[0], max(float(flux[place]), 0.0)
        sum_x, sum_y = sum_x + dx, sum_y + dy
        total, flux_x, flux_y = total + weight, flux_x + weight * dx, flux_y + weight * dy
    by_flux = (flux_x / total, flux_y / total, total) if total > 0.0 else (0.0, 0.0, 0.0)
    return (sum_x / len(x), sum_y / len(x), float(len(x))), by_flux


@njit(cache=True, nogil=True)
def _power_sums(
    y: IntPixels,
    x: IntPixels,
    flux: FloatPixels,
    centre: tuple[float, float, float],
    by_flux: bool,
    sums: FloatArray,
) -> float:
    """Set the sums of weight x^p y^q about a centroid for p + q <= 6; return the largest squared distance from it.

    Powers of x are summed along each row; those of y are the same for all of it.
    """
    sums[:] = 0.0
    middle_x, middle_y = x[0] + centre[0], y[0] + centre[1]
    reach, place, count = 0.0, 0, len(x)
    while place < count:
        first, row = place, y[place]
        s0, s1, s2, s3, s4, s5, s6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        while place < count and y[place] == row:
            dx = x[place] - middle_x
            term = max(float(flux[place]), 0.0) if by_flux else 1.0
            s0 += term
            term *= dx
            s1 += term
            term *= dx
            s2 += term
            term *= dx
            s3 += term
            term *= dx
            s4 += term
            term *= dx
            s5 += term
            s6 += term * dx
            place += 1
        dy, power = row - middle_y, 1.0
        low, high = x[first] - middle_x, x[place - 1] - middle_x
        reach = max(reach, max(low * low, high * high) + dy * dy)
        for q in range(MOST + 1):
            for p, value in enumerate((s0, s1, s2, s3, s4, s5, s6)):
                if p + q <= MOST:
                    sums[p, q] += value * power
            power *= dy
    return reach


@njit(cache=True, nogil=True)
def _moments_of(sums: FloatArray) -> FloatArray:
    """(8,) sum of the weights, and means of xx, xy, yy, xxx, xxy, xyy, yyy."""
    total = sums[0, 0]
    return np.array(
        [
            total, sums[2, 0] / total, sums[1, 1] / total, sums[0, 2] / total,
            sums[3, 0] / total, sums[2, 1] / total, sums[1, 2] / total, sums[0, 3] / total,
        ]
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _eccentricity_and_tilt(moments: FloatArray) -> tuple[float, float]:
    """Eccentricity of the ellipse of equal second moments, and the angle of its major axis in [0, 180) degrees."""
    xx, xy, yy = moments[1], moments[2], moments[3]
    mean, half = 0.5 * (xx + yy), math.sqrt(0.25 * (xx - yy) ** 2 + xy * xy)
    tilt = math.degrees(0.5 * math.atan2(2.0 * xy, xx - yy)) % 180.0
    return (math.sqrt(2.0 * half / (mean + half)) if mean > 0.0 else 0.0), tilt


@njit(cache=True, nogil=True)
def _hu_moments(moments: FloatArray, out: FloatArray) -> None:
    """The seven invariants of translation, rotation and scale; the last changes sign in a mirror."""
    total = moments[0]
    n20, n11, n02 = moments[1] / total, moments[2] / total, moments[3] / total
    scale = total**1.5
    n30, n21, n12, n03 = moments[4] / scale, moments[5] / scale, moments[6] / scale, moments[7] / scale
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
def _zernike_magnitudes(sums: FloatArray, radius: float, out: FloatArray) -> None:
    """Magnitudes (n + 1) / pi |sum f V*_nm| of the orders `ZERNIKE_ORDERS`, from the power sums of the flux."""
    shares = np.empty_like(sums)
    for p in range(MOST + 1):
        for q in range(MOST + 1 - p):
            shares[p, q] = sums[p, q] / sums[0, 0] / radius ** (p + q)
    for order in range(len(out)):
        real, imaginary, weights = 0.0, 0.0, _ZERNIKE_WEIGHTS[order]
        for p in range(MOST + 1):
            for q in range(0, MOST + 1 - p, 2):
                real += weights[p, q] * shares[p, q]
            for q in range(1, MOST + 1 - p, 2):
                imaginary += weights[p, q] * shares[p, q]
        out[order] = math.sqrt(real * real + imaginary * imaginary)


@njit(cache=True, nogil=True)
def _ridge_bend(
    y: IntPixels, x: IntPixels, centre: tuple[float, float, float], sums: FloatArray
) -> float:
    """Angle in degrees by which a parabola through the flux along its principal axis turns from end to end.

    The parabola is the least-squares fit, weighted by flux, of the offset across the axis. With x and y turned to
    u = c x + s y along and v = c y - s x across it, its sums of u^2, u^3, u^4 and u^2 v follow from those of x^p y^q.
    """
    total = sums[0, 0]
    turn = 0.5 * math.atan2(2.0 * sums[1, 1], sums[2, 0] - sums[0, 2])
    c, s = math.cos(turn), math.sin(turn)
    xxx, xxy, xyy, yyy = sums[3, 0] / total, sums[2, 1] / total, sums[1, 2] / total, sums[0, 3] / total
    second = (c * c * sums[2, 0] + 2.0 * c * s * sums[1, 1] + s * s * sums[0, 2]) / total
    third = c**3 * xxx + 3.0 * c * c * s * xxy + 3.0 * c * s * s * xyy + s**3 * yyy
    fourth = c**4 * sums[4, 0] + 4.0 * c**3 * s * sums[3, 1] + 6.0 * c * c * s * s * sums[2, 2]
    fourth = (fourth + 4.0 * c * s**3 * sums[1, 3] + s**4 * sums[0, 4]) / total
    across = c * c * (c * xxy - s * xxx) + 2.0 * c * s * (c * xyy - s * xxy) + s * s * (c * yyy - s * xyy)
    if second <= 0.0:
        return 0.0
    spread = fourth - second**2 - third**2 / second
    if spread <= 1e-9 * fourth:
        return 0.0
    low, high = _extent(y, x, centre, c, s)
    curve = across / spread
    slope = -curve * third / second
    return math.degrees(abs(math.atan(slope + 2.0 * curve * high) - math.atan(slope + 2.0 * curve * low)))


@njit(cache=True, nogil=True)
def _extent(
    y: IntPixels, x: IntPixels, centre: tuple[float, float, float], c: float, s: float
) -> tuple[float, float]:
    """Least and greatest c x + s y about a centroid."""
    low, high = np.inf, -np.inf
    middle_x, middle_y = x[0] + centre[0], y[0] + centre[1]
    for place in range(len(x)):
        along = (x[place] - middle_x) * c + (y[place] - middle_y) * s
        low, high = min(low, along), max(high, along)
    return low, high
