"""Groupings of islands scored against the truth, field by field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.evaluation import adjusted_rand_index, bootstrap_interval, exact_sets, stack_groupings
from neanias_ml.evaluation.report import Metric

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
PRIMARY = "exact_set_multi"
N_RESAMPLES = 500


@dataclass(frozen=True)
class GroupedField:
    """True and predicted objects of a field's known islands, (K,) each; an island of no object is one of its own."""

    true: IntArray
    predicted: IntArray

    @classmethod
    def of(cls, graph: IslandGraph, groups: IntArray) -> GroupedField:
        """The grouping (I,) of all islands of a graph, without those of which nothing is known."""
        known = graph.instance != IGNORED
        alone = -1 - np.arange(len(graph))
        return cls(np.where(graph.instance > 0, graph.instance, alone)[known], groups[known])


@dataclass(frozen=True)
class GroupingCounts(Columns):
    """Numbers of each field from which all metrics follow."""

    exact_multi: IntArray
    """objects of several islands that are found as exactly the same set"""
    true_multi: IntArray
    predicted_multi: IntArray
    exact: IntArray
    """the same of objects of any number of islands"""
    true: IntArray
    pairs_both: IntArray
    """pairs of islands that are together in truth and prediction"""
    pairs_true: IntArray
    pairs_predicted: IntArray
    singles_kept: IntArray
    """objects of one island that are left alone"""
    singles: IntArray


def grouping_counts(fields: Sequence[GroupedField]) -> GroupingCounts:
    """Count, one row per field."""
    rows = [_counted(field.true, field.predicted) for field in fields]
    return GroupingCounts(*np.array(rows, dtype=np.int64).reshape(-1, 10).T)


def _counted(true: IntArray, predicted: IntArray) -> tuple[int, ...]:
    exact, sizes = exact_sets(true, predicted)
    _, predicted_sizes = exact_sets(predicted, true)
    both = np.unique(np.stack([true, predicted]), axis=1, return_counts=True)[1]
    multi = sizes >= 2
    return (
        int((exact & multi).sum()),
        int(multi.sum()),
        int((predicted_sizes >= 2).sum()),
        int(exact.sum()),
        len(sizes),
        _pairs(both),
        _pairs(sizes),
        _pairs(predicted_sizes),
        int((exact & ~multi).sum()),
        int((~multi).sum()),
    )


def _pairs(sizes: IntArray) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _share(part: IntArray, whole: IntArray) -> float:
    return float(part.sum() / whole.sum()) if whole.sum() else float("nan")


def _f1(both: IntArray, one: IntArray, other: IntArray) -> float:
    return _share(2 * both, one + other)


def exact_set_f1(counts: GroupingCounts) -> float:
    """F1 of objects of several islands as exact sets; NaN without any."""
    return _f1(counts.exact_multi, counts.true_multi, counts.predicted_multi)


def exact_set_multi(counts: GroupingCounts) -> float:
    """Part of the objects of several islands that are found as exactly the same set; NaN without any."""
    return _share(counts.exact_multi, counts.true_multi)


_STATISTICS: dict[str, tuple[Callable[..., float], tuple[str, ...]]] = {
    PRIMARY: (_share, ("exact_multi", "true_multi")),
    "exact_set_f1": (_f1, ("exact_multi", "true_multi", "predicted_multi")),
    "exact_set_all": (_share, ("exact", "true")),
    "pair_f1": (_f1, ("pairs_both", "pairs_true", "pairs_predicted")),
    "pair_precision": (_share, ("pairs_both", "pairs_predicted")),
    "pair_recall": (_share, ("pairs_both", "pairs_true")),
    "singles_kept": (_share, ("singles_kept", "singles")),
}


def grouping_metrics(fields: Sequence[GroupedField]) -> dict[str, Metric]:
    """All metrics that are defined for some fields, with 95 % intervals by bootstrap over fields.

    The adjusted Rand index has no interval, and is left out where it is negative: it says less than chance then.
    """
    counts = grouping_counts(fields)
    metrics = {}
    for name, (statistic, columns) in _STATISTICS.items():
        samples = [getattr(counts, column) for column in columns]
        if not np.isfinite(statistic(*samples)):
            continue
        interval = bootstrap_interval(statistic, *samples, n_resamples=N_RESAMPLES)
        metrics[name] = Metric(value=_rounded(interval.value), low=_rounded(interval.low), high=_rounded(interval.high))
    rand = adjusted_rand_index(
        stack_groupings([field.true for field in fields]), stack_groupings([field.predicted for field in fields])
    )
    return metrics | ({"ari": Metric(value=_rounded(rand))} if rand >= 0 else {})


def by_number_of_islands(fields: Sequence[GroupedField]) -> dict[str, Any]:
    """Exact sets among the true objects of 1, 2, 3 and at least 4 islands (plain JSON values)."""
    pieces = [exact_sets(field.true, field.predicted) for field in fields]
    exact = np.concatenate([np.empty(0, dtype=bool), *(piece[0] for piece in pieces)])
    sizes = np.minimum(np.concatenate([np.empty(0, dtype=np.int64), *(piece[1] for piece in pieces)]), 4)
    return {
        name: {"true": int((sizes == size).sum()), "exact": int(exact[sizes == size].sum())}
        for size, name in enumerate(("1", "2", "3", "4 or more"), start=1)
    }


def _rounded(value: float) -> float:
    return round(float(value), 4)
