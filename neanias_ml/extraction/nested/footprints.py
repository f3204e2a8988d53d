"""Pixels of compact sources on slopes: what a point source covers of the set that it lies in."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.nested.pedestal_kernels import first_pixels_of_rows, place_in_row

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
FloatArray = NDArray[np.float64]


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
    number = len(sources[0])
    members, counts, owners = np.empty(len(owner), np.int64), np.zeros(number, np.int64), np.full(number, -1, np.int64)
    if number:
        spread = math.sqrt(float(max(beam[0, 0], beam[1, 1])) * float(sources[2].max()))
        stamp = np.empty((2 * int(spread) + 5) ** 2, np.int64)
        ellipse = (float(beam[0, 0]), float(beam[1, 1]), float(beam[0, 1]))
        first = first_pixels_of_rows(places[0])
        _add_footprints(places, first, owner, sources, ellipse, fewest, stamp, (members, counts, owners))
    return members[: counts.sum()].copy(), counts, owners


@njit(cache=True, nogil=True)
def _add_footprints(
    places: tuple[Int32s, Int32s],
    first: Int64s,
    owner: Int64s,
    sources: tuple[Int32s, Int32s, FloatArray],
    beam: tuple[float, float, float],
    fewest: int,
    stamp: Int64s,
    results: tuple[Int64s, Int64s, Int64s],
) -> None:
    """Fill the results; ``stamp`` is scratch for the largest ellipse."""
    y, x = places
    rows, cols, sizes = sources
    members, counts, owners = results
    taken, total = 0, 0
    for i in range(owner.size):
        taken = max(taken, owner[i] + 1)
    for s in range(rows.size):
        low, high = first[rows[s] - y[0]], first[rows[s] - y[0] + 1]
        centre = place_in_row(x, low, high, np.int64(cols[s]))
        owners[s] = owner[centre]
        if owners[s] >= taken:
            continue
        ellipse = (beam[0] * sizes[s], beam[1] * sizes[s], beam[2] * sizes[s])
        found = _footprint(places, first, owner, centre, ellipse, stamp, members[total:])
        if found >= fewest:
            for k in range(total, total + found):
                owner[members[k]] = taken + s
            counts[s] = found
            total += found


@njit(cache=True, nogil=True)
def _footprint(
    places: tuple[Int32s, Int32s],
    first: Int64s,
    owner: Int64s,
    centre: int,
    ellipse: tuple[float, float, float],
    stamp: Int64s,
    found: Int64s,
) -> int:
    """Find the connected pixels (8 neighbours) within an ellipse around one that belong to what it belongs to."""
    y, x = places
    row, col = y[centre], x[centre]
    xx, yy, xy = ellipse
    determinant = xx * yy - xy * xy
    tall, wide = int(math.sqrt(yy)) + 2, int(math.sqrt(xx)) + 2
    side = 2 * wide + 1
    end = (2 * tall + 1) * side
    for k in range(end):
        stamp[k] = -1
    for r in range(max(y[0], row - tall + 1), min(y[y.size - 1] + 1, row + tall)):
        high = first[r - y[0] + 1]
        i = place_in_row(x, first[r - y[0]], high, col - wide + 1)
        while i < high and x[i] < col + wide:
            dy, dx = float(r - row), float(x[i] - col)
            near = (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / determinant <= 1.0
            if near and owner[i] == owner[centre]:
                stamp[(r - row + tall) * side + x[i] - col + wide] = i
            i += 1
    return _flood(stamp, end, side, tall * side + wide, found)


@njit(cache=True, nogil=True)
def _flood(stamp: Int64s, end: int, side: int, start: int, found: Int64s) -> int:
    """Find the pixels that a stamp (-1 where there are none) connects with one, in ascending order."""
    found[0], count, done = start, 1, 0
    stamp[start] = -2 - stamp[start]
    while done < count:
        for middle in range(found[done] - side, found[done] + side + 1, side):
            for place in range(middle - 1, middle + 2):
                if stamp[place] >= 0:
                    found[count] = place
                    count += 1
                    stamp[place] = -2 - stamp[place]
        done += 1
    count = 0
    for place in range(end):
        if stamp[place] < -1:
            found[count] = -2 - stamp[place]
            count += 1
    return count
