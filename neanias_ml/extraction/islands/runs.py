"""Islands as runs: the pixels above the merge threshold, row by row, without a map of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.islands.run_kernels import find_runs, join_rows, paint_runs
from neanias_ml.maps import Window

FloatMap = NDArray[np.float32]
IntArray = NDArray[np.int64]
IntPixels = NDArray[np.int32]


@dataclass(frozen=True)
class Runs:
    """Runs of pixels with the connected region that each belongs to; every region has at least one.

    Attributes
    ----------
    runs
        (R, 3) int32: row, first and past-the-last column, sorted by row and column.
    region
        (R,) int64 number of the region, 0 ... N - 1 in the order of their first runs.
    count
        Number N of regions.
    peak
        (R,) float32 largest signal to noise of each run.
    """

    runs: NDArray[np.int32]
    region: IntArray
    count: int
    peak: FloatMap

    @property
    def lengths(self) -> IntArray:
        """(R,) pixels of each run."""
        return (self.runs[:, 2] - self.runs[:, 1]).astype(np.int64)

    @property
    def region_pixels(self) -> IntArray:
        """(N,) pixels of each region."""
        return np.bincount(self.region, weights=self.lengths, minlength=self.count).astype(np.int64)

    @property
    def region_peak(self) -> FloatMap:
        """(N,) largest signal to noise of each region."""
        if self.count == 0:
            return np.zeros(0, np.float32)
        return np.maximum.reduceat(self.peak[self._by_region], self._starts[:-1])

    def keep(self, wanted: NDArray[np.bool_]) -> Runs:
        """Only some of the regions (boolean per region), renumbered in order."""
        chosen = wanted[self.region]
        number = np.cumsum(wanted) - 1
        return Runs(self.runs[chosen], number[self.region[chosen]], int(np.count_nonzero(wanted)), self.peak[chosen])

    def only(self, region: int) -> Runs:
        """One region by itself, numbered 0."""
        chosen = self._by_region[self._starts[region] : self._starts[region + 1]]
        return Runs(self.runs[chosen], np.zeros(len(chosen), np.int64), 1, self.peak[chosen])

    @cached_property
    def region_boxes(self) -> IntArray:
        """(N, 4) first and past-the-last row and column of each region."""
        if self.count == 0:
            return np.empty((0, 4), np.int64)
        y, first, last = self.runs[self._by_region].T
        starts, ends = self._starts[:-1], self._starts[1:] - 1
        left, right = np.minimum.reduceat(first, starts), np.maximum.reduceat(last, starts)
        return np.stack([y[starts], y[ends] + 1, left, right], axis=1).astype(np.int64)

    def of_regions(self, regions: IntArray) -> tuple[NDArray[np.int32], IntArray]:
        """Runs of some regions, one region after another, and (K + 1,) the first run of each."""
        counts = self._starts[regions + 1] - self._starts[regions]
        starts = np.concatenate([[0], np.cumsum(counts)])
        index = np.arange(starts[-1]) + np.repeat(self._starts[regions] - starts[:-1], counts)
        return self.runs[self._by_region[index]], starts

    @cached_property
    def _by_region(self) -> IntArray:
        return np.argsort(self.region, kind="stable")

    @cached_property
    def _starts(self) -> IntArray:
        return np.searchsorted(self.region[self._by_region], np.arange(self.count + 1))

    def within_rows(self, y0: int, y1: int) -> slice:
        """The runs of the rows ``y0`` to ``y1`` (exclusive)."""
        first, last = np.searchsorted(self.runs[:, 0], (y0, y1))
        return slice(int(first), int(last))

    def paint(self, window: Window, *, margin: int = 0) -> NDArray[np.int32]:
        """Label map of a window: 0, or the region's number + 1; with a margin, regions grow over each other."""
        out = np.zeros(window.shape, np.int32)
        near = self.within_rows(window.y0 - margin, window.y1 + margin)
        paint_runs(self.runs[near], (self.region[near] + 1).astype(np.int32), window.y0, window.x0, margin, out)
        return out

    def mask(self, window: Window, *, margin: int = 0) -> NDArray[np.bool_]:
        """Pixels of a window that belong to any region, widened by a margin."""
        out = np.zeros(window.shape, dtype=bool)
        near = self.within_rows(window.y0 - margin, window.y1 + margin)
        runs = self.runs[near]
        paint_runs(runs, np.ones(len(runs), dtype=bool), window.y0, window.x0, margin, out)
        return out

    @classmethod
    def none(cls) -> Runs:
        """No regions."""
        return cls(np.empty((0, 3), np.int32), np.empty(0, np.int64), 0, np.empty(0, np.float32))

    @classmethod
    def together(cls, parts: Sequence[Runs]) -> Runs:
        """The regions of several sets one after another; they may overlap."""
        firsts = np.cumsum([0, *(part.count for part in parts)])
        runs = np.concatenate([part.runs for part in parts])
        region = np.concatenate([part.region + first for part, first in zip(parts, firsts[:-1], strict=True)])
        peak = np.concatenate([part.peak for part in parts])
        order = np.lexsort((runs[:, 1], region, runs[:, 0]))
        return cls(runs[order], region[order], int(firsts[-1]), peak[order])

    @classmethod
    def from_pixels(cls, offsets: IntArray, y: NDArray[np.int32], x: NDArray[np.int32]) -> Runs:
        """The runs of regions given as flat pixel lists, row by row within each; regions may overlap."""
        region = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        new = np.ones(len(y), dtype=bool)
        new[1:] = (y[1:] != y[:-1]) | (x[1:] != x[:-1] + 1) | (region[1:] != region[:-1])
        first = np.flatnonzero(new)
        last = np.append(first[1:], len(y)) - 1 if len(first) else first
        runs = np.stack([y[first], x[first], x[last] + 1], axis=1).astype(np.int32).reshape(-1, 3)
        order = np.lexsort((runs[:, 1], region[first], runs[:, 0]))
        return cls(runs[order], region[first][order], len(offsets) - 1, np.zeros(len(first), np.float32))

    @classmethod
    def from_labels(cls, labels: NDArray[np.int32]) -> Runs:
        """The runs of a label map whose regions are numbered 1 ... N by their first pixel."""
        padded = np.pad(labels, ((0, 0), (1, 1)))
        changes = padded[:, 1:] != padded[:, :-1]
        starts = changes & (padded[:, 1:] > 0)
        ends = changes & (padded[:, :-1] > 0)
        rows, first = np.nonzero(starts)
        _, past = np.nonzero(ends)
        runs = np.stack([rows, first, past], axis=1).astype(np.int32)
        region = labels[rows, first].astype(np.int64) - 1
        return cls(runs, region, int(labels.max(initial=0)), np.zeros(len(runs), np.float32))


