"""Variation of cutouts: noise of the right strength, islands as they would be found, frames that are filled again."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.datasets.channels import asinh_scale
from neanias_ml.datasets.circles import enclosing_circle, outer_corners
from neanias_ml.datasets.cutout_store import FRAME, MARGIN, MorphologyCutout
from neanias_ml.errors import UsageError
from neanias_ml.models.morphology.inputs import SCALAR_NAMES, aperture, cutout_inputs
from neanias_ml.training.morphology.feed import CutoutFeedConfig
from neanias_ml.training.morphology.variation import MERGE_SNR, SEED_SNR, fade, frame_noise, turned, vary
from tests.models.morphology.cutout_makers import BEAM, WORDS, drawn_cutout

STILL = CutoutFeedConfig(rotate=False, zoom=0.0, fade=0.0, noise_jitter=0.0)
MIDDLE = np.full(2, (FRAME - 1) / 2)


@pytest.mark.parametrize("beam", [0.6, 1.0, 3.0, 8.0])
def test_noise_of_a_frame_is_that_of_an_averaged_map(beam):
    """The judge: noise of a fine map, correlated over the beam, averaged over the triangle of a shrinking frame."""
    rng = np.random.default_rng(1)
    drawn = np.mean([frame_noise(rng, size=96, beam=beam).std() for _ in range(20)])
    fine = 8
    sigma = fine * beam / 2.3548
    offsets = np.arange(-8 * fine, 8 * fine + 1)
    line = np.exp(-0.25 * (offsets / sigma) ** 2)  # correlation of noise along an axis
    triangle = np.maximum(1 - np.abs(offsets) / fine, 0)
    weights = np.convolve(triangle, triangle, mode="same") / triangle.sum() ** 2
    expected = float((weights * line).sum())  # rms of the mean: variance along one axis is its root over two
    assert drawn == pytest.approx(expected, rel=0.08)


def test_nothing_is_varied_where_nothing_is_asked_for():
    cutout = drawn_cutout("FR-II", 1)
    same = vary(cutout, np.random.default_rng(2), STILL)
    np.testing.assert_array_equal(same.asinh_snr, cutout.asinh_snr)
    np.testing.assert_array_equal(same.islands, cutout.islands)


@given(st.integers(0, 10_000), st.sampled_from(sorted(WORDS)))
@settings(max_examples=30, deadline=None)
def test_what_is_varied_is_a_cutout_that_fills_its_frame(seed, word):
    cutout = drawn_cutout(word, seed)
    config = CutoutFeedConfig(fade=1.0)
    one, other = (vary(cutout, np.random.default_rng(seed), config) for _ in range(2))
    np.testing.assert_array_equal(one.asinh_snr, other.asinh_snr)
    assert one.islands.any() and (one.word, one.field) == (cutout.word, cutout.field)
    assert not ((one.islands > 0) & ~aperture(FRAME)).any()
    _, radius = enclosing_circle(outer_corners(one.islands > 0))
    assert 0.85 * FRAME / (2 * MARGIN) < radius < 1.15 * FRAME / (2 * MARGIN)


def test_a_faded_object_keeps_the_rules_of_islands():
    rng = np.random.default_rng(5)
    cutout = drawn_cutout("FR-II", 8, peak=200.0)
    for _ in range(10):
        faded = fade(cutout, rng, faintest=8.0)
        inside = faded.islands > 0
        assert (faded.significance[inside] >= MERGE_SNR - 0.05).all()
        for number in range(1, int(faded.islands.max()) + 1):
            assert faded.significance[faded.islands == number].max() >= SEED_SNR - 0.05
        assert not (inside & (cutout.islands == 0)).any()
        assert 6.0 < np.nanmax(faded.significance[inside]) < 210.0


def test_noise_around_a_faded_object_is_as_strong_as_before():
    powers, rng = [], np.random.default_rng(77)
    for seed in range(40):
        model = drawn_cutout("FR-II", seed, peak=200.0, noise=False)
        faded = fade(drawn_cutout("FR-II", seed, peak=200.0), rng, faintest=8.0)
        powers.append(np.mean(faded.significance[model.significance < 0.1] ** 2))
    assert np.mean(powers) == pytest.approx(1.0, abs=0.1)


def test_faint_objects_do_not_fade():
    cutout = drawn_cutout("gauss", 2, peak=7.0)
    assert fade(cutout, np.random.default_rng(1), faintest=12.0) is cutout


def test_a_faded_double_loses_its_bridge():
    y, x = np.mgrid[:FRAME, :FRAME] - (FRAME - 1) / 2
    lobes = [100 * np.exp(-((x - side * 24) ** 2 + y**2) / (2 * 9.0**2)) for side in (-1, 1)]
    snr = lobes[0] + lobes[1] + 6 * (np.hypot(x, y) < 20)
    cutout = MorphologyCutout(
        asinh_scale(snr.astype(np.float32)).astype(np.float16), (snr > MERGE_SNR).astype(np.uint8), BEAM
    )
    rng = np.random.default_rng(3)
    numbers = [int(fade(cutout, rng, faintest=8.0).islands.max()) for _ in range(20)]
    assert set(numbers) == {1, 2}


def test_quarter_turns_are_exact():
    cutout = drawn_cutout("FR-II", 6)
    for turns in (1, 2, 3):
        result = turned(cutout, angle=turns * math.pi / 2, mirrored=False, zoom=1.0, centre=MIDDLE)
        np.testing.assert_array_equal(np.rot90(cutout.islands, -turns), np.where(aperture(96), result.islands, 0))
        np.testing.assert_allclose(
            np.rot90(cutout.asinh_snr, -turns)[aperture(96)], result.asinh_snr[aperture(96)], atol=2e-3
        )
    mirrored = turned(cutout, angle=0.0, mirrored=True, zoom=1.0, centre=MIDDLE)
    np.testing.assert_array_equal(mirrored.islands, cutout.islands[:, ::-1])


def test_zoom_changes_the_frame_and_not_the_object():
    cutout = drawn_cutout("gauss", 6, peak=50.0, noise=False)
    result = turned(cutout, angle=0.7, mirrored=True, zoom=0.9, centre=MIDDLE)
    assert result.beam == pytest.approx(0.9 * BEAM)
    assert (result.islands > 0).sum() == pytest.approx(0.81 * (cutout.islands > 0).sum(), rel=0.03)
    one, other = cutout_inputs(cutout).scalars, cutout_inputs(result).scalars
    for name in ("size", "peak", "flux", "islands", "axis_ratio"):
        place = SCALAR_NAMES.index(name)
        assert other[place] == pytest.approx(one[place], abs=0.04), name


def test_a_wrong_noise_estimate_scales_signal_to_noise():
    cutout = drawn_cutout("gauss", 6)
    config = dataclasses.replace(STILL, noise_jitter=0.3)
    ratios = []
    for seed in range(40):
        varied = vary(cutout, np.random.default_rng(seed), config)
        ratios.append(float(np.nanmax(varied.significance) / np.nanmax(cutout.significance)))
    assert 1 / 1.31 < min(ratios) < 0.85 and 1.15 < max(ratios) < 1 / 0.69


def test_blank_pixels_stay_blank():
    cutout = drawn_cutout("gauss", 6)
    asinh = cutout.asinh_snr.copy()
    asinh[:, :20] = np.nan
    result = turned(
        dataclasses.replace(cutout, asinh_snr=asinh), angle=math.pi / 2, mirrored=False, zoom=1.0, centre=MIDDLE
    )
    blank = np.isnan(result.asinh_snr)
    assert blank.sum() == pytest.approx(20 * FRAME, rel=0.05)
    assert np.isfinite(cutout_inputs(result).image).all()


@pytest.mark.parametrize(
    "values",
    [{"fade": 1.5}, {"zoom": 0.5}, {"faintest": 3.0}, {"noise_jitter": 1.0}, {"repeat_threshold": -1.0},
     {"validation_cutouts": 0}, {"sure_accuracy": -0.1}, {"least_confidence": 2.0}],
)  # fmt: skip
def test_a_value_out_of_range_is_refused(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        CutoutFeedConfig(**values)
