"""Instances of one field as sets of pixels, and their overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BOXES_AT_A_TIME = 256
"""True boxes that are compared with all others at once, which bounds the memory of crowded fields."""


@dataclass(frozen=True)
class Instances:
    """Labelled instances of one field (a map or a tile); masks may overlap.

    Attributes
    ----------
    membership
        (N, ny * nx) sparse 0/1 matrix: the pixels (row-major index) of each instance.
    labels
        (N,) class labels, 1-based.
    scores
        (N,) confidences; 1 for true instances.
    """

    membership: sparse.csr_array
    labels: IntArray
    scores: FloatArray

    def __post_init__(self) -> None:
        number = self.membership.shape[0]
        if self.labels.shape != (number,) or self.scores.shape != (number,):
            raise ValueError(
                f"{number} masks need as many labels and scores, not {self.labels.shape} and {self.scores.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def areas(self) -> FloatArray:
        """(N,) numbers of pixels."""
        return np.asarray(self.membership.sum(axis=1), dtype=np.float64).reshape(-1)

    @classmethod
    def from_masks(cls, masks: ArrayLike, *, labels: ArrayLike, scores: ArrayLike | None = None) -> Instances:
        """From boolean masks (N, ny, nx)."""
        stack = np.asarray(masks, dtype=bool)
        size = int(np.prod(stack.shape[1:]))
        rows, pixels = np.nonzero(stack.reshape(len(stack), size))
        return cls._build(rows, pixels, size=size, labels=labels, scores=scores)

    @classmethod
    def from_pixels(
        cls, pixels: Sequence[IntArray], *, size: int, labels: ArrayLike, scores: ArrayLike | None = None
    ) -> Instances:
        """From the row-major pixel indices of each instance in a map of ``size`` pixels."""
        rows = np.repeat(np.arange(len(pixels)), [len(one) for one in pixels])
        places = np.concatenate([np.empty(0, dtype=np.int64), *pixels])
        return cls._build(rows, places, size=size, labels=labels, scores=scores)

    @classmethod
    def from_label_map(
        cls, label_map: ArrayLike, *, ids: ArrayLike, labels: ArrayLike, scores: ArrayLike | None = None
    ) -> Instances:
        """From an instance map (ny, nx) whose pixels hold one of ``ids`` (N,); other pixels are ignored."""
        flat, wanted = np.asarray(label_map).reshape(-1), np.asarray(ids, dtype=np.int64)
        pixels = np.flatnonzero(np.isin(flat, wanted))
        order = np.argsort(wanted)
        rows = order[np.searchsorted(wanted, flat[pixels], sorter=order)] if len(wanted) else pixels
        return cls._build(rows, pixels, size=flat.size, labels=labels, scores=scores)

    @classmethod
    def _build(
        cls, rows: IntArray, pixels: IntArray, *, size: int, labels: ArrayLike, scores: ArrayLike | None
    ) -> Instances:
        classes = np.asarray(labels, dtype=np.int64).reshape(-1)
        confidence = np.ones(len(classes)) if scores is None else np.asarray(scores, dtype=np.float64).reshape(-1)
        ones = np.ones(len(pixels), dtype=np.float32)
        matrix = sparse.coo_array((ones, (rows, pixels)), shape=(len(classes), size)).tocsr()
        return cls(membership=matrix, labels=classes, scores=confidence)

    def select(self, rows: ArrayLike) -> Instances:
        """Instances by boolean mask or index array."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return Instances(self.membership[index], self.labels[index], self.scores[index])


    def without_masks(self) -> Instances:
        """Labels and scores alone: all that metrics need once the overlaps are known."""
        return Instances(sparse.csr_array((len(self), 0), dtype=np.float32), self.labels, self.scores)

    def ignored_share(self, ignored: ArrayLike) -> FloatArray:
        """Part (N,) of each mask that lies on the pixels of a boolean map; 1 for a mask without a pixel."""
        inside = self.membership @ np.asarray(ignored, dtype=np.float32).reshape(-1)
        areas = self.areas
        return np.divide(inside, areas, out=np.ones(len(self)), where=areas > 0)

    def boxes(self, *, width: int) -> IntArray:
        """(N, 4) x0, y0, x1, y1 around each mask, half-open pixels; zeros for a mask without a pixel.

        Parameters
        ----------
        width
            Pixels in a row of the map.
        """
        boxes = np.zeros((len(self), 4), dtype=np.int64)
        filled = np.flatnonzero(np.diff(self.membership.indptr))
        if len(filled):
            y, x = np.divmod(self.membership.indices.astype(np.int64), width)
            starts = self.membership.indptr[filled]
            least = [np.minimum.reduceat(places, starts) for places in (x, y)]
            most = [np.maximum.reduceat(places, starts) + 1 for places in (x, y)]
            boxes[filled] = np.stack([*least, *most], axis=1)
        return boxes


def box_iou(true: ArrayLike, predicted: ArrayLike) -> sparse.coo_array:
    """Intersection over union (N, M) of boxes x0, y0, x1, y1 (half-open), non-zero entries only."""
    one, other = (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) for boxes in (true, predicted))
    blocks = [_block_iou(one[start : start + BOXES_AT_A_TIME], other) for start in range(0, len(one), BOXES_AT_A_TIME)]
    if not blocks:
        return sparse.coo_array((len(one), len(other)), dtype=np.float64)
    return sparse.vstack(blocks, format="coo")


def _block_iou(one: FloatArray, other: FloatArray) -> sparse.coo_array:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.maximum(high - low, 0.0).prod(axis=2)
    areas = [np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).prod(axis=1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return sparse.coo_array(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def mask_iou(true: Instances, predicted: Instances) -> sparse.coo_array:
    """Intersection over union (N, M) of the masks of two sets of instances, non-zero entries only."""
    if true.membership.shape[1] != predicted.membership.shape[1]:
        raise ValueError("true and predicted instances are not of the same field: their maps differ in size")
    overlap = (true.membership @ predicted.membership.T).tocoo()
    union = true.areas[overlap.row] + predicted.areas[overlap.col] - overlap.data
    return sparse.coo_array((overlap.data / union, (overlap.row, overlap.col)), shape=overlap.shape)


@dataclass(frozen=True)
class FieldPair:
    """True and predicted instances of one field with their mask overlaps (computed once)."""

    true: Instances
    predicted: Instances
    iou: sparse.coo_array

    @classmethod
    def of(cls, true: Instances, predicted: Instances) -> FieldPair:
        """Pair the two sets."""
        return cls(true, predicted, mask_iou(true, predicted))

    def without_masks(self) -> FieldPair:
        """The same without the pixels, small enough to keep for thousands of fields."""
        return FieldPair(self.true.without_masks(), self.predicted.without_masks(), self.iou)


def field_pairs(true: Sequence[Instances], predicted: Sequence[Instances]) -> list[FieldPair]:
    """Pair fields one by one, in order."""
    if len(true) != len(predicted):
        raise ValueError(f"{len(true)} fields of truth but {len(predicted)} of predictions")
    return [FieldPair.of(one, other) for one, other in zip(true, predicted, strict=True)]
