"""How islands are joined to objects, beside no association and the best single linking length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.assessment.map_score import LINKING_LENGTHS
from neanias_ml.assessment.scores import ScoredMaps
from neanias_ml.evaluation import Interval, grouping_metric
from neanias_ml.evaluation.grouping_counts import METRICS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class GroupingReport:
    """Metrics of a grouping by name, and how many objects they are about."""

    metrics: dict[str, Interval]
    true_multi: int
    singles: int


def grouping_reports(scored: ScoredMaps) -> tuple[dict[str, GroupingReport], float]:
    """Of the networks, of no association, and of the best single linking length; and that length, beam widths.

    The length is the one that finds most objects of several islands on these very maps: generous to the baseline.
    """
    linked = scored.by_area([one.linked for one in scored.maps])
    best = int(np.argmax(np.nan_to_num(grouping_metric("exact_set_multi", linked.sum(axis=0)))))
    tables = {
        "network": scored.by_area([one.grouped for one in scored.maps]),
        "no association": scored.by_area([one.alone for one in scored.maps]),
        "best linking length": linked[:, best],
    }
    return {name: _grouping_report(scored, table) for name, table in tables.items()}, float(LINKING_LENGTHS[best])


def linking_curve(scored: ScoredMaps, name: str = "exact_set_multi") -> FloatArray:
    """A grouping metric at each of `LINKING_LENGTHS`."""
    return grouping_metric(name, scored.by_area([one.linked for one in scored.maps]).sum(axis=0))


def _grouping_report(scored: ScoredMaps, table: FloatArray) -> GroupingReport:
    total = table.sum(axis=0)
    return GroupingReport(
        {
            name: scored.resamples.of_counts(lambda sums, name=name: grouping_metric(name, sums), table)
            for name in METRICS
        },
        true_multi=int(total[1]),
        singles=int(total[9]),
    )
