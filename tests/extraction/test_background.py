import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.errors import InputError, UsageError
from neanias_ml.extraction.background import (
    BackgroundConfig,
    NoiseModel,
    clipped_statistics,
    estimate_noise,
    fill_from_neighbours,
)
from neanias_ml.maps import Window
from tests.conftest import correlated_noise, gaussian, make_map, make_sky, round_covariance


def test_noise_and_background_of_pure_noise():
    rng = np.random.default_rng(1)
    pixels = 3e-5 * correlated_noise((512, 512), rng) + 1e-5
    background, noise = estimate_noise(make_map(pixels)).evaluate()
    assert np.median(noise) == pytest.approx(3e-5, rel=0.03)
    assert np.median(background) == pytest.approx(1e-5, abs=1.5e-6)


def test_noise_follows_a_gradient():
    rng = np.random.default_rng(2)
    truth = np.linspace(1.0, 3.0, 512)[None, :]
    _, noise = estimate_noise(make_map(correlated_noise((512, 512), rng) * truth)).evaluate()
    ratio = noise.mean(axis=0) / truth[0]
    assert np.abs(ratio[40:-40] - 1).max() < 0.1


def test_extended_emission_does_not_swell_the_noise():
    rng = np.random.default_rng(3)
    pixels = correlated_noise((400, 400), rng)
    pixels += 30 * gaussian(pixels.shape, 200, 200, round_covariance(60))
    background, noise = estimate_noise(make_map(pixels)).evaluate()
    assert noise[200, 200] < 1.3
    assert background[200, 200] < 2.0


@pytest.mark.parametrize("blank", ["corner", "half", "stripe"])
def test_blank_pixels_do_not_change_the_sky_beside_them(blank):
    radio_map, _ = make_sky(4, n_sources=9)
    pixels = radio_map.data.copy()
    if blank == "corner":
        rows, cols = np.mgrid[:256, :256]
        pixels[np.hypot(rows, cols) < 120] = np.nan
    elif blank == "half":
        pixels[:, :128] = np.nan
    else:
        pixels[100:104] = np.nan
    _, noise = estimate_noise(make_map(pixels)).evaluate()
    assert np.isfinite(noise).all()
    seen = noise[np.isfinite(pixels)]
    assert seen.min() > 0.8e-4 and seen.max() < 1.25e-4


@given(y0=st.integers(0, 200), x0=st.integers(0, 200), height=st.integers(1, 56), width=st.integers(1, 56))
@settings(max_examples=30, deadline=None)
def test_a_window_sees_the_values_of_the_whole_map(y0, x0, height, width):
    rng = np.random.default_rng(5)
    model = NoiseModel(rng.normal(size=(5, 4)), rng.uniform(1, 2, size=(5, 4)), 55, (256, 256))
    window = Window(y0, y0 + height, x0, x0 + width)
    whole, part = model.evaluate(), model.evaluate(window)
    for complete, cut in zip(whole, part, strict=True):
        np.testing.assert_array_equal(complete[window.slices], cut)


def test_scale_and_offset_carry_through():
    radio_map, _ = make_sky(6)
    background, noise = estimate_noise(radio_map).evaluate()
    scaled = make_map(radio_map.data * 1e6 + 4.0)
    background_scaled, noise_scaled = estimate_noise(scaled).evaluate()
    np.testing.assert_allclose(noise_scaled, noise * 1e6, rtol=1e-3)
    np.testing.assert_allclose(background_scaled, background * 1e6 + 4.0, atol=1e-2 * noise_scaled.mean())


def test_map_smaller_than_a_mesh_cell():
    rng = np.random.default_rng(7)
    _, noise = estimate_noise(make_map(correlated_noise((30, 24), rng))).evaluate()
    assert noise.shape == (30, 24)
    assert 0.5 < noise.mean() < 1.5


def test_zero_padding_does_not_count_as_sky():
    rng = np.random.default_rng(8)
    pixels = correlated_noise((360, 360), rng)
    pixels[:, :180] = 0.0
    _, noise = estimate_noise(make_map(pixels)).evaluate()
    assert noise[:, 200:].min() > 0.85 and noise[:, 200:].max() < 1.15
    assert noise.min() > 0


def test_no_spread_is_a_clear_error():
    with pytest.raises(InputError) as caught:
        estimate_noise(make_map(np.ones((64, 64))))
    assert caught.value.code == "NoNoise" and caught.value.exit_code == 3


def test_clipped_statistics_of_a_gaussian_with_outliers():
    rng = np.random.default_rng(9)
    values = np.concatenate([rng.normal(2.0, 0.5, 20000), rng.uniform(5, 50, 400)])
    median, spread = clipped_statistics(values)
    assert median == pytest.approx(2.0, abs=0.03)
    assert spread == pytest.approx(0.5, rel=0.04)


def test_fill_takes_the_neighbours():
    mesh = np.array([[1.0, np.nan, 3.0], [1.0, np.nan, 3.0], [1.0, np.nan, 3.0]])
    np.testing.assert_allclose(fill_from_neighbours(mesh)[:, 1], 2.0)


def test_finer_mesh_follows_finer_structure():
    rng = np.random.default_rng(10)
    truth = 1 + 0.5 * np.sin(np.arange(512) / 40.0)[None, :]
    radio_map = make_map(correlated_noise((512, 512), rng) * truth)
    deviations = [
        np.abs(estimate_noise(radio_map, config=BackgroundConfig(mesh_beams=beams)).evaluate()[1] / truth - 1).mean()
        for beams in (30, 8)
    ]
    assert deviations[1] < 0.6 * deviations[0]


def test_noise_of_a_strip_narrower_than_a_cell_follows_its_gradient():
    rng = np.random.default_rng(11)
    truth = np.linspace(1.0, 4.0, 1200)[None, :]
    strip = correlated_noise((64, 1200), rng)[:11] * truth
    _, noise = estimate_noise(make_map(strip)).evaluate()
    assert noise[:, :100].mean() < 1.6 and noise[:, -100:].mean() > 3.0


@pytest.mark.parametrize("setting", [{"mesh_beams": -1.0}, {"mask_seed": 1.0}, {"max_iterations": -1}])
def test_settings_are_checked(setting):
    with pytest.raises(UsageError):
        BackgroundConfig(**setting)
