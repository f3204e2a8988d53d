"""The starlet transform: exact reconstruction, blanks, symmetry, and its noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from neanias_ml.extraction.extended.starlet import (
    BeamNoise,
    smoothing_profile,
    smoothing_reach,
    starlet_transform,
)
from tests.extraction.extended.scenes import correlated_noise


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 1000),
    blank=st.sampled_from([0.0, 0.2]),
)
def test_planes_add_up_to_the_map(shape, seed, blank):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=shape).astype(np.float32)
    image[rng.uniform(size=shape) < blank] = np.nan
    starlet = starlet_transform(image, scales=4)
    total = starlet.smoothed[4] + sum(starlet.plane(scale) for scale in range(1, 5))
    assert np.allclose(total[starlet.valid], image[starlet.valid], atol=1e-5)


def test_smoothing_conserves_the_flux_and_is_the_full_spline():
    image = np.zeros((101, 101), dtype=np.float32)
    image[50, 50] = 3.0
    starlet = starlet_transform(image, scales=4)
    for scale in range(1, 5):
        assert starlet.smoothed[scale].sum() == pytest.approx(3.0, rel=1e-5)
        profile = smoothing_profile(scale)
        half = smoothing_reach(scale)
        assert len(profile) == 2 * half + 1
        expected = 3.0 * np.outer(profile, profile)
        around = starlet.smoothed[scale][50 - half : 51 + half, 50 - half : 51 + half]
        assert np.allclose(around, expected, atol=1e-6)


def test_first_smoothing_agrees_with_scipy_away_from_the_edge():
    image = np.random.default_rng(3).normal(size=(40, 50)).astype(np.float32)
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    expected = ndimage.convolve(image, np.outer(kernel, kernel))
    assert np.allclose(starlet_transform(image, scales=1).smoothed[1][2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-5)


def test_blank_pixels_pull_nothing_down():
    image = np.full((60, 60), 2.0, dtype=np.float32)
    image[20:35, 10:30] = np.nan
    image[::7, ::5] = np.nan
    starlet = starlet_transform(image, scales=5)
    assert np.array_equal(starlet.valid, np.isfinite(image))
    for smoothed in starlet.smoothed:
        assert np.allclose(smoothed[starlet.valid], 2.0, atol=1e-5)


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, np.transpose, np.rot90])
def test_turned_maps_have_turned_planes(turn):
    image = np.random.default_rng(5).normal(size=(48, 48)).astype(np.float32)
    image[5:9, 30:40] = np.nan
    direct = turn(starlet_transform(image, scales=3).plane(3))
    turned = starlet_transform(np.ascontiguousarray(turn(image)), scales=3).plane(3)
    assert np.allclose(direct, turned, atol=1e-5)


def test_shifted_sources_have_shifted_planes():
    image = np.zeros((128, 128), dtype=np.float32)
    image[40:48, 50:53] = 1.0
    shifted = np.roll(image, (11, -7), axis=(0, 1))
    for scale in (1, 2, 3):
        plane = starlet_transform(image, scales=3).plane(scale)
        assert np.allclose(
            np.roll(plane, (11, -7), axis=(0, 1)), starlet_transform(shifted, scales=3).plane(scale), atol=1e-6
        )


@pytest.mark.parametrize("factor", [1, 2])
def test_propagated_noise_is_the_noise_of_simulated_maps(factor):
    image = correlated_noise(np.random.default_rng(1), size=1024, beam=5.0)
    binned = image.reshape(1024 // factor, factor, 1024 // factor, factor).mean(axis=(1, 3))
    starlet = starlet_transform(binned, scales=4)
    noise = BeamNoise(5.0, factor)
    for scale in range(1, 5):
        assert starlet.smoothed[scale].std() == pytest.approx(noise.smoothing(scale), rel=0.05)
        assert starlet.plane(scale).std() == pytest.approx(noise.plane(scale), rel=0.05)
