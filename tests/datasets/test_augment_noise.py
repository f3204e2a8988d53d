"""Added noise: unit rms on empty sky, islands as the extractor would label them, truth as it can still be seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.datasets.channels import smooth_significance, smoothing_radius
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.datasets.variation.added_noise import beam_noise, change_noise
from neanias_ml.datasets.variation.reobserve import IslandRule, grid_islands
from neanias_ml.extraction import label_islands
from tests.datasets.tile_makers import (
    BEAM,
    COMPACT,
    EXTENDED,
    MULTI,
    RULE,
    SPURIOUS,
    TRUTH,
    assert_consistent,
    assert_same,
    gaussian,
    sky_tile,
    tile_of,
)


def changed(tile, *, seed=0, **settings):
    return change_noise(tile, np.random.default_rng(seed), islands=RULE, truth=TRUTH, **settings)


def still(size=96):
    return np.zeros((size, size), np.float32)


def test_noise_has_unit_rms_and_the_beams_correlation():
    draws = [beam_noise(np.random.default_rng(seed), size=192, pixels_per_beam=BEAM) for seed in range(12)]
    noise, smoothed = np.array([one for one, _ in draws]), np.array([two for _, two in draws])
    assert noise.std() == pytest.approx(1.0, abs=0.02) and abs(noise.mean()) < 0.02
    assert smoothed.std() == pytest.approx(1.0, abs=0.12)
    sigma = BEAM / np.sqrt(8 * np.log(2))
    for lag in (1, 3, 6):
        measured = (noise[:, :, lag:] * noise[:, :, :-lag]).mean()
        assert measured == pytest.approx(np.exp(-(lag**2) / (4 * sigma**2)), abs=0.04)


def test_smoothed_noise_is_the_smoothed_map_of_the_noise():
    noise, smoothed = beam_noise(np.random.default_rng(1), size=160, pixels_per_beam=BEAM)
    inner = np.s_[smoothing_radius(BEAM) : -smoothing_radius(BEAM), smoothing_radius(BEAM) : -smoothing_radius(BEAM)]
    np.testing.assert_allclose(smoothed[inner], smooth_significance(noise, beam_fwhm_pixels=BEAM)[inner], atol=2e-4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    level=st.floats(0.5, 3.0),
    connectivity=st.sampled_from([4, 8]),
    beam=st.floats(2.0, 6.0),
    blanks=st.booleans(),
)
def test_islands_of_the_grid_are_the_extractors(seed, level, connectivity, beam, blanks):
    rng = np.random.default_rng(seed)
    snr = rng.normal(size=(40, 50)).astype(np.float32) * np.float32(level)
    if blanks:
        snr[rng.random(snr.shape) < 0.1] = np.nan
    rule = IslandRule(seed=4.0, merge=2.0, connectivity=connectivity, min_beam_fraction=0.2, pixels_per_beam=beam)
    expected = label_islands(snr, seed=4.0, merge=2.0, min_pixels=rule.min_pixels, connectivity=connectivity)
    np.testing.assert_array_equal(grid_islands(snr, rule), expected)


def test_rule_comes_from_the_manifest():
    finder = {"seed_threshold": 4.5, "merge_threshold": 3.0, "connectivity": 4, "min_beam_fraction": 0.5, "fit": {}}
    rule = IslandRule.of({"pixels_per_beam": 5.0, "finder": finder, "seed_jitter": [4, 6]})
    assert rule == IslandRule(seed=4.5, merge=3.0, connectivity=4, min_beam_fraction=0.5, pixels_per_beam=5.0)
    assert rule.min_pixels == round(0.5 * 1.1331 * 25)
    assert IslandRule.of({"pixels_per_beam": 6.0}) == IslandRule()


def test_no_strength_is_the_identity():
    tile = sky_tile(1)
    assert changed(tile) is tile


@pytest.mark.parametrize("added", [0.5, 1.0, 2.0])
def test_empty_sky_keeps_unit_rms_and_sources_fade(added):
    factor = 1 / np.sqrt(1 + added**2)
    rms, smooth_rms, peaks = [], [], []
    for seed in range(10):
        noise, _ = beam_noise(np.random.default_rng(seed), size=128, pixels_per_beam=BEAM)
        tile = tile_of([gaussian(128, 64, 64, peak=100, fwhm=BEAM)], [COMPACT], noise=noise)
        noisy = changed(tile, seed=seed + 100, added=added)
        empty = np.hypot(*(np.mgrid[:128, :128] - 64)) > 25
        rms.append(noisy.significance[empty].std())
        smooth_rms.append(noisy.smoothed_significance[np.hypot(*(np.mgrid[:128, :128] - 64)) > 55].std())
        peaks.append(noisy.significance[64, 64])
    assert np.mean(rms) == pytest.approx(1.0, abs=0.04)
    assert np.mean(smooth_rms) == pytest.approx(1.0, abs=0.3)
    assert np.mean(peaks) == pytest.approx(100 * factor, abs=1.5)


def test_smoothed_channel_stays_that_of_the_map():
    tile = sky_tile(4, size=160, blank=True)
    noisy = changed(tile, seed=3, added=1.0)
    inner = np.s_[32:-32, 64:-32]
    expected = smooth_significance(noisy.significance, beam_fwhm_pixels=BEAM)
    np.testing.assert_allclose(noisy.smoothed_significance[inner], expected[inner], atol=0.06, rtol=0.01)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), added=st.floats(0, 3), error=st.floats(0.8, 1.25), blank=st.booleans())
def test_masks_boxes_islands_and_ignored_regions_stay_consistent(seed, added, error, blank):
    tile = sky_tile(seed, blank=blank)
    noisy = changed(tile, seed=seed, added=added, noise_error=error)
    assert_consistent(noisy)
    assert (noisy.instances[tile.instances == IGNORED] == IGNORED).all()
    np.testing.assert_array_equal(noisy.valid, tile.valid)
    np.testing.assert_array_equal(noisy.islands, tile.islands if noisy is tile else grid_islands_of_stored(noisy))
    assert_same(noisy, changed(tile, seed=seed, added=added, noise_error=error))


def grid_islands_of_stored(tile):
    """Islands of the significance as stored; pixels that float16 may have moved across the threshold are taken over."""
    snr = tile.significance
    near = np.abs(snr - RULE.merge) < 0.02
    snr[near] = np.where(tile.islands[near] > 0, RULE.merge + 0.02, RULE.merge - 0.02)
    rule = IslandRule(seed=RULE.seed - 0.02, merge=RULE.merge, pixels_per_beam=BEAM)
    labels = grid_islands(snr, rule)
    both = labels * (tile.islands > 0)
    kept = np.unique(both[both > 0])
    lookup = np.zeros(int(labels.max(initial=0)) + 1, np.int16)
    lookup[kept] = np.arange(1, len(kept) + 1)
    return lookup[labels]


def test_a_faded_source_is_no_instance_and_a_bright_one_without_island_is():
    faint = gaussian(96, 20, 20, peak=8, fwhm=BEAM)
    bright = gaussian(96, 70, 70, peak=80, fwhm=BEAM)
    tile = tile_of([faint, bright], [EXTENDED, COMPACT], noise=still())
    faded = changed(tile, noise_error=2.0)
    assert faded.labels.tolist() == [COMPACT] and not faded.instances[:40, :40].any()
    assert faded.island_instance.tolist() == [1]
    hidden = change_noise(tile, np.random.default_rng(0), noise_error=2.0, islands=IslandRule(seed=60.0), truth=TRUTH)
    assert hidden.labels.tolist() == [COMPACT] and len(hidden.island_instance) == 0


@pytest.mark.parametrize(("peak", "fwhm"), [(15, BEAM), (40, BEAM), (25, 3 * BEAM)])
def test_masks_shrink_as_those_of_the_fainter_model(peak, fwhm):
    before, found, expected = [], [], []
    for seed in range(12):
        noise, _ = beam_noise(np.random.default_rng(seed), size=96, pixels_per_beam=BEAM)
        model = gaussian(96, 48, 48, peak=peak, fwhm=fwhm)
        tile = tile_of([model], [COMPACT], noise=noise)
        other, _ = beam_noise(np.random.default_rng(50 + seed), size=96, pixels_per_beam=BEAM)
        fainter = tile_of([model / np.float32(np.sqrt(2))], [COMPACT], noise=other)
        for areas, shown in ((before, tile), (found, changed(tile, seed=900 + seed, added=1.0)), (expected, fainter)):
            areas.append((shown.instances == 1).sum())
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.1)
    assert np.mean(before) > 1.04 * np.mean(expected)


def test_class_follows_the_number_of_islands_that_are_left():
    lobes = gaussian(96, 48, 30, peak=30, fwhm=BEAM) + gaussian(96, 48, 66, peak=9, fwhm=BEAM)
    double = tile_of([lobes], [MULTI], noise=still())
    assert len(double.island_instance) == 2
    assert changed(double, noise_error=1.2).labels.tolist() == [MULTI]
    assert changed(double, noise_error=2.5).labels.tolist() == [EXTENDED]
    bridged = gaussian(96, 48, 40, peak=30, fwhm=BEAM) + gaussian(96, 48, 52, peak=30, fwhm=BEAM)
    single = tile_of([bridged], [EXTENDED], noise=still())
    assert len(single.island_instance) == 1
    parted = changed(single, noise_error=3.0)
    assert len(parted.island_instance) == 2 and parted.labels.tolist() == [MULTI]


def test_false_islands_vanish_with_their_island_and_leave_no_instance():
    tile = tile_of([gaussian(96, 48, 48, peak=7, fwhm=BEAM)], [SPURIOUS], noise=still())
    gone = changed(tile, noise_error=2.0)
    assert len(gone.labels) == 0 and not gone.instances.any() and len(gone.island_instance) == 0


def test_fluxes_keep_their_unit():
    model = gaussian(96, 48, 48, peak=60, fwhm=2 * BEAM)
    tile = tile_of([model], [EXTENDED], noise=still())
    fainter = changed(tile, noise_error=1.5)
    inside = fainter.islands == 1
    assert fainter.island_fluxes[0] == pytest.approx(2.5e-4 * model[inside].sum(), rel=0.01)
    assert fainter.island_fluxes[0] < tile.island_fluxes[0]


def test_boxes_reach_beyond_the_edge_where_they_did():
    model = gaussian(96, 48, 0, peak=60, fwhm=BEAM)
    tile = tile_of([model], [COMPACT], noise=still())
    boxes = tile.island_boxes.copy()
    boxes[0, 0] = -5
    faded = changed(tile.replace(island_boxes=boxes), noise_error=1.5)
    assert faded.island_boxes[0, 0] == -5 and faded.island_boxes[0, 2] <= tile.island_boxes[0, 2]
