"""Compiled loops around nested islands: rings of pixels and clipped planes through them."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.noise.mesh_kernels import MAD_TO_SIGMA
from neanias_ml.extraction.shapes.medians import median_of

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
FloatArray = NDArray[np.float64]

CLIP_SIGMA = 2.5
CLIP_ROUNDS = 4
MIN_RING_PIXELS = 8
PLANE_OFFSET = 0.35
"""A plane is fitted if the ring's centroid is off the nested island's by less than this part of the ring's radius."""
OWN, NEAR, RING = np.uint8(3), np.uint8(1), np.uint8(2)
"""Pixels of a nested island, next to it, and of the ring around, on a stamp."""
SIGNED, ABSOLUTE = np.bool_(False), np.bool_(True)
"""What a median is taken of; for plain literals its function would be compiled twice."""
FLAT = 1e-9
"""A ring so thin that its second moment across is less than this part of that along it tells no slope across."""


def first_pixels_of_rows(y: Int32s) -> Int64s:
    """(rows + 1,) the first pixel of each row from the first one on, and the number of pixels."""
    rows = np.arange(int(y[0]), int(y[-1]) + 2, dtype=y.dtype)
    return np.searchsorted(y, rows).astype(np.int64, copy=False)


@njit(cache=True, nogil=True)
def place_in_row(x: Int32s, low: int, high: int, column: int | np.int64) -> int:
    """The first pixel of a row, which lies at ``low:high``, whose column is at least a given one."""
    while low < high:
        middle = (low + high) // 2
        if x[middle] < column:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _paint_discs(stamp: NDArray[np.uint8], y: Int32s, x: Int32s, half_width: Int64s, value: np.uint8) -> None:
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
def _paint_ring(stamp: NDArray[np.uint8], y: Int32s, x: Int32s, gap: Int64s, outer: Int64s) -> None:
    """Paint a nested island (pixels counted from its corner), what is near, and the ring around on an empty stamp."""
    for k in range(y.size):
        stamp[y[k], x[k]] = OWN
    _paint_discs(stamp, y, x, outer, RING)
    _paint_discs(stamp, y, x, gap, NEAR)


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
    first, reach = first_pixels_of_rows(y), len(discs[1])
    owner = np.full(len(y), -1, np.int64)
    _mark_owners(x, first, int(y[0]), (offsets, own_y, own_x), owner)
    planes = np.zeros((len(parent), 7))
    for n in range(len(parent)):
        own = slice(int(offsets[n]), int(offsets[n + 1]))
        rows, cols = own_y[own], own_x[own]
        top, left = int(rows[0]) - reach, int(cols.min()) - reach
        stamp = np.zeros((int(rows[-1]) - top + reach + 1, int(cols.max()) - left + reach + 1), np.uint8)
        _paint_ring(stamp, rows - np.int32(top), cols - np.int32(left), discs[0], discs[1])
        found = np.empty(stamp.size, np.int64)
        ring = found[: _find_ring((y, x), first, stamp, (top, left), (owner, parent), n, found)]
        planes[n, 1:4] = np.nan, rows.mean(), cols.mean()
        if len(ring) >= MIN_RING_PIXELS:
            pixels = np.empty((6, len(ring)))
            pixels[0], pixels[1] = y[ring] - planes[n, 2], x[ring] - planes[n, 3]
            pixels[2], pixels[3] = flux[ring], noise[ring]
            _fit_clipped(pixels, np.empty(len(ring), np.bool_), beam_area, planes[n])
    return planes


@njit(cache=True, nogil=True)
def _mark_owners(x: Int32s, first: Int64s, top: int, nested: tuple[Int64s, Int32s, Int32s], owner: Int64s) -> None:
    """Mark the pixels of a mother with the last nested island that holds them."""
    offsets, own_y, own_x = nested
    for n in range(offsets.size - 1):
        for k in range(offsets[n], offsets[n + 1]):
            row = own_y[k] - top
            owner[place_in_row(x, first[row], first[row + 1], np.int64(own_x[k]))] = n


@njit(cache=True, nogil=True)
def _find_ring(
    places: tuple[Int32s, Int32s],
    first: Int64s,
    stamp: NDArray[np.uint8],
    corner: tuple[int, int],
    owners: tuple[Int64s, Int64s],
    nested: int,
    found: Int64s,
) -> int:
    """Find pixels of the mother in a ring that belong to no nested island but those that enclose this one."""
    y, x = places
    owner, parent = owners
    count = 0
    for row in range(max(y[0], corner[0]), min(y[y.size - 1] + 1, corner[0] + stamp.shape[0])):
        high = first[row - y[0] + 1]
        i = place_in_row(x, first[row - y[0]], high, corner[1])
        while i < high and x[i] < corner[1] + stamp.shape[1]:
            if stamp[row - corner[0], x[i] - corner[1]] == RING and _encloses(parent, owner[i], nested):
                found[count] = i
                count += 1
            i += 1
    return count


