"""Metrics of groupings: which islands form one object.

A grouping is a (N,) array that holds, for each island, the id of its object. Ids must differ between fields
when several fields are scored together (`stack_groupings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class PairScores:
    """Precision, recall and F1 over pairs of islands that share an object; NaN without such pairs."""

    precision: float
    recall: float
    f1: float


def exact_sets(true: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.bool_], IntArray]:
    """Whether each true object is recovered as exactly the same set of islands, and its number of islands.

    Returns
    -------
    tuple
        (M,) bool and (M,) number of islands, true objects in ascending id.
    """
    _, sizes_true, sizes_predicted, counts, rows, columns = _contingency(true, predicted)
    whole = (counts == sizes_true[rows]) & (counts == sizes_predicted[columns])
    exact = np.zeros(len(sizes_true), dtype=bool)
    exact[rows[whole]] = True
    return exact, sizes_true


def exact_set_fraction(true: ArrayLike, predicted: ArrayLike, *, min_islands: int = 2) -> float:
    """Share of the true objects of at least ``min_islands`` islands that are recovered exactly; NaN without any."""
    exact, sizes = exact_sets(true, predicted)
    wanted = sizes >= min_islands
    return float(exact[wanted].mean()) if wanted.any() else float("nan")


def pair_scores(true: ArrayLike, predicted: ArrayLike) -> PairScores:
    """Precision, recall and F1 over pairs of islands."""
    _, sizes_true, sizes_predicted, counts, _, _ = _contingency(true, predicted)
    both, in_true, in_predicted = (_pairs(sizes) for sizes in (counts, sizes_true, sizes_predicted))
    return PairScores(
        precision=_share(both, in_predicted), recall=_share(both, in_true), f1=_share(2 * both, in_true + in_predicted)
    )


def adjusted_rand_index(true: ArrayLike, predicted: ArrayLike) -> float:
    """Rand index corrected for chance (Hubert and Arabie 1985, J. Classif. 2, 193); 1 for identical groupings."""
    number, sizes_true, sizes_predicted, counts, _, _ = _contingency(true, predicted)
    both, in_true, in_predicted = (_pairs(sizes) for sizes in (counts, sizes_true, sizes_predicted))
    all_pairs = number * (number - 1) / 2
    expected = in_true * in_predicted / all_pairs if all_pairs else 0.0
    ceiling = (in_true + in_predicted) / 2
    return 1.0 if ceiling == expected else float((both - expected) / (ceiling - expected))


def stack_groupings(groupings: Sequence[ArrayLike]) -> IntArray:
    """One grouping of all fields' islands, with ids made unique over fields."""
    stacked: list[IntArray] = []
    offset = 0
    for grouping in groupings:
        _, ids = np.unique(np.asarray(grouping), return_inverse=True)
        stacked.append(ids.reshape(-1).astype(np.int64) + offset)
        offset += int(ids.max()) + 1 if ids.size else 0
    return np.concatenate(stacked) if stacked else np.empty(0, np.int64)


def _contingency(
    true: ArrayLike, predicted: ArrayLike
) -> tuple[int, IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Number of islands, group sizes on both sides, and the non-zero cells (counts, rows, columns) of their table."""
    one, other = np.asarray(true), np.asarray(predicted)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"groupings must be 1-D and of equal length, not {one.shape} and {other.shape}")
    _, rows, sizes_true = np.unique(one, return_inverse=True, return_counts=True)
    _, columns, sizes_predicted = np.unique(other, return_inverse=True, return_counts=True)
    cells, counts = np.unique(rows * max(len(sizes_predicted), 1) + columns, return_counts=True)
    cell_rows, cell_columns = np.divmod(cells, max(len(sizes_predicted), 1))
    return len(one), sizes_true, sizes_predicted, counts, cell_rows, cell_columns


def _pairs(sizes: IntArray) -> float:
    return float((sizes * (sizes - 1) // 2).sum())


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
