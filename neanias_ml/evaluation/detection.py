"""Detection metrics by class: precision, recall, F1, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neanias_ml.evaluation.instances import FieldPair
from neanias_ml.evaluation.matching import match_one_to_one

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ClassCounts:
    """Hits, true instances and predictions of each class, shape (..., number of classes)."""

    hits: IntArray
    true: IntArray
    predicted: IntArray

    def total(self) -> ClassCounts:
        """Summed over the first axis (fields)."""
        return ClassCounts(self.hits.sum(axis=0), self.true.sum(axis=0), self.predicted.sum(axis=0))

    @property
    def recall(self) -> FloatArray:
        """Completeness: hits / true; NaN without true instances."""
        return _ratio(self.hits, self.true)

    @property
    def precision(self) -> FloatArray:
        """Reliability: hits / predicted; NaN without predictions."""
        return _ratio(self.hits, self.predicted)

    @property
    def f1(self) -> FloatArray:
        """2 hits / (true + predicted), the harmonic mean of precision and recall; NaN for an unseen class."""
        return _ratio(2 * self.hits, self.true + self.predicted)


def _ratio(numerator: IntArray, denominator: IntArray) -> FloatArray:
    result = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)
    return result


def count_by_class(
    pairs: Sequence[FieldPair], *, n_classes: int, iou_threshold: float = 0.5, score_threshold: float = 0.0
) -> ClassCounts:
    """Hits per field and class, shape (number of fields, n_classes), by one-to-one matching within each class.

    A hit needs the same class and a mask IoU of at least ``iou_threshold``. Keep the fields apart for a
    bootstrap; ``total()`` sums them.
    """
    counts = np.zeros((3, len(pairs), n_classes), dtype=np.int64)
    for field, pair in enumerate(pairs):
        kept = pair.predicted.scores >= score_threshold
        same = pair.true.labels[pair.iou.row] == pair.predicted.labels[pair.iou.col]
        rows, _ = match_one_to_one(_restricted(pair.iou, same & kept[pair.iou.col]), threshold=iou_threshold)
        counts[0, field] = _tally(pair.true.labels[rows], n_classes)
        counts[1, field] = _tally(pair.true.labels, n_classes)
        counts[2, field] = _tally(pair.predicted.labels[kept], n_classes)
    return ClassCounts(*counts)


def _restricted(iou: sparse.coo_array, keep: NDArray[np.bool_]) -> sparse.coo_array:
    return sparse.coo_array((iou.data[keep], (iou.row[keep], iou.col[keep])), shape=iou.shape)


def _tally(labels: IntArray, n_classes: int) -> IntArray:
    return np.bincount(labels, minlength=n_classes + 1)[1 : n_classes + 1].astype(np.int64)


def confusion_matrix(
    pairs: Sequence[FieldPair], *, n_classes: int, iou_threshold: float = 0.5, score_threshold: float = 0.0
) -> IntArray:
    """Counts (n_classes + 1, n_classes + 1) of true (row) against predicted (column) class, class-blind matching.

    Row 0 holds predictions without a true instance, column 0 true instances without a prediction; entry
    (0, 0) is 0.
    """
    matrix = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)
    for pair in pairs:
        kept = pair.predicted.scores >= score_threshold
        rows, columns = match_one_to_one(_restricted(pair.iou, kept[pair.iou.col]), threshold=iou_threshold)
        np.add.at(matrix, (pair.true.labels[rows], pair.predicted.labels[columns]), 1)
        missed = np.delete(pair.true.labels, rows)
        kept[columns] = False
        np.add.at(matrix[:, 0], missed, 1)
        np.add.at(matrix[0], pair.predicted.labels[kept], 1)
    return matrix
