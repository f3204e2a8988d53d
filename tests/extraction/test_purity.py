"""The seed threshold that a wanted purity asks for, on lists of peaks whose answer is known, and on skies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.errors import UsageError
from neanias_ml.extraction import FinderConfig, SourceFinder
from neanias_ml.extraction.islands.purity import LOWEST_SEED, seed_for_purity
from neanias_ml.extraction.islands.runs import Runs
from tests.conftest import correlated_noise, make_map, make_sky


def peaks(values, *, pixels=9):
    """Regions of ``pixels`` pixels each, one under the other, with these peaks."""
    values = np.asarray(values, np.float32)
    rows = np.arange(len(values), dtype=np.int32)
    sizes = np.broadcast_to(np.asarray(pixels, np.int32), len(values))
    runs = np.stack([rows, np.zeros_like(rows), sizes], axis=1).astype(np.int32)
    return Runs(runs, np.arange(len(values)), len(values), values)


def seed(positive, negative, *, target, merge=2.6, min_pixels=2):
    return seed_for_purity(peaks(positive), peaks(negative), target=target, min_pixels=min_pixels, merge=merge)


def test_without_negative_islands_the_lowest_seed_is_pure():
    assert seed([4, 5, 9], [], target=0.99) == LOWEST_SEED
    assert seed([4, 5, 9], [3.4], target=0.99) == LOWEST_SEED
    assert seed([4, 5, 9], [3.4], target=0.99, merge=4.5) == 4.5


def test_the_seed_lies_just_above_the_negative_peak_that_spoils_it():
    """Ten positive islands above the first negative one allow one false one at 0.9, but not at 0.95."""
    positive = np.linspace(6.0, 20.0, 10)
    assert seed(positive, [5.0], target=0.9) == LOWEST_SEED
    found = seed(positive, [5.0], target=0.95)
    assert 5.0 < found < 5.0001
    found = seed(positive, [5.0, 4.0], target=0.9)
    assert 4.0 < found < 4.0001


def test_small_regions_are_no_islands():
    up, down = peaks(np.full(5, 10.0)), peaks([6.0, 5.0], pixels=[1, 1])
    assert seed_for_purity(up, down, target=0.99, min_pixels=2, merge=2.6) == LOWEST_SEED
    assert 6.0 < seed_for_purity(up, down, target=0.99, min_pixels=1, merge=2.6) < 6.0001


@given(
    positive=st.lists(st.floats(2.625, 12.0, width=32), max_size=40),
    negative=st.lists(st.floats(2.625, 12.0, width=32), max_size=15),
    target=st.floats(0.05, 0.99),
    merge=st.sampled_from([2.6, 4.0]),
)
@settings(max_examples=200, deadline=None)
def test_it_is_the_lowest_seed_that_reaches_the_target(positive, negative, target, merge):
    found = seed(positive, negative, target=target, merge=merge)
    lowest = max(LOWEST_SEED, merge)
    assert found >= lowest

    def purity(threshold):
        up, down = (
            np.count_nonzero(np.array(side, np.float32) >= np.float32(threshold)) for side in (positive, negative)
        )
        if up == 0:
            return 1.0 if down == 0 else -np.inf  # without any island there is nothing false
        return 1.0 - down / up

    assert purity(found) >= target - 1e-9
    lower = [x for x in np.unique(np.array([*positive, *negative, lowest], np.float32)) if lowest <= x < found]
    assert not any(purity(x) >= target + 1e-9 for x in lower)


@pytest.fixture(scope="module")
def noisy():
    """Faint sources in noise with tails of both signs, as after an imperfect deconvolution."""
    radio_map, truth = make_sky(1, shape=(512, 512), n_sources=100, snr=(4, 40))
    rng = np.random.default_rng(2)
    strong = (rng.uniform(size=(8, 8)) < 0.2).repeat(64, axis=0).repeat(64, axis=1)
    return make_map(radio_map.data + 1.1e-4 * correlated_noise((512, 512), rng) * strong), truth


def test_targets_move_the_seed(noisy):
    radio_map, _ = noisy
    used, counts = [], []
    for target in (0.5, 0.9, 0.99):
        finder = SourceFinder(FinderConfig(target_purity=target, seed_threshold=30.0, search_nested=False))
        extraction = finder(radio_map)
        check = extraction.negatives
        assert check.purity >= target and check.n_positive == len(extraction.islands)
        assert extraction.islands.table.snr.min() >= check.seed_threshold >= 3.5
        used.append(check.seed_threshold)
        counts.append(len(extraction.islands))
    assert used == sorted(used) and used[0] < used[-1] < 8.0
    assert counts == sorted(counts, reverse=True)


def test_clean_noise_allows_a_lower_seed_than_five():
    radio_map, truth = make_sky(3, shape=(384, 384), n_sources=64, snr=(4.5, 30))
    pure = SourceFinder(FinderConfig(target_purity=0.95, search_nested=False))(radio_map)
    usual = SourceFinder(FinderConfig(search_nested=False))(radio_map)
    assert 3.5 <= pure.negatives.seed_threshold < 5.0
    assert len(usual.islands) < len(pure.islands) <= 1.1 * len(truth)


def test_negative_islands_have_positive_fluxes(noisy):
    radio_map, _ = noisy
    config = FinderConfig(seed_threshold=4.0, search_nested=False)
    up, down = (SourceFinder(config)(make_map(sign * radio_map.data)) for sign in (1, -1))
    table = up.negatives.table
    assert len(table) > 3
    for name in ("peak_flux", "total_flux", "snr", "local_rms"):
        assert (getattr(table, name) > 0).all()
    assert up.negatives.n_positive == len(up.islands)
    # the same islands as those of the inverted map, but for a noise that was estimated anew
    assert abs(len(table) - len(down.islands)) <= 0.3 * len(table) + 1


def test_purity_of_a_map_without_islands_is_unknown():
    pixels = np.minimum(correlated_noise((128, 128), np.random.default_rng(4)), 3.0)
    extraction = SourceFinder()(make_map(pixels))
    assert len(extraction.islands) == 0 and np.isnan(extraction.negatives.purity)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.5, 2.0])
def test_targets_are_checked(target):
    with pytest.raises(UsageError, match="target_purity"):
        FinderConfig(target_purity=target)
