"""Pixels of compact sources on slopes: what a point source covers of the set that it lies in."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.pedestal_kernels import first_pixels_of_rows, place_in_row

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@njit(cache=True, nogil=True)
def add_footprints(
    places: tuple[Int32s, Int32s],
    owner: Int64s,
    sources: tuple[Int32s, Int32s, FloatArray],
    beam: FloatArray,
    fewest: int,
) -> tuple[Int64s, Int64s, Int64s]:
    """Give sources the connected pixels of their owner within an ellipse, in the order of the sources.

    Parameters
    ----------
    places
        Rows and columns of all pixels, row by row.
    owner
        (P,) which set owns a pixel, -1 for none. Pixels of a footprint are marked in place and of no further one.
    sources
        (S,) row and column of a pixel each, and the squared size of its ellipse in units of the beam's.
    beam
        (2, 2) pixel covariance (x, y) of the beam.
    fewest
        Pixels of the smallest footprint that counts.

    Returns
    -------
    tuple
        Pixels of all footprints one after another, ascending in each; (S,) pixels of each, 0 for those that are
        dropped; (S,) owners.
    """
    y, x = places
    first = first_pixels_of_rows(y)
    rows, cols, sizes = sources
    members = np.empty(y.size, np.int64)
    counts, owners = np.zeros(rows.size, np.int64), np.full(rows.size, -1, np.int64)
    taken, total = owner.max() + 1, 0
    for s in range(rows.size):
        low, high = first[rows[s] - y[0]], first[rows[s] - y[0] + 1]
        centre = place_in_row(x, low, high, cols[s])
        owners[s] = owner[centre]
        if owners[s] >= taken:
            continue
        found = _footprint((y, x), first, owner, centre, beam * sizes[s])
        if found.size >= fewest:
            owner[found] = taken + s
            members[total : total + found.size] = found
            counts[s] = found.size
            total += found.size
    return members[:total].copy(), counts, owners


@njit(cache=True, nogil=True)
def _footprint(places: tuple[Int32s, Int32s], first: Int64s, owner: Int64s, centre: int, ellipse: FloatArray) -> Int64s:
    """Connected pixels (8 neighbours) within an ellipse around a pixel that belong to what the pixel belongs to."""
    y, x = places
    row, col = y[centre], x[centre]
    xx, yy, xy = ellipse[0, 0], ellipse[1, 1], ellipse[0, 1]
    determinant = xx * yy - xy * xy
    tall, wide = int(np.sqrt(yy)) + 2, int(np.sqrt(xx)) + 2
    stamp = np.full((2 * tall + 1, 2 * wide + 1), -1, np.int64)
    for r in range(max(y[0], row - tall + 1), min(y[y.size - 1] + 1, row + tall)):
        high = first[r - y[0] + 1]
        i = place_in_row(x, first[r - y[0]], high, col - wide + 1)
        while i < high and x[i] < col + wide:
            dy, dx = float(r - row), float(x[i] - col)
            near = (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / determinant <= 1.0
            if near and owner[i] == owner[centre]:
                stamp[r - row + tall, x[i] - col + wide] = i
            i += 1
    found = np.empty(stamp.size, np.int64)
    found[0], count, done = centre, 1, 0
    stamp[tall, wide] = -1
    while done < count:
        r, c = y[found[done]] - row + tall, x[found[done]] - col + wide
        for other_row in range(r - 1, r + 2):
            for other_col in range(c - 1, c + 2):
                if stamp[other_row, other_col] >= 0:
                    found[count] = stamp[other_row, other_col]
                    count += 1
                    stamp[other_row, other_col] = -1
        done += 1
    return np.sort(found[:count])
