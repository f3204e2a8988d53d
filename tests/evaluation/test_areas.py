"""Metrics that add up over areas of the sky, and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from neanias_ml.evaluation import (
    AreaResamples,
    bootstrap_interval,
    calibration_counts,
    calibration_error,
    count_grouping,
    exact_set_fraction,
    expected_calibration_error,
    grouping_metric,
    linked_groups,
    pair_scores,
    precision_recall_curve,
    rejection_at_kept,
    rejection_curve,
    share,
    stack_groupings,
    sum_by_area,
    weighted_average_precision,
)


def test_interval_of_counts_is_that_of_a_bootstrap_of_rows():
    rng = np.random.default_rng(1)
    total = rng.integers(5, 40, size=60)
    hits = rng.binomial(total, 0.7)
    ours = AreaResamples.draw(60, n_resamples=4000).of_counts(share, hits, total)
    other = bootstrap_interval(lambda a, b: a.sum() / b.sum(), hits, total, n_resamples=4000, seed=7)
    assert ours.value == pytest.approx(other.value)
    assert (ours.low, ours.high) == pytest.approx((other.low, other.high), abs=0.005)


def test_interval_of_weights_agrees_with_that_of_counts():
    hits, total = np.array([3.0, 0.0, 5.0]), np.array([4.0, 2.0, 5.0])
    resamples = AreaResamples.draw(3)
    counted = resamples.of_counts(share, hits, total)
    weighted = resamples.of_weights(lambda w: float(hits @ w / (total @ w)))
    assert (counted.value, counted.low, counted.high) == pytest.approx((weighted.value, weighted.low, weighted.high))


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(150):
        hits = rng.binomial(20, 0.6, size=30)
        interval = AreaResamples.draw(30, seed=trial).of_counts(share, hits, np.full(30, 20))
        covered += interval.low <= 0.6 <= interval.high
    assert 0.85 <= covered / 150 <= 0.99


def test_one_area_has_no_interval_and_nothing_has_no_value():
    one = AreaResamples.draw(1).of_counts(share, [3], [4])
    assert one.value == 0.75
    assert np.isnan(one.low) and np.isnan(one.high)
    assert np.isnan(AreaResamples.draw(4).of_counts(share, np.zeros(4), np.zeros(4)).value)
    with pytest.raises(ValueError, match="at least one area"):
        AreaResamples.draw(0)


def test_rows_are_summed_by_area():
    np.testing.assert_array_equal(sum_by_area([[1, 2], [3, 4], [5, 6]], [1, 0, 1], n_areas=3), [[3, 4], [6, 8], [0, 0]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_calibration_error_of_areas_is_that_of_all(seed):
    rng = np.random.default_rng(seed)
    confidence, correct, area = rng.random(80), rng.random(80) < 0.5, rng.integers(0, 4, 80)
    confidence[:3] = (0.0, 1.0, 1 / 3)
    counts = calibration_counts(confidence, correct, area, n_areas=4)
    expected = expected_calibration_error(confidence, correct)
    assert calibration_error(counts.sum(axis=0)[None])[0] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_weighted_average_precision_is_that_of_repeated_predictions(seed):
    rng = np.random.default_rng(seed)
    scores, hits = rng.permutation(25) / 25, rng.random(25) < 0.6
    weights = rng.integers(0, 4, 25)
    repeated = np.repeat(np.arange(25), weights)
    n_true = int(hits[repeated].sum()) + 3
    plain = precision_recall_curve(scores, hits, n_true=int(hits.sum()) + 2).average_precision
    ones = weighted_average_precision(scores, hits, n_true=int(hits.sum()) + 2, weights=np.ones(25))
    assert ones == pytest.approx(plain)
    again = precision_recall_curve(scores[repeated], hits[repeated], n_true=n_true).average_precision
    assert weighted_average_precision(scores, hits, n_true=n_true, weights=weights) == pytest.approx(again)
    assert np.isnan(weighted_average_precision(scores, hits, n_true=0, weights=weights))


def random_groupings(rng, sizes=(9, 14, 3)):
    return [(rng.integers(0, 4, n), rng.integers(0, 5, n)) for n in sizes]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_grouping_metrics_of_summed_counts_are_those_of_all_fields_together(seed):
    fields = random_groupings(np.random.default_rng(seed))
    true, predicted = (stack_groupings([field[k] for field in fields]) for k in (0, 1))
    total = np.sum([count_grouping(*field) for field in fields], axis=0)[None]
    assert grouping_metric("exact_set_multi", total)[0] == pytest.approx(
        exact_set_fraction(true, predicted), nan_ok=True
    )
    assert grouping_metric("exact_set_all", total)[0] == exact_set_fraction(true, predicted, min_islands=1)
    scores = pair_scores(true, predicted)
    for name in ("precision", "recall", "f1"):
        assert grouping_metric(f"pair_{name}", total)[0] == pytest.approx(getattr(scores, name), nan_ok=True)
    assert grouping_metric("ari", total)[0] == pytest.approx(adjusted_rand_score(true, predicted))
    with pytest.raises(ValueError, match="no metric 'rand'"):
        grouping_metric("rand", total)


def test_islands_outside_spoil_a_set_but_are_not_judged_themselves():
    true = np.array([1, 1, 2, 0, 0, 0])
    outside = np.array([False, False, False, True, True, True])
    apart = count_grouping(true, [1, 1, 2, 3, 3, 4], outside=outside)
    assert apart == count_grouping(true[:3], [1, 1, 2])
    joined = count_grouping(true, [1, 1, 2, 1, 1, 4], outside=outside)
    assert (joined.exact_multi, joined.true_multi, joined.singles, joined.singles_kept) == (0, 1, 1, 1)
    # four islands together are six pairs, of which that of the two outside is nobody's business
    assert (joined.pairs_both, joined.pairs_true, joined.pairs_predicted) == (1, 1, 5)
    merged = count_grouping(true, [1, 1, 2, 2, 4, 5], outside=outside)
    assert (merged.exact_multi, merged.singles_kept, merged.predicted_multi) == (1, 0, 2)


def test_nothing_to_group_gives_no_metric():
    counts = np.array(count_grouping([], []))[None]
    assert all(np.isnan(grouping_metric(name, counts)[0]) for name in ("exact_set_multi", "pair_f1", "ari"))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 3.0))
def test_linked_groups_are_those_of_single_linkage(seed, length):
    from scipy.cluster.hierarchy import fcluster, linkage

    places = np.random.default_rng(seed).uniform(0, 6, size=(30, 2))
    places[7] = places[3]
    ours = linked_groups(places, [length, 9.0])
    judge = fcluster(linkage(places, method="single"), length, criterion="distance")
    assert adjusted_rand_score(judge, ours[0]) == pytest.approx(1.0)
    assert len(np.unique(ours[1])) == 1


@pytest.mark.parametrize("number", [0, 1])
def test_less_than_two_islands_are_not_linked(number):
    assert linked_groups(np.zeros((number, 2)), [1.0, 2.0]).shape == (2, number)


def test_rejection_worked_by_hand():
    spurious = np.array([False] * 20 + [True] * 4)
    score = np.concatenate([np.arange(20) / 20, [0.1, 0.95, 0.96, 0.99]])
    # 19 of 20 real ones stay up to 0.9: three spurious ones lie above
    assert rejection_at_kept(score, spurious) == 0.75
    # a real one that counts for nothing leaves the threshold where it was; a spurious one changes the share
    weights = np.ones(24)
    weights[20] = 0.0
    assert rejection_at_kept(score, spurious, weights=weights) == 1.0
    assert np.isnan(rejection_at_kept(score, np.zeros(24, dtype=bool)))
    assert np.isnan(rejection_at_kept(score, np.ones(24, dtype=bool)))


def test_rejection_of_a_judge_that_says_the_same_of_all_is_nothing():
    assert rejection_at_kept(np.full(10, 0.3), np.arange(10) < 5) == 0.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_rejection_lies_on_its_curve(seed):
    rng = np.random.default_rng(seed)
    score, spurious = np.round(rng.random(60), 1), rng.random(60) < 0.4
    curve = rejection_curve(score, spurious)
    best = curve.spurious_rejected[curve.real_kept >= 0.95 - 1e-9].max()
    assert rejection_at_kept(score, spurious) == pytest.approx(best)
    assert (np.diff(curve.real_kept) >= 0).all() and (np.diff(curve.spurious_rejected) <= 0).all()
