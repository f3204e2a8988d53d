"""The colour, variance and smoothness of a map's noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.simulation.imaging.gridding import cell_sums
from neanias_ml.simulation.imaging.noise import correlated_noise, local_rms, smooth_field
from neanias_ml.simulation.sources.models import gaussian_transfer
from tests.simulation.makers import RMS, field, observed


def mean_power(config, beam, coverage, count=60):
    draws = (
        correlated_noise(config, np.random.default_rng(seed), coverage=coverage, beam=beam) for seed in range(count)
    )
    return np.mean([np.abs(np.fft.rfft2(noise)) ** 2 for noise in draws], axis=0) / config.size**4


@pytest.mark.parametrize(("confusion", "power"), [(0.0, "squares"), (1.0, "square")])
def test_the_power_spectrum_of_noise_follows_the_weights(confusion, power):
    config, beam, coverage = observed("vla", noise_gridding=1.0, confusion_share=confusion, hour_angle_span=0.3)
    assert config.size == 128
    found = mean_power(config, beam, coverage)
    # independent noise on each visibility: its variance is multiplied by the squared weight
    expected = {
        "squares": cell_sums(coverage.kx, coverage.ky, coverage.weight**2, size=128),
        "square": cell_sums(coverage.kx, coverage.ky, coverage.weight, size=128) ** 2,
    }[power]
    expected = expected[:, 1:-1] / (2 * expected[:, 1:-1].sum() + expected[:, [0, -1]].sum())
    found = found[:, 1:-1]
    assert not found[expected == 0].any() or found[expected == 0].max() < 1e-10
    strong = expected > 0.2 * expected.max()
    assert (found / np.where(expected > 0, expected, 1))[strong].mean() == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(found[strong], expected[strong])[0, 1] > 0.8


def test_the_smooth_share_of_the_noise_is_coloured_like_the_beam():
    config, beam, coverage = observed(noise_gridding=0.0)
    found = mean_power(config, beam, coverage)[:, 1:-1]
    expected = gaussian_transfer((128, 128), beam).astype(float)[:, 1:-1]
    expected /= 2 * expected.sum()
    strong = expected > 0.1 * expected.max()
    assert (found / expected)[strong].mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("changes", [{}, {"mosaic": "hexagonal", "primary_beam": 0.5, "mosaic_extent": 1.5}])
def test_the_variance_of_noise_is_that_of_the_rms_map(changes):
    skies = [
        field(size=128, noise_ratio=3.0, noise_gridding=0.7, seed=seed, **changes) for seed in range(24)
    ]
    ratio = [(sky.radio_map.data / sky.thermal_rms)[np.isfinite(sky.radio_map.data)] for sky in skies]
    assert np.sqrt(np.mean([np.mean(values**2) for values in ratio])) == pytest.approx(1.0, abs=0.03)
    # also in the quiet and the noisy part of each field by themselves
    for part in (np.greater, np.less):
        chosen = [
            np.mean((sky.radio_map.data / sky.thermal_rms)[part(sky.thermal_rms, RMS)] ** 2) for sky in skies
        ]
        assert np.sqrt(np.nanmean(chosen)) == pytest.approx(1.0, abs=0.05)


def test_another_seed_gives_other_noise_and_the_same_seed_the_same():
    config, beam, coverage = observed(noise_gridding=1.0)
    one, two, other = (
        correlated_noise(config, np.random.default_rng(seed), coverage=coverage, beam=beam) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("size", [100, 257])
def test_smooth_fields_are_normalised_and_smooth_over_their_scale(size):
    values = smooth_field(np.random.default_rng(3), size=size, scale=size / 3.0)
    assert values.shape == (size, size)
    assert (float(values.mean()), float(values.std())) == pytest.approx((0.0, 1.0), abs=1e-4)
    # a Gaussian correlation of sigma s has gradients of 1 / (sqrt(2) s); here s is half of the scale
    assert 2.0 / size < np.diff(values, axis=0).std() < 8.0 / size
    assert np.abs(np.diff(values, 2, axis=0)).max() < 0.1 * np.abs(np.diff(values, axis=0)).max()


def test_the_local_rms_of_a_map_of_any_shape_matches_a_plain_mean_of_squares():
    rng = np.random.default_rng(5)
    thermal = np.full((203, 131), 1.0, np.float32)
    texture = ndimage.gaussian_filter(rng.normal(size=thermal.shape), 1.5).astype(np.float32)
    texture *= 0.5 / texture.std()
    found = local_rms(thermal, texture, beam_fwhm=4.0)
    assert found.shape == thermal.shape
    assert np.mean(found**2) == pytest.approx(1.25, rel=0.03)