@njit(cache=True, nogil=True)
def _encloses(parent: Int64s, other: int, nested: int) -> bool:
    """Whether the mother (-1) or another nested island encloses one."""
    while nested > other:
        nested = parent[nested]
    return nested == other


@njit(cache=True, nogil=True)
def _fit_clipped(pixels: FloatArray, kept: NDArray[np.bool_], beam_area: float, plane: FloatArray) -> None:
    """Set a plane's value and its error at the origin, its slopes, and the pixels used.

    Parameters
    ----------
    pixels
        (6, P) rows and columns from the origin, flux and noise; the last two rows are scratch.
    kept
        (P,) scratch.
    plane
        (7,) with the columns of `planes_under`.
    """
    y, x, flux, noise, residual, scratch = pixels[0], pixels[1], pixels[2], pixels[3], pixels[4], pixels[5]
    sum_y, sum_x, distance, noisiest = 0.0, 0.0, 0.0, 0.0
    for i in range(y.size):
        sum_y, sum_x, distance = sum_y + y[i], sum_x + x[i], distance + math.hypot(y[i], x[i])
        noisiest = max(noisiest, noise[i])
        kept[i] = True
    sloping = math.hypot(sum_y, sum_x) <= PLANE_OFFSET * distance
    least = _median_of_kept(noise, kept, scratch, SIGNED)
    plane[0] = _median_of_kept(flux, kept, scratch, SIGNED)
    _set_residuals(pixels, plane)
    used = y.size
    for _ in range(CLIP_ROUNDS):
        spread = MAD_TO_SIGMA * _median_of_kept(residual, kept, scratch, ABSOLUTE)
        used = _keep_within(residual, CLIP_SIGMA * max(spread, least), kept)
        if used < MIN_RING_PIXELS:
            break
        plane[0], plane[4], plane[5] = _plane_through(pixels, kept, used, sloping)
        _set_residuals(pixels, plane)
    plane[6] = used
    scatter = _scatter(residual, kept, used) if used > 0 else noisiest
    plane[1] = scatter / math.sqrt(max(1.0, used / beam_area))


@njit(cache=True, nogil=True)
def _median_of_kept(values: FloatArray, kept: NDArray[np.bool_], scratch: FloatArray, absolute: np.bool_) -> float:
    """Median of the values kept, or of their absolute values."""
    count = 0
    for i in range(values.size):
        if kept[i]:
            scratch[count] = abs(values[i]) if absolute else values[i]
            count += 1
    return median_of(scratch[:count])


@njit(cache=True, nogil=True)
def _set_residuals(pixels: FloatArray, plane: FloatArray) -> None:
    """Set the fifth row of the pixels to the flux above a plane."""
    for i in range(pixels.shape[1]):
        pixels[4, i] = pixels[2, i] - plane[0] - plane[4] * pixels[0, i] - plane[5] * pixels[1, i]


@njit(cache=True, nogil=True)
def _keep_within(residual: FloatArray, limit: float, kept: NDArray[np.bool_]) -> int:
    """Keep what is within a limit of zero; their number."""
    used = 0
    for i in range(residual.size):
        kept[i] = abs(residual[i]) <= limit
        used += kept[i]
    return used


@njit(cache=True, nogil=True)
def _scatter(values: FloatArray, kept: NDArray[np.bool_], used: int) -> float:
    """Standard deviation of the values kept."""
    total, squares = 0.0, 0.0
    for i in range(values.size):
        total += values[i] if kept[i] else 0.0
    for i in range(values.size):
        off = values[i] - total / used if kept[i] else 0.0
        squares += off * off
    return math.sqrt(squares / used)


@njit(cache=True, nogil=True)
def _plane_through(pixels: FloatArray, kept: NDArray[np.bool_], used: int, sloping: bool) -> tuple[float, float, float]:
    """Least squares: value at the origin and the slopes; those that the places do not tell are zero."""
    y, x, flux = pixels[0], pixels[1], pixels[2]
    y0, x0, mean = 0.0, 0.0, 0.0
    for i in range(y.size):
        if kept[i]:
            y0, x0, mean = y0 + y[i], x0 + x[i], mean + flux[i]
    y0, x0, mean = y0 / used, x0 / used, mean / used
    if not sloping:
        return mean, 0.0, 0.0
    yy, xx, xy, yf, xf = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(y.size):
        if kept[i]:
            dy, dx, df = y[i] - y0, x[i] - x0, flux[i] - mean
            yy, xx, xy = yy + dy * dy, xx + dx * dx, xy + dy * dx
            yf, xf = yf + dy * df, xf + dx * df
    determinant, trace = yy * xx - xy * xy, yy + xx
    if determinant > FLAT * trace * trace:
        slope_y, slope_x = (xx * yf - xy * xf) / determinant, (yy * xf - xy * yf) / determinant
    else:
        # all on one line: the projection on it, (M / trace) v / trace, is the least-squares slope of smallest norm
        slope_y, slope_x = (yy * yf + xy * xf) / (trace * trace), (xy * yf + xx * xf) / (trace * trace)
    return mean - slope_y * y0 - slope_x * x0, slope_y, slope_x
