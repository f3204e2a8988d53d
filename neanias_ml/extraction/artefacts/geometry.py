"""Which bright source an island may be a sidelobe of, and what the islands around say about it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.artefacts.cells import Cells, cells_near, sort_into_cells

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CULPRIT_SNR = 30.0
"""Sources fainter than this, in units of the noise away from bright sources, leave no sidelobes above the noise."""
CULPRIT_RATIO = 5.0
"""A culprit is at least this much brighter than its sidelobe."""
CULPRIT_REACH = 200.0
"""Farthest culprit, beam widths."""
SIDELOBE_DECAY = 10.0
"""Distance in beam widths from which the sidelobes of a source weaken as one over the distance."""
COMPANY_REACH = 60.0
"""Farthest islands around a culprit that count as company on a ray or ring, beam widths."""
SURROUNDINGS = 8.0
"""Radius in beam widths within which positive and negative islands are counted around an island."""
ECHOES = 3
"""Other bright sources around which the sidelobe of a culprit is looked for again."""
ECHO_RATIO = 0.2
"""Such a source has at least this part of the culprit's flux."""
_LANE = 1.0
"""Half-width of a ray or ring, beam widths."""
_CULPRIT_CELL, _COMPANY_CELL = 200.0, 20.0
"""Sides in beam widths of the cells in which sources and islands are looked up."""


@njit(cache=True, nogil=True)
def find_culprits(
    x: FloatArray, y: FloatArray, peak: FloatArray, snr: FloatArray
) -> IntArray:
    """Row of the source whose sidelobes are the most likely cause of each island, or -1, (N,).

    Of sources of equal strength at an island it is the first one along x.

    Parameters
    ----------
    x, y
        (N,) positions in beam widths.
    peak
        (N,) peak fluxes.
    snr
        (N,) peak flux over the noise away from bright sources.
    """
    order = np.argsort(-peak, kind="mergesort")
    cells = sort_into_cells(x, y, order[snr[order] >= CULPRIT_SNR], _CULPRIT_CELL)
    _, _, (x0, y0, side), (down, across) = cells
    culprit = np.full(len(x), -1, dtype=np.int64)
    for row in range(len(x)):
        top, bottom = cells_near(y[row], CULPRIT_REACH, y0, side, down)
        left, right = cells_near(x[row], CULPRIT_REACH, x0, side, across)
        j, i = int((y[row] - y0) / side), int((x[row] - x0) / side)
        best = 0.0
        if top <= j < bottom and left <= i < right:  # whatever is near is strong and spares a look at the rest
            best, culprit[row] = _strongest_of_cell(x, y, peak, cells, j, i, row, best, culprit[row])
        for cell_row in range(top, bottom):
            for cell_column in range(left, right):
                if cell_row != j or cell_column != i:
                    best, culprit[row] = _strongest_of_cell(
                        x, y, peak, cells, cell_row, cell_column, row, best, culprit[row]
                    )
    return culprit


@njit(cache=True, nogil=True)
def _strongest_of_cell(
    x: FloatArray,
    y: FloatArray,
    peak: FloatArray,
    cells: Cells,
    cell_row: int,
    cell_column: int,
    row: int,
    best: float,
    culprit: int,
) -> tuple[float, int]:
    """The strongest sidelobes at an island so far and their source, with the sources of one more cell in the running.

    They come by falling peak: once one would not do even at the cell's nearest point, none that follows will.
    """
    order, offsets, (x0, y0, side), (_, across) = cells
    left, top = x0 + side * cell_column, y0 + side * cell_row
    dx, dy = max(left - x[row], x[row] - left - side, 0.0), max(top - y[row], y[row] - top - side, 0.0)
    weakening = 0.999 * (1.0 + math.sqrt(dx * dx + dy * dy) / SIDELOBE_DECAY)  # a margin for rounding
    cell = cell_row * across + cell_column
    for place in range(offsets[cell], offsets[cell + 1]):
        other = order[place]
        if peak[other] < CULPRIT_RATIO * peak[row] or peak[other] < best * weakening:
            break
        distance = math.hypot(x[other] - x[row], y[other] - y[row])
        strength = peak[other] / (1.0 + distance / SIDELOBE_DECAY)
        if distance > CULPRIT_REACH or strength < best:
            continue
        if strength > best or culprit < 0 or (x[other], other) < (x[culprit], culprit):
            best, culprit = strength, other
    return best, culprit


