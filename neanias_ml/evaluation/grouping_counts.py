"""Numbers of a grouping of islands that add up over fields, and the metrics that follow from their sums."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neanias_ml.evaluation.areas import share
from neanias_ml.evaluation.grouping import exact_sets

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class GroupingCounts(NamedTuple):
    """Numbers of one field."""

    exact_multi: int
    """objects of several islands that are found as exactly the same set"""
    true_multi: int
    predicted_multi: int
    exact: int
    """the same of objects of any number of islands"""
    true: int
    pairs_both: int
    """pairs of islands that are together in truth and prediction"""
    pairs_true: int
    pairs_predicted: int
    singles_kept: int
    """objects of one island that are left alone"""
    singles: int
    islands: int
    """islands that were judged"""


def count_grouping(true: ArrayLike, predicted: ArrayLike, *, outside: ArrayLike | None = None) -> GroupingCounts:
    """Count how islands (N,) are grouped.

    Parameters
    ----------
    true, predicted
        (N,) object of each island.
    outside
        (N,) islands of which is known only that they belong to none of the true objects. Joined to one of those they
        make its set wrong; joined to each other, or alone, they are not judged.
    """
    one, other = np.asarray(true, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    beyond = np.zeros(len(one), dtype=bool) if outside is None else np.asarray(outside, dtype=bool)
    judged = ~beyond | np.isin(other, other[~beyond])
    one, other, beyond = one[judged], other[judged], beyond[judged]
    # ids below all others, so that the sets of islands outside come first and can be cut off
    lowest = int(one.min(initial=0)) - 1
    n_outside = int(beyond.sum())
    one = one.copy()
    one[beyond] = lowest - np.arange(n_outside)
    all_exact, all_sizes = exact_sets(one, other)
    exact, sizes = all_exact[n_outside:], all_sizes[n_outside:]
    _, predicted_sizes = exact_sets(other, one)
    together = np.unique(np.stack([one, other]), axis=1, return_counts=True)[1]
    _, outside_sizes = np.unique(other[beyond], return_counts=True)
    multi = sizes >= 2
    return GroupingCounts(
        exact_multi=int((exact & multi).sum()),
        true_multi=int(multi.sum()),
        predicted_multi=int((predicted_sizes >= 2).sum()),
        exact=int(exact.sum()),
        true=len(sizes),
        pairs_both=_pairs(together),
        pairs_true=_pairs(sizes),
        pairs_predicted=_pairs(predicted_sizes) - _pairs(outside_sizes),
        singles_kept=int((exact & ~multi).sum()),
        singles=int((~multi).sum()),
        islands=len(one),
    )


def _pairs(sizes: IntArray) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


METRICS = (
    "exact_set_multi", "exact_set_all", "exact_set_f1", "pair_f1", "pair_precision", "pair_recall", "ari",
    "singles_kept",
)  # fmt: skip
"""Names of what `grouping_metric` knows."""
_RATIOS = {
    "exact_set_multi": ("exact_multi", "true_multi"),
    "exact_set_all": ("exact", "true"),
    "pair_precision": ("pairs_both", "pairs_predicted"),
    "pair_recall": ("pairs_both", "pairs_true"),
    "singles_kept": ("singles_kept", "singles"),
}
_F1 = {
    "exact_set_f1": ("exact_multi", "true_multi", "predicted_multi"),
    "pair_f1": ("pairs_both", "pairs_true", "pairs_predicted"),
}


def grouping_metric(name: str, counts: ArrayLike) -> FloatArray:
    """A metric (R,) of summed counts (R, 11), columns as `GroupingCounts`; NaN where it is not defined.

    ``exact_set_multi`` and ``exact_set_all``: true objects (of several islands; of any number) that are found as
    exactly the same set. ``exact_set_f1``: the same as F1, so that false unions count. ``pair_...``: over pairs of
    islands in one object. ``ari``: adjusted Rand index over all islands (Hubert and Arabie 1985, J. Classif. 2, 193).
    ``singles_kept``: objects of one island that nothing was joined to.
    """
    table = np.asarray(counts, dtype=np.float64)
    column = dict(zip(GroupingCounts._fields, np.moveaxis(table, -1, 0), strict=True))
    if name in _RATIOS:
        part, whole = _RATIOS[name]
        return share(column[part], column[whole])
    if name in _F1:
        both, one, other = _F1[name]
        return share(2.0 * column[both], column[one] + column[other])
    if name != "ari":
        raise ValueError(f"there is no metric {name!r} of groupings; choose one of {', '.join(METRICS)}")
    all_pairs = column["islands"] * (column["islands"] - 1.0) / 2.0
    expected = np.nan_to_num(share(column["pairs_true"] * column["pairs_predicted"], all_pairs))
    ceiling = (column["pairs_true"] + column["pairs_predicted"]) / 2.0
    gap = ceiling - expected
    index = np.divide(column["pairs_both"] - expected, gap, out=np.ones_like(gap), where=np.abs(gap) > 0)
    return np.where(column["islands"] > 0, index, np.nan)
