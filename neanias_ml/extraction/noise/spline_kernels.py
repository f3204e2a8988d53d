"""Compiled loops over the pixels of a mesh with a quadratic B-spline between its nodes, and of sidelobes on it.

The loops over windows and those over single pixels do the same operations on a pixel in the same order, so that it has
the same value, bit for bit, however it is asked for.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]
IntArray = NDArray[np.int64]


@njit(cache=True, nogil=True)
def row_weights(y: int, cell: float, n_rows: int) -> tuple[int, float, float, float]:
    """Row of cells in which a pixel row lies, and the weights of the three rows of nodes around it."""
    position = (y + 0.5) / cell
    row = min(max(int(position), 0), n_rows - 1)
    t = min(max(position - row, 0.0), 1.0)
    w0, w2 = 0.5 * (1.0 - t) * (1.0 - t), 0.5 * t * t
    return row, w0, 1.0 - w0 - w2, w2


@njit(cache=True, nogil=True)
def column_places(x0: int, step: int, width: int, cell: float, n_cols: int) -> tuple[FloatMap, IntArray]:
    """Where the columns ``x0 + step i`` lie in their cells, 0 to 1, and the first of them in each column of cells."""
    place = np.empty(width, np.float32)
    first = np.full(n_cols + 1, width, np.int64)
    pace = np.float32(1.0 / cell)
    seen = -1
    for i in range(width):
        x = x0 + step * i
        col = min(max(int((x + 0.5) / cell), 0), n_cols - 1)
        # Counted from the cell's first pixel, so that a pixel has the same value in every window.
        u = (np.float32(x - int(col * cell)) + np.float32(0.5)) * pace
        place[i] = min(max(u, np.float32(0.0)), np.float32(1.0))
        while seen < col:
            seen += 1
            first[seen] = i
    return place, first


@njit(cache=True, nogil=True)
def interpolate_row(
    mesh: FloatMesh, y: int, cell: float, place: FloatMap, first: IntArray, line: FloatMesh, out: FloatMap
) -> None:
    """Quadratic B-spline through a padded mesh along a pixel row, at the columns of `column_places`.

    Parameters
    ----------
    mesh
        (my + 2, mx + 2) nodes at the cell centres, with one ring of nodes around them.
    y
        Row of the map.
    cell
        Side of a cell in pixels.
    place, first
        Of the columns wanted.
    line
        (mx + 2,) scratch.
    out
        (w,) filled here.
    """
    row, w0, w1, w2 = row_weights(y, cell, mesh.shape[0] - 2)
    for col in range(mesh.shape[1]):
        line[col] = w0 * mesh[row, col] + w1 * mesh[row + 1, col] + w2 * mesh[row + 2, col]
    spline_along(line, place, first, out)


@njit(cache=True, nogil=True)
def spline_along(line: FloatMesh, place: FloatMap, first: IntArray, out: FloatMap) -> None:
    """Quadratic B-spline through a line of nodes at the columns of `column_places`."""
    for col in range(line.size - 2):
        constant = np.float32(0.5 * (line[col] + line[col + 1]))
        slope = np.float32(line[col + 1] - line[col])
        bend = np.float32(0.5 * (line[col] - 2.0 * line[col + 1] + line[col + 2]))
        for i in range(first[col], first[col + 1]):
            u = place[i]
            out[i] = constant + u * (slope + u * bend)


@njit(cache=True, nogil=True)
def interpolate_meshes(
    background_mesh: FloatMesh,
    noise_mesh: FloatMesh,
    cell: float,
    y0: int,
    x0: int,
    background: FloatMap,
    noise: FloatMap,
) -> None:
    """Fill a window (h, w), whose first pixel is (y0, x0), from the padded meshes of background and noise."""
    place, first = column_places(x0, 1, noise.shape[1], cell, noise_mesh.shape[1] - 2)
    line = np.empty(noise_mesh.shape[1], np.float64)
    for j in range(noise.shape[0]):
        interpolate_row(background_mesh, y0 + j, cell, place, first, line, background[j])
        interpolate_row(noise_mesh, y0 + j, cell, place, first, line, noise[j])


@njit(cache=True, nogil=True)
def interpolate_points(
    mesh: FloatMesh, cell: float, y: NDArray[np.int32], x: NDArray[np.int32], out: FloatMap
) -> None:
    """Values of the same spline at single pixels (P,), quickest where neighbours follow each other."""
    n_rows, n_cols = mesh.shape[0] - 2, mesh.shape[1] - 2
    pace = np.float32(1.0 / cell)
    last_y, last_col = -1, -1
    row, w0, w1, w2 = row_weights(0, cell, n_rows)
    constant, slope, bend = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for k in range(out.size):
        col = min(max(int((x[k] + 0.5) / cell), 0), n_cols - 1)
        if y[k] != last_y:
            row, w0, w1, w2 = row_weights(y[k], cell, n_rows)
        if y[k] != last_y or col != last_col:
            left = w0 * mesh[row, col] + w1 * mesh[row + 1, col] + w2 * mesh[row + 2, col]
            middle = w0 * mesh[row, col + 1] + w1 * mesh[row + 1, col + 1] + w2 * mesh[row + 2, col + 1]
            right = w0 * mesh[row, col + 2] + w1 * mesh[row + 1, col + 2] + w2 * mesh[row + 2, col + 2]
            constant = np.float32(0.5 * (left + middle))
            slope = np.float32(middle - left)
            bend = np.float32(0.5 * (left - 2.0 * middle + right))
            last_y, last_col = y[k], col
        u = (np.float32(x[k] - int(col * cell)) + np.float32(0.5)) * pace
        u = min(max(u, np.float32(0.0)), np.float32(1.0))
        out[k] = constant + u * (slope + u * bend)


@njit(cache=True, nogil=True)
def columns_in_reach(dy: float, source_x: int, radius: float) -> tuple[int, int]:
    """First and past-the-last column within a radius of a source in a row ``dy`` from it; none if that is too far."""
    if abs(dy) >= radius:
        return 0, 0
    half = np.sqrt(radius * radius - dy * dy)
    return int(np.ceil(source_x - half)), int(np.floor(source_x + half)) + 1


@njit(cache=True, nogil=True)
def variance_at(distance: float, ring: float, variance: FloatMesh, source: int) -> float:
    """Added variance at a distance from a source, linear between the middles of its rings."""
    place = max(distance / ring - 0.5, 0.0)
    inner = min(int(place), variance.shape[1] - 2)
    part = min(place - inner, 1.0)
    return (1.0 - part) * variance[source, inner] + part * variance[source, inner + 1]


@njit(cache=True, nogil=True)
def raise_in_window(
    noise: FloatMap,
    y0: int,
    x0: int,
    step: int,
    source_y: IntArray,
    source_x: IntArray,
    radius: FloatMesh,
    variance: FloatMesh,
    ring: float,
) -> None:
    """Raise the noise at the pixels ``(y0 + step j, x0 + step i)`` by the sidelobes of sources."""
    height, width = noise.shape
    added = np.zeros(width, np.float32)
    for j in range(height):
        y = y0 + step * j
        first, last = width, 0
        for k in range(source_y.size):
            dy = float(y - source_y[k])
            left, right = columns_in_reach(dy, source_x[k], radius[k])
            start, stop = max(0, -((x0 - left) // step)), min(width, -((x0 - right) // step))
            if start >= stop:
                continue
            first, last = min(first, start), max(last, stop)
            for i in range(start, stop):
                dx = float(x0 + step * i - source_x[k])
                added[i] += variance_at(np.sqrt(dx * dx + dy * dy), ring, variance, k)
        for i in range(first, last):
            noise[j, i] *= np.sqrt(np.float32(1.0) + added[i])
            added[i] = 0.0


@njit(cache=True, nogil=True)
def raise_at_points(
    noise: FloatMap,
    y: NDArray[np.int32],
    x: NDArray[np.int32],
    source_y: IntArray,
    source_x: IntArray,
    radius: FloatMesh,
    variance: FloatMesh,
    ring: float,
) -> None:
    """Raise the noise (P,) at single pixels; the sources in reach are looked up where the row changes."""
    near = np.empty((source_y.size, 3), np.int64)
    count, last_y = 0, -1
    for p in range(noise.size):
        if y[p] != last_y:
            last_y, count = y[p], 0
            for k in range(source_y.size):
                left, right = columns_in_reach(float(last_y - source_y[k]), source_x[k], radius[k])
                if left < right:
                    near[count, 0], near[count, 1], near[count, 2] = k, left, right
                    count += 1
        added = np.float32(0.0)
        for n in range(count):
            if x[p] >= near[n, 1] and x[p] < near[n, 2]:
                k = near[n, 0]
                dy, dx = float(last_y - source_y[k]), float(x[p] - source_x[k])
                added = np.float32(added + variance_at(np.sqrt(dx * dx + dy * dy), ring, variance, k))
        if added != 0.0:
            noise[p] *= np.sqrt(np.float32(1.0) + added)
