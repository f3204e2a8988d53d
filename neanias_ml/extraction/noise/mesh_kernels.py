"""Compiled loops over mesh cells and over the pixels of an interpolated mesh."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]

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
def clipped_from_histogram(
    values: FloatMap, count: int, centre: float, spread: float, sums: FloatMesh
) -> tuple[float, float]:
    """Median and standard deviation within 3 sigma, iterated on a histogram around a first guess.

    Running sums over a histogram of 512 bins over 12 sigma make an iteration cost a few look-ups instead of a pass over
    the pixels; the median is interpolated in its bin and the width of a bin (0.02 sigma) does not show.
    ``sums`` (3, 513) is scratch.
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
def _running_sums(values: FloatMap, count: int, low: float, scale: float, sums: FloatMesh) -> None:
    """Running number, sum and sum of squares (in bins) over the histogram of values."""
    sums[:] = 0.0
    for i in range(count):
        place = (values[i] - low) * scale
        if place >= 0.0 and place < HISTOGRAM_BINS:
            sums[0, int(place) + 1] += 1.0
    for b in range(HISTOGRAM_BINS):
        middle = b + 0.5
        number = sums[0, b + 1]
        sums[0, b + 1] += sums[0, b]
        sums[1, b + 1] = sums[1, b] + number * middle
        sums[2, b + 1] = sums[2, b] + number * middle * middle


@njit(cache=True, nogil=True)
def _clip_sums(sums: FloatMesh, median: float, deviation: float) -> tuple[float, float]:
    """Clip at 3 sigma until the deviation settles; all in bins."""
    for _ in range(20):
        first = min(max(0, int(median - CLIP_SIGMA * deviation)), HISTOGRAM_BINS)
        last = min(max(0, math.ceil(median + CLIP_SIGMA * deviation)), HISTOGRAM_BINS)
        total = sums[0, last] - sums[0, first] if last > first else 0.0
        if total < 8:
            break
        mean = (sums[1, last] - sums[1, first]) / total
        square = (sums[2, last] - sums[2, first]) / total - mean * mean
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
        median = low + ((half - sums[0, low]) / within if within > 0.0 else 0.5)
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
    sums: FloatMesh,
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
    masked: NDArray[np.bool_],
    cell: int,
    estimator: int,
    least_share: float,
    stride: int,
    wanted: NDArray[np.bool_],
    row: int,
    level: FloatMesh,
    spread: FloatMesh,
) -> None:
    """Fill the wanted cells of one row of a mesh with their statistics; NaN for cells without enough sky.

    What such a cell holds before is the first guess, if its spread is positive; other cells stay as they are. The
    last row and column of cells take the remainder of the axis. Of each cell every ``stride``-th row and column is
    looked at.
    """
    n_rows, n_cols = level.shape
    ny, nx = pixels.shape
    values = np.empty(4 * cell * cell, np.float32)
    scratch = np.empty(4 * cell * cell, np.float32)
    sums = np.empty((3, HISTOGRAM_BINS + 1), np.float64)
    y1 = ny if row == n_rows - 1 else (row + 1) * cell
    for col in range(n_cols):
        if not wanted[row, col]:
            continue
        x1 = nx if col == n_cols - 1 else (col + 1) * cell
        count = 0
        for y in range(row * cell, y1, stride):
            for x in range(col * cell, x1, stride):
                if not masked[y, x]:
                    values[count] = pixels[y, x]
                    count += 1
        size = (y1 - row * cell) * (x1 - col * cell) / stride**2
        guess = (level[row, col], spread[row, col])
        level[row, col] = np.nan
        spread[row, col] = np.nan
        if count >= LEAST_VALUES and count >= least_share * size:
            middle, width = statistics(values, scratch, count, estimator, sums, guess)
            if width > 0.0:
                level[row, col] = middle
                spread[row, col] = width


