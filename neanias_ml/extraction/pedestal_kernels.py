"""Compiled loops around nested islands: rings of pixels, their medians, and clipped planes through them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
FloatArray = NDArray[np.float64]

CLIP_SIGMA = 2.5
CLIP_ROUNDS = 4
MAD_TO_SIGMA = 1.4826
MIN_RING_PIXELS = 8
PLANE_OFFSET = 0.35
"""A plane is fitted if the ring's centroid is off the nested island's by less than this part of the ring's radius."""
OWN, NEAR, RING = 3, 1, 2
"""Pixels of a nested island, next to it, and of the ring around, on a stamp."""
FLAT = 1e-9
"""A ring so thin that its second moment across is less than this part of that along it tells no slope across."""


@njit(cache=True, nogil=True)
def first_pixels_of_rows(y: Int32s) -> Int64s:
    """(rows + 1,) the first pixel of each row from the first one on, and the number of pixels."""
    first = np.full(y[y.size - 1] - y[0] + 2, y.size, np.int64)
    for i in range(y.size - 1, -1, -1):
        first[y[i] - y[0]] = i
    for row in range(first.size - 2, -1, -1):
        first[row] = min(first[row], first[row + 1])
    return first


@njit(cache=True, nogil=True)
def place_in_row(x: Int32s, low: int, high: int, column: int) -> int:
    """The first pixel of a row, which lies at ``low:high``, whose column is at least a given one."""
    while low < high:
        middle = (low + high) // 2
        if x[middle] < column:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def ring_medians(
    pixels: tuple[Float32s, Int32s, Int32s, Int32s],
    sets: tuple[Int32s, Int32s],
    centre: Int32s,
    inner: FloatArray,
    width: float,
) -> FloatArray:
    """(C,) median level in circular rings around pixels, of what is not in a set; NaN where nothing is.

    Parameters
    ----------
    pixels
        Level, place in the tree's sequence, row and column of the pixels of a tree, row by row.
    sets
        (C,) places in the sequence at which the sets begin, and their sizes.
    centre, inner
        (C,) pixel and inner radius.
    width
        Of the rings, pixels.
    """
    level, place, y, x = pixels
    first = first_pixels_of_rows(y)
    medians = np.full(centre.size, np.nan)
    for c in range(centre.size):
        row, col, begin = y[centre[c]], x[centre[c]], sets[0][c]
        end, outer = begin + sets[1][c], inner[c] + width
        reach = int(outer)
        values = np.empty((2 * reach + 1) ** 2, np.float32)
        count = 0
        for r in range(max(y[0], row - reach), min(y[y.size - 1], row + reach) + 1):
            high = first[r - y[0] + 1]
            i = place_in_row(x, first[r - y[0]], high, col - reach)
            while i < high and x[i] <= col + reach:
                apart = np.sqrt(float((r - row) ** 2 + (x[i] - col) ** 2))
                if inner[c] < apart <= outer and not begin <= place[i] < end:
                    values[count] = level[i]
                    count += 1
                i += 1
        if count > 0:
            medians[c] = np.median(values[:count])
    return medians


@njit(cache=True, nogil=True)
def _paint_discs(stamp: NDArray[np.uint8], y: Int32s, x: Int32s, half_width: Int64s, value: int) -> None:
    """Write discs around the outline of a set of pixels, whose rows and columns are those of the stamp."""
    count = y.size
    for k in range(count):
        i, j = y[k], x[k]
        ends = k == 0 or k + 1 == count or y[k - 1] != i or y[k + 1] != i or x[k - 1] != j - 1 or x[k + 1] != j + 1
        if ends or stamp[i - 1, j] != OWN or stamp[i + 1, j] != OWN:
            for d in range(half_width.size):
                w = half_width[d]
                for row in (i - d, i + d):
                    for col in range(j - w, j + w + 1):
                        if stamp[row, col] != OWN:
                            stamp[row, col] = value


@njit(cache=True, nogil=True)
def _ring_stamp(y: Int32s, x: Int32s, gap: Int64s, outer: Int64s) -> NDArray[np.uint8]:
    """A stamp of a nested island (pixels counted from its corner): itself, what is near, the ring around."""
    reach = outer.size
    stamp = np.zeros((y.max() + reach + 1, x.max() + reach + 1), np.uint8)
    for k in range(y.size):
        stamp[y[k], x[k]] = OWN
    _paint_discs(stamp, y, x, outer, RING)
    _paint_discs(stamp, y, x, gap, NEAR)
    return stamp


