"""Positions sorted into square cells, so that those near a place are found without a look at all others."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Cells = tuple[IntArray, IntArray, tuple[float, float, float], tuple[int, int]]
"""Rows of the positions cell by cell, (cells + 1,) offsets, (x, y) of the first corner and the side, cells down and
across."""


@njit(cache=True, nogil=True)
def sort_into_cells(x: FloatArray, y: FloatArray, rows: IntArray, side: float) -> Cells:
    """Sort some of the positions (x, y) into cells of a side each; within a cell they keep the order of ``rows``."""
    x0, y0, x1, y1 = 0.0, 0.0, 0.0, 0.0
    for place in range(len(rows)):
        row = rows[place]
        x0, x1 = (min(x0, x[row]), max(x1, x[row])) if place > 0 else (x[row], x[row])
        y0, y1 = (min(y0, y[row]), max(y1, y[row])) if place > 0 else (y[row], y[row])
    down, across = int((y1 - y0) / side) + 1, int((x1 - x0) / side) + 1
    offsets = np.zeros(down * across + 1, dtype=np.int64)
    cells = np.empty(len(rows), dtype=np.int64)
    for place in range(len(rows)):
        row = rows[place]
        cells[place] = int((y[row] - y0) / side) * across + int((x[row] - x0) / side)
        offsets[cells[place] + 1] += 1
    for cell in range(down * across):
        offsets[cell + 1] += offsets[cell]
    order, filled = np.empty(len(rows), dtype=np.int64), offsets[:-1].copy()
    for place in range(len(rows)):
        order[filled[cells[place]]] = rows[place]
        filled[cells[place]] += 1
    return order, offsets, (x0, y0, side), (down, across)


@njit(cache=True, nogil=True)
def cells_near(value: float, reach: float, first: float, side: float, count: int) -> tuple[int, int]:
    """First and past-the-last cell along an axis within a distance of a value."""
    low = math.floor((value - reach - first) / side)
    high = math.floor((value + reach - first) / side) + 1
    return max(0, low), min(count, high)
