"""Groupings, calibration, cross-match, bins and intervals against sklearn, astropy and brute force."""

import itertools

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.stats import binom_conf_interval
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import pair_confusion_matrix

from neanias_ml.evaluation import (
    adjusted_rand_index,
    bootstrap_interval,
    brier_score,
    exact_set_fraction,
    exact_sets,
    expected_calibration_error,
    flux_ratios,
    fraction_by_bin,
    match_pixels,
    match_sky,
    pair_scores,
    stack_groupings,
    wilson_interval,
)

groupings = st.integers(2, 25).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, 5), min_size=n, max_size=n) for _ in range(2)))
)


@given(groupings)
def test_grouping_scores_agree_with_sklearn(pair):
    true, predicted = pair
    assert adjusted_rand_index(true, predicted) == pytest.approx(adjusted_rand_score(true, predicted))
    (_, false), (missed, both) = pair_confusion_matrix(true, predicted)
    scores = pair_scores(true, predicted)
    for value, part, whole in (
        (scores.precision, both, both + false),
        (scores.recall, both, both + missed),
        (scores.f1, 2 * both, 2 * both + false + missed),
    ):
        assert value == pytest.approx(part / whole if whole else np.nan, nan_ok=True)


@given(groupings)
def test_exact_sets_agree_with_python_sets(pair):
    true, predicted = (np.array(side) for side in pair)
    predicted_sets = {frozenset(np.flatnonzero(predicted == group)) for group in np.unique(predicted)}
    expected = [frozenset(np.flatnonzero(true == group)) in predicted_sets for group in np.unique(true)]
    exact, sizes = exact_sets(true, predicted)
    assert exact.tolist() == expected
    assert sizes.sum() == len(true)


def test_exact_set_fraction_counts_multi_island_objects_only():
    true, predicted = [1, 1, 2, 3, 3, 3], [7, 7, 8, 9, 9, 4]
    assert exact_set_fraction(true, predicted) == 0.5
    assert exact_set_fraction(true, predicted, min_islands=1) == pytest.approx(2 / 3)
    assert np.isnan(exact_set_fraction([1, 2, 3], [1, 1, 1]))


def test_stacked_groupings_keep_fields_apart():
    stacked = stack_groupings([[5, 5, 9], [], [5, 9]])
    assert stacked.tolist() == [0, 0, 1, 2, 3]


def test_groupings_of_different_length_are_refused():
    with pytest.raises(ValueError, match="equal length"):
        pair_scores([1, 2], [1, 2, 3])


def test_calibration_error_of_a_known_case():
    confidence = np.repeat([0.1, 0.55, 0.95], [10, 20, 10])
    correct = np.concatenate([np.arange(10) < 1, np.arange(20) < 6, np.arange(10) < 9])
    expected = (10 * 0.0 + 20 * (0.55 - 0.3) + 10 * 0.05) / 40
    assert expected_calibration_error(confidence, correct, n_bins=10) == pytest.approx(expected)


def test_calibrated_probabilities_have_a_small_error_and_overconfident_ones_a_large():
    rng = np.random.default_rng(0)
    confidence = rng.random(20000)
    correct = rng.random(20000) < confidence
    assert expected_calibration_error(confidence, correct) < 0.02
    sharpened = confidence**3 / (confidence**3 + (1 - confidence) ** 3)
    assert expected_calibration_error(sharpened, correct) > 0.08
    assert brier_score(confidence, correct) < brier_score(sharpened, correct)
    with pytest.raises(ValueError, match="between 0 and 1"):
        expected_calibration_error([1.2], [1])


def brute_force_match(first, second, radius):
    distance = np.hypot(*(first[:, None] - second[None]).transpose(2, 0, 1))
    pairs = sorted((distance[i, j], i, j) for i, j in itertools.product(range(len(first)), range(len(second))))
    used1, used2, result = set(), set(), []
    for separation, i, j in pairs:
        if separation <= radius and i not in used1 and j not in used2:
            used1.add(i)
            used2.add(j)
            result.append((i, j, separation))
    return sorted(result)