@njit(cache=True, nogil=True)
def mark_differing(first: NDArray[np.bool_], second: NDArray[np.bool_], cell: int, marked: NDArray[np.bool_]) -> None:
    """Set the cells of a mesh in which two masks differ."""
    n_rows, n_cols = marked.shape
    for y in range(first.shape[0]):
        row = min(y // cell, n_rows - 1)
        for x in range(first.shape[1]):
            if first[y, x] != second[y, x]:
                marked[row, min(x // cell, n_cols - 1)] = True


@njit(cache=True, nogil=True)
def neighbourhood_quantile(mesh: FloatMesh, half: int, share: float) -> FloatMesh:
    """Value below which a share of the known nodes within ``half`` nodes of each node lies, NaN where there is none."""
    ny, nx = mesh.shape
    result = np.full(mesh.shape, np.nan)
    around = np.empty((2 * half + 1) ** 2, np.float32)
    for row in range(ny):
        for col in range(nx):
            count = 0
            for j in range(max(0, row - half), min(ny, row + half + 1)):
                for i in range(max(0, col - half), min(nx, col + half + 1)):
                    if not np.isnan(mesh[j, i]):
                        around[count] = mesh[j, i]
                        count += 1
            if count > 0:
                result[row, col] = select_rank(around, count, int(share * count))
    return result


@njit(cache=True, nogil=True)
def interpolate_mesh(mesh: FloatMesh, cell: float, step: int, y0: int, x0: int, out: FloatMap) -> None:
    """Quadratic B-spline through a padded mesh at the pixels ``(y0 + step j, x0 + step i)``.

    Parameters
    ----------
    mesh
        (my + 2, mx + 2) nodes at the cell centres, with one ring of nodes around them.
    cell
        Side of a cell in pixels.
    step
        Spacing in pixels of the rows and columns wanted.
    out
        (h, w) filled here.
    """
    n_rows, n_cols = mesh.shape[0] - 2, mesh.shape[1] - 2
    line = np.empty(mesh.shape[1], np.float64)
    height, width = out.shape
    pace = np.float32(1.0 / cell)
    for j in range(height):
        position = (y0 + step * j + 0.5) / cell
        row = min(max(int(position), 0), n_rows - 1)
        t = min(max(position - row, 0.0), 1.0)
        w0, w2 = 0.5 * (1.0 - t) * (1.0 - t), 0.5 * t * t
        w1 = 1.0 - w0 - w2
        for col in range(mesh.shape[1]):
            line[col] = w0 * mesh[row, col] + w1 * mesh[row + 1, col] + w2 * mesh[row + 2, col]
        i = 0
        while i < width:
            position = (x0 + step * i + 0.5) / cell
            col = min(max(int(position), 0), n_cols - 1)
            stop = width
            if col < n_cols - 1:
                stop = min(width, math.ceil(((col + 1) * cell - 0.5 - x0) / step))
                stop = max(stop, i + 1)
            constant = np.float32(0.5 * (line[col] + line[col + 1]))
            slope = np.float32(line[col + 1] - line[col])
            bend = np.float32(0.5 * (line[col] - 2.0 * line[col + 1] + line[col + 2]))
            # Counted from the cell's first pixel, so that a pixel has the same value in every window.
            first = x0 - int(col * cell)
            for k in range(i, stop):
                u = (np.float32(first + step * k) + np.float32(0.5)) * pace
                u = min(max(u, np.float32(0.0)), np.float32(1.0))
                out[j, k] = constant + u * (slope + u * bend)
            i = stop


@njit(cache=True, nogil=True)
def block_significance(pixels: FloatMap, background: FloatMap, noise: FloatMap, side: int) -> FloatMesh:
    """Mean signal to noise of blocks of pixels, single pixels cut at 4 sigma; NaN where less than half is known."""
    rows, cols = -(-pixels.shape[0] // side), -(-pixels.shape[1] // side)
    total = np.zeros((rows, cols), np.float64)
    count = np.zeros((rows, cols), np.int64)
    for y in range(pixels.shape[0]):
        row = y // side
        for col in range(cols):
            start, stop = col * side, min((col + 1) * side, pixels.shape[1])
            limit = np.float32(4.0) * noise[y, start]  # the noise hardly changes over a block
            part, known = np.float32(0.0), 0
            for x in range(start, stop):
                excess = pixels[y, x] - background[y, x]
                if excess == excess:  # noqa: PLR0124 (false for NaN)
                    part += min(max(excess, -limit), limit)
                    known += 1
            total[row, col] += part / noise[y, start]
            count[row, col] += known
    for row in range(rows):
        for col in range(cols):
            if 2 * count[row, col] >= side * side:
                total[row, col] /= count[row, col]
            else:
                total[row, col] = np.nan
    return total


@njit(cache=True, nogil=True)
def mark_blocks(mask: NDArray[np.bool_], marked: NDArray[np.bool_], side: int) -> None:
    """Set the pixels of the marked blocks in a mask."""
    for row in range(marked.shape[0]):
        for col in range(marked.shape[1]):
            if marked[row, col]:
                mask[row * side : (row + 1) * side, col * side : (col + 1) * side] = True


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