@dataclass(frozen=True)
class ScannedRows:
    """Unjoined runs of consecutive rows of a map."""

    runs: NDArray[np.int32]
    peak: FloatMap


def runs_of_pixels(
    y: IntPixels, x: IntPixels, significance: FloatMap, *, merge: float, negative: bool = False
) -> ScannedRows:
    """Runs of pixels that reach the merge threshold.

    Parameters
    ----------
    y, x, significance
        (P,) int32 rows and columns, row by row, and the signal to noise there: of all pixels that reach the threshold,
        and of any others.
    negative
        Those of the inverted map.
    """
    runs, peaks = np.empty((y.size, 3), np.int32), np.empty(y.size, np.float32)
    count = find_runs(y, x, significance, -1.0 if negative else 1.0, merge, runs, peaks)
    return ScannedRows(runs[:count].copy(), peaks[:count].copy())


def runs_above(significance: FloatMap, *, merge: float, y0: int = 0, negative: bool = False) -> ScannedRows:
    """Runs above the merge threshold in some rows of a significance map, ``y0`` the first of them.

    With ``negative``, those of the inverted map.
    """
    with np.errstate(invalid="ignore"):
        places = np.flatnonzero(significance <= -np.float32(merge) if negative else significance >= np.float32(merge))
    y, x = (part.astype(np.int32) for part in np.divmod(places, significance.shape[1]))
    return runs_of_pixels(y + np.int32(y0), x, significance.ravel()[places], merge=merge, negative=negative)


def join_scanned(parts: list[ScannedRows], *, connectivity: int) -> Runs:
    """Connected regions of runs scanned in any number of parts, given in the order of their rows."""
    runs = np.concatenate([part.runs for part in parts]) if parts else np.empty((0, 3), np.int32)
    peak = np.concatenate([part.peak for part in parts]) if parts else np.empty(0, np.float32)
    parent = np.arange(len(runs), dtype=np.int64)
    join_rows(runs, 1 if connectivity == 8 else 0, parent)
    # A set is named by its first run, whose own name is never larger: one step of pointer doubling per level of depth.
    while True:
        shorter = parent[parent]
        if np.array_equal(shorter, parent):
            break
        parent = shorter
    first, region = np.unique(parent, return_inverse=True)
    return Runs(runs, region.astype(np.int64), len(first), peak)
