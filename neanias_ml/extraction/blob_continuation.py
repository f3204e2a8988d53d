"""The image of an island continued beyond its pixels, so that filters meet no step at its edge."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Image = NDArray[np.float32]

LINE_PIXELS = 4096
"""Pixels of rows that are filtered at a time."""


@njit(cache=True, nogil=True)
def continue_image(image: Image, first_step: int, reach: int) -> None:
    """Set unknown (infinite) pixels to the lowest known value around, up to ``reach`` from it, in place.

    Each round doubles the step, so that few are needed; whatever is still unknown takes the lowest value of all.
    """
    lowest = image.min()
    around = np.empty_like(image)
    step, covered = first_step, 0
    while covered < reach:
        _minimum_around(image, around, step)
        unknown = _fill(image, around)
        if unknown == 0:
            return
        covered, step = covered + step, 2 * step
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if np.isinf(image[i, j]):
                image[i, j] = lowest


@njit(cache=True, nogil=True)
def _fill(image: Image, around: Image) -> int:
    """Take unknown pixels from another image; the number that stay unknown."""
    unknown = 0
    for i in range(image.shape[0]):
        row, other = image[i], around[i]
        for j in range(row.size):
            row[j] = other[j] if row[j] == np.inf else row[j]
            unknown += row[j] == np.inf
    return unknown


@njit(cache=True, nogil=True)
def _minimum_around(image: Image, around: Image, step: int) -> None:
    """Lowest value of the square of ``2 step + 1`` pixels around each pixel, as far as it lies in the image.

    Rows one after another, unknown pixels between them, are one long line; so are whole columns, a row apart.
    """
    height, width = image.shape
    padded = width + 2 * step
    rows = max(1, min(height, LINE_PIXELS // padded))
    first, second = np.empty(rows * padded, np.float32), np.empty(rows * padded, np.float32)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        first[:] = np.inf
        for i in range(count):
            first[i * padded + step : i * padded + step + width] = image[top + i]
        lowest = _running_minimum(first[: count * padded], second, 1, 2 * step + 1)
        for i in range(count):
            around[top + i] = lowest[i * padded : i * padded + width]
    tall, other = np.empty((height + 2 * step) * width, np.float32), np.empty((height + 2 * step) * width, np.float32)
    tall[: step * width], tall[(height + step) * width :] = np.inf, np.inf
    tall[step * width : (height + step) * width] = around.ravel()
    lowest = _running_minimum(tall, other, width, 2 * step + 1)
    around[:] = lowest[: height * width].reshape(height, width)


@njit(cache=True, nogil=True)
def _running_minimum(first: Image, second: Image, stride: int, window: int) -> Image:
    """Minimum of each value and the ``window - 1`` that follow it a stride apart; both arrays are overwritten.

    Windows of 1, 2, 4, ... are doubled until one last, shorter leap completes them.
    """
    covered, source, target, count = 1, first, second, first.size
    while covered < window:
        leap = min(covered, window - covered)
        count -= leap * stride
        _lower_of(source[:count], source[leap * stride : leap * stride + count], target[:count])
        source, target = target, source
        covered += leap
    return source


@njit(cache=True, nogil=True)
def _lower_of(near: Image, far: Image, lower: Image) -> None:
    """The lower of two values each."""
    for i in range(lower.size):
        lower[i] = near[i] if near[i] < far[i] else far[i]
