"""What the map looks like around each island, in two squares: the island itself, and its wider surroundings.

The first square holds the whole island, the second some tens of beam widths: rings, rays and bright neighbours show
there. Values are signal to noise on a logarithmic scale in steps that fit one byte, so that the crops of fifty
thousand islands stay below a hundred megabytes.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.datasets.graph_crop_values import CROP_CHANNELS, CROP_SIDE, LARGEST_STEP, STEPS_PER_ASINH

FloatArray = NDArray[np.float64]
FloatMap = NDArray[np.float32]
IntArray = NDArray[np.int64]
CropArray = NDArray[np.int8]

NEAR_BEAMS = 8.0
"""Least side of the first square, beam widths."""
NEAR_EXTENT = 1.6
"""The first square is at least so many times as large as the box of the island."""
FAR_BEAMS = 32.0
"""Least side of the second square, beam widths ..."""
FAR_RATIO = 3.0
"""... which is at least so many times as large as the first."""


def island_crops(
    boxes: IntArray, *, significance: FloatMap, labels: NDArray[np.integer], beam_fwhm: float
) -> CropArray:
    """Crops (I, 3, S, S) of islands: signal to noise near by, which island each cell is of, signal to noise far around.

    Signal to noise is the mean over the pixels of a cell, as steps of asinh; of the second channel, cells of the
    island itself are 1, those of other islands -1. Blank pixels and those beyond the map are 0.

    Parameters
    ----------
    boxes
        (I, 4) first and past-the-last column and row of the islands: x0, y0, x1, y1.
    significance
        (ny, nx) signal to noise, NaN where blank.
    labels
        (ny, nx) row + 1 of the island in each pixel, 0 for none.
    beam_fwhm
        Beam width in pixels.
    """
    crops = np.zeros((len(boxes), CROP_CHANNELS, CROP_SIDE, CROP_SIDE), dtype=np.int8)
    if len(boxes):
        filled = np.nan_to_num(significance).astype(np.float32, copy=False)
        _fill_crops(crops, boxes, filled, np.asarray(labels, dtype=np.int32), beam_fwhm)
    return crops


@njit(cache=True, nogil=True)
def _fill_crops(
    crops: CropArray, boxes: IntArray, significance: FloatMap, labels: NDArray[np.int32], beam: float
) -> None:
    for row in range(len(boxes)):
        x0, y0, x1, y1 = boxes[row]
        centre_x, centre_y = 0.5 * (x0 + x1 - 1), 0.5 * (y0 + y1 - 1)
        near = max(NEAR_BEAMS * beam, NEAR_EXTENT * max(x1 - x0, y1 - y0))
        far = max(FAR_BEAMS * beam, FAR_RATIO * near)
        for side, channel in ((near, 0), (far, 2)):
            cell = side / CROP_SIDE
            for j in range(CROP_SIDE):
                top, bottom = _pixels(centre_y - 0.5 * side + j * cell, cell, significance.shape[0])
                for i in range(CROP_SIDE):
                    left, right = _pixels(centre_x - 0.5 * side + i * cell, cell, significance.shape[1])
                    crops[row, channel, j, i] = _mean_step(significance, top, bottom, left, right)
                    if channel == 0 and top < bottom and left < right:
                        found = labels[(top + bottom) // 2, (left + right) // 2]
                        crops[row, 1, j, i] = 1 if found == row + 1 else -1 if found > 0 else 0


@njit(cache=True, nogil=True)
def _pixels(start: float, length: float, size: int) -> tuple[int, int]:
    """First and past-the-last pixel whose centre lies in a stretch, or the nearest one where there is none."""
    first, last = math.ceil(start), math.ceil(start + length)
    if first == last:
        first = round(start + 0.5 * length)
        last = first + 1
    return max(first, 0), min(last, size)


@njit(cache=True, nogil=True)
def _mean_step(significance: FloatMap, top: int, bottom: int, left: int, right: int) -> int:
    """Step of the mean over a block of pixels, 0 where it lies beyond the map."""
    if top >= bottom or left >= right:
        return 0
    total = 0.0
    for y in range(top, bottom):
        for x in range(left, right):
            total += significance[y, x]
    step = round(STEPS_PER_ASINH * math.asinh(total / ((bottom - top) * (right - left))))
    return max(-LARGEST_STEP, min(LARGEST_STEP, step))
