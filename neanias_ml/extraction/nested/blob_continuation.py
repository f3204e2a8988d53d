"""The image of an island continued beyond its pixels, so that filters meet no step at its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

LINE_PIXELS = 32768
"""Pixels of rows that are filtered at a time: few calls, and what they touch stays in a fast cache."""


def continue_image(image: Image, first_step: int, reach: int) -> None:
    """Set unknown (infinite) pixels to the lowest known value around, up to ``reach`` from it, in place.

    Each round doubles the step, so that few are needed; whatever is still unknown takes the lowest value of all.
    """
    lowest = image.min()
    step, covered = first_step, 0
    unknown = np.isinf(image)
    while covered < reach:
        np.copyto(image, _minimum_around(image, step), where=unknown)
        np.isinf(image, out=unknown)
        if not unknown.any():
            return
        covered, step = covered + step, 2 * step
    image[unknown] = lowest


def _minimum_around(image: Image, step: int) -> Image:
    """Lowest value of the square of ``2 step + 1`` pixels around each pixel, as far as it lies in the image.

    Rows one after another, unknown pixels between them, are one long line; so are whole columns, a row apart.
    """
    height, width = image.shape
    padded = width + 2 * step
    rows = max(1, min(height, LINE_PIXELS // padded))
    first, second = np.empty((rows, padded), np.float32), np.empty(rows * padded, np.float32)
    tall = np.empty((height + 2 * step, width), np.float32)
    tall[:step], tall[height + step :] = np.inf, np.inf
    for top in range(0, height, rows):
        count = min(rows, height - top)
        first[:] = np.inf
        first[:count, step : step + width] = image[top : top + count]
        lowest = _running_minimum(first[:count].ravel(), second[: count * padded], 1, 2 * step + 1)
        tall[step + top : step + top + count] = lowest.reshape(count, padded)[:, :width]
    lowest = _running_minimum(tall.ravel(), np.empty(tall.size, np.float32), width, 2 * step + 1)
    return lowest[: height * width].reshape(height, width)


def _running_minimum(first: Image, second: Image, stride: int, window: int) -> Image:
    """Minimum of each value and the ``window - 1`` that follow it a stride apart; both arrays are overwritten.

    Windows of 1, 2, 4, ... are doubled until one last, shorter leap completes them.
    """
    covered, source, target, count = 1, first, second, first.size
    while covered < window:
        leap = min(covered, window - covered)
        count -= leap * stride
        np.minimum(source[:count], source[leap * stride : leap * stride + count], out=target[:count])
        source, target = target, source
        covered += leap
    return source
