"""`PreparedTile`: one square of a map as the network is trained on it, with its truth and its islands."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.channels import significance_of_asinh

FloatMap = NDArray[np.float32]
IntMap = NDArray[np.int16]
IntArray = NDArray[np.int64]

TILE_SIZE = 256
"""Side of a tile in grid pixels."""
IGNORED = -1
"""Label of pixels and islands that neither train nor score."""
MIN_INSIDE = 0.5
"""An instance cut by the edge of a tile counts when at least this part of its pixels lies inside."""


@dataclass(frozen=True)
class PreparedTile:
    """Channels, truth and islands of a square window of the network's grid.

    Attributes
    ----------
    channels
        (5, S, S) float16, in the order of ``CHANNEL_NAMES``.
    instances
        (S, S) int16: 0 background, k = instance in row k - 1 of ``labels``, `IGNORED`.
    labels
        (N,) class label of each instance, 1 ... 5.
    islands
        (S, S) int16: 0 none, k = island in row k - 1 of the island columns.
    island_boxes
        (I, 4) float32 xyxy tile pixels, half-open; a box may reach beyond the tile, as at inference.
    island_fluxes
        (I,) float32 total fluxes (any unit common to the tile).
    island_instance
        (I,) instance (row + 1) that each island belongs to, `IGNORED` where it is not to be learnt from.
    field
        Name of the sky field; splits keep fields apart.
    """

    channels: NDArray[np.float16]
    instances: IntMap
    labels: IntArray
    islands: IntMap
    island_boxes: FloatMap
    island_fluxes: FloatMap
    island_instance: IntArray
    field: str

    def __post_init__(self) -> None:
        shape = self.channels.shape[1:]
        if self.channels.ndim != 3 or self.instances.shape != shape or self.islands.shape != shape:
            raise ValueError(
                f"channels {self.channels.shape}, instances {self.instances.shape} and islands {self.islands.shape} "
                "of a tile do not fit"
            )
        n_islands = len(self.island_instance)
        if self.island_boxes.shape != (n_islands, 4) or self.island_fluxes.shape != (n_islands,):
            raise ValueError(
                f"{n_islands} islands need as many boxes and fluxes, not arrays of {self.island_boxes.shape} "
                f"and {self.island_fluxes.shape}"
            )

    @property
    def size(self) -> int:
        """Side in pixels."""
        return int(self.instances.shape[0])

    @property
    def true_boxes(self) -> FloatMap:
        """Boxes (N, 4) xyxy of the instances' pixels, half-open."""
        return label_boxes(self.instances, len(self.labels))

    @property
    def learnable_islands(self) -> NDArray[np.bool_]:
        """(I,) False for islands that are not to be learnt from."""
        return self.island_instance != IGNORED

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(S, S) False where blank."""
        return self.channels[4] > 0

    @property
    def significance(self) -> FloatMap:
        """(S, S) signal to noise, not clipped, NaN where blank."""
        return np.where(self.valid, significance_of_asinh(self.channels[1]), np.float32(np.nan))

    @property
    def smoothed_significance(self) -> FloatMap:
        """(S, S) signal to noise of the smoothed map, in its own noise; 0 where blank."""
        return significance_of_asinh(self.channels[2])

    def replace(self, **changes: Any) -> PreparedTile:
        """The same tile with some fields replaced."""
        return dataclasses.replace(self, **changes)


def label_boxes(labels: NDArray[np.integer], count: int) -> FloatMap:
    """Boxes (count, 4) float32 xyxy, half-open, of the labels 1 ... count; zeros where a label has no pixel."""
    boxes = np.zeros((count, 4), dtype=np.float32)
    for row, found in enumerate(ndimage.find_objects(np.maximum(labels, 0), max_label=count)):
        if found is not None:
            rows, cols = found
            boxes[row] = cols.start, rows.start, cols.stop, rows.stop
    return boxes


def label_peaks(labels: NDArray[np.integer], values: FloatMap, count: int) -> tuple[FloatMap, IntArray]:
    """Largest value (count,) of each of the labels 1 ... count, and its row and column (count, 2).

    -inf and (0, 0) where a label has no pixel.
    """
    pixels = np.flatnonzero(labels > 0)
    ascending = pixels[np.argsort(values.ravel()[pixels], kind="stable")]
    owner = labels.ravel()[ascending]
    place = np.full(count + 1, -1, dtype=np.int64)
    place[owner] = ascending  # the last of equal indices stays: the largest
    present = place[1:] >= 0
    at = np.maximum(place[1:], 0)
    peaks = np.where(present, values.ravel()[at], np.float32(-np.inf)).astype(np.float32)
    return peaks, np.stack(np.divmod(at, labels.shape[1]), axis=1)


@dataclass(frozen=True)
class KeptInstances:
    """Which instances of a larger map stay in a cut-out, and the cut-out's labels.

    Attributes
    ----------
    instances
        (S, S) int16 renumbered labels.
    rows
        (N,) rows of the kept instances in the larger map.
    lookup
        (larger N + 1,) new label of each old one, `IGNORED` for those that were cut.
    """

    instances: IntMap
    rows: IntArray
    lookup: IntArray


def keep_instances(cut: NDArray[np.integer], sizes: IntArray) -> KeptInstances:
    """Renumber the instances in a cut-out and ignore those of which most lies outside.

    Parameters
    ----------
    cut
        (S, S) labels of the larger map in the cut-out; `IGNORED` stays.
    sizes
        (N,) pixels of each instance in the larger map.
    """
    inside = np.bincount(np.maximum(cut, 0).reshape(-1), minlength=len(sizes) + 1)[1:]
    rows = np.flatnonzero((inside > 0) & (inside >= MIN_INSIDE * sizes))
    lookup = np.full(len(sizes) + 1, IGNORED, dtype=np.int64)
    lookup[0] = 0
    lookup[rows + 1] = np.arange(1, len(rows) + 1)
    instances = np.where(cut == IGNORED, IGNORED, lookup[np.maximum(cut, 0)]).astype(np.int16)
    return KeptInstances(instances, rows, lookup)


def renumber_islands(cut: NDArray[np.integer], rows: IntArray, n_islands: int) -> IntMap:
    """Labels (S, S) int16 of a cut-out in which the island in row ``rows[k]`` of the larger map is k + 1."""
    lookup = np.zeros(n_islands + 1, dtype=np.int16)
    lookup[rows + 1] = np.arange(1, len(rows) + 1)
    return lookup[cut]