@njit(cache=True, nogil=True)
def planes_under(
    mother: tuple[Int32s, Int32s, Float32s, Float32s],
    nested: tuple[Int64s, Int32s, Int32s, Int64s],
    discs: tuple[Int64s, Int64s],
    beam_area: float,
) -> FloatArray:
    """(N, 7) planes under the nested islands of one mother: value, error, centroid row, column, slopes, pixels used.

    Parameters
    ----------
    mother
        Rows, columns, flux and noise of the mother's pixels, row by row.
    nested
        Offsets, rows and columns of the nested islands' pixels, and the parent of each among them, or -1; parents come
        before their children.
    discs
        Half widths of the discs up to the inner and up to the outer radius of the ring.
    beam_area
        Pixels of a beam.
    """
    y, x, flux, noise = mother
    offsets, own_y, own_x, parent = nested
    first, reach = first_pixels_of_rows(y), discs[1].size
    owner = np.full(y.size, -1, np.int64)
    for n in range(parent.size):
        for k in range(offsets[n], offsets[n + 1]):
            low, high = first[own_y[k] - y[0]], first[own_y[k] - y[0] + 1]
            owner[place_in_row(x, low, high, own_x[k])] = n
    planes = np.zeros((parent.size, 7))
    for n in range(parent.size):
        rows, cols = own_y[offsets[n] : offsets[n + 1]], own_x[offsets[n] : offsets[n + 1]]
        top, left = rows.min() - reach, cols.min() - reach
        stamp = _ring_stamp(rows - top, cols - left, discs[0], discs[1])
        ring = _pixels_of_ring((y, x), first, stamp, (top, left), owner, parent, n)
        centre = (float(rows.mean()), float(cols.mean()))
        planes[n] = _clipped_plane((y[ring], x[ring]), centre, flux[ring], noise[ring], beam_area)
    return planes


@njit(cache=True, nogil=True)
def _pixels_of_ring(
    places: tuple[Int32s, Int32s],
    first: Int64s,
    stamp: NDArray[np.uint8],
    corner: tuple[int, int],
    owner: Int64s,
    parent: Int64s,
    nested: int,
) -> Int64s:
    """Pixels of the mother in a ring that belong to none of the nested islands but those that enclose this one."""
    y, x = places
    found = np.empty(stamp.size, np.int64)
    count = 0
    for row in range(max(y[0], corner[0]), min(y[y.size - 1] + 1, corner[0] + stamp.shape[0])):
        high = first[row - y[0] + 1]
        i = place_in_row(x, first[row - y[0]], high, corner[1])
        while i < high and x[i] < corner[1] + stamp.shape[1]:
            if stamp[row - corner[0], x[i] - corner[1]] == RING and _encloses(parent, owner[i], nested):
                found[count] = i
                count += 1
            i += 1
    return found[:count].copy()


@njit(cache=True, nogil=True)
def _encloses(parent: Int64s, other: int, nested: int) -> bool:
    """Whether the mother (-1) or another nested island encloses one."""
    while nested > other:
        nested = parent[nested]
    return nested == other


@njit(cache=True, nogil=True)
def _clipped_plane(
    places: tuple[Int32s, Int32s], centre: tuple[float, float], values: Float32s, noise: Float32s, beam_area: float
) -> FloatArray:
    """Value and error at the centre, the centre, the slopes, and the pixels used."""
    plane = np.zeros(7)
    plane[1], plane[2], plane[3] = np.nan, centre[0], centre[1]
    y, x = places[0] - centre[0], places[1] - centre[1]
    if y.size < MIN_RING_PIXELS:
        return plane
    flux = values.astype(np.float64)
    one_sided = np.hypot(y.mean(), x.mean()) > PLANE_OFFSET * np.hypot(y, x).mean()
    least = float(np.median(noise))
    plane[0] = np.median(flux)
    kept = np.ones(y.size, np.bool_)
    residual = flux - plane[0]
    for _ in range(CLIP_ROUNDS):
        spread = MAD_TO_SIGMA * np.median(np.abs(residual[kept]))
        kept = np.abs(residual) <= CLIP_SIGMA * max(spread, least)
        if kept.sum() < MIN_RING_PIXELS:
            break
        plane[0], plane[4], plane[5] = _plane_through(y[kept], x[kept], flux[kept], not one_sided)
        residual = flux - plane[0] - plane[4] * y - plane[5] * x
    plane[6] = kept.sum()
    scatter = residual[kept].std() if plane[6] > 0 else float(noise.max())
    plane[1] = scatter / np.sqrt(max(1.0, plane[6] / beam_area))
    return plane


@njit(cache=True, nogil=True)
def _plane_through(y: FloatArray, x: FloatArray, flux: FloatArray, sloping: bool) -> tuple[float, float, float]:
    """Least squares: value at the origin and the slopes; those that the places do not tell are zero."""
    mean, y0, x0 = flux.mean(), y.mean(), x.mean()
    if not sloping:
        return mean, 0.0, 0.0
    dy, dx, df = y - y0, x - x0, flux - mean
    yy, xx, xy = (dy * dy).sum(), (dx * dx).sum(), (dy * dx).sum()
    yf, xf = (dy * df).sum(), (dx * df).sum()
    determinant, trace = yy * xx - xy * xy, yy + xx
    if determinant > FLAT * trace * trace:
        slope_y, slope_x = (xx * yf - xy * xf) / determinant, (yy * xf - xy * yf) / determinant
    else:
        # all on one line: the projection on it, (M / trace) v / trace, is the least-squares slope of smallest norm
        slope_y, slope_x = (yy * yf + xy * xf) / (trace * trace), (xy * yf + xx * xf) / (trace * trace)
    return mean - slope_y * y0 - slope_x * x0, slope_y, slope_x
