"""Compiled statistics of mesh cells, and loops over the nodes of a mesh."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

MEAN, MEDIAN, BIWEIGHT, CLIPPED = 0, 1, 2, 3

HISTOGRAM_BINS = 512
HISTOGRAM_SIGMA = 6.0
CLIP_SIGMA = 3.0
CLIPPED_STD_OF_UNIT_GAUSSIAN = 0.98658
"""Standard deviation of a unit Gaussian cut at 3 sigma on both sides."""
MAD_TO_SIGMA = 1.4826
LEAST_VALUES = 16
LEAST_OF_GUESS = 0.05
"""A spread that falls below this part of its first guess is not believed: constant values have none."""


@njit(cache=True, nogil=True)
def select_rank(values: FloatMap, count: int, rank: int) -> float:
    """The value of a rank among the first ``count``, which are reordered (Hoare's selection)."""
    low, high = 0, count - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return float(values[rank])


@njit(cache=True, nogil=True)
def median_and_mad(values: FloatMap, scratch: FloatMap, count: int) -> tuple[float, float]:
    """Median and scaled median absolute deviation; ``values`` are reordered."""
    median = select_rank(values, count, count >> 1)
    for i in range(count):
        scratch[i] = abs(values[i] - median)
    return median, MAD_TO_SIGMA * select_rank(scratch, count, count >> 1)


@njit(cache=True, nogil=True)
def median_and_lower_quartile(values: FloatMap, count: int) -> tuple[float, float]:
    """Median and, below it, the scaled distance of the quartile, which sources do not reach; ``values`` are reordered.

    The median leaves the lower values before it: their own median takes half the time of that of the deviations.
    """
    median = select_rank(values, count, count >> 1)
    return median, MAD_TO_SIGMA * (median - select_rank(values, count >> 1, count >> 2))


@njit(cache=True, nogil=True)
def clipped_from_histogram(
    values: FloatMap, count: int, centre: float, spread: float, sums: IntArray
) -> tuple[float, float]:
    """Median and standard deviation within 3 sigma, iterated on a histogram around a first guess.

    Running sums over a histogram of 512 bins over 12 sigma make an iteration cost a few look-ups instead of a pass over
    the pixels; the median is interpolated in its bin and the width of a bin (0.02 sigma) does not show.
    ``sums`` (3, 513) is scratch, of integers: their running sums are exact and take a cycle each.
    """
    for _ in range(3):
        low = centre - HISTOGRAM_SIGMA * spread
        scale = HISTOGRAM_BINS / (2.0 * HISTOGRAM_SIGMA * spread)
        _running_sums(values, count, low, scale, sums)
        start = spread
        centre, spread = _clip_sums(sums, (centre - low) * scale, spread * scale)
        centre, spread = low + centre / scale, spread / scale
        if spread > 0.5 * start:  # else the first guess was so wide that its bins are coarse
            break
    return centre, spread


@njit(cache=True, nogil=True)
def _running_sums(values: FloatMap, count: int, low: float, scale: float, sums: IntArray) -> None:
    """Running number, sum and sum of squares (in half bins, at the odd ones) over the histogram of values."""
    sums[0] = 0
    for i in range(count):
        place = (values[i] - low) * scale
        if place >= 0.0 and place < HISTOGRAM_BINS:
            sums[0, int(place) + 1] += 1
    number_sum, sum_sum, square_sum = 0, 0, 0
    sums[1, 0] = sums[2, 0] = 0
    for b in range(HISTOGRAM_BINS):
        number = sums[0, b + 1]
        middle = 2 * b + 1
        number_sum += number
        sum_sum += number * middle
        square_sum += number * middle * middle
        sums[0, b + 1], sums[1, b + 1], sums[2, b + 1] = number_sum, sum_sum, square_sum


@njit(cache=True, nogil=True)
def _clip_sums(sums: IntArray, median: float, deviation: float) -> tuple[float, float]:
    """Clip at 3 sigma until the deviation settles; all in bins."""
    for _ in range(20):
        first = min(max(0, int(median - CLIP_SIGMA * deviation)), HISTOGRAM_BINS)
        last = min(max(0, math.ceil(median + CLIP_SIGMA * deviation)), HISTOGRAM_BINS)
        total = float(sums[0, last] - sums[0, first]) if last > first else 0.0
        if total < 8:
            break
        mean = 0.5 * (sums[1, last] - sums[1, first]) / total
        square = 0.25 * (sums[2, last] - sums[2, first]) / total - mean * mean
        updated = math.sqrt(max(square, 1e-12)) / CLIPPED_STD_OF_UNIT_GAUSSIAN
        half = sums[0, first] + 0.5 * total
        low, high = first, last
        while high - low > 1:
            between = (low + high) >> 1
            if sums[0, between] <= half:
                low = between
            else:
                high = between
        within = sums[0, low + 1] - sums[0, low]
        median = low + ((half - sums[0, low]) / within if within > 0 else 0.5)
        settled = abs(updated - deviation) <= 1e-3 * deviation
        deviation = updated
        if settled:
            break
    return median, deviation


@njit(cache=True, nogil=True)
def biweight(values: FloatMap, count: int, centre: float, spread: float) -> tuple[float, float]:
    """Tukey's biweight location and scale with a cut at 6 and 9 scaled deviations (Beers et al. 1990)."""
    location = centre
    for _ in range(10):
        weight_sum, weighted = 0.0, 0.0
        for i in range(count):
            u = (values[i] - location) / (6.0 / MAD_TO_SIGMA * spread)
            if abs(u) < 1.0:
                weight = (1.0 - u * u) ** 2
                weight_sum += weight
                weighted += weight * values[i]
        if weight_sum == 0.0:
            break
        moved = weighted / weight_sum
        settled = abs(moved - location) < 1e-4 * spread
        location = moved
        if settled:
            break
    above, below = 0.0, 0.0
    for i in range(count):
        u = (values[i] - location) / (9.0 / MAD_TO_SIGMA * spread)
        if abs(u) < 1.0:
            w = 1.0 - u * u
            above += (values[i] - location) ** 2 * w**4
            below += w * (1.0 - 5.0 * u * u)
    if below == 0.0:
        return location, spread
    return location, math.sqrt(count * above) / abs(below)


@njit(cache=True, nogil=True)
def statistics(
    values: FloatMap,
    scratch: FloatMap,
    count: int,
    estimator: int,
    sums: IntArray,
    guess: tuple[float, float],
) -> tuple[float, float]:
    """Level and spread of the first ``count`` values by one of the estimators; the spread is 0 for constant values.

    A guess with a positive spread saves the clipped estimator its search for a first median.
    """
    if estimator == CLIPPED and guess[1] > 0.0:
        centre, width = clipped_from_histogram(values, count, guess[0], guess[1], sums)
        if width > LEAST_OF_GUESS * guess[1]:
            return centre, width
    mean, square = 0.0, 0.0
    lowest, highest = values[0], values[0]
    for i in range(count):
        mean += values[i]
        lowest, highest = min(lowest, values[i]), max(highest, values[i])
    mean /= count
    if lowest == highest:
        return float(lowest), 0.0
    for i in range(count):
        square += (values[i] - mean) ** 2
    deviation = math.sqrt(square / count)
    if estimator == MEAN or deviation == 0.0:
        return mean, deviation
    if estimator == CLIPPED:
        median, spread = median_and_lower_quartile(values, count)
    else:
        median, spread = median_and_mad(values, scratch, count)
    if spread == 0.0:
        spread = deviation
    if estimator == MEDIAN:
        return median, spread
    if estimator == BIWEIGHT:
        return biweight(values, count, median, spread)
    return clipped_from_histogram(values, count, median, spread, sums)


@njit(cache=True, nogil=True)
def cell_statistics(
    pixels: FloatMap,
    masked: Mask,
    cell: int,
    estimator: int,
    least_share: float,
    stride: int,
    wanted: Mask,
    rows: tuple[int, int],
    level: FloatMesh,
    spread: FloatMesh,
) -> None:
    """Fill the wanted cells of some rows of a mesh with their statistics; NaN for cells without enough sky.

    What such a cell holds before is the first guess, if its spread is positive; other cells stay as they are. The
    last row and column of cells take the remainder of the axis. Of each cell every ``stride``-th row and column is
    looked at.
    """
    values = np.empty(4 * cell * cell + 1, np.float32)
    scratch = np.empty(4 * cell * cell, np.float32)
    sums = np.empty((3, HISTOGRAM_BINS + 1), np.int64)
    for row in range(rows[0], rows[1]):
        y1 = pixels.shape[0] if row == level.shape[0] - 1 else (row + 1) * cell
        for col in range(level.shape[1]):
            if not wanted[row, col]:
                continue
            x1 = pixels.shape[1] if col == level.shape[1] - 1 else (col + 1) * cell
            count = 0
            for y in range(row * cell, y1, stride):
                for x in range(col * cell, x1, stride):
                    values[count] = pixels[y, x]  # overwritten by the next one where masked
                    count += not masked[y, x]
            size = (y1 - row * cell) * (x1 - col * cell) / stride**2
            guess = (level[row, col], spread[row, col])
            level[row, col] = spread[row, col] = np.nan
            if count >= LEAST_VALUES and count >= least_share * size:
                middle, width = statistics(values, scratch, count, estimator, sums, guess)
                if width > 0.0:
                    level[row, col], spread[row, col] = middle, width


@njit(cache=True, nogil=True)
def known_around(mesh: FloatMesh, row: int, col: int, half: int, values: FloatMap) -> int:
    """Copy the known nodes within ``half`` nodes of a node; their number."""
    count = 0
    for j in range(max(0, row - half), min(mesh.shape[0], row + half + 1)):
        for i in range(max(0, col - half), min(mesh.shape[1], col + half + 1)):
            values[count] = mesh[j, i]
            count += not np.isnan(mesh[j, i])
    return count


@njit(cache=True, nogil=True)
def standing_out(level: FloatMesh, spread: FloatMesh, half: int, sigma: float, standing: Mask) -> None:
    """Clear the nodes whose level does not exceed the median one within ``half`` by ``sigma`` median spreads there."""
    around = np.empty((2 * half + 1) ** 2 + 1, np.float32)
    for row in range(level.shape[0]):
        for col in range(level.shape[1]):
            if not standing[row, col]:
                continue
            count = known_around(level, row, col, half, around)
            usual_level = select_rank(around, count, count >> 1)
            count = known_around(spread, row, col, half, around)
            usual_spread = select_rank(around, count, count >> 1)
            standing[row, col] = level[row, col] - usual_level > sigma * usual_spread


@njit(cache=True, nogil=True)
def fill_ring(mesh: FloatMesh) -> None:
    """Give the NaN nodes beside known ones the mean of these, of their eight neighbours, all at once."""
    known = ~np.isnan(mesh)
    ny, nx = mesh.shape
    for row in range(ny):
        for col in range(nx):
            if known[row, col]:
                continue
            total, count = 0.0, 0
            for j in range(max(0, row - 1), min(ny, row + 2)):
                for i in range(max(0, col - 1), min(nx, col + 2)):
                    if known[j, i]:
                        total += mesh[j, i]
                        count += 1
            if count > 0:
                mesh[row, col] = total / count
