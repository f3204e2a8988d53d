"""Gaussians painted onto pixels: the compiled core of all rendering."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def paint_gaussians(
    canvas: NDArray[Any],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    peak: NDArray[np.float64],
    covariance: NDArray[np.float64],
    reach: float,
) -> None:
    """Add Gaussians to a canvas, in place.

    Parameters
    ----------
    canvas
        (ny, nx) floats; what falls outside of it is left out.
    x, y, peak
        (N,) centres in pixels of the canvas, and heights.
    covariance
        (N, 2, 2) pixels squared, axes (x, y).
    reach
        Standard deviations down to which a Gaussian is drawn.
    """
    rows, columns = canvas.shape
    for number in range(len(x)):
        xx, xy, yy = covariance[number, 0, 0], covariance[number, 0, 1], covariance[number, 1, 1]
        determinant = xx * yy - xy * xy
        half_x, half_y = reach * math.sqrt(xx), reach * math.sqrt(yy)
        left, right = max(math.ceil(x[number] - half_x), 0), min(math.floor(x[number] + half_x) + 1, columns)
        top, bottom = max(math.ceil(y[number] - half_y), 0), min(math.floor(y[number] + half_y) + 1, rows)
        for row in range(top, bottom):
            dy = row - y[number]
            for column in range(left, right):
                dx = column - x[number]
                form = (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / determinant
                if form <= reach * reach:
                    canvas[row, column] += peak[number] * math.exp(-0.5 * form)
