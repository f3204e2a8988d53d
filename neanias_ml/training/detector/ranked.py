"""Average precision of each class over all detections, with intervals over sky fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from neanias_ml.evaluation import FieldPair, Interval, match_by_score
from neanias_ml.evaluation.areas import AreaResamples, sum_by_area
from neanias_ml.evaluation.precision_recall import weighted_average_precision

FloatArray = NDArray[np.float64]


def average_precision_by_class(
    pairs: Sequence[FieldPair], fields: Sequence[str], *, n_classes: int, iou_threshold: float
) -> list[Interval]:
    """COCO's average precision at one mask IoU, per class.

    Parameters
    ----------
    pairs
        Truth and detections of tiles; the detections of all scores, or the curve would end at the thresholds.
    fields
        Field of each tile: tiles of a field are drawn together.
    n_classes
        Number of classes.
    iou_threshold
        Mask IoU from which a detection is a hit.
    """
    names, field = np.unique(np.asarray(fields), return_inverse=True)
    resamples = AreaResamples.draw(len(names))
    place = np.repeat(field, [len(pair.predicted) for pair in pairs])
    labels = np.concatenate([pair.predicted.labels for pair in pairs])
    scores = np.concatenate([pair.predicted.scores for pair in pairs])
    hits = np.concatenate([match_by_score(pair, threshold=iou_threshold) for pair in pairs])
    found = []
    for label in range(1, n_classes + 1):
        own = labels == label
        n_true = sum_by_area([(pair.true.labels == label).sum() for pair in pairs], field, n_areas=len(names))
        found.append(resamples.of_weights(partial(_average, scores[own], hits[own], place[own], n_true)))
    return found


def _average(
    scores: FloatArray, hits: NDArray[np.bool_], place: NDArray[np.int64], n_true: FloatArray, weights: FloatArray
) -> float:
    """Average precision where each field counts so often."""
    return weighted_average_precision(scores, hits, n_true=float(n_true @ weights), weights=weights[place])