@pytest.mark.parametrize("seed", range(3))
def test_pixel_match_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random((40, 2)) * 30, rng.random((50, 2)) * 30
    match = match_pixels(*first.T, *second.T, radius=2.0)
    expected = brute_force_match(first, second, 2.0)
    assert list(zip(match.first, match.second, strict=True)) == [(i, j) for i, j, _ in expected]
    np.testing.assert_allclose(match.separation, [separation for _, _, separation in expected])


def test_sky_match_across_right_ascension_zero_and_at_the_pole():
    rng = np.random.default_rng(4)
    ra, dec = np.concatenate([rng.random(30) * 0.02, rng.random(30) * 360]), np.repeat([-30.0, 89.9999], 30)
    dec = dec + np.concatenate([rng.random(30) * 0.02, np.zeros(30)])
    shifted = (SkyCoord(ra * u.deg, dec * u.deg)).directional_offset_by(rng.random(60) * 360 * u.deg, 0.05 * u.arcsec)
    match = match_sky(ra - 0.01, dec, shifted.ra.deg - 0.01, shifted.dec.deg, radius_arcsec=0.2)
    near = match.first < 30
    np.testing.assert_array_equal(match.first[near], match.second[near])
    judge = SkyCoord((ra[match.first] - 0.01) * u.deg, dec[match.first] * u.deg).separation(
        SkyCoord((shifted.ra.deg[match.second] - 0.01) * u.deg, shifted.dec.deg[match.second] * u.deg)
    )
    np.testing.assert_allclose(match.separation, judge.arcsec, atol=1e-6)
    assert (match.first >= 30).sum() >= 25


def test_matches_of_nothing_and_bad_radius():
    assert len(match_pixels([], [], [1.0], [1.0], radius=1.0)) == 0
    assert len(match_pixels([np.nan], [0.0], [0.0], [0.0], radius=1.0)) == 0
    with pytest.raises(ValueError, match="positive"):
        match_sky([1.0], [1.0], [1.0], [1.0], radius_arcsec=0.0)


def test_flux_ratios_follow_the_pairs():
    match = match_pixels([0.0, 10.0], [0.0, 0.0], [10.1, 0.1], [0.0, 0.0], radius=1.0)
    np.testing.assert_allclose(flux_ratios(match, [1.0, 0.0], [4.0, 2.0]), [2.0, np.nan])


def test_fraction_by_bin_counts_and_its_interval():
    snr = np.array([5.0, 5.5, 7.0, 9.0, 10.0, 30.0, np.nan])
    found = np.array([True, False, True, True, True, True, True])
    result = fraction_by_bin(snr, found, edges=[5, 6, 8, 10, 20])
    assert result.totals.tolist() == [2, 1, 1, 1]
    np.testing.assert_array_equal(result.fraction, [0.5, 1.0, 1.0, 1.0])
    judge = binom_conf_interval(result.successes, result.totals, 0.95, interval="wilson")
    np.testing.assert_allclose([result.low, result.high], judge, atol=1e-12)
    with pytest.raises(ValueError, match="increasing"):
        fraction_by_bin(snr, found, edges=[5, 5])


def test_wilson_interval_of_an_empty_bin_is_nan():
    low, high = wilson_interval([0, 3], [0, 3])
    assert np.isnan(low[0]) and np.isnan(high[0]) and low[1] < 1 and high[1] == 1


def test_bootstrap_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(8)
    covered = 0
    for trial in range(300):
        interval = bootstrap_interval(np.mean, rng.normal(size=60), n_resamples=200, seed=trial)
        covered += interval.low <= 0.0 <= interval.high
    assert 0.9 <= covered / 300 <= 0.98


def test_bootstrap_resamples_rows_of_all_samples_together():
    values = np.arange(20.0)
    interval = bootstrap_interval(lambda a, b: float(np.abs(a - b).max()), values, values, n_resamples=50)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)
    assert str(interval) == "0.000 [0.000, 0.000]"
    with pytest.raises(ValueError, match="common length"):
        bootstrap_interval(np.mean, [])
