"""The pixels of islands as flat arrays: what is measured and fitted, without the map around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatPixels = NDArray[np.float32]
IntPixels = NDArray[np.int32]


@dataclass(frozen=True)
class IslandPixels:
    """Pixels of N islands, one island after another, row by row within each.

    Attributes
    ----------
    offsets
        (N + 1,) int64; island i owns the pixels ``offsets[i]:offsets[i + 1]``.
    y, x
        (P,) int32 rows and columns in the map, 0-based.
    flux
        (P,) float32, Jy/beam, background subtracted.
    noise
        (P,) float32, Jy/beam.
    inside
        (P,) bool; False for pixels of a margin around the island, which fits and total fluxes take in.
    """

    offsets: NDArray[np.int64]
    y: IntPixels
    x: IntPixels
    flux: FloatPixels
    noise: FloatPixels
    inside: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """(N,) pixels of each island, margin included."""
        return np.diff(self.offsets)

    @property
    def island(self) -> NDArray[np.int64]:
        """(P,) row of the island that owns each pixel."""
        return np.repeat(np.arange(len(self)), self.counts)

    def __iter__(self) -> Iterator[IslandPixels]:
        """Each island by itself."""
        return (self.select(np.array([row])) for row in range(len(self)))

    def select(self, rows: NDArray[np.int64]) -> IslandPixels:
        """Some of the islands, in the order of ``rows``."""
        counts = self.counts[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        index = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], counts)
        return self._at(index, offsets)

    def without_margin(self) -> IslandPixels:
        """Only the pixels inside the islands."""
        return self if self.inside.all() else self._own  # not kept as its own part: only the collector would free it

    @cached_property
    def _own(self) -> IslandPixels:
        index = np.flatnonzero(self.inside)
        counts = np.bincount(self.island[index], minlength=len(self))
        return self._at(index, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def _at(self, index: NDArray[np.int64], offsets: NDArray[np.int64]) -> IslandPixels:
        return IslandPixels(
            offsets, self.y[index], self.x[index], self.flux[index], self.noise[index], self.inside[index]
        )

    @classmethod
    def joined(cls, parts: Sequence[IslandPixels]) -> IslandPixels:
        """The islands of several lists one after another."""
        counts = np.concatenate([np.empty(0, np.int64), *(part.counts for part in parts)])
        return cls(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            y=np.concatenate([np.empty(0, np.int32), *(part.y for part in parts)]),
            x=np.concatenate([np.empty(0, np.int32), *(part.x for part in parts)]),
            flux=np.concatenate([np.empty(0, np.float32), *(part.flux for part in parts)]),
            noise=np.concatenate([np.empty(0, np.float32), *(part.noise for part in parts)]),
            inside=np.concatenate([np.empty(0, bool), *(part.inside for part in parts)]),
        )

    @classmethod
    def from_labels(
        cls, labels: NDArray[np.int32], *, flux: FloatPixels, noise: FloatPixels, y0: int = 0, x0: int = 0
    ) -> IslandPixels:
        """Pixels of a label map (0 = none, 1 ... N) whose pixel (0, 0) is (y0, x0) of the map."""
        index = np.flatnonzero(labels)
        values = labels.ravel()[index]
        index = index[np.argsort(values, kind="stable")]
        count = int(labels.max(initial=0))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=count + 1)[1:])]).astype(np.int64)
        y, x = np.divmod(index, labels.shape[1])
        return cls(
            offsets=offsets,
            y=(y + y0).astype(np.int32),
            x=(x + x0).astype(np.int32),
            flux=flux.ravel()[index].astype(np.float32),
            noise=noise.ravel()[index].astype(np.float32),
            inside=np.ones(len(index), dtype=bool),
        )
