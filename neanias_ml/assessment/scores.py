"""Scores of a set of maps by class, with intervals by a bootstrap over areas of the sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.assessment.map_score import MapScore
from neanias_ml.assessment.truth import IOU
from neanias_ml.evaluation import (
    AreaResamples,
    FieldPair,
    Interval,
    caesar_counts,
    confusion_matrix,
    count_by_class,
    match_by_score,
    share,
    sum_by_area,
    weighted_average_precision,
)
from neanias_ml.models.classes import CLASS_NAMES

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

IOUS = np.linspace(0.5, 0.95, 10)
"""Thresholds over which AP is averaged, as COCO does."""
N_CLASSES = len(CLASS_NAMES)


@dataclass(frozen=True)
class ScoredMaps:
    """Scores of all maps, the area of the sky of each, and the draws of areas that all intervals share."""

    maps: tuple[MapScore, ...]
    area: IntArray
    resamples: AreaResamples

    @classmethod
    def of(cls, maps: Sequence[MapScore], areas: Sequence[int]) -> ScoredMaps:
        """Put scores together; ``areas`` counts from 0."""
        area = np.asarray(areas, dtype=np.int64)
        return cls(tuple(maps), area, AreaResamples.draw(int(area.max(initial=0)) + 1))

    def by_area(self, rows: object) -> FloatArray:
        """Counts (M, ...) of the maps summed over each area."""
        return sum_by_area(np.asarray(rows), self.area, n_areas=self.resamples.n_areas)

    def area_of(self, counts: Sequence[int]) -> IntArray:
        """Area of each of so many rows of every map, one after another."""
        return np.repeat(self.area, counts)

    def pairs(self, name: str = "network") -> list[FieldPair]:
        """One of the comparisons of every map: network, boxes, classical or drawn."""
        return [pair for one in self.maps if (pair := getattr(one, name)) is not None]


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class by one method.

    Attributes
    ----------
    true, predicted
        Numbers.
    precision, recall, f1
        One-to-one within the class at mask IoU 0.5.
    ap50, ap, box_ap50
        Average precision at mask IoU 0.5, over 0.5 to 0.95, and at box IoU 0.5; None for a method without scores.
    """

    true: int
    predicted: int
    precision: Interval
    recall: Interval
    f1: Interval
    ap50: Interval | None = None
    ap: Interval | None = None
    box_ap50: Interval | None = None


def class_scores(scored: ScoredMaps) -> dict[str, ClassScores]:
    """Scores of the networks' objects by class."""
    masks = _Ranked.of(scored, "network", IOUS)
    boxes = _Ranked.of(scored, "boxes", IOUS[:1])
    plain = _plain_scores(scored, "network")
    return {
        name: ClassScores(
            **vars(plain[name])
            | {
                "ap50": masks.average_precision(label, scored, thresholds=slice(0, 1)),
                "ap": masks.average_precision(label, scored),
                "box_ap50": boxes.average_precision(label, scored),
            }
        )
        for label, name in enumerate(CLASS_NAMES, start=1)
    }


def classical_scores(scored: ScoredMaps) -> dict[str, ClassScores]:
    """Precision, recall and F1 of the classical rule by class."""
    return _plain_scores(scored, "classical")


def _plain_scores(scored: ScoredMaps, method: str) -> dict[str, ClassScores]:
    counts = count_by_class(scored.pairs(method), n_classes=N_CLASSES, iou_threshold=IOU)
    hits, true, predicted = (scored.by_area(part) for part in (counts.hits, counts.true, counts.predicted))
    result = {}
    for column, name in enumerate(CLASS_NAMES):
        own = [part[:, column] for part in (hits, true, predicted)]
        result[name] = ClassScores(
            true=int(own[1].sum()),
            predicted=int(own[2].sum()),
            precision=scored.resamples.of_counts(share, own[0], own[2]),
            recall=scored.resamples.of_counts(share, own[0], own[1]),
            f1=scored.resamples.of_counts(_f1, *own),
        )
    return result


def f1_of_all(scored: ScoredMaps, method: str = "network") -> Interval:
    """F1 over all classes: hits, true and predicted objects summed."""
    counts = count_by_class(scored.pairs(method), n_classes=N_CLASSES, iou_threshold=IOU)
    parts = (scored.by_area(part.sum(axis=1)) for part in (counts.hits, counts.true, counts.predicted))
    return scored.resamples.of_counts(_f1, *parts)


def _f1(hits: FloatArray, true: FloatArray, predicted: FloatArray) -> FloatArray:
    return share(2.0 * hits, true + predicted)


@dataclass(frozen=True)
class _Ranked:
    """Predictions of all maps and which of them are hits at each threshold (T, N)."""

    labels: IntArray
    scores: FloatArray
    hits: BoolArray
    area: IntArray
    true_counts: FloatArray
    """(A, classes) true objects"""

    @classmethod
    def of(cls, scored: ScoredMaps, method: str, thresholds: FloatArray) -> _Ranked:
        pairs = scored.pairs(method)
        true = np.array([np.bincount(pair.true.labels, minlength=N_CLASSES + 1)[1:] for pair in pairs])
        return cls(
            labels=np.concatenate([pair.predicted.labels for pair in pairs]),
            scores=np.concatenate([pair.predicted.scores for pair in pairs]),
            hits=np.stack([np.concatenate([match_by_score(pair, threshold=t) for pair in pairs]) for t in thresholds]),
            area=scored.area_of([len(pair.predicted) for pair in pairs]),
            true_counts=scored.by_area(true),
        )

    def average_precision(self, label: int, scored: ScoredMaps, *, thresholds: slice = slice(None)) -> Interval:
        """Mean over thresholds of the average precision of a class."""
        own = np.flatnonzero(self.labels == label)
        own = own[np.argsort(-self.scores[own], kind="stable")]
        scores, hits, area = self.scores[own], self.hits[thresholds][:, own], self.area[own]
        true = self.true_counts[:, label - 1]

        def mean(weights: FloatArray) -> float:
            n_true = float(true @ weights)
            values = [weighted_average_precision(scores, row, n_true=n_true, weights=weights[area]) for row in hits]
            return float(np.mean(values))

        return scored.resamples.of_weights(mean)


@dataclass(frozen=True)
class CaesarReport:
    """Completeness and reliability as caesar-mrcnn defines them: of all objects, and by class."""

    completeness: Interval
    reliability: Interval
    by_class: dict[str, tuple[Interval, Interval]]


def caesar_report(scored: ScoredMaps) -> CaesarReport:
    """CAESAR's compatibility mode: mask IoU 0.6, score 0.7, not one-to-one."""
    counts = caesar_counts(scored.pairs(), n_classes=N_CLASSES)
    found, true = scored.by_area(counts.table.sum(axis=2)), scored.by_area(counts.true)
    pure, detections = scored.by_area(counts.pure), scored.by_area(counts.detections)
    ratio = scored.resamples.of_counts
    return CaesarReport(
        completeness=ratio(share, found.sum(axis=1), true.sum(axis=1)),
        reliability=ratio(share, pure.sum(axis=1), detections.sum(axis=1)),
        by_class={
            name: (ratio(share, found[:, k], true[:, k]), ratio(share, pure[:, k], detections[:, k]))
            for k, name in enumerate(CLASS_NAMES)
        },
    )


def confusion(scored: ScoredMaps) -> IntArray:
    """(6, 6) true against predicted class, background first."""
    return confusion_matrix(scored.pairs(), n_classes=N_CLASSES, iou_threshold=IOU)
