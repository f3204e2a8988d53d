"""Compiled passes over the rows of a thinned map that look for emission."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.noise.spline_kernels import column_places, row_weights, spline_along

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

BLOCK_CUT = 4.0
"""Signal to noise at which single pixels are cut in the mean of a block."""


@njit(cache=True, nogil=True)
def significance_rows(
    pixels: FloatMap, background_mesh: FloatMesh, noise_mesh: FloatMesh, cell: float, step: int, row: int, out: FloatMap
) -> None:
    """Signal to noise of rows of a thinned map from ``row`` on.

    Parameters
    ----------
    pixels
        (h, tx) these rows, Jy/beam.
    background_mesh, noise_mesh
        (my + 2, mx + 2) padded meshes.
    cell
        Side of a cell in pixels of the map.
    step
        Spacing of the thinned pixels in pixels of the map.
    row
        Thinned row of the first of them.
    out
        (h, tx) filled here.
    """
    height, width = pixels.shape
    place, first = column_places(0, step, width, cell, noise_mesh.shape[1] - 2)
    # Along the columns first: a row of cells needs that once, and the loop over pixels runs over whole rows.
    levels, noises = np.empty((3, width), np.float32), np.empty((3, width), np.float32)
    seen = -1
    for j in range(height):
        nodes, w0, w1, w2 = row_weights((row + j) * step, cell, noise_mesh.shape[0] - 2)
        if nodes != seen:
            for k in range(3):
                spline_along(background_mesh[nodes + k], place, first, levels[k])
                spline_along(noise_mesh[nodes + k], place, first, noises[k])
            seen = nodes
        _significance(
            pixels[j], levels, noises, np.float32(w0), np.float32(w1), np.float32(w2), out[j]
        )


@njit(cache=True, nogil=True, error_model="numpy")  # a check for zero noise would keep the loop from vector units
def _significance(
    pixels: FloatMap,
    levels: FloatMap,
    noises: FloatMap,
    w0: np.float32,
    w1: np.float32,
    w2: np.float32,
    out: FloatMap,
) -> None:
    """Signal to noise of a row (w,) from the values (3, w) along three lines of nodes and their weights."""
    for i in range(out.size):
        background = w0 * levels[0, i] + w1 * levels[1, i] + w2 * levels[2, i]
        noise = w0 * noises[0, i] + w1 * noises[1, i] + w2 * noises[2, i]
        out[i] = (pixels[i] - background) / noise


@njit(cache=True, nogil=True)
def block_means(significance: FloatMap, side: int) -> FloatMesh:
    """Mean signal to noise of blocks of pixels, single pixels cut at 4 sigma; NaN where less than half is known."""
    height, width = significance.shape
    rows, cols = -(-height // side), -(-width // side)
    means = np.full((rows, cols), np.nan)
    total, known = np.empty(cols * side, np.float32), np.empty(cols * side, np.int32)
    cut = np.float32(BLOCK_CUT)
    for row in range(rows):
        total[:] = 0.0
        known[:] = 0
        for y in range(row * side, min(height, (row + 1) * side)):
            for x in range(width):
                z = significance[y, x]
                finite = z == z  # noqa: PLR0124 (false for NaN)
                z = cut if z > cut else z
                z = -cut if z < -cut else z
                total[x] += z if finite else np.float32(0.0)
                known[x] += finite
        for col in range(cols):
            part, count = 0.0, 0
            for x in range(col * side, (col + 1) * side):
                part += total[x]
                count += known[x]
            if 2 * count >= side * side:
                means[row, col] = part / count
    return means


@njit(cache=True, nogil=True)
def mark_blocks(mask: Mask, marked: Mask, side: int) -> None:
    """Set the pixels of the marked blocks in a mask."""
    for row in range(marked.shape[0]):
        for col in range(marked.shape[1]):
            if marked[row, col]:
                mask[row * side : (row + 1) * side, col * side : (col + 1) * side] = True
