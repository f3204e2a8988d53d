"""Outlines of labelled pixels as polygons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.shapes.contours import (
    FEW_VERTICES,
    MAX_VERTICES,
    SIMPLIFY_PIXELS,
    STEP_X,
    STEP_Y,
    Polygon,
    boundary_chain,
    kept_vertices,
    mask_outline,
    signed_area,
)
from neanias_ml.extraction.tables import Islands

__all__ = ["MAX_VERTICES", "Polygon", "island_outlines", "mask_outline", "signed_area"]

IntArray = NDArray[np.int64]


def island_outlines(layers: Sequence[Islands], *, max_vertices: int = MAX_VERTICES) -> tuple[Polygon, ...]:
    """Outer boundary of every island of some layers, layer by layer in the order of their tables.

    They are those of `mask_outline`, with the boundaries of all islands followed at once, without their masks.
    """
    return tuple(
        _outline(islands, row, corners, max_vertices)
        for islands in layers
        for row, corners in enumerate(_all_corners(islands.runs))
    )


def _outline(islands: Islands, row: int, corners: Polygon, max_vertices: int) -> Polygon:
    """The corners of one island, fewer where there are many; its mask is smoothed where those are still too many."""
    if len(corners) > FEW_VERTICES:
        kept = corners[kept_vertices(np.concatenate([corners, corners[:1]]), SIMPLIFY_PIXELS)[:-1]]
        corners = kept if len(kept) >= 3 else corners  # a sliver may collapse to a line
    if len(corners) <= max_vertices:
        return corners
    offset = (int(islands.table.x0[row]), int(islands.table.y0[row]))
    return mask_outline(islands.mask(row), offset=offset, max_vertices=max_vertices)


def _all_corners(runs: Runs) -> Iterator[Polygon]:
    """Midpoints (V, 2) of the outermost pixel edges at which the boundary of each region turns."""
    if runs.count == 0:
        return iter(())
    offsets, y, x = region_pixels(runs)
    chains = [boundary_chain(y[start:stop], x[start:stop]) for start, stop in pairwise(offsets.tolist())]
    lengths = np.array([len(chain) for chain in chains])
    ends = np.cumsum(lengths)
    starts = ends - lengths
    heading = np.concatenate(chains)
    step_x, step_y = STEP_X[heading], STEP_Y[heading]
    # places before each step, in whole pixels from the first corner of the boundary
    walked_x, walked_y = np.cumsum(step_x) - step_x, np.cumsum(step_y) - step_y
    corner_x = walked_x + np.repeat(x[offsets[:-1]] - walked_x[starts], lengths)
    corner_y = walked_y + np.repeat(y[offsets[:-1]] - walked_y[starts], lengths)
    midpoints = np.stack([corner_x + 0.5 * step_x, corner_y + 0.5 * step_y], axis=1) - 0.5
    turns = _turns(midpoints, starts, ends - 1)
    counts = np.add.reduceat(turns.astype(np.int64), starts)
    return iter(np.split(midpoints[turns], np.cumsum(counts)[:-1]))


def region_pixels(runs: Runs) -> tuple[IntArray, NDArray[np.int32], NDArray[np.int32]]:
    """Pixels of all regions: (N + 1,) where each region begins, (P,) rows and (P,) columns, row by row within each."""
    order = np.argsort(runs.region, kind="stable")
    rows, first, last = runs.runs[order].T
    lengths = (last - first).astype(np.int64)
    ends = np.cumsum(lengths)
    x = np.arange(ends[-1]) + np.repeat(first - (ends - lengths), lengths)
    offsets = np.concatenate([[0], np.cumsum(runs.region_pixels)])
    return offsets, np.repeat(rows, lengths), x.astype(np.int32)


def _turns(vertices: Polygon, first: IntArray, last: IntArray) -> NDArray[np.bool_]:
    """Whether closed lines, one after another, turn at each of their vertices (V, 2)."""
    ahead = np.empty_like(vertices)
    ahead[:-1] = vertices[1:] - vertices[:-1]
    ahead[last] = vertices[first] - vertices[last]
    behind = np.empty_like(vertices)
    behind[1:] = ahead[:-1]
    behind[first] = ahead[last]
    return np.asarray(np.abs(ahead[:, 0] * behind[:, 1] - ahead[:, 1] * behind[:, 0]) > 1e-9)
