"""Nested islands: sources inside islands, with sources inside them, at any number of levels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.errors import UsageError
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.nested.blob_scales import ScaleSpace
from neanias_ml.extraction.nested.config import NestedConfig
from neanias_ml.extraction.nested.mother import NestedInMother, search_mother
from neanias_ml.extraction.nested.pedestal import pixels_of

__all__ = ["NestedConfig", "NestedIslands", "find_nested"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class NestedIslands:
    """N islands inside others, by mother, then by their first pixel; a parent always comes before its children.

    Attributes
    ----------
    pixels
        The pixels of each; those of a nested island are a subset of its parent's and its mother's.
    mother_row
        (N,) int64 row of the mother among those that were searched.
    parent
        (N,) int64 index of the nested island that directly encloses this one, -1 if only the mother does.
    level
        (N,) int32; 1 directly inside the mother, 2 inside a nested island of level 1, ...
    scale
        (N,) float32 sigma in pixels, beam included, at which the Laplacian of Gaussian responds most strongly.
    contrast
        (N,) float32 height of the peak above its surroundings in units of the noise.
    """

    pixels: IslandPixels
    mother_row: NDArray[np.int64]
    parent: NDArray[np.int64]
    level: NDArray[np.int32]
    scale: NDArray[np.float32]
    contrast: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pixels)


def find_nested(
    pixels: IslandPixels, *, beam_covariance: FloatArray, config: NestedConfig | None = None, workers: int = 1
) -> NestedIslands:
    """Find the sources inside islands.

    A blob is a maximum of the multi-scale Laplacian of Gaussian of the island's significance that is curved in
    every direction; which pixels it owns says the component tree: the largest connected set above a level that
    holds its peak, is as compact as its scale lets expect, and stays ``merge_threshold`` sigma above its
    surroundings. Sets of a tree are either disjoint or one inside the other, which makes the levels. A compact
    blob on a slope so steep that it is no peak owns the pixels that a point source of its height covers.

    Parameters
    ----------
    pixels
        The mothers; those below ``config.min_beams`` beam areas are passed over.
    beam_covariance
        (2, 2) pixel covariance (x, y) of the beam, pixels squared: the noise is correlated over it.
    workers
        Threads; mothers are searched independently and the result does not depend on their number.

    Raises
    ------
    UsageError
        If the beam covariance is not a positive definite (2, 2) matrix.
    """
    config = config or NestedConfig()
    beam = np.asarray(beam_covariance, dtype=np.float64)
    if beam.shape != (2, 2) or not np.isfinite(beam).all() or not (np.linalg.eigvalsh(beam) > 0).all():
        raise UsageError(
            "BeamCovariance", "beam_covariance must be a positive definite (2, 2) matrix in pixels squared"
        )
    beam_area = 2.0 * np.pi * np.sqrt(np.linalg.det(beam))
    scales = ScaleSpace.for_beam(beam, smallest=config.min_scale, largest=config.max_scale)
    areas = np.bincount(pixels.island[pixels.inside], minlength=len(pixels))
    rows = np.flatnonzero(areas >= max(config.min_beams * beam_area, 1))

    def search(row: np.int64) -> NestedInMother:
        return search_mother(pixels_of(pixels, int(row)), beam=beam, scales=scales, config=config)

    if workers > 1 and len(rows) > 1:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(search, rows))
    else:
        found = [search(row) for row in rows]
    return _joined(pixels, rows, found)


def _joined(pixels: IslandPixels, rows: NDArray[np.int64], found: Sequence[NestedInMother]) -> NestedIslands:
    """The nested islands of all mothers one after another, with pixels and parents counted over all."""
    counts = np.array([len(one) for one in found], dtype=np.int64)
    firsts = np.cumsum(counts) - counts
    members = [pixels.offsets[row] + index for row, one in zip(rows, found, strict=True) for index in one.members]
    index = np.concatenate([np.empty(0, np.int64), *members])
    offsets = np.cumsum([0, *(len(one) for one in members)]).astype(np.int64)
    parents = [np.where(one.parent >= 0, one.parent + first, -1) for one, first in zip(found, firsts, strict=True)]
    return NestedIslands(
        pixels=IslandPixels(
            offsets, pixels.y[index], pixels.x[index], pixels.flux[index], pixels.noise[index], pixels.inside[index]
        ),
        mother_row=np.repeat(rows, counts),
        parent=np.concatenate([np.empty(0, np.int64), *parents]),
        level=np.concatenate([np.empty(0, np.int32), *(one.level for one in found)]),
        scale=np.concatenate([np.empty(0, np.float32), *(one.scale for one in found)]),
        contrast=np.concatenate([np.empty(0, np.float32), *(one.contrast for one in found)]),
    )
