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
    y: IntArray, x: IntArray, significance: FloatMap, sign: float, merge: float, runs: IntArray, peaks: FloatMap
) -> int:
    """Runs of neighbours in a row whose ``sign * significance`` reaches ``merge``.

    Parameters
    ----------
    y, x
        (P,) rows and columns of pixels, row by row: of all that reach ``merge``, and of any others.
    significance
        (P,) their signal to noise, NaN where blank.
    runs
        (P, 3) filled with row, first and past-the-last column of each run, row by row.
    peaks
        (P,) filled with the largest ``sign * significance`` of each run.

    Returns
    -------
    int
        Number of runs.
    """
    count = 0
    cut = np.float32(merge)
    direction = np.float32(sign)
    for i in range(y.size):
        value = direction * significance[i]
        if not value >= cut:
            continue
        if count > 0 and runs[count - 1, 0] == y[i] and runs[count - 1, 2] == x[i]:
            runs[count - 1, 2] += 1
            peaks[count - 1] = max(peaks[count - 1], value)
        else:
            runs[count, 0], runs[count, 1], runs[count, 2] = y[i], x[i], x[i] + 1
            peaks[count] = value
            count += 1
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
