"""A morphology network scored on cutouts: calibration, the limit of what is sure, metrics with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.field_names import source_of_field
from neanias_ml.evaluation import bootstrap_interval, expected_calibration_error
from neanias_ml.evaluation.report import Metric
from neanias_ml.models.morphology.classes import (
    MORPHOLOGY_NAMES,
    bent_untold,
    edge_brightened,
    told_apart,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
N_CLASSES = len(MORPHOLOGY_NAMES)
N_RESAMPLES = 500
N_BINS = 10
"""Of confidence, for the calibration error; sets of labelled objects are small."""


@dataclass(frozen=True)
class MorphologyOutcome:
    """What a network says of some objects, beside what they are.

    Where the labels of a set do not tell bent galaxies from FR-I ones, neither do its answers here.

    Attributes
    ----------
    probabilities
        (N, 9) calibrated, in the order of ``MORPHOLOGY_NAMES``.
    labels
        (N,) index of the true class.
    fields
        (N,) names of the sky fields, which are the independent units.
    certainty
        (N,) how sure the labels are, 0 to 1.
    """

    probabilities: FloatArray
    labels: IntArray
    fields: Sequence[str]
    certainty: FloatArray

    @cached_property
    def said(self) -> FloatArray:
        """(N, 9) probabilities of what the labels can tell apart."""
        return told_apart(self.probabilities, bent_untold(self.fields))

    @property
    def sources(self) -> NDArray[np.str_]:
        """(N,) label set of each object."""
        return np.array([source_of_field(field) for field in self.fields], dtype=np.str_)

    def rows(self, chosen: NDArray[np.bool_]) -> MorphologyOutcome:
        """Some of the objects, by a mask (N,)."""
        kept = np.flatnonzero(chosen)
        fields = [self.fields[row] for row in kept.tolist()]
        return MorphologyOutcome(self.probabilities[kept], self.labels[kept], fields, self.certainty[kept])

    @property
    def confidence(self) -> FloatArray:
        """(N,) probability of the most probable class."""
        return np.asarray(self.said.max(axis=1))

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the most probable class is the true one."""
        return np.asarray(self.said.argmax(axis=1) == self.labels)

    @property
    def confusion(self) -> IntArray:
        """(9, 9) counts of true (row) against most probable (column) class."""
        return self._confusions(np.zeros(len(self.labels), dtype=np.int64), 1)[0]

    @property
    def field_confusions(self) -> IntArray:
        """(fields, 9, 9) the same for each field."""
        names, field = np.unique(np.asarray(self.fields), return_inverse=True)
        return self._confusions(field, len(names))

    def _confusions(self, group: IntArray, count: int) -> IntArray:
        counts = np.zeros((count, N_CLASSES, N_CLASSES), dtype=np.int64)
        np.add.at(counts, (group, self.labels, self.said.argmax(axis=1)), 1)
        return counts


def sure_limit(confidence: FloatArray, right: NDArray[np.bool_], *, accuracy: float) -> float:
    """Lowest limit on the probability such that the answers at or above it have an accuracy; 1 where none has.

    Parameters
    ----------
    confidence, right
        (N,) probability of each answer, and whether it is right.
    accuracy
        Share of right answers that is asked for; 0 gives the limit 0.
    """
    if accuracy <= 0:
        return 0.0
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last = np.append(np.diff(ordered) != 0, True)[: len(ordered)]  # equal probabilities stay together
    enough = np.flatnonzero(last & (share >= accuracy))
    return float(ordered[enough[-1]]) if len(enough) else 1.0


def balanced_accuracy(confusions: IntArray) -> float:
    """Mean recall of the classes that occur, from (fields, 9, 9) counts; NaN without any object."""
    total = confusions.sum(axis=0)
    true = total.sum(axis=1)
    return float(np.mean(total.diagonal()[true > 0] / true[true > 0])) if true.any() else float("nan")


def accuracy(confusions: IntArray) -> float:
    """Share of right answers, from (fields, 9, 9) counts; NaN without any object."""
    total = confusions.sum(axis=0)
    return float(total.trace() / total.sum()) if total.any() else float("nan")


def f1_scores(confusions: IntArray) -> FloatArray:
    """F1 (9,) of each class, from (fields, 9, 9) counts; NaN where a class neither occurs nor is answered."""
    total = confusions.sum(axis=0)
    either = total.sum(axis=0) + total.sum(axis=1)
    return np.divide(2.0 * total.diagonal(), either, out=np.full(N_CLASSES, np.nan), where=either > 0)


def morphology_metrics(outcome: MorphologyOutcome, *, unsure_below: float) -> dict[str, Metric]:
    """Metrics of a report, with intervals by bootstrap over fields; those that the data cannot give are left out.

    ``balanced_accuracy``, ``accuracy`` and ``f1_CLASS`` count the most probable class of every object; ``sure_share``
    is the part of the objects that are not called unsure, ``sure_accuracy`` the accuracy on them.
    """
    counts = outcome.field_confusions
    metrics = {"balanced_accuracy": _interval(balanced_accuracy, counts), "accuracy": _interval(accuracy, counts)}
    for row, name in enumerate(MORPHOLOGY_NAMES):
        if counts[:, row].any():
            metrics[f"f1_{name}"] = _interval(lambda drawn, row=row: float(f1_scores(drawn)[row]), counts)
    _, field = np.unique(np.asarray(outcome.fields), return_inverse=True)
    sure = outcome.confidence >= unsure_below
    columns = [np.bincount(field, weights=part) for part in (sure & outcome.right, sure, np.ones(len(sure)))]
    if sure.any():
        metrics["sure_accuracy"] = _interval(lambda hits, number, _: _share(hits, number), *columns)
    metrics["sure_share"] = _interval(lambda _, number, whole: _share(number, whole), *columns)
    return metrics


