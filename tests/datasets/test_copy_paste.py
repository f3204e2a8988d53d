"""Copies keep what they are, go where there is room, and leave noise as it was; artefacts come with their source."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.datasets.channels import smooth_significance
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.datasets.variation.added_noise import beam_noise
from neanias_ml.datasets.variation.copy_paste import cut_out, paste
from tests.datasets.tile_makers import (
    BEAM,
    COMPACT,
    EXTENDED,
    FLAGGED,
    MULTI,
    SPURIOUS,
    TRUTH,
    artefact_tile,
    assert_consistent,
    assert_same,
    gaussian,
    sky_tile,
    tile_of,
)

SIZE = 128


def noise(seed, size=SIZE):
    return beam_noise(np.random.default_rng(seed), size=size, pixels_per_beam=BEAM)[0]


def empty(seed, size=SIZE):
    """A tile of noise alone, without the islands that noise makes now and then."""
    return tile_of([], [], noise=np.clip(noise(seed, size), -4, 4))


def pasted(tile, source, *, seed=0, wanted=(COMPACT, EXTENDED, MULTI, FLAGGED)):
    return paste(tile, source, np.random.default_rng(seed), wanted=np.array(wanted), truth=TRUTH, pixels_per_beam=BEAM)


def double(seed=0):
    lobes = gaussian(SIZE, 64, 50, peak=30, fwhm=BEAM) + gaussian(SIZE, 64, 78, peak=20, fwhm=BEAM)
    return tile_of([lobes], [MULTI], noise=noise(seed) * 0.5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(0, 5), blank=st.booleans())
def test_ids_masks_boxes_and_ignored_regions_stay_consistent(seed, n, blank):
    tile, source = sky_tile(seed, sources=n, blank=blank), sky_tile(seed + 1, sources=4)
    result = pasted(tile, source, seed=seed)
    assert_consistent(result)
    before = (tile.instances != 0) | (tile.islands > 0)
    np.testing.assert_array_equal(result.instances[before], tile.instances[before])
    np.testing.assert_array_equal(result.islands[before], tile.islands[before])
    np.testing.assert_array_equal(result.labels[: len(tile.labels)], tile.labels)
    np.testing.assert_array_equal(result.island_boxes[: len(tile.island_boxes)], tile.island_boxes)
    np.testing.assert_array_equal(result.valid, tile.valid)
    assert_same(result, pasted(tile, source, seed=seed))


def test_a_double_arrives_whole_with_its_bridge_and_its_brightness():
    source, tile = double(), empty(1)
    for seed in range(6):
        result = pasted(tile, source, seed=seed, wanted=[MULTI])
        assert result.labels.tolist() == [MULTI] and result.island_instance.tolist() == [1, 1]
        mask = result.instances == 1
        assert mask.sum() == (source.instances == 1).sum()
        np.testing.assert_allclose(
            np.sort(result.significance[mask]),
            np.sort(source.significance[source.instances == 1]),
            rtol=2e-3,
            atol=0.02,
        )
        sides = np.diff(result.island_boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 2)
        expected = np.diff(source.island_boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 2)
        assert sorted(map(sorted, sides.tolist())) == sorted(map(sorted, expected.tolist()))


def test_noise_under_the_seam_keeps_unit_rms():
    seam, far = [], []
    for seed in range(60):
        source = tile_of([gaussian(SIZE, 64, 64, peak=40, fwhm=BEAM)], [COMPACT], noise=noise(seed))
        cutting = cut_out(source, 1, truth=TRUTH, pixels_per_beam=BEAM, rng=np.random.default_rng(0))
        tile = tile_of([], [], noise=noise(1000 + seed)).replace(
            instances=np.zeros((SIZE, SIZE), np.int16), islands=np.zeros((SIZE, SIZE), np.int16),
            island_boxes=np.empty((0, 4), np.float32), island_fluxes=np.empty(0, np.float32),
            island_instance=np.empty(0, np.int64),
        )  # fmt: skip
        result = pasted(tile, source, seed=seed, wanted=[COMPACT])
        if cutting is None or result is tile:
            continue
        changed = np.abs(result.significance - tile.significance) > 0.02
        core = result.instances == 1
        y, x = np.argwhere(core).mean(axis=0)
        distance = np.hypot(*(np.mgrid[:SIZE, :SIZE] - np.array([y, x])[:, None, None]))
        seam.append(result.significance[changed & (distance > 11)])
        far.append(result.significance[~changed])
    assert len(seam) > 40
    assert np.sqrt((np.concatenate(seam) ** 2).mean()) == pytest.approx(1.0, abs=0.12)
    assert np.concatenate(far).std() == pytest.approx(1.0, abs=0.03)


def test_smoothed_channel_is_that_of_the_new_map():
    tile, source = empty(2), double()
    result = pasted(tile, source, seed=3, wanted=[MULTI])
    assert result is not tile
    inner = np.s_[32:-32, 32:-32]
    expected = smooth_significance(result.significance, beam_fwhm_pixels=BEAM)
    np.testing.assert_allclose(result.smoothed_significance[inner], expected[inner], atol=0.05, rtol=0.01)


def test_an_artefact_comes_with_its_source_and_the_bowls_between_them():
    source, tile = artefact_tile(), empty(4)
    assert sorted(source.labels.tolist()) == [SPURIOUS, SPURIOUS, FLAGGED]
    results = [pasted(tile, source, seed=seed, wanted=[SPURIOUS]) for seed in range(20)]
    done = [result for result in results if result is not tile]
    assert len(done) >= 10
    for result in done:
        assert_consistent(result)
        assert sorted(result.labels.tolist())[-1] == FLAGGED and SPURIOUS in result.labels
        assert np.nanmax(result.significance) == pytest.approx(np.nanmax(source.significance), rel=2e-3)
    assert min(np.nanmin(result.significance) for result in done) < -7


def test_an_artefact_without_a_source_stays_where_it_is():
    alone = tile_of([gaussian(SIZE, 64, 64, peak=12, fwhm=BEAM)], [SPURIOUS], noise=noise(5) * 0.5)
    tile = empty(6)
    assert all(pasted(tile, alone, seed=seed, wanted=[SPURIOUS]) is tile for seed in range(5))


def test_ignored_regions_are_copied_as_ignored():
    models = [gaussian(SIZE, 64, 56, peak=40, fwhm=BEAM), gaussian(SIZE, 64, 70, peak=9, fwhm=BEAM)]
    source = tile_of(models, [FLAGGED, COMPACT], noise=np.zeros((SIZE, SIZE), np.float32), ignored=(1,))
    result = pasted(empty(7), source, seed=1, wanted=[FLAGGED])
    assert sorted(result.island_instance.tolist()) == [IGNORED, 1]
    assert (result.instances == IGNORED).sum() == (source.instances == IGNORED).sum() > 0


def test_what_lies_on_an_edge_or_finds_no_room_is_not_pasted():
    edge = tile_of([gaussian(SIZE, 64, 4, peak=40, fwhm=BEAM)], [FLAGGED], noise=noise(8) * 0.5)
    tile = empty(9)
    assert pasted(tile, edge, wanted=[FLAGGED]) is tile
    full = tile.replace(instances=np.full((SIZE, SIZE), IGNORED, np.int16))
    assert pasted(full, double()) is full
    assert pasted(tile, empty(10)) is tile
    blank = tile_of([], [], noise=noise(11) * 0.5, blank=np.ones((SIZE, SIZE), bool))
    assert pasted(blank, double()) is blank


def test_fluxes_are_in_the_units_of_the_tile():
    source = double()
    tile = tile_of([gaussian(SIZE, 20, 20, peak=30, fwhm=BEAM)], [COMPACT], noise=noise(12) * 0.5)
    brighter = tile.replace(island_fluxes=tile.island_fluxes * 8)
    result = pasted(brighter, source, seed=2, wanted=[MULTI])
    new = result.island_fluxes[len(tile.island_fluxes) :]
    np.testing.assert_allclose(np.sort(new), np.sort(8 * source.island_fluxes), rtol=0.02)
