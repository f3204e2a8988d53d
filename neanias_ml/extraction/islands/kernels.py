"""Compiled loops that gather and measure the pixels of islands."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOMENTS = 9
"""Sums per island kept by `island_sums`; see there."""


@njit(cache=True, nogil=True)
def gather_islands(
    labels: NDArray[np.int32],
    values: FloatMap,
    wanted: IntArray,
    boxes: IntArray,
    half_width: IntArray,
    place: NDArray[np.int32],
    inside: NDArray[np.bool_],
    counts: IntArray,
    blank: IntArray,
) -> int:
    """Pixels of islands, each with those within a disc around its own that no other island owns and are not blank.

    Parameters
    ----------
    labels, values
        (h, w) island label map and pixels (NaN = blank) of a window.
    wanted
        (K,) labels of the islands.
    boxes
        (K, 4) first and past-the-last row and column of each island, in the window.
    half_width
        (m + 1,) half width in columns of the disc at each row offset.
    place, inside
        (P,) filled with flat places in the window, row by row of each island, and whether they lie inside it; P must
        hold the boxes widened by m.
    counts, blank
        (K,) filled with the pixels of each island and the blank pixels that touch it.

    Returns
    -------
    int
        Pixels in all.
    """
    height, width = labels.shape
    margin = half_width.size - 1
    marked = np.zeros((height, width), np.int32)
    total = 0
    for k in range(boxes.shape[0]):
        label = wanted[k]
        y0, y1, x0, x1 = boxes[k]
        for y in range(y0, y1):
            for x in range(x0, x1):
                if labels[y, x] == label:
                    _mark_disc(marked, labels, y, x, label, half_width)
        start = total
        for y in range(max(0, y0 - margin), min(height, y1 + margin)):
            for x in range(max(0, x0 - margin), min(width, x1 + margin)):
                if marked[y, x] != label:
                    continue
                if np.isnan(values[y, x]):
                    blank[k] += _touches(labels, y, x, label)
                elif labels[y, x] == label or labels[y, x] == 0:
                    place[total] = y * width + x
                    inside[total] = labels[y, x] == label
                    total += 1
        counts[k] = total - start
    return total


@njit(cache=True, nogil=True)
def _mark_disc(
    marked: NDArray[np.int32], labels: NDArray[np.int32], y: int, x: int, label: int, half_width: IntArray
) -> None:
    """Mark a pixel of an island and, if it is one of its border, the disc around it."""
    height, width = labels.shape
    marked[y, x] = label
    if (
        0 < y < height - 1
        and 0 < x < width - 1
        and labels[y - 1, x] == label
        and labels[y + 1, x] == label
        and labels[y, x - 1] == label
        and labels[y, x + 1] == label
    ):
        return
    margin = half_width.size - 1
    for j in range(max(0, y - margin), min(height, y + margin + 1)):
        reach = half_width[abs(j - y)]
        for i in range(max(0, x - reach), min(width, x + reach + 1)):
            marked[j, i] = label


@njit(cache=True, nogil=True)
def _touches(labels: NDArray[np.int32], y: int, x: int, label: int) -> int:
    """1 if one of the eight neighbours of a pixel has the label, else 0."""
    for j in range(max(0, y - 1), min(labels.shape[0], y + 2)):
        for i in range(max(0, x - 1), min(labels.shape[1], x + 2)):
            if labels[j, i] == label:
                return 1
    return 0


@njit(cache=True, nogil=True)
def island_sums(
    offsets: IntArray,
    y: NDArray[np.int32],
    x: NDArray[np.int32],
    flux: FloatMap,
    noise: FloatMap,
    background: FloatMap,
    sums: FloatArray,
    peak: IntArray,
) -> None:
    """Sums over the pixels of each island.

    Parameters
    ----------
    offsets, y, x, flux, noise, background
        Pixels of N islands as in `IslandPixels`, inside pixels only.
    sums
        (N, 9) filled with: flux; centroid column and row and central second moments xx, xy, yy of the positive flux;
        noise; background; largest signal to noise.
    peak
        (N,) filled with the place of each island's brightest pixel, the first of equals.
    """
    for island in range(offsets.size - 1):
        start, stop = offsets[island], offsets[island + 1]
        total, positive, mx, my, rms, level = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        best, snr = start, -np.inf
        for k in range(start, stop):
            value = float(flux[k])
            weight = max(value, 0.0)
            total += value
            positive += weight
            mx += weight * (x[k] - x[start])
            my += weight * (y[k] - y[start])
            rms += noise[k]
            level += background[k]
            if flux[k] > flux[best]:
                best = k
            snr = max(snr, value / noise[k])
        equal = positive <= 0.0  # nothing stands above what was subtracted: all pixels count alike
        if equal:
            for k in range(start, stop):
                mx += x[k] - x[start]
                my += y[k] - y[start]
            positive = float(stop - start)
        mx, my = mx / positive, my / positive
        xx, xy, yy = 0.0, 0.0, 0.0
        for k in range(start, stop):
            weight = 1.0 if equal else max(float(flux[k]), 0.0)
            dx, dy = x[k] - x[start] - mx, y[k] - y[start] - my
            xx += weight * dx * dx
            xy += weight * dx * dy
            yy += weight * dy * dy
        peak[island] = best
        sums[island, 0] = total
        sums[island, 1], sums[island, 2] = mx + x[start], my + y[start]
        sums[island, 3], sums[island, 4], sums[island, 5] = xx / positive, xy / positive, yy / positive
        sums[island, 6], sums[island, 7], sums[island, 8] = rms, level, snr
