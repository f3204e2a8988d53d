"""Instances of one field as sets of pixels, and their overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


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


def field_pairs(true: Sequence[Instances], predicted: Sequence[Instances]) -> list[FieldPair]:
    """Pair fields one by one, in order."""
    if len(true) != len(predicted):
        raise ValueError(f"{len(true)} fields of truth but {len(predicted)} of predictions")
    return [FieldPair.of(one, other) for one, other in zip(true, predicted, strict=True)]
