"""Compiled scan for islands: runs of pixels above the merge threshold, joined row by row (union-find)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]
IntArray = NDArray[np.int32]
Parents = NDArray[np.int64]


@njit(cache=True, nogil=True)
def find_runs(
    pixels: FloatMap, background: FloatMap, noise: FloatMap, merge: float, sign: float, runs: IntArray, peaks: FloatMap
) -> int:
    """Runs of pixels whose ``sign * (pixel - background)`` reaches ``merge`` times the noise.

    Parameters
    ----------
    pixels, background, noise
        (h, w) Jy/beam; NaN pixels are in no run.
    runs
        (R, 3) filled with row, first and past-the-last column of each run, row by row.
    peaks
        (R,) filled with the largest signal to noise of each run.

    Returns
    -------
    int
        Number of runs; more than R when there was no room for all of them.
    """
    height, width = pixels.shape
    room = runs.shape[0]
    count = 0
    cut = np.float32(merge)
    direction = np.float32(sign)
    for y in range(height):
        x = 0
        while x < width:
            if direction * (pixels[y, x] - background[y, x]) >= cut * noise[y, x]:
                start = x
                peak = np.float32(0.0)
                while x < width:
                    excess = direction * (pixels[y, x] - background[y, x])
                    if not excess >= cut * noise[y, x]:
                        break
                    peak = max(peak, excess / noise[y, x])
                    x += 1
                if count < room:
                    runs[count, 0] = y
                    runs[count, 1] = start
                    runs[count, 2] = x
                    peaks[count] = peak
                count += 1
            x += 1
    return count


@njit(cache=True, nogil=True)
def root_of(parent: Parents, member: int) -> int:
    """Smallest member of the set, with the path to it shortened."""
    while parent[member] != member:
        parent[member] = parent[parent[member]]
        member = parent[member]
    return member


@njit(cache=True, nogil=True)
def join_rows(runs: IntArray, reach: int, parent: Parents) -> None:
    """Join runs of neighbouring rows that touch; ``reach`` is 1 when diagonal neighbours touch, else 0.

    ``runs`` are sorted by row and column; each set is named by its first run.
    """
    count = runs.shape[0]
    above = 0
    for current in range(count):
        y = runs[current, 0]
        while above < current and runs[above, 0] < y - 1:
            above += 1
        other = above
        while other < current and runs[other, 0] == y - 1 and runs[other, 2] + reach <= runs[current, 1]:
            other += 1
        if runs[above, 0] == y - 1:
            above = other
        while other < current and runs[other, 0] == y - 1 and runs[other, 1] < runs[current, 2] + reach:
            a, b = root_of(parent, other), root_of(parent, current)
            if a < b:
                parent[b] = a
            else:
                parent[a] = b
            other += 1


@njit(cache=True, nogil=True)
def paint_runs(
    runs: IntArray, values: NDArray[Any], y0: int, x0: int, margin: int, out: NDArray[Any]
) -> None:
    """Write each run's value into a window whose first pixel is (y0, x0), widened by a margin on all sides."""
    height, width = out.shape
    for k in range(runs.shape[0]):
        start = max(runs[k, 1] - margin - x0, 0)
        stop = min(runs[k, 2] + margin - x0, width)
        for y in range(max(runs[k, 0] - margin - y0, 0), min(runs[k, 0] + margin + 1 - y0, height)):
            for x in range(start, stop):
                out[y, x] = values[k]
