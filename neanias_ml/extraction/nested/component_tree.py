"""The component tree (max-tree) of an island: how its connected sets above a level grow and merge as it falls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int32s = NDArray[np.int32]
Float32s = NDArray[np.float32]


@dataclass(frozen=True)
class ComponentTree:
    """Connected sets of pixels (8 neighbours) above every level of an image that is given as a list of pixels.

    A node is named after one of its pixels, its *canonical* pixel, whose level is the lowest of the set. The
    pixels of every node are a contiguous run of ``sequence``, so that taking them costs their own number only.

    Attributes
    ----------
    level
        (P,) float32 value of each pixel.
    parent
        (P,) int32; of a canonical pixel the canonical pixel of the next larger set, of any other pixel the
        canonical pixel of its own set. Roots are their own parents (one for each connected part).
    size
        (P,) int32 pixels of the set; meaningful for canonical pixels.
    peak
        (P,) int32 highest pixel of the set (the first in the list among equals); for canonical pixels.
    sequence, start
        (P,) int32; node ``p`` owns ``sequence[start[p] : start[p] + size[p]]``.
    """

    level: Float32s
    parent: Int32s
    size: Int32s
    peak: Int32s
    sequence: Int32s
    start: Int32s

    @classmethod
    def build(cls, y: Int32s, x: Int32s, level: Float32s) -> ComponentTree:
        """Tree of the pixels (y, x), which are listed row by row; O(P log P) for the sort, nearly O(P) beyond it.

        Union-find over the pixels sorted by level: Berger et al. 2007 (ICIP), Carlinet & Géraud 2014 (IEEE TIP 23).
        Equal levels are taken in the order of the list, so that the tree depends on nothing but the pixels.

        Parameters
        ----------
        y, x
            (P,) int32 rows and columns, ascending by row and by column within each.
        level
            (P,) float32, finite.

        Raises
        ------
        ValueError
            If the pixels are not in row order, or a level is not finite.
        """
        if y.size > 1 and not _are_in_row_order(y, x):
            raise ValueError("the pixels of a component tree must be listed row by row, each once")
        if not np.isfinite(level).all():
            raise ValueError("the levels of a component tree must be finite: leave blank pixels out")
        order = _descending(level)
        return cls(level, *_grow_tree(order, level, y, x))

    def __len__(self) -> int:
        return int(self.level.size)

    def node_of(self, pixel: NDArray[np.integer] | int) -> Int32s:
        """Canonical pixels of the smallest sets that hold the pixels."""
        parent = self.parent[pixel]
        return np.where(self.level[parent] == self.level[pixel], parent, pixel).astype(np.int32)

    def pixels(self, node: int) -> Int32s:
        """Pixels of a node in ascending order, row by row."""
        begin = int(self.start[node])
        return np.sort(self.sequence[begin : begin + int(self.size[node])])

    def contains(self, node: int, pixel: NDArray[np.integer] | int) -> NDArray[np.bool_]:
        """Whether pixels lie in a node."""
        offset = self.start[pixel] - self.start[node]
        return (offset >= 0) & (offset < self.size[node])

    def lowest_above(self, node: NDArray[np.int32], level: NDArray[np.float64]) -> Int32s:
        """(N,) the largest sets that hold given nodes and lie at or above a level each (the node itself, if lower).

        A path down a tree may have as many steps as the island has pixels: leaps over many at a time (skew-binary
        jump pointers, Myers 1983) take their logarithm.
        """
        lowest = np.empty(len(node), np.int32)
        _lowest_above(self.level, self.parent, self._leap, node, level, lowest)
        return lowest

    @cached_property
    def _leap(self) -> Int32s:
        leap, depth = np.arange(len(self), dtype=np.int32), np.zeros(len(self), np.int32)
        _set_leaps(self.parent, self.sequence, depth, leap)
        return leap

    def branches(self) -> tuple[Int32s, Int32s]:
        """Peaks and the saddles at which each joins a higher one.

        Returns
        -------
        peaks, saddles
            (B,) pixels. The highest peak of each connected part has its root for a saddle. The prominence of a
            peak is ``level[peaks] - level[saddles]``.
        """
        pixel = np.arange(len(self), dtype=np.int32)
        root = self.parent == pixel
        canonical = root | (self.level[self.parent] < self.level)
        ends = np.flatnonzero(canonical & (root | (self.peak[self.parent] != self.peak)))
        return self.peak[ends], self.parent[ends]


def _descending(level: Float32s) -> Int32s:
    """Pixels by falling level, equal ones in their order; sorts integers, which is several times as fast as floats.

    The bits of floats of one sign rise with their size, so that with those of negative ones turned round they sort as
    integers do.
    """
    bits = (-level + np.float32(0.0)).view(np.int32).astype(np.int64)
    bits = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    keys = (bits << 32) | np.arange(level.size)
    keys.sort()
    return (keys & 0xFFFFFFFF).astype(np.int32)


def _are_in_row_order(y: Int32s, x: Int32s) -> bool:
    further = (y[1:] == y[:-1]) & (x[1:] > x[:-1])
    return bool((further | (y[1:] > y[:-1])).all())


def _grow_tree(order: Int32s, level: Float32s, y: Int32s, x: Int32s) -> tuple[Int32s, Int32s, Int32s, Int32s, Int32s]:
    """Parents, sizes, peaks, sequence and starts, from the pixels in descending order of level."""
    count = len(order)
    above, below, rank, free = (np.empty(count, np.int32) for _ in range(4))
    present = np.empty(count, np.uint8)
    _find_neighbours(y, x, above, below, present)
    size, parent = np.ones(count, np.int32), np.arange(count, dtype=np.int32)
    joined = np.full(count + 3, -1, np.int32)
    _join(order, level, (above, below, present), (joined, free, size, np.empty(8, np.int32)), parent)
    rank[order] = np.arange(count, dtype=np.int32)
    size[:] = 1
    peak, start, sequence = np.arange(count, dtype=np.int32), above, below
    _number_subtrees(order, rank, parent, free, (size, peak, sequence, start))
    return parent, size, peak, sequence, start


@njit(cache=True, nogil=True)
def _find_neighbours(y: Int32s, x: Int32s, above: Int32s, below: Int32s, present: NDArray[np.uint8]) -> None:
    """Find where the neighbours of each pixel are in the list.

    Parameters
    ----------
    above, below
        (P,) for the first pixel of the row above and below whose column is at least the pixel's own less 1.
    present
        (P,) for bits for the neighbours that exist: the upper left one, then counter-clockwise: left, lower left, ...
    """
    count = y.size
    up, down = 0, 0
    for i in range(count):
        row, col = y[i], x[i]
        while up < count and (y[up] < row - 1 or (y[up] == row - 1 and x[up] < col - 1)):
            up += 1
        while down < count and (y[down] < row + 1 or (y[down] == row + 1 and x[down] < col - 1)):
            down += 1
        above[i], below[i] = up, down
        bits = 0
        for j in range(up, min(up + 3, count)):
            if y[j] == row - 1 and x[j] <= col + 1:
                bits |= 1 << ((8 - (x[j] - col + 1)) & 7)
        for j in range(down, min(down + 3, count)):
            if y[j] == row + 1 and x[j] <= col + 1:
                bits |= 1 << (3 + x[j] - col)
        bits |= (i > 0 and y[i - 1] == row and x[i - 1] == col - 1) << 1
        bits |= (i + 1 < count and y[i + 1] == row and x[i + 1] == col + 1) << 5
        present[i] = bits


@njit(cache=True, nogil=True)
def _root_of(joined: Int32s, pixel: int) -> int:
    """Root of a pixel's set, halving the path to it."""
    while joined[pixel] != pixel:
        joined[pixel] = joined[joined[pixel]]
        pixel = joined[pixel]
    return pixel


