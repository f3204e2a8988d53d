"""Everything that is measured, computed once for tables, pictures, report and file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.assessment import scores as by_class
from neanias_ml.assessment.answers import (
    SPURIOUS_JUDGES,
    StatedAnswers,
    class_answers,
    object_answers,
    rejection,
    spurious_answers,
)
from neanias_ml.assessment.binned import (
    EXTENDED_LABELS,
    BinnedShare,
    binned_shares,
    completeness,
    has_drawn_labels,
)
from neanias_ml.assessment.groupings import GroupingReport, grouping_reports, linking_curve
from neanias_ml.assessment.scores import CaesarReport, ClassScores, ScoredMaps
from neanias_ml.assessment.truth import IOU
from neanias_ml.evaluation import Interval, PrecisionRecallCurve, precision_recall_by_class
from neanias_ml.evaluation.report import EvaluationReport, Metric
from neanias_ml.models.classes import CLASS_NAMES

PRIMARY = "f1_all"
NETWORK = "detection"
"""What is evaluated: the whole way from islands to objects."""
DIGITS = 4


@dataclass(frozen=True)
class Findings:
    """What came out.

    Attributes
    ----------
    counts
        Maps, areas, islands, objects and the like.
    classes, classical
        Scores by class, of the networks and of the classical rule.
    f1
        F1 over all classes by method: network, classical.
    completeness
        Share of true sources found as a source of any class: of each class, of ``extended_or_multisland``, and with
        ``drawn_`` before the name against the labels as they were drawn.
    caesar
        CAESAR's own definitions.
    confusion
        (6, 6) counts.
    binned
        Completeness and reliability by signal to noise, size and distance to bright sources.
    answers, calibration
        Stated probabilities of classes, objects and P(spurious), and their expected calibration errors.
    rejection, judges
        Share of spurious islands rejected at 95 % of real ones kept, by judge, and what each judge says.
    groupings, linking_length, linking_curve
        Metrics of groupings by method, the best length, and the exact sets at every length.
    curves
        Precision and recall of each class at mask IoU 0.5.
    """

    counts: Mapping[str, int]
    classes: Mapping[str, ClassScores]
    classical: Mapping[str, ClassScores]
    f1: Mapping[str, Interval]
    completeness: Mapping[str, Interval]
    caesar: CaesarReport
    confusion: NDArray[np.int64]
    binned: Mapping[str, tuple[BinnedShare, BinnedShare]]
    answers: Mapping[str, StatedAnswers]
    calibration: Mapping[str, Interval]
    rejection: Mapping[str, Interval]
    judges: Mapping[str, StatedAnswers]
    groupings: Mapping[str, GroupingReport]
    linking_length: float
    linking_curve: NDArray[np.float64]
    curves: tuple[PrecisionRecallCurve, ...]


def measure(scored: ScoredMaps) -> Findings:
    """Compute all metrics of scored maps."""
    groupings, length = grouping_reports(scored)
    judges = {judge: spurious_answers(scored, judge) for judge in SPURIOUS_JUDGES}
    answers = {
        "class": class_answers(scored),
        "object": object_answers(scored),
        "p_spurious": judges["network"],
    }
    return Findings(
        counts=_counts(scored),
        classes=by_class.class_scores(scored),
        classical=by_class.classical_scores(scored),
        f1={method: by_class.f1_of_all(scored, method) for method in ("network", "classical")},
        completeness=dict(_completeness(scored)),
        caesar=by_class.caesar_report(scored),
        confusion=by_class.confusion(scored),
        binned=binned_shares(scored),
        answers=answers,
        calibration={name: answer.error(scored) for name, answer in answers.items()},
        rejection={judge: rejection(scored, judge) for judge in SPURIOUS_JUDGES},
        judges=judges,
        groupings=groupings,
        linking_length=length,
        linking_curve=linking_curve(scored),
        curves=tuple(
            precision_recall_by_class(scored.pairs(), n_classes=len(CLASS_NAMES), iou_threshold=IOU)
        ),
    )


def _counts(scored: ScoredMaps) -> dict[str, int]:
    maps = scored.maps
    spurious = sum(int(one.islands.is_spurious.sum()) for one in maps)
    known = sum(len(one.islands.snr) for one in maps)
    return {
        "maps": len(maps),
        "areas of the sky": scored.resamples.n_areas,
        "blank maps": sum(one.is_blank for one in maps),
        "true objects": sum(len(one.network.true) for one in maps),
        "labelled objects without an island": sum(one.n_without_island for one in maps),
        "islands": sum(one.n_islands for one in maps),
        "islands known to be real": known - spurious,
        "islands known to be spurious": spurious,
        "catalogued objects": sum(one.n_objects for one in maps),
        "catalogued objects that are judged": sum(len(one.network.predicted) for one in maps),
    }


def _completeness(scored: ScoredMaps) -> Iterator[tuple[str, Interval]]:
    methods = {"": "network", "drawn_": "drawn"} if has_drawn_labels(scored) else {"": "network"}
    for prefix, method in methods.items():
        for label, name in enumerate(CLASS_NAMES, start=1):
            if name != "spurious":
                yield prefix + name, completeness(scored, [label], method=method)
        yield f"{prefix}extended_or_multisland", completeness(scored, EXTENDED_LABELS, method=method)


def metrics_of(findings: Findings) -> dict[str, Metric]:
    """All figures of the networks that are better when larger, by name; those that are not defined are left out."""
    named = {PRIMARY: findings.f1["network"]}
    for name, scores in findings.classes.items():
        for metric in ("precision", "recall", "f1", "ap50", "ap", "box_ap50"):
            named[f"{metric}_{name}"] = getattr(scores, metric)
    named |= {f"completeness_{name}": interval for name, interval in findings.completeness.items()}
    named |= {
        "caesar_completeness": findings.caesar.completeness,
        "caesar_reliability": findings.caesar.reliability,
        "spurious_rejected": findings.rejection["network"],
    }
    named |= findings.groupings["network"].metrics
    metrics = {name: as_metric(interval) for name, interval in named.items() if _is_share(interval.value)}
    # a set with nothing to find but labels that no island holds still has a score: nothing was found
    return {PRIMARY: Metric(value=0.0)} | metrics


def _is_share(value: float) -> bool:
    """Whether a value is between 0 and 1; the adjusted Rand index of a grouping worse than chance is not."""
    return math.isfinite(value) and 0.0 <= value <= 1.0


def as_metric(interval: Interval) -> Metric:
    """A finite interval rounded, for a report."""
    ends = [round(end, DIGITS) if math.isfinite(end) else None for end in (interval.low, interval.high)]
    return Metric(value=round(interval.value, DIGITS), low=ends[0], high=ends[1])


def plain_interval(interval: Interval) -> dict[str, float | None]:
    """The same as JSON values; None where there is no number."""
    parts = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: round(part, DIGITS) if math.isfinite(part) else None for name, part in parts.items()}


def evaluation_report(
    findings: Findings, *, model_digest: str, data_digest: str, split: str, details: Mapping[str, Any]
) -> EvaluationReport:
    """The report for programs, which the registry can compare.

    Parameters
    ----------
    details
        JSON values on the run, kept beside those of the findings.
    """
    return EvaluationReport(
        network=NETWORK,
        bundle_digest=model_digest,
        data_digest=data_digest,
        split=split,
        primary=PRIMARY,
        metrics=metrics_of(findings),
        details={
            **details,
            "counts": dict(findings.counts),
            "calibration_error": {name: plain_interval(one) for name, one in findings.calibration.items()},
            "baselines": {
                "f1_all": {"classical rule": plain_interval(findings.f1["classical"])},
                "spurious_rejected": {
                    judge: plain_interval(one) for judge, one in findings.rejection.items() if judge != "network"
                },
                "grouping": {
                    method: {name: plain_interval(one) for name, one in report.metrics.items()}
                    for method, report in findings.groupings.items()
                    if method != "network"
                },
                "linking_length_beams": round(findings.linking_length, DIGITS),
            },
            "confusion": findings.confusion.tolist(),
        },
    )
