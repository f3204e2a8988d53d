"""The metric definitions of caesar-mrcnn, for comparison with its published tables.

A true object counts as found when any detection reaches the mask IoU, and one detection may serve several
true objects (matching is not one-to-one): Riggi et al. 2023, Astronomy and Computing 42, 100682.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neanias_ml.evaluation.instances import FieldPair

FloatArray = NDArray[np.float64]
IOU_THRESHOLD = 0.6
SCORE_THRESHOLD = 0.7


@dataclass(frozen=True)
class CaesarScores:
    """Completeness and reliability as caesar-mrcnn counts them; arrays of shape (number of classes,).

    Attributes
    ----------
    completeness
        True objects of the class with a match of any class / true objects of the class.
    classification
        (n, n) share of the true objects of a class (row) whose best match has the class of the column.
    reliability
        Detections of the class whose best true object is of the class / detections of the class.
    overall_completeness, overall_reliability
        The same over all classes (class of the match ignored for completeness, equal for reliability).
    """

    completeness: FloatArray
    classification: FloatArray
    reliability: FloatArray
    overall_completeness: float
    overall_reliability: float


@dataclass(frozen=True)
class CaesarCounts:
    """What the scores are made of, field by field, so that fields can be summed or drawn again.

    Attributes
    ----------
    table
        (F, n, n) found true objects by their class (row) and that of their best match (column).
    true, detections, pure
        (F, n) true objects, detections, and detections whose best true object is of their class.
    """

    table: FloatArray
    true: FloatArray
    detections: FloatArray
    pure: FloatArray


def caesar_counts(
    pairs: Sequence[FieldPair],
    *,
    n_classes: int,
    iou_threshold: float = IOU_THRESHOLD,
    score_threshold: float = SCORE_THRESHOLD,
) -> CaesarCounts:
    """Count by the definitions of caesar-mrcnn, one row per field."""
    table = np.zeros((len(pairs), n_classes, n_classes))
    true, detections, pure = (np.zeros((len(pairs), n_classes)) for _ in range(3))
    for field, pair in enumerate(pairs):
        kept = pair.predicted.scores >= score_threshold
        counted = kept[pair.iou.col] & (pair.iou.data >= iou_threshold)
        iou = sparse.csr_array(
            (pair.iou.data[counted], (pair.iou.row[counted], pair.iou.col[counted])), shape=pair.iou.shape
        )
        np.add.at(true[field], pair.true.labels - 1, 1)
        np.add.at(detections[field], pair.predicted.labels[kept] - 1, 1)
        if iou.nnz == 0:
            continue
        found, matched = np.unique(pair.iou.row[counted]), np.unique(pair.iou.col[counted])
        best = np.asarray(iou.argmax(axis=1)).reshape(-1)[found]
        np.add.at(table[field], (pair.true.labels[found] - 1, pair.predicted.labels[best] - 1), 1)
        nearest = np.asarray(iou.argmax(axis=0)).reshape(-1)[matched]
        same = pair.true.labels[nearest] == pair.predicted.labels[matched]
        np.add.at(pure[field], pair.predicted.labels[matched[same]] - 1, 1)
    return CaesarCounts(table, true, detections, pure)


def caesar_scores(
    pairs: Sequence[FieldPair],
    *,
    n_classes: int,
    iou_threshold: float = IOU_THRESHOLD,
    score_threshold: float = SCORE_THRESHOLD,
) -> CaesarScores:
    """Score fields by the definitions of caesar-mrcnn; NaN where a class has no member."""
    counts = caesar_counts(
        pairs, n_classes=n_classes, iou_threshold=iou_threshold, score_threshold=score_threshold
    )
    table, true, detections, pure = (
        part.sum(axis=0) for part in (counts.table, counts.true, counts.detections, counts.pure)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return CaesarScores(
            completeness=table.sum(axis=1) / true,
            classification=table / true[:, None],
            reliability=pure / detections,
            overall_completeness=float(np.divide(table.sum(), true.sum())),
            overall_reliability=float(np.divide(pure.sum(), detections.sum())),
        )