@njit(cache=True, nogil=True)
def _places_around(places: Int32s, i: int, above: int, below: int, present: int) -> None:
    """Places in the list of the neighbours of a pixel, in the order of the bits; those of absent ones mean nothing."""
    places[0], places[7], places[6] = above, above + (present & 1), above + (present & 1) + (present >> 7 & 1)
    places[1], places[5] = i - 1, i + 1
    places[2], places[3] = below, below + (present >> 2 & 1)
    places[4] = places[3] + (present >> 3 & 1)


@njit(cache=True, nogil=True)
def _join(
    order: Int32s,
    level: Float32s,
    neighbours: tuple[Int32s, Int32s, NDArray[np.uint8]],
    scratch: tuple[Int32s, Int32s, Int32s, Int32s],
    parent: Int32s,
) -> None:
    """Set the parents of the pixels, which come in descending order of level, each joining the sets that it touches.

    Neighbours that follow one another around a pixel touch each other, so that those of them that came before share a
    set: only the first of each such row is looked up. Sets are joined by size; ``lowest`` is the last of each.
    """
    above, below, present = neighbours
    joined, lowest, size, places = scratch
    for k in range(order.size):
        i = order[k]
        joined[i], lowest[i] = i, i
        exist = int(present[i])
        _places_around(places, i, above[i], below[i], exist)
        came = 0
        for bit in range(8):
            came |= (joined[places[bit]] >= 0) << bit
        came &= exist
        first_ones = 1 if came == 255 else came & ~(came << 1 | came >> 7)
        root = i
        for bit in range(8):
            if first_ones >> bit & 1:
                other = _root_of(joined, places[bit])
                if other != root:
                    parent[lowest[other]] = i
                    small, root = (other, root) if size[other] <= size[root] else (root, other)
                    joined[small] = root
                    size[root] += size[small]
                    lowest[root] = i
    for k in range(order.size - 1, -1, -1):
        up = parent[order[k]]
        if level[parent[up]] == level[up]:
            parent[order[k]] = parent[up]


