"""Artefacts among islands and classes of objects, scored against the truth, field by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.evaluation import AreaResamples, rejection_at_kept, share
from neanias_ml.evaluation.report import Metric
from neanias_ml.models.classes import CLASS_LABELS, CLASS_NAMES
from neanias_ml.training.association.scores import metric_of

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SPURIOUS = CLASS_LABELS["spurious"]


@dataclass(frozen=True)
class ClassifiedField:
    """Known islands and objects of a field: what they are, and what the network says of them.

    Attributes
    ----------
    is_spurious, p_spurious
        (N,) islands of known class.
    hits, true, predicted
        (5,) objects of each class: found as exactly the same set with the same class, true ones, predicted ones.
    true_class, class_probabilities
        (M,) index in ``CLASS_NAMES`` and (M, 5), of true objects that were found as the same set.
    """

    is_spurious: NDArray[np.bool_]
    p_spurious: FloatArray
    hits: IntArray
    true: IntArray
    predicted: IntArray
    true_class: IntArray
    class_probabilities: FloatArray

    @classmethod
    def of(
        cls, graph: IslandGraph, *, object_of: IntArray, p_spurious: FloatArray, class_probabilities: FloatArray
    ) -> ClassifiedField:
        """Compare objects of a network with the truth.

        A predicted object counts where something is known of one of its islands; a true one where its class is known.

        Parameters
        ----------
        object_of
            (I,) predicted object of each island, 0, 1, ...
        p_spurious
            (I,) probability of an artefact.
        class_probabilities
            (K, 5) of the predicted objects.
        """
        known = graph.object_class > 0
        n_classes = len(CLASS_NAMES)
        said = class_probabilities.argmax(axis=1) if len(class_probabilities) else np.empty(0, dtype=np.int64)
        in_question = np.unique(object_of[known])
        instances, first = np.unique(np.where(known, graph.instance, 0), return_index=True)
        first = first[instances > 0]
        instances = instances[instances > 0]
        truth = graph.object_class[first] - 1
        sizes = np.bincount(object_of, minlength=len(said))
        counterpart = object_of[first]
        same = np.array(
            [
                sizes[found] == np.sum(graph.instance == number) == np.sum(object_of[graph.instance == number] == found)
                for number, found in zip(instances, counterpart, strict=True)
            ],
            dtype=bool,
        )
        hit = same & (said[counterpart] == truth)
        return cls(
            is_spurious=graph.object_class[known] == SPURIOUS,
            p_spurious=p_spurious[known],
            hits=np.bincount(truth[hit], minlength=n_classes),
            true=np.bincount(truth, minlength=n_classes),
            predicted=np.bincount(said[in_question], minlength=n_classes),
            true_class=truth[same],
            class_probabilities=class_probabilities[counterpart[same]],
        )


def classification_metrics(fields: Sequence[ClassifiedField]) -> dict[str, Metric]:
    """F1 of every class over exact sets, and the rejection of artefacts, with 95 % intervals over fields."""
    metrics: dict[str, Metric] = {}
    resamples = AreaResamples.draw(len(fields))
    counts = [np.stack([getattr(field, name) for field in fields]) for name in ("hits", "true", "predicted")]
    for index, name in enumerate(CLASS_NAMES):
        columns = [count[:, index] for count in counts]
        if columns[1].sum() or columns[2].sum():
            metrics[f"object_f1_{name}"] = metric_of(resamples.of_counts(_f1, *columns))
    artefacts = _artefact_counts(fields)
    if artefacts[1].sum():
        metrics["artefact_f1"] = metric_of(resamples.of_counts(_f1, *artefacts))
        rejected = rejected_share(fields)
        if np.isfinite(rejected):
            metrics["artefacts_rejected"] = Metric(value=round(rejected, 4))
    return metrics


def rejected_share(fields: Sequence[ClassifiedField]) -> float:
    """Share of spurious islands rejected where 95 % of the real ones are kept; NaN without either."""
    probability = np.concatenate([field.p_spurious for field in fields])
    return rejection_at_kept(probability, np.concatenate([field.is_spurious for field in fields]))


def _artefact_counts(fields: Sequence[ClassifiedField]) -> tuple[IntArray, IntArray, IntArray]:
    """Islands of each field that are called artefacts rightly, are artefacts, are called artefacts."""
    rows = [
        (int((f.is_spurious & (f.p_spurious > 0.5)).sum()), int(f.is_spurious.sum()), int((f.p_spurious > 0.5).sum()))
        for f in fields
    ]
    hits, true, predicted = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return hits, true, predicted


def _f1(hits: FloatArray, true: FloatArray, predicted: FloatArray) -> FloatArray:
    return share(2.0 * hits, true + predicted)
