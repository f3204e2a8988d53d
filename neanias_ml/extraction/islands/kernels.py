"""Compiled loops that gather and measure the pixels of islands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOMENTS = 9
"""Sums per island kept by `island_sums`; see there."""


class WindowRuns(NamedTuple):
    """Runs of K islands, one island after another, for a window of a map.

    ``runs``: (R, 3) row, first and past-the-last column in the map; ``starts``: (K + 1,) first run of each island;
    ``labels``: (K,) their labels; ``corner``: row and column of the window's first pixel.
    """

    runs: NDArray[np.int32]
    starts: IntArray
    labels: IntArray
    corner: tuple[int, int]


@njit(cache=True, nogil=True)
def gather_islands(
    islands: WindowRuns,
    labels: NDArray[np.int32],
    values: FloatMap,
    half_width: IntArray,
    found_y: NDArray[np.int32],
    found_x: NDArray[np.int32],
    inside: NDArray[np.bool_],
    counts: IntArray,
    blank: IntArray,
) -> int:
    """Pixels of islands, each with those within a disc around its own that no other island owns and are not blank.

    Parameters
    ----------
    islands
        The K islands.
    labels, values
        (h, w) island label map and pixels (NaN = blank) of the window.
    half_width
        (m + 1,) half width in columns of the disc at each row offset.
    found_y, found_x, inside
        (P,) filled with rows and columns in the map, row by row of each island, and whether they lie inside it; P must
        hold the boxes widened by m.
    counts, blank
        (K,) filled with the pixels of each island and the blank pixels that touch it.

    Returns
    -------
    int
        Pixels in all.
    """
    height, width = labels.shape
    total = 0
    for k in range(islands.labels.size):
        label = islands.labels[k]
        own = islands.runs[islands.starts[k] : islands.starts[k + 1]]
        marked, top, left = _grown(own, islands.corner, half_width, (height, width))
        start = total
        for j in range(marked.shape[0]):
            y = top + j
            for i in range(marked.shape[1]):
                if not marked[j, i]:
                    continue
                x = left + i
                if np.isnan(values[y, x]):
                    blank[k] += _touches(labels, y, x, label)
                elif labels[y, x] == label or labels[y, x] == 0:
                    found_y[total], found_x[total] = y + islands.corner[0], x + islands.corner[1]
                    inside[total] = labels[y, x] == label
                    total += 1
        counts[k] = total - start
    return total


@njit(cache=True, nogil=True)
def _grown(
    runs: NDArray[np.int32], corner: tuple[int, int], half_width: IntArray, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], int, int]:
    """An island grown by a disc, as a mask of its part of the window, and the row and column where the mask begins."""
    margin = half_width.size - 1
    first, last = runs[0, 1], runs[0, 2]
    for k in range(runs.shape[0]):
        first, last = min(first, runs[k, 1]), max(last, runs[k, 2])
    top, bottom = max(0, runs[0, 0] - corner[0] - margin), min(shape[0], runs[-1, 0] - corner[0] + margin + 1)
    left, right = max(0, first - corner[1] - margin), min(shape[1], last - corner[1] + margin)
    marked = np.zeros((bottom - top, right - left), np.bool_)
    for k in range(runs.shape[0]):
        y = runs[k, 0] - corner[0] - top
        start, stop = runs[k, 1] - corner[1] - left, runs[k, 2] - corner[1] - left
        for j in range(max(0, y - margin), min(bottom - top, y + margin + 1)):
            reach = half_width[abs(j - y)]
            marked[j, max(0, start - reach) : min(right - left, stop + reach)] = True
    return marked, top, left


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
