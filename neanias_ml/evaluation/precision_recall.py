"""Precision against recall over the scores of predictions, and its mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neanias_ml.evaluation.instances import FieldPair
from neanias_ml.evaluation.matching import match_by_score

FloatArray = NDArray[np.float64]
RECALL_POINTS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall of the predictions at or above each score.

    Attributes
    ----------
    scores
        (K,) distinct scores, falling.
    precision, recall
        (K,) of the predictions of at least that score; recall is NaN without anything true.
    n_true
        Number of true instances.
    average_precision
        COCO's mean over 101 recalls of the largest precision at that recall or beyond; NaN without anything true.
    """

    scores: FloatArray
    precision: FloatArray
    recall: FloatArray
    n_true: int
    average_precision: float

    def at(self, threshold: float) -> tuple[float, float] | None:
        """Precision and recall of the predictions of at least a score; None where there are none."""
        kept = int((self.scores >= threshold).sum())
        return (float(self.precision[kept - 1]), float(self.recall[kept - 1])) if kept else None


def precision_recall_curve(scores: ArrayLike, correct: ArrayLike, *, n_true: int) -> PrecisionRecallCurve:
    """The curve of predictions (N,) of which ``correct`` ones are hits, out of ``n_true`` true instances."""
    confidence, hits = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=bool)
    if confidence.ndim != 1 or confidence.shape != hits.shape:
        raise ValueError(f"scores and hits differ in shape: {confidence.shape} and {hits.shape}")
    order = np.argsort(-confidence, kind="stable")
    confidence, found = confidence[order], np.cumsum(hits[order])
    precision = found / np.arange(1, len(order) + 1)
    recall = found / n_true if n_true else np.full(len(order), np.nan)
    last = np.append(np.diff(confidence) != 0, True)[: len(order)]  # equal scores are let in together
    return PrecisionRecallCurve(
        scores=confidence[last],
        precision=precision[last],
        recall=recall[last],
        n_true=n_true,
        average_precision=_average(precision, recall) if n_true else float("nan"),
    )


def _average(precision: FloatArray, recall: FloatArray) -> float:
    if not len(precision):
        return 0.0
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, RECALL_POINTS, side="left")
    reached = place < len(recall)
    return float(np.where(reached, envelope[np.minimum(place, len(recall) - 1)], 0.0).mean())


def weighted_average_precision(
    scores: ArrayLike, correct: ArrayLike, *, n_true: float, weights: ArrayLike
) -> float:
    """Average precision of predictions (N,) that count ``weights`` (N,) times each, in any order.

    With weights of 1 it is that of `precision_recall_curve`; a bootstrap over areas of the sky gives each area's
    predictions the number of times that it was drawn.

    Parameters
    ----------
    n_true
        Weighted number of true instances; the result is NaN for 0.
    """
    if n_true <= 0:
        return float("nan")
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    counted = np.asarray(weights, dtype=np.float64)[order]
    kept = counted > 0
    hits = np.asarray(correct, dtype=bool)[order][kept]
    found = np.cumsum(np.where(hits, counted[kept], 0.0))
    return _average(found / np.cumsum(counted[kept]), found / n_true)


def precision_recall_by_class(
    pairs: Sequence[FieldPair], *, n_classes: int, iou_threshold: float = 0.5
) -> list[PrecisionRecallCurve]:
    """The curve of each class; a hit needs the same class and a mask IoU of at least ``iou_threshold``."""
    labels = np.concatenate([pair.predicted.labels for pair in pairs] or [np.empty(0, np.int64)])
    scores = np.concatenate([pair.predicted.scores for pair in pairs] or [np.empty(0)])
    hits = np.concatenate([match_by_score(pair, threshold=iou_threshold) for pair in pairs] or [np.empty(0, bool)])
    true = np.concatenate([pair.true.labels for pair in pairs] or [np.empty(0, np.int64)])
    return [
        precision_recall_curve(scores[labels == label], hits[labels == label], n_true=int((true == label).sum()))
        for label in range(1, n_classes + 1)
    ]


def average_precision(pairs: Sequence[FieldPair], *, n_classes: int, iou_threshold: float = 0.5) -> FloatArray:
    """COCO's average precision (101 recall points) of each class, shape (n_classes,); NaN without true instances.

    Reference: Lin et al. 2014, arXiv:1405.0312.
    """
    curves = precision_recall_by_class(pairs, n_classes=n_classes, iou_threshold=iou_threshold)
    return np.array([curve.average_precision for curve in curves])
