"""Correlation clustering against all partitions, and where connected components fail."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from neanias_ml.models.association.clustering import (
    calibrated_log_odds,
    clustering_value,
    correlation_clusters,
)


def partitions(count):
    """All partitions of ``count`` things as numbers of groups."""
    found = [[]]
    for _ in range(count):
        found = [[*one, group] for one in found for group in range(max(one, default=-1) + 2)]
    return [np.array(one, dtype=np.int64) for one in found]


def random_problem(seed, count, share):
    rng = np.random.default_rng(seed)
    pairs = np.stack(np.triu_indices(count, 1), axis=1)
    pairs = pairs[rng.uniform(size=len(pairs)) < share]
    return pairs, rng.normal(-0.5, 2.0, len(pairs))


def numbered_by_first(groups):
    return groups.tolist() == [list(dict.fromkeys(groups.tolist())).index(group) for group in groups.tolist()]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6), absent=st.sampled_from([-6.0, -0.5, 0.0]))
def test_groups_are_local_optima_of_the_sum_and_never_better_than_the_best(seed, count, absent):
    pairs, values = random_problem(seed, count, 0.8)
    groups = correlation_clusters(count, pairs, values, absent=absent)
    assert numbered_by_first(groups)
    value = clustering_value(groups, pairs, values, absent=absent)
    best = max(clustering_value(one, pairs, values, absent=absent) for one in partitions(count))
    assert -1e-9 <= value <= best + 1e-9
    for one in range(groups.max() + 1):  # no two groups are better joined
        for other in range(one):
            joined = np.where(groups == one, other, groups)
            assert clustering_value(joined, pairs, values, absent=absent) <= value + 1e-9


def test_greedy_contraction_is_nearly_always_the_best_of_all_partitions():
    every = partitions(8)
    gaps = []
    for seed in range(12):
        pairs, values = random_problem(seed, 8, 0.7)
        value = clustering_value(correlation_clusters(8, pairs, values), pairs, values, absent=-6.0)
        gaps.append(max(clustering_value(one, pairs, values, absent=-6.0) for one in every) - value)
    assert np.mean(np.array(gaps) < 1e-9) >= 0.6 and np.mean(gaps) < 0.5


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 60))
def test_objects_that_the_log_odds_agree_on_are_found(seed, count):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, max(count // 3, 1), count)
    pairs = np.stack(np.triu_indices(count, 1), axis=1).reshape(-1, 2)
    values = np.where(true[pairs[:, 0]] == true[pairs[:, 1]], 1.0, -1.0) * rng.uniform(0.1, 5.0, len(pairs))
    groups = correlation_clusters(count, pairs, values)
    assert len({*zip(true.tolist(), groups.tolist(), strict=True)}) == len(set(true)) == groups.max() + 1


def test_one_wrong_pair_does_not_chain_two_objects():
    pairs = np.stack(np.triu_indices(6, 1), axis=1)
    same = (pairs < 3).all(axis=1) | (pairs >= 3).all(axis=1)
    values = np.where(same, 4.0, -4.0)
    values[(pairs == [2, 3]).all(axis=1)] = 1.0
    assert correlation_clusters(6, pairs, values).tolist() == [0, 0, 0, 1, 1, 1]
    links = coo_array((np.ones((values > 0).sum()), pairs[values > 0].T), shape=(6, 6))
    assert connected_components(links, directed=False)[0] == 1


def test_pairs_that_are_not_listed_count_against_joining():
    chain, values = np.array([[0, 1], [1, 2]]), np.array([3.0, 2.0])
    assert correlation_clusters(3, chain, values, absent=0.0).tolist() == [0, 0, 0]
    assert correlation_clusters(3, chain, values, absent=-1.9).tolist() == [0, 0, 0]
    assert correlation_clusters(3, chain, values, absent=-2.1).tolist() == [0, 0, 1]
    assert correlation_clusters(3, np.empty((0, 2), int), np.empty(0)).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="not positive"):
        correlation_clusters(3, chain, values, absent=1.0)
    with pytest.raises(ValueError, match="finite"):
        correlation_clusters(3, chain, np.array([np.nan, 1.0]))


def test_log_odds_are_softened_and_counted_from_the_threshold():
    logits = np.array([-2.0, 0.0, 2.0])
    np.testing.assert_allclose(calibrated_log_odds(logits, temperature=2.0, threshold=0.5), logits / 2)
    shifted = calibrated_log_odds(logits, temperature=1.0, threshold=1 / (1 + np.exp(-2.0)))
    np.testing.assert_allclose(shifted, logits - 2.0, atol=1e-12)