@njit(cache=True, nogil=True)
def _number_subtrees(
    order: Int32s, rank: Int32s, parent: Int32s, free: Int32s, numbers: tuple[Int32s, Int32s, Int32s, Int32s]
) -> None:
    """Set sizes and peaks from the leaves downwards, then the runs of the sequence from the roots upwards.

    Sizes come as ones, peaks as the pixels themselves; ``free``, the next place of a set, is scratch.
    """
    size, peak, sequence, start = numbers
    for k in range(order.size):
        i = order[k]
        up = parent[i]
        if up != i:
            size[up] += size[i]
            if rank[peak[i]] < rank[peak[up]]:
                peak[up] = peak[i]
    used = 0
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        up = parent[i]
        if up == i:
            start[i] = used
            used += size[i]
        else:
            start[i] = free[up]
            free[up] += size[i]
        free[i] = start[i] + 1
        sequence[start[i]] = i


@njit(cache=True, nogil=True)
def _set_leaps(parent: Int32s, sequence: Int32s, depth: Int32s, leap: Int32s) -> None:
    """Set an ancestor of each pixel (at first itself), such that leaps and single steps reach any in O(log P)."""
    for k in range(sequence.size):
        i = sequence[k]
        up = parent[i]
        if up != i:
            depth[i] = depth[up] + 1
            once, twice = leap[up], leap[leap[up]]
            even = depth[up] - depth[once] == depth[once] - depth[twice]
            leap[i] = twice if even else up


@njit(cache=True, nogil=True)
def _lowest_above(
    level: Float32s, parent: Int32s, leap: Int32s, node: Int32s, cut: NDArray[np.float64], lowest: Int32s
) -> None:
    for row in range(len(node)):
        current = node[row]
        while parent[current] != current:
            if level[leap[current]] >= cut[row]:
                current = leap[current]
            elif level[parent[current]] >= cut[row]:
                current = parent[current]
            else:
                break
        lowest[row] = current
