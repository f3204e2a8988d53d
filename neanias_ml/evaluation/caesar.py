"""The metric definitions of caesar-mrcnn, for comparison with its published tables.

A true object counts as found when any detection reaches the mask IoU, and one detection may serve several
true objects (matching is not one-to-one): Riggi et al. 2023, Astronomy and Computing 42, 100682.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def caesar_scores(
    pairs: Sequence[FieldPair],
    *,
    n_classes: int,
    iou_threshold: float = IOU_THRESHOLD,
    score_threshold: float = SCORE_THRESHOLD,
) -> CaesarScores:
    """Score fields by the definitions of caesar-mrcnn; NaN where a class has no member."""
    table = np.zeros((n_classes, n_classes))
    true, detections, pure = np.zeros(n_classes), np.zeros(n_classes), np.zeros(n_classes)
    for pair in pairs:
        kept = pair.predicted.scores >= score_threshold
        iou = pair.iou.toarray() * kept
        iou[iou < iou_threshold] = 0.0
        np.add.at(true, pair.true.labels - 1, 1)
        np.add.at(detections, pair.predicted.labels[kept] - 1, 1)
        if iou.size == 0:
            continue
        found = np.flatnonzero(iou.max(axis=1) > 0)
        best = iou[found].argmax(axis=1)
        np.add.at(table, (pair.true.labels[found] - 1, pair.predicted.labels[best] - 1), 1)
        matched = np.flatnonzero(iou.max(axis=0) > 0)
        same = pair.true.labels[iou[:, matched].argmax(axis=0)] == pair.predicted.labels[matched]
        np.add.at(pure, pair.predicted.labels[matched[same]] - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return CaesarScores(
            completeness=table.sum(axis=1) / true,
            classification=table / true[:, None],
            reliability=pure / detections,
            overall_completeness=float(np.divide(table.sum(), true.sum())),
            overall_reliability=float(np.divide(pure.sum(), detections.sum())),
        )
