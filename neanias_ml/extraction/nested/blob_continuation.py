"""The image of an island continued beyond its pixels, so that filters meet no step at its edge."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Image = NDArray[np.float32]
Box = tuple[int, int, int, int]
"""First and past-the-last row, first and past-the-last column."""
UNKNOWN = np.float32(np.inf)


@njit(cache=True, nogil=True)
def continue_image(image: Image, first_step: int, reach: int) -> None:
    """Set unknown (infinite) pixels to the lowest known value around, up to ``reach`` from it, in place.

    Each round doubles the step, so that few are needed; whatever is still unknown takes the lowest value of all. A
    round only looks at what it can change: the box of what is known, wider by its step.
    """
    height, width = image.shape
    box, lowest = _known_box(image)
    step, covered, unknown = first_step, 0, True
    while covered < reach and unknown:
        wide = max(0, box[0] - step), min(height, box[1] + step), max(0, box[2] - step), min(width, box[3] + step)
        around = _minimum_around(image, box, wide, step)
        unknown = (wide[1] - wide[0]) * (wide[3] - wide[2]) < height * width
        for i in range(wide[0], wide[1]):
            line, found = image[i, wide[2] : wide[3]], around[i - wide[0]]
            unknown |= _complete(line, found)
        box, covered, step = wide, covered + step, 2 * step
    if unknown:
        for i in range(height):
            for j in range(width):
                if image[i, j] == UNKNOWN:
                    image[i, j] = lowest


@njit(cache=True, nogil=True)
def _known_box(image: Image) -> tuple[Box, np.float32]:
    """The smallest box around all known pixels, empty if there are none, and the lowest of them."""
    height, width = image.shape
    top, bottom, left, right, lowest = height, 0, width, 0, UNKNOWN
    for i in range(height):
        first = 0
        while first < width and image[i, first] == UNKNOWN:
            first += 1
        if first < width:
            last = width - 1
            while image[i, last] == UNKNOWN:
                last -= 1
            top, bottom, left, right = min(top, i), i + 1, min(left, first), max(right, last + 1)
            lowest = min(lowest, _lowest_of(image[i, first : last + 1]))
    return (min(top, bottom), bottom, min(left, right), right), lowest


@njit(cache=True, nogil=True)
def _minimum_around(image: Image, box: Box, wide: Box, step: int) -> Image:
    """Lowest value of the square of ``2 step + 1`` pixels around each pixel of a box, of those in a box inside it.

    First along the rows, then along the columns: rows one after another are one long line, and columns a row apart.
    """
    top, bottom, left, right = box
    across, down = wide[3] - wide[2], bottom - top
    skipped = wide[2] - (left - step)
    line, spare = np.empty(right - left + 4 * step, np.float32), np.empty(right - left + 4 * step, np.float32)
    tall = np.empty((down + 4 * step) * across, np.float32)
    _forget(tall[: 2 * step * across])
    _forget(tall[(2 * step + down) * across :])
    for i in range(down):
        _forget(line[: 2 * step])
        _copy(image[top + i, left:right], line[2 * step : 2 * step + right - left])
        _forget(line[2 * step + right - left :])
        lowest = _running_minimum(line, spare, 1, 2 * step + 1)
        place = (2 * step + i) * across
        _copy(lowest[skipped : skipped + across], tall[place : place + across])
    lowest = _running_minimum(tall, np.empty_like(tall), across, 2 * step + 1)
    place = (wide[0] - (top - step)) * across
    return lowest[place : place + (wide[1] - wide[0]) * across].reshape((wide[1] - wide[0], across))


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
def _lower_of(one: Image, other: Image, lower: Image) -> None:
    """The lower of two values each."""
    for k in range(lower.size):
        lower[k] = one[k] if one[k] < other[k] else other[k]


@njit(cache=True, nogil=True)
def _lowest_of(values: Image) -> np.float32:
    lowest = UNKNOWN
    for value in values:
        lowest = value if value < lowest else lowest
    return lowest


@njit(cache=True, nogil=True)
def _complete(values: Image, others: Image) -> bool:
    """Set unknown values to the others; whether some are still unknown."""
    unknown = 0
    for k in range(values.size):
        value = others[k] if values[k] == UNKNOWN else values[k]
        values[k] = value
        unknown += value == UNKNOWN
    return unknown > 0


@njit(cache=True, nogil=True)
def _forget(values: Image) -> None:
    """Make values unknown."""
    for k in range(values.size):
        values[k] = UNKNOWN


@njit(cache=True, nogil=True)
def _copy(values: Image, into: Image) -> None:
    """What an assignment does, but as the fast loop that numba does not make of one between slices."""
    for k in range(into.size):
        into[k] = values[k]
