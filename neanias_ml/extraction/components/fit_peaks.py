"""Peaks of an island by their persistence: how far each rises above the saddle to a higher one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.compilation import compiled, compiled_part

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@compiled_part
def _root(parent: IntArray, i: int) -> int:
    """Representative of a set, halving the path on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


class _Hills(NamedTuple):
    """Pixels of islands: height, column, row, order from the highest down; and which are lasting peaks."""

    height: FloatArray
    x: IntArray
    y: IntArray
    order: IntArray
    lasting: BoolArray


@compiled_part
def _join(parent: IntArray, roots: tuple[int, int], hills: _Hills, drop: tuple[float, float]) -> int:
    """Join two sets whose roots are their peaks; the lower one lasts if it is ``drop[1]`` above ``drop[0]``."""
    a, b = roots
    first = hills.height[a] > hills.height[b] or (hills.height[a] == hills.height[b] and a < b)
    higher, lower = (a, b) if first else (b, a)
    hills.lasting[lower] = hills.height[lower] - drop[0] >= drop[1]
    parent[lower] = higher
    return higher


@compiled_part
def _flood(hills: _Hills, stamp: IntArray, least: float) -> None:
    """Mark the lasting peaks of one island, ``least`` above the saddle to a higher one; ``stamp`` is filled with -1."""
    height, x, y = hills.height, hills.x, hills.y
    parent = np.empty(len(height), dtype=np.int64)
    for pixel in hills.order:
        parent[pixel] = pixel
        root = -1
        for j in range(-1, 2):
            for i in range(-1, 2):
                neighbour = stamp[y[pixel] + j, x[pixel] + i]
                if neighbour < 0:
                    continue
                other = _root(parent, neighbour)
                if root < 0:
                    root = other
                elif other != root:
                    root = _join(parent, (root, other), hills, (height[pixel], least))
        stamp[y[pixel], x[pixel]] = pixel
        if root >= 0:
            parent[pixel] = root
    for pixel in range(len(parent)):
        if parent[pixel] == pixel:
            hills.lasting[pixel] = True


@compiled
def _flood_all(offsets: IntArray, hills: _Hills, least: float) -> None:
    """`_flood` each island; columns and rows count from 1 in the island's own box, the order from its first pixel."""
    for row in range(len(offsets) - 1):
        a, b = offsets[row], offsets[row + 1]
        width, rows = 0, 0
        for i in range(a, b):
            width, rows = max(width, hills.x[i]), max(rows, hills.y[i])
        stamp = np.empty((rows + 2, width + 2), dtype=np.int64)
        for j in range(rows + 2):
            for i in range(width + 2):
                stamp[j, i] = -1
        own = _Hills(hills.height[a:b], hills.x[a:b], hills.y[a:b], hills.order[a:b], hills.lasting[a:b])
        _flood(own, stamp, least)


@compiled_part
def _is_summit(ground: FloatArray, width: int, at: int) -> bool:
    """Whether no neighbour overtops a pixel; of equal neighbours the one that comes first does."""
    before = max(ground[at - width - 1], ground[at - width], ground[at - width + 1], ground[at - 1])
    after = max(ground[at + 1], ground[at + width - 1], ground[at + width], ground[at + width + 1])
    return ground[at] > before and ground[at] >= after


@compiled
def _survey(
    offsets: IntArray,
    height: FloatArray,
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    least: tuple[float, float],
    highest: IntArray,
    several: BoolArray,
) -> None:
    """Fill in the highest pixel of each island and whether it may have several lasting peaks.

    Another peak is ``least[0]`` high and rises ``least[1]`` above some pixel of the island.
    """
    ground, place = np.empty(0), np.empty(0, dtype=np.int64)
    for row in range(len(offsets) - 1):
        a, b = offsets[row], offsets[row + 1]
        left, right, bottom, top, best, lowest = x[a], x[a], y[a], y[a], a, height[a]
        for i in range(a, b):
            left, right, bottom, top = min(left, x[i]), max(right, x[i]), min(bottom, y[i]), max(top, y[i])
            lowest = min(lowest, height[i])
            best = i if height[i] > height[best] else best
        highest[row] = best
        width = right - left + 3
        area = width * (top - bottom + 3)
        if area > len(ground) or b - a > len(place):
            ground, place = np.empty(max(area, len(ground))), np.empty(max(b - a, len(place)), dtype=np.int64)
        for i in range(area):
            ground[i] = -math.inf
        for i in range(a, b):
            place[i - a] = (y[i] - bottom + 1) * width + x[i] - left + 1
            ground[place[i - a]] = height[i]
        for i in range(a, b):
            high = height[i] >= least[0] and height[i] - lowest >= least[1]
            if high and i != best and _is_summit(ground, width, place[i - a]):
                several[row] = True
                break


def _flooded(offsets: IntArray, height: FloatArray, x: IntArray, y: IntArray, least: tuple[float, float]) -> IntArray:
    """Lasting peaks that are ``least[0]`` high and rise ``least[1]`` above a saddle, by island and from the highest."""
    first, counts = offsets[:-1], np.diff(offsets)
    island = np.repeat(np.arange(len(counts)), counts)
    columns, rows = (position - np.minimum.reduceat(position, first)[island] + 1 for position in (x, y))
    order = np.lexsort((-height, island))
    lasting = np.zeros(len(height), dtype=np.bool_)
    _flood_all(offsets, _Hills(height, columns, rows, order - first[island], lasting), least[1])
    lasting &= height >= least[0]
    lasting[order[first]] = True
    return np.asarray(order[lasting[order]])


def persistent_peaks(
    offsets: IntArray,
    height: NDArray[np.floating],
    *,
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    threshold: float,
    prominence: float,
) -> IntArray:
    """Prominent local maxima of 8-connected islands given as lists of pixels.

    Islands with more than one maximum that could be such a peak are flooded from the top: a peak ends at the level at
    which its hill meets that of a higher one (0-dimensional persistence; Edelsbrunner, Letscher and Zomorodian 2002).
    The result equals that of h-domes by morphological reconstruction (Vincent 1993) at a fraction of the cost.

    Parameters
    ----------
    offsets
        (N + 1,) island i owns the pixels ``offsets[i]:offsets[i + 1]``, at least one, row by row.
    height
        (P,) signal to noise.
    x, y
        (P,) columns and rows.
    threshold
        Least height of a peak; the highest pixel of an island counts in any case.
    prominence
        Least height above the saddle to a higher peak.

    Returns
    -------
    ndarray
        (K,) pixels by island and, within each, from the highest; among equals the first of the list comes first.
    """
    values = np.ascontiguousarray(height, dtype=np.float64)
    columns, rows = (np.ascontiguousarray(position, dtype=np.int32) for position in (x, y))
    least = float(threshold), float(prominence)
    highest, several = np.zeros(len(offsets) - 1, dtype=np.int64), np.zeros(len(offsets) - 1, dtype=np.bool_)
    _survey(offsets, values, columns, rows, least, highest, several)
    if not several.any():
        return highest
    flooded = np.flatnonzero(np.repeat(several, np.diff(offsets)))
    own = np.concatenate([[0], np.cumsum(np.diff(offsets)[several])]).astype(np.int64)
    x_flooded, y_flooded = columns[flooded].astype(np.int64), rows[flooded].astype(np.int64)
    found = flooded[_flooded(own, values[flooded], x_flooded, y_flooded, least)]
    peaks = np.concatenate([highest[~several], found])
    return np.asarray(peaks[np.argsort(np.searchsorted(offsets, peaks, side="right"), kind="stable")])
