"""Groupings of islands scored against the truth, field by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.graphs import UNLABELLED, IslandGraph
from neanias_ml.evaluation import AreaResamples, count_grouping, exact_sets, grouping_metric
from neanias_ml.evaluation.grouping_counts import METRICS
from neanias_ml.evaluation.intervals import Interval
from neanias_ml.evaluation.report import Metric

IntArray = NDArray[np.int64]
PRIMARY = "exact_set_multi"


@dataclass(frozen=True)
class GroupedField:
    """True and predicted objects of a field's islands, (K,) each; an island of no object is one of its own.

    Attributes
    ----------
    true, predicted
        (K,) of islands of which something is known.
    outside
        (K,) islands that are only known to be of no labelled object.
    """

    true: IntArray
    predicted: IntArray
    outside: NDArray[np.bool_]

    @classmethod
    def of(cls, graph: IslandGraph, groups: IntArray) -> GroupedField:
        """The grouping (I,) of all islands of a graph, without those of which nothing is known."""
        outside = graph.instance == UNLABELLED
        known = (graph.instance >= 0) | outside
        alone = -1 - np.arange(len(graph))
        return cls(np.where(graph.instance > 0, graph.instance, alone)[known], groups[known], outside[known])


def grouping_counts(fields: Sequence[GroupedField]) -> IntArray:
    """Counts (F, 11) of fields, columns as `neanias_ml.evaluation.grouping_counts.GroupingCounts`."""
    rows = [count_grouping(field.true, field.predicted, outside=field.outside) for field in fields]
    return np.array(rows, dtype=np.int64).reshape(len(fields), -1)


def total_metric(name: str, fields: Sequence[GroupedField]) -> float:
    """A metric over all fields, by its name in `neanias_ml.evaluation.grouping_counts.METRICS`; NaN where undefined."""
    return float(grouping_metric(name, grouping_counts(fields).sum(axis=0)[None])[0])


def grouping_metrics(fields: Sequence[GroupedField]) -> dict[str, Metric]:
    """All metrics that are defined for some fields, with 95 % intervals by bootstrap over fields.

    The adjusted Rand index is left out where it is negative: it says less than chance then.
    """
    counts, resamples = grouping_counts(fields), AreaResamples.draw(len(fields))
    found = {name: resamples.of_counts(partial(grouping_metric, name), counts) for name in METRICS}
    return {name: metric_of(interval) for name, interval in found.items() if interval.value >= 0}


def metric_of(interval: Interval) -> Metric:
    """A figure of a report, rounded; without an interval where there is none."""
    low, high = (round(end, 4) if np.isfinite(end) else None for end in (interval.low, interval.high))
    return Metric(value=round(interval.value, 4), low=low, high=high)


def by_number_of_islands(fields: Sequence[GroupedField]) -> dict[str, Any]:
    """Exact sets among the true objects of 1, 2, 3 and at least 4 islands (plain JSON values)."""
    pieces = []
    for field in fields:
        exact, sizes = exact_sets(field.true, field.predicted)
        is_labelled = ~np.isin(np.unique(field.true), field.true[field.outside])
        pieces.append((exact[is_labelled], np.minimum(sizes[is_labelled], 4)))
    exact = np.concatenate([np.empty(0, dtype=bool), *(piece[0] for piece in pieces)])
    sizes = np.concatenate([np.empty(0, dtype=np.int64), *(piece[1] for piece in pieces)])
    return {
        name: {"true": int((sizes == size).sum()), "exact": int(exact[sizes == size].sum())}
        for size, name in enumerate(("1", "2", "3", "4 or more"), start=1)
    }
