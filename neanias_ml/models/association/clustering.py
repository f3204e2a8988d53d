"""From log-odds of pairs to objects: correlation clustering, by greedy contraction of edges.

A partition is as good as the sum of the log-odds of all pairs that it joins. Greedy additive edge contraction (Keuper
et al. 2015, arXiv:1505.06973) joins the two groups between which that sum is largest, as long as it is positive. One
wrong pair cannot chain two objects together, as it would by connected components.
"""

from __future__ import annotations

import heapq
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ABSENT_LOG_ODDS = -6.0
"""Two islands that are no pair are as good as certainly of different objects."""


def correlation_clusters(
    n_islands: int, pairs: IntArray, log_odds: FloatArray, *, absent: float = ABSENT_LOG_ODDS
) -> IntArray:
    """Group (n_islands,) of each island, numbered 0, 1, ... by their first islands.

    Parameters
    ----------
    pairs
        (E, 2) distinct pairs of islands.
    log_odds
        (E,) of being of one object.
    absent
        Log-odds of pairs that are not listed; not positive.

    Raises
    ------
    ValueError
        If ``absent`` is positive or a value is not finite.
    """
    if absent > 0 or not np.isfinite(log_odds).all():
        raise ValueError(f"log-odds must be finite and those of absent pairs ({absent}) not positive")
    gains: list[dict[int, float]] = [{} for _ in range(n_islands)]
    for one, other, value in zip(*pairs.T.tolist(), log_odds.tolist(), strict=True):
        gains[one][other] = gains[other][one] = value - absent
    # the gain of joining two groups is the sum over listed pairs of (value - absent), plus absent for every pair
    sizes = [1] * n_islands
    leader = list(range(n_islands))
    heap = [
        (-(gain + absent), one, other)
        for one, row in enumerate(gains)
        for other, gain in row.items()
        if one < other and gain + absent > 0
    ]
    heapq.heapify(heap)
    while heap:
        negative, one, other = heapq.heappop(heap)
        if leader[one] != one or leader[other] != other or negative != -_gain(gains, sizes, one, other, absent):
            continue  # one of the two has grown since
        _contract(gains, sizes, one, other)
        leader[other] = one
        for third in gains[one]:
            gain = _gain(gains, sizes, one, third, absent)
            if gain > 0:
                heapq.heappush(heap, (-gain, min(one, third), max(one, third)))
    return _numbered(leader)


def clustering_value(groups: IntArray, pairs: IntArray, log_odds: FloatArray, *, absent: float) -> float:
    """Sum of the log-odds of all pairs that a partition joins."""
    joined = groups[pairs[:, 0]] == groups[pairs[:, 1]]
    sizes = np.unique(groups, return_counts=True)[1]
    n_absent = (sizes * (sizes - 1) // 2).sum() - joined.sum()
    return float(log_odds[joined].sum() + absent * n_absent)


def calibrated_log_odds(logits: FloatArray, *, temperature: float, threshold: float) -> FloatArray:
    """Log-odds of a network, softened by its temperature, and counted from those of a threshold.

    Parameters
    ----------
    threshold
        Probability in (0, 1) above which a pair alone would be joined.
    """
    return np.asarray(logits, dtype=np.float64) / temperature - float(np.log(threshold / (1 - threshold)))


def _gain(gains: list[dict[int, float]], sizes: list[int], one: int, other: int, absent: float) -> float:
    return gains[one][other] + absent * sizes[one] * sizes[other]


def _contract(gains: list[dict[int, float]], sizes: list[int], one: int, other: int) -> None:
    """Add the second group to the first."""
    del gains[one][other]
    merged: defaultdict[int, float] = defaultdict(float, gains[one])
    for third, gain in gains[other].items():
        if third != one:
            merged[third] += gain
            del gains[third][other]
            gains[third][one] = merged[third]
    gains[one], gains[other] = dict(merged), {}
    sizes[one] += sizes[other]


def _first(leader: list[int], one: int) -> int:
    while leader[one] != one:
        one = leader[one]
    return one


def _numbered(leader: list[int]) -> IntArray:
    """Groups 0, 1, ... in the order of their first islands."""
    firsts = [_first(leader, one) for one in range(len(leader))]
    numbers = {first: number for number, first in enumerate(dict.fromkeys(firsts))}
    return np.array([numbers[first] for first in firsts], dtype=np.int64)
