"""Compiled loops of the blob search: smoothing, Laplacians, their maxima, and what is measured there."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Image = NDArray[np.float32]
Int32s = NDArray[np.int32]
Mask = NDArray[np.bool_]

PAD = 2
"""Pixels around the core of a stamp at which smoothed images are known: a Laplacian next to it needs them."""
LINE_PIXELS = 2048
"""Pixels that are smoothed at a time."""
NOTHING, ONE, NEXT = np.float32(0.0), np.float32(1.0), np.int64(1)
FIRST_OF_EQUALS, ANY_OF_EQUALS = np.bool_(True), np.bool_(False)
"""Arguments of kernels: for plain literals these would be compiled once for each value."""
SMOOTH_WEIGHT = 2.0
"""Weight of the smooth scale in the excess: emission three and more beams wide is at most about this many times as
curved at the finest scale as at the smooth one, a point source eleven times."""
TRUNCATE = 3.5
"""Radius of the Gaussian kernels in sigma."""


def kernel_radius(width: float) -> int:
    """Pixels to either side that a kernel of sigma ``width`` takes in."""
    return int(TRUNCATE * width + 0.5)


def gaussian_kernel(width: float) -> Image:
    """Half of a Gaussian kernel of unit sum, its middle first."""
    half = np.exp(-0.5 * (np.arange(kernel_radius(width) + 1) / width) ** 2)
    return (half / (2.0 * half.sum() - half[0])).astype(np.float32)


@njit(cache=True, nogil=True)
def paint(pixels: tuple[Int32s, Int32s, Image, Mask], corner: tuple[int, int], image: Image, of_island: Mask) -> None:
    """Write the significance of pixels, and whether they are inside the island, where they fall on a stamp."""
    y, x, significance, inside = pixels
    height, width = image.shape
    for k in range(y.size):
        i, j = y[k] - corner[0], x[k] - corner[1]
        if 0 <= i < height and 0 <= j < width:
            image[i, j] = significance[k]
            of_island[i, j] = inside[k]


@njit(cache=True, nogil=True)
def box_in_tile(y: Int32s, x: Int32s, inside: Mask, tile: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """First and past-the-last row and column of the pixels inside the island that lie in a tile."""
    top, bottom, left, right = tile[0] + side, tile[0], tile[1] + side, tile[1]
    for k in range(y.size):
        if inside[k] and tile[0] <= y[k] < tile[0] + side and tile[1] <= x[k] < tile[1] + side:
            top, bottom = min(top, y[k]), max(bottom, y[k] + 1)
            left, right = min(left, x[k]), max(right, x[k] + 1)
    return top, bottom, left, right


@njit(cache=True, nogil=True)
def _smooth_core(image: Image, smoothed: Image, kernel: Image, edge: int, columns: Image, lines: Image) -> None:
    """Separable convolution with a symmetric kernel of the pixels that are ``edge`` (at least its radius) inside.

    Some rows at a time are one long line, so that the loops over it are long and its sums stay in the fastest cache.
    ``columns`` (longer by two radii) and ``lines`` are scratch for them; the image comes flat.
    """
    width, reach = smoothed.shape[1] + 2 * edge, kernel.size - 1
    rows = lines.size // width
    for row in range(0, smoothed.shape[0], rows):
        height = min(rows, smoothed.shape[0] - row)
        count = height * width
        _weigh(image, (row + edge) * width, width, kernel, columns[reach : reach + count])
        _weigh(columns, reach, NEXT, kernel, lines[:count])
        for i in range(height):
            _times(lines[i * width + edge : (i + 1) * width - edge], ONE, smoothed[row + i])


@njit(cache=True, nogil=True)
def _weigh(values: Image, begin: int, step: int | np.int64, kernel: Image, sums: Image) -> None:
    """Sums of values from ``begin`` on with those ``step`` apart on both sides, weighted by a kernel."""
    end, reach = begin + sums.size, kernel.size - 1
    _times(values[begin:end], kernel[0], sums)
    for t in range(1, reach, 2):
        left, right, next_right = begin - t * step, begin + t * step, begin + (t + 1) * step
        _add_pairs(
            (values[left : left + sums.size], values[right : right + sums.size]),
            (values[left - step : left - step + sums.size], values[next_right : next_right + sums.size]),
            (kernel[t], kernel[t + 1]),
            sums,
        )
    if reach % 2:
        left, right = begin - reach * step, begin + reach * step
        near = (values[left : left + sums.size], values[right : right + sums.size])
        _add_pairs(near, near, (kernel[reach], NOTHING), sums)


@njit(cache=True, nogil=True)
def _times(values: Image, weight: np.float32, products: Image) -> None:
    """Values times a weight."""
    for j in range(products.size):
        products[j] = weight * values[j]


@njit(cache=True, nogil=True)
def _add_pairs(
    near: tuple[Image, Image], far: tuple[Image, Image], weights: tuple[np.float32, np.float32], sums: Image
) -> None:
    """Add two pairs of lines, each times a weight."""
    near_left, near_right = near
    far_left, far_right = far
    for j in range(sums.size):
        once = sums[j] + weights[0] * (near_left[j] + near_right[j])
        sums[j] = once + weights[1] * (far_left[j] + far_right[j])


@njit(cache=True, nogil=True)
def _laplacian_of_core(smoothed: Image, response: Image, factor: float) -> None:
    """``-factor`` times the five-point Laplacian of all but the outermost pixels."""
    scale = np.float32(factor)
    for i in range(1, smoothed.shape[0] - 1):
        above, line, below, target = smoothed[i - 1], smoothed[i], smoothed[i + 1], response[i]
        for j in range(1, line.size - 1):
            sides = above[j] + below[j] + (line[j - 1] + line[j + 1])
            target[j] = scale * (np.float32(4.0) * line[j] - sides)


@njit(cache=True, nogil=True)
def scale_space(
    image: Image, kernels: tuple[Image, NDArray[np.int64]], halo: int, factors: FloatArray
) -> tuple[Image, Image]:
    """(K, h, w) smoothed images and Laplacians of what lies ``halo`` inside a stamp, with ``PAD`` pixels around it."""
    weights, radii = kernels
    shape = (weights.shape[0], image.shape[0] - 2 * (halo - PAD), image.shape[1] - 2 * (halo - PAD))
    smoothed, response = np.empty(shape, np.float32), np.zeros(shape, np.float32)
    flat, line = image.ravel(), max(1, LINE_PIXELS // image.shape[1]) * image.shape[1]
    columns, lines = np.zeros(line + 2 * radii.max(), np.float32), np.empty(line, np.float32)
    for k, radius in enumerate(radii):
        _smooth_core(flat, smoothed[k], weights[k, : radius + 1], halo - PAD, columns, lines)
        _laplacian_of_core(smoothed[k], response[k], factors[k])
    return smoothed, response


@njit(cache=True, nogil=True)
def _is_highest(response: Image, value: float, i: int, j: int, among_equals: np.bool_) -> bool:
    """Whether nothing within one pixel of (i, j) exceeds a value; equals before (i, j) count if ``among_equals``."""
    for di in range(-1, 2):
        for dj in range(-1, 2):
            other = response[i + di, j + dj]
            before = di < 0 or (di == 0 and dj < 0)
            if other > value or (other == value and before and among_equals):
                return False
    return True


def find_maxima(response: Image, inside: NDArray[np.bool_], halo: int, least: FloatArray) -> NDArray[np.int32]:
    """(M, 4): scale index, row, column, and whether the maximum is one in scale, too; the guard scale has none.

    Rows and columns are those of the stamp, of which the responses hold the core with ``PAD`` pixels around it.
    """
    scales, height, width = response.shape
    # of neighbours one at most is a maximum
    most = (scales - 1) * ((height - 2 * PAD + 1) // 2) * ((width - 2 * PAD + 1) // 2)
    places = np.empty((most, 4), np.int32)
    return places[: _fill_in_maxima(response, inside, halo - PAD, least, places)].copy()


@njit(cache=True, nogil=True)
def _fill_in_maxima(
    response: Image, inside: NDArray[np.bool_], edge: int, least: FloatArray, places: NDArray[np.int32]
) -> int:
    """Fill in the rows of `find_maxima`; their number."""
    scales, height, width = response.shape
    count = 0
    for k in range(scales - 1):
        for i in range(PAD, height - PAD):
            for j in range(PAD, width - PAD):
                value = response[k, i, j]
                strong = value >= least[k] and inside[i + edge, j + edge]
                if strong and _is_highest(response[k], value, i, j, FIRST_OF_EQUALS):
                    finer = k > 0 and not _is_highest(response[k - 1], value, i, j, ANY_OF_EQUALS)
                    coarser = not _is_highest(response[k + 1], value, i, j, ANY_OF_EQUALS)
                    places[count, 0], places[count, 1], places[count, 2] = k, i + edge, j + edge
                    places[count, 3] = 0 if finer or coarser else 1
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _curvatures(image: Image, i: int, j: int) -> tuple[float, float, float]:
    """Negative second differences along x, along y and mixed."""
    xx = 2.0 * image[i, j] - image[i, j - 1] - image[i, j + 1]
    yy = 2.0 * image[i, j] - image[i - 1, j] - image[i + 1, j]
    xy = 0.25 * (image[i + 1, j - 1] + image[i - 1, j + 1] - image[i + 1, j + 1] - image[i - 1, j - 1])
    return xx, yy, xy


@njit(cache=True, nogil=True)
def _weaker(xx: float, yy: float, xy: float) -> float:
    """The smaller eigenvalue of a curvature matrix."""
    return 0.5 * (xx + yy) - math.sqrt(0.25 * (xx - yy) * (xx - yy) + xy * xy)


def measure_maxima(
    image: Image,
    inside: NDArray[np.bool_],
    scale_space: tuple[Image, Image],
    places: NDArray[np.int32],
    halo: int,
    noises: tuple[int, FloatArray, FloatArray, FloatArray],
) -> FloatArray:
    """(M, 12) row, column, those of the summit, scale, responses, excesses, roundness, own scale or not, height."""
    measured = np.zeros((len(places), 12))
    _fill_in_measures(image, inside, scale_space, places, halo, noises, measured)
    return measured


@njit(cache=True, nogil=True)
def _fill_in_measures(
    image: Image,
    inside: NDArray[np.bool_],
    scale_space: tuple[Image, Image],
    places: NDArray[np.int32],
    halo: int,
    noises: tuple[int, FloatArray, FloatArray, FloatArray],
    measured: FloatArray,
) -> None:
    """Fill in the rows of `measure_maxima`."""
    smoothed, response = scale_space
    smooth, sigma, noise, excess_noise = noises
    for m in range(len(places)):
        k, y, x, in_scale = places[m, 0], places[m, 1], places[m, 2], places[m, 3]
        i, j = y - halo + PAD, x - halo + PAD
        scale = sigma[k]
        if k > 0 and in_scale:
            below, here, above = response[k - 1, i, j], response[k, i, j], response[k + 1, i, j]
            bend = 2.0 * here - below - above
            if bend > 0:
                scale *= (sigma[k + 1] / sigma[k]) ** (0.5 * (above - below) / bend)
        xx, yy, xy = _curvatures(smoothed[k], i, j)
        top, left = _summit(image, inside, y, x, max(1.5, scale))
        measured[m, 0], measured[m, 1], measured[m, 2], measured[m, 3] = y, x, top, left
        weaker = _weaker(xx, yy, xy)
        measured[m, 4], measured[m, 9], measured[m, 10] = scale, weaker / (xx + yy - weaker), in_scale
        measured[m, 11] = 2.0 * response[k, i, j]
        measured[m, 5], measured[m, 6] = (xx + yy) / noise[0, k], weaker / noise[1, k]
        if k == 0:
            around = _curvatures(smoothed[smooth], i, j)
            xx, yy, xy = xx - SMOOTH_WEIGHT * around[0], yy - SMOOTH_WEIGHT * around[1], xy - SMOOTH_WEIGHT * around[2]
            measured[m, 7], measured[m, 8] = (xx + yy) / excess_noise[0], _weaker(xx, yy, xy) / excess_noise[1]


@njit(cache=True, nogil=True)
def _summit(image: Image, inside: NDArray[np.bool_], i: int, j: int, radius: float) -> tuple[int, int]:
    """Highest pixel of the island within a radius."""
    reach = int(radius)
    top, left = i, j
    for row in range(max(0, i - reach), min(image.shape[0], i + reach + 1)):
        for col in range(max(0, j - reach), min(image.shape[1], j + reach + 1)):
            near = (row - i) * (row - i) + (col - j) * (col - j) <= radius * radius
            if near and inside[row, col] and image[row, col] > image[top, left]:
                top, left = row, col
    return top, left


def greatest_around(
    points: tuple[Int32s, Int32s], places: tuple[Int32s, Int32s], radius: FloatArray, value: FloatArray
) -> FloatArray:
    """(B,) the greatest value of the places within whose radius a point lies; zero for none, and at least that."""
    order = np.argsort(points[0], kind="stable")
    rows, cols = points[0][order], points[1][order]
    first = np.searchsorted(rows, places[0] - radius.astype(np.int64))
    in_order, greatest = np.zeros(len(order)), np.empty(len(order))
    _raise_around((rows, cols), places, first, radius, value, in_order)
    greatest[order] = in_order
    return greatest


@njit(cache=True, nogil=True)
def _raise_around(
    points: tuple[Int32s, Int32s],
    places: tuple[Int32s, Int32s],
    first: NDArray[np.int64],
    radius: FloatArray,
    value: FloatArray,
    greatest: FloatArray,
) -> None:
    """Raise the values of points, in the order of their rows, to those of places near; ``first`` is where to begin."""
    rows, cols = points
    for p in range(radius.size):
        row, col = places[0][p], places[1][p]
        k = first[p]
        while k < rows.size and rows[k] <= row + radius[p]:
            dy, dx = rows[k] - row, cols[k] - col
            near = dy * dy + dx * dx <= radius[p] * radius[p]
            if near and value[p] > greatest[k]:
                greatest[k] = value[p]
            k += 1