@njit(cache=True, nogil=True)
def echo_positions(
    x: FloatArray, y: FloatArray, peak: FloatArray, snr: FloatArray, culprit: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Where each island would appear again if it were a sidelobe of its culprit.

    Dirty beams are point-symmetric and the same for all sources of a pointing. So a sidelobe has a twin mirrored
    through its culprit, and twins on both sides of every other bright source in proportion to that source's flux.

    Returns
    -------
    tuple
        Positions x and y, and the culprit's flux over that of the source at hand, each (N, 1 + 2 `ECHOES`): the mirror
        first. NaN where there is no such source. Positions have the units of x and y (beam widths).
    """
    order = np.argsort(-peak, kind="mergesort")
    bright = order[snr[order] >= CULPRIT_SNR]
    echo_x = np.full((len(x), 1 + 2 * ECHOES), np.nan)
    echo_y, scale = echo_x.copy(), echo_x.copy()
    for row in range(len(x)):
        source = culprit[row]
        if source < 0:
            continue
        dx, dy = x[row] - x[source], y[row] - y[source]
        echo_x[row, 0], echo_y[row, 0], scale[row, 0] = x[source] - dx, y[source] - dy, 1.0
        column = 1
        for other in bright:
            if column > 2 * ECHOES or peak[other] < ECHO_RATIO * peak[source]:
                break
            if other == source or math.hypot(x[other] - x[source], y[other] - y[source]) > CULPRIT_REACH:
                continue
            for side in (1.0, -1.0):
                echo_x[row, column], echo_y[row, column] = x[other] + side * dx, y[other] + side * dy
                scale[row, column] = peak[source] / peak[other]
                column += 1
    return echo_x, echo_y, scale


@njit(cache=True, nogil=True)
def company_on_rays_and_rings(
    x: FloatArray, y: FloatArray, peak: FloatArray, culprit: IntArray, density: float
) -> FloatArray:
    """Other weak islands on the ray through the culprit and on the ring around it, (N, 2).

    Given as ln((1 + found) / (1 + expected)) for islands strewn at ``density`` per square beam width; 0 without
    culprit. The ray goes through the culprit and on at its other side.
    """
    order, offsets, (x0, y0, side), (down, across) = sort_into_cells(x, y, np.arange(len(x)), _COMPANY_CELL)
    result = np.zeros((len(x), 2))
    for row in range(len(x)):
        source = culprit[row]
        if source < 0:
            continue
        dx, dy = x[row] - x[source], y[row] - y[source]
        distance = math.hypot(dx, dy)
        if distance == 0.0 or distance > COMPANY_REACH:
            continue
        on_ray, on_ring = 0, 0
        top, bottom = cells_near(y[source], COMPANY_REACH, y0, side, down)
        left, right = cells_near(x[source], COMPANY_REACH, x0, side, across)
        for cell_row in range(top, bottom):
            first, last = offsets[cell_row * across + left], offsets[cell_row * across + right]
            for other in order[first:last]:
                ex, ey = x[other] - x[source], y[other] - y[source]
                radius = math.sqrt(ex * ex + ey * ey)
                is_weak = CULPRIT_RATIO * peak[other] <= peak[source]  # so never the culprit itself
                if other == row or radius > COMPANY_REACH or not is_weak:
                    continue
                on_ray += abs(ex * dy - ey * dx) < _LANE * distance
                on_ring += abs(radius - distance) < _LANE
        result[row, 0] = math.log((1.0 + on_ray) / (1.0 + 4.0 * _LANE * COMPANY_REACH * density))
        result[row, 1] = math.log((1.0 + on_ring) / (1.0 + 4.0 * math.pi * distance * _LANE * density))
    return result


@njit(cache=True, nogil=True)
def count_around(
    x: FloatArray, y: FloatArray, other_x: FloatArray, other_y: FloatArray
) -> FloatArray:
    """Number of positions ``other`` within `SURROUNDINGS` of each of N positions, all in beam widths, (N,)."""
    cells = sort_into_cells(other_x, other_y, np.arange(len(other_x)), _COMPANY_CELL)
    order, offsets, (x0, y0, side), (down, across) = cells
    result = np.zeros(len(x))
    for row in range(len(x)):
        top, bottom = cells_near(y[row], SURROUNDINGS, y0, side, down)
        left, right = cells_near(x[row], SURROUNDINGS, x0, side, across)
        for cell_row in range(top, bottom):
            if left < right:
                first, last = offsets[cell_row * across + left], offsets[cell_row * across + right]
                for other in order[first:last]:
                    dx, dy = other_x[other] - x[row], other_y[other] - y[row]
                    result[row] += dx * dx + dy * dy <= SURROUNDINGS**2
    return result