def fanaroff_riley_metrics(outcome: MorphologyOutcome, *, unsure_below: float) -> dict[str, Metric]:
    """Whether FR-I and FR-II galaxies of certain labels are told apart, bent ones being FR-I; empty without any.

    ``fr_accuracy`` is that of the likelier of the two on all of them; ``fr_sure_share`` is the part of them that is not
    called unsure, ``fr_sure_accuracy`` the accuracy on that part.
    """
    classes = [MORPHOLOGY_NAMES.index(name) for name in ("FR-I", "bent", "FR-II")]
    kept = outcome.rows(np.isin(outcome.labels, classes) & (outcome.certainty == 1.0))
    if not len(kept.labels):
        return {}
    right = (edge_brightened(kept.probabilities) > 0.5) == (kept.labels == MORPHOLOGY_NAMES.index("FR-II"))
    _, field = np.unique(np.asarray(kept.fields), return_inverse=True)
    sure = kept.confidence >= unsure_below
    parts = (right, sure & right, sure, np.ones(len(sure)))
    columns = [np.bincount(field, weights=part) for part in parts]
    metrics = {"fr_accuracy": _interval(lambda hits, _a, _b, whole: _share(hits, whole), *columns)}
    metrics["fr_sure_share"] = _interval(lambda _a, _b, number, whole: _share(number, whole), *columns)
    if sure.any():
        metrics["fr_sure_accuracy"] = _interval(lambda _a, hits, number, _b: _share(hits, number), *columns)
    return metrics


def chance_calibration_error(confidence: FloatArray, *, n_draws: int = 200, seed: int = 0) -> float:
    """Calibration error that answers of exact probabilities (N,) show on average, since they are few."""
    rng = np.random.default_rng(seed)
    drawn = (rng.random(len(confidence)) < confidence for _ in range(n_draws))
    return float(np.mean([expected_calibration_error(confidence, right, n_bins=N_BINS) for right in drawn]))


def source_details(outcome: MorphologyOutcome, *, unsure_below: float) -> dict[str, Any]:
    """Scores of each label set by itself, as JSON values."""
    found = {}
    for source in sorted(set(outcome.sources.tolist())):
        part = outcome.rows(outcome.sources == source)
        metrics = morphology_metrics(part, unsure_below=unsure_below)
        named = {name: metrics[name] for name in metrics if not name.startswith("f1_")}
        named |= fanaroff_riley_metrics(part, unsure_below=unsure_below)
        found[source] = {
            "objects": len(part.labels),
            "certain": int((part.certainty == 1.0).sum()),
            "calibration_error": _number(expected_calibration_error(part.confidence, part.right, n_bins=N_BINS)),
            "chance_calibration_error": _number(chance_calibration_error(part.confidence)),
            **{name: asdict(metric) for name, metric in named.items()},
        }
    return found


def morphology_details(
    outcome: MorphologyOutcome, *, train_labels: IntArray, unsure_below: float = 0.0
) -> dict[str, Any]:
    """All else that is measured, as JSON values: counts, scores of each class and set, calibration, and a baseline.

    Parameters
    ----------
    train_labels
        Labels of the training objects; the baseline calls everything by the commonest of them.
    unsure_below
        Probability below which objects are called unsure.
    """
    confusion = outcome.confusion
    true, answered, hits = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    f1 = f1_scores(confusion[None])
    commonest = int(np.bincount(train_labels, minlength=N_CLASSES).argmax())
    return {
        "objects": len(outcome.labels),
        "fields": len(set(outcome.fields)),
        "classes": {
            name: {
                "train": int((train_labels == row).sum()),
                "true": int(true[row]),
                "precision": _number(_share(hits[row], answered[row])),
                "recall": _number(_share(hits[row], true[row])),
                "f1": _number(f1[row]),
            }
            for row, name in enumerate(MORPHOLOGY_NAMES)
        },
        "confusion": confusion.tolist(),
        "calibration_error": _number(
            expected_calibration_error(outcome.confidence, outcome.right, n_bins=N_BINS)
        ),
        "chance_calibration_error": _number(chance_calibration_error(outcome.confidence)),
        "sources": source_details(outcome, unsure_below=unsure_below),
        "baseline": {
            "answer": MORPHOLOGY_NAMES[commonest],
            "accuracy": _number(_share(true[commonest], true.sum())),
            "balanced_accuracy": _number(_share(float(true[commonest] > 0), (true > 0).sum())),
        },
    }


def _interval(statistic: Any, *columns: NDArray[Any]) -> Metric:
    found = bootstrap_interval(statistic, *columns, n_resamples=N_RESAMPLES)
    return Metric(value=round(found.value, 4), low=_number(found.low), high=_number(found.high))


def _share(part: Any, whole: Any) -> float:
    total = float(np.sum(whole))
    return float(np.sum(part)) / total if total else float("nan")


def _number(value: float) -> float | None:
    """A JSON number, or None where there is none."""
    return round(float(value), 4) if np.isfinite(value) else None
