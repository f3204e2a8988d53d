"""Connected regions of a whole map from the pixels that its blocks report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatPixels = NDArray[np.float32]
IntPixels = NDArray[np.int32]


@dataclass(frozen=True)
class ExtendedRegions:
    """Regions of extended emission, one after another, sorted by their first pixel; row by row within each.

    Attributes
    ----------
    offsets
        (N + 1,) int64; region i owns the pixels ``offsets[i]:offsets[i + 1]``.
    y, x
        (P,) int32 rows and columns in the map, 0-based.
    evidence
        (P,) float32 between 0 and 1: how surely the pixel holds extended emission.
    score
        (N,) float32 log-odds of the region's surest pixel.
    """

    offsets: NDArray[np.int64]
    y: IntPixels
    x: IntPixels
    evidence: FloatPixels
    score: FloatPixels

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """(N,) pixels of each region."""
        return np.diff(self.offsets)

    @property
    def region(self) -> NDArray[np.int64]:
        """(P,) row of the region that owns each pixel."""
        return np.repeat(np.arange(len(self)), self.counts)

    def __iter__(self) -> Iterator[tuple[IntPixels, IntPixels]]:
        """Rows and columns of each region."""
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.y[start:stop], self.x[start:stop]

    def labels(self, shape: tuple[int, int]) -> NDArray[np.int32]:
        """(ny, nx) int32 label map, 0 outside all regions, region i as i + 1."""
        labels = np.zeros(shape, dtype=np.int32)
        labels[self.y, self.x] = self.region + 1
        return labels


@dataclass(frozen=True)
class FoundBins:
    """Bins above the merge threshold.

    Attributes
    ----------
    index
        (P,) flat index in the binned map.
    odds
        (P,) log-odds.
    blank_pixels
        (K,) flat index in the map of pixels that belong to no region though their bin may.
    """

    index: NDArray[np.int64]
    odds: FloatPixels
    blank_pixels: NDArray[np.int64]

    @classmethod
    def none(cls) -> FoundBins:
        """No bins."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def together(cls, parts: Sequence[FoundBins]) -> FoundBins:
        """All parts as one, sorted by index."""
        index = np.concatenate([part.index for part in parts])
        order = np.argsort(index, kind="stable")
        odds = np.concatenate([part.odds for part in parts])[order]
        return cls(index[order], odds, np.unique(np.concatenate([part.blank_pixels for part in parts])))

    def connected(self, n_cols: int) -> NDArray[np.int64]:
        """(P,) number of the 8-connected group that each bin belongs to."""
        col = self.index % n_cols
        pairs = []
        for step, allowed in (
            (1, col < n_cols - 1),
            (n_cols - 1, col > 0),
            (n_cols, np.ones_like(col, bool)),
            (n_cols + 1, col < n_cols - 1),
        ):
            here = np.flatnonzero(allowed)
            there = np.searchsorted(self.index, self.index[here] + step)
            there[there == len(self.index)] = 0
            touching = self.index[there] == self.index[here] + step
            pairs.append((here[touching], there[touching]))
        rows, cols = (np.concatenate(side) for side in zip(*pairs, strict=True))
        graph = sparse.coo_array((np.ones(len(rows), bool), (rows, cols)), shape=(len(self.index),) * 2)
        return sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int64)


def join_regions(
    parts: Sequence[FoundBins], *, shape: tuple[int, int], factor: int, seed_odds: float, min_bins: float
) -> ExtendedRegions:
    """Join the bins of all blocks to regions and keep those that are sure and large enough.

    Parameters
    ----------
    parts
        Bins above the merge threshold, each bin in one part.
    shape
        Rows and columns of the map in pixels.
    factor
        Pixels along the side of a bin.
    seed_odds
        Log-odds that a region's surest bin reaches.
    min_bins
        Smallest number of bins.
    """
    bins = FoundBins.together(parts)
    n_cols = -(-shape[1] // factor)
    if not len(bins.index):
        return _to_pixels(bins, np.zeros(0, np.int64), np.zeros(0, np.float32), shape=shape, factor=factor)
    group = bins.connected(n_cols)
    score = np.full(int(group.max()) + 1, -np.inf, dtype=np.float32)
    np.maximum.at(score, group, bins.odds)
    kept = (score >= seed_odds) & (np.bincount(group) >= min_bins)
    inside = kept[group]
    renumbered = np.cumsum(kept) - 1
    return _to_pixels(
        FoundBins(bins.index[inside], bins.odds[inside], bins.blank_pixels),
        renumbered[group[inside]],
        score[kept],
        shape=shape,
        factor=factor,
    )


def _to_pixels(
    bins: FoundBins, region: NDArray[np.int64], score: FloatPixels, *, shape: tuple[int, int], factor: int
) -> ExtendedRegions:
    """Pixels of bins, sorted by region and place, regions by their first pixel."""
    row, col = np.divmod(bins.index, -(-shape[1] // factor))
    inner_y, inner_x = (part.ravel() for part in np.mgrid[:factor, :factor])
    y = (row[:, None] * factor + inner_y).ravel()
    x = (col[:, None] * factor + inner_x).ravel()
    on_map = (y < shape[0]) & (x < shape[1])
    on_map[on_map] = ~np.isin(y[on_map] * shape[1] + x[on_map], bins.blank_pixels, assume_unique=True)
    place = (y * shape[1] + x)[on_map]
    owner = np.repeat(region, factor**2)[on_map]
    odds = np.repeat(bins.odds, factor**2)[on_map]
    first = np.full(len(score), np.iinfo(np.int64).max)
    np.minimum.at(first, owner, place)
    sequence = np.argsort(first, kind="stable")
    rank = np.empty_like(sequence)
    rank[sequence] = np.arange(len(sequence))
    order = np.lexsort((place, rank[owner]))
    counts = np.bincount(rank[owner], minlength=len(score))
    y, x = np.divmod(place[order], shape[1])
    return ExtendedRegions(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        y=y.astype(np.int32),
        x=x.astype(np.int32),
        evidence=(1 / (1 + np.exp(-odds[order].astype(np.float64)))).astype(np.float32),
        score=score[sequence],
    )
