"""Background and noise: the truth of simulated skies comes back, whatever lies on them."""

import numpy as np
import pytest
from astropy.stats import biweight_location, biweight_scale, sigma_clipped_stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from neanias_ml.errors import InputError, UsageError
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.noise.background import _raised_by, estimate_noise, estimate_without
from neanias_ml.extraction.noise.cells import cells_on_emission, fill_from_neighbours, level_and_spread
from neanias_ml.extraction.noise.config import ESTIMATORS, BackgroundConfig
from neanias_ml.extraction.noise.emission import emission_masks
from neanias_ml.extraction.noise.emission_kernels import block_means
from neanias_ml.extraction.noise.model import BrightSources, MeshNoise, SidelobeNoise
from neanias_ml.extraction.noise.thinned import ThinnedMap
from neanias_ml.maps import Window
from tests.conftest import correlated_noise, gaussian, make_map, make_sky, round_covariance


def disk(shape, x, y, radius):
    rows, cols = np.indices(shape)
    return np.hypot(rows - y, cols - x) < radius


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_noise_and_background_of_pure_noise(estimator):
    rng = np.random.default_rng(1)
    pixels = 3e-5 * correlated_noise((512, 512), rng) + 1e-5
    background, noise = estimate_noise(make_map(pixels), config=BackgroundConfig(estimator=estimator)).evaluate()
    assert np.median(noise) == pytest.approx(3e-5, rel=0.03)
    assert np.median(background) == pytest.approx(1e-5, abs=1.5e-6)


def test_noise_follows_a_gradient():
    rng = np.random.default_rng(2)
    truth = np.linspace(1.0, 3.0, 512)[None, :]
    _, noise = estimate_noise(make_map(correlated_noise((512, 512), rng) * truth)).evaluate()
    ratio = noise.mean(axis=0) / truth[0]
    assert np.abs(ratio[40:-40] - 1).max() < 0.1


def test_background_follows_a_slope():
    rng = np.random.default_rng(22)
    slope = np.linspace(-1.5, 1.5, 480)[:, None] + np.linspace(0.0, 1.0, 480)[None, :]
    background, noise = estimate_noise(make_map(correlated_noise((480, 480), rng) + slope)).evaluate()
    error = background - slope
    assert abs(error.mean()) < 0.05 and error.std() < 0.2
    assert noise.mean() < 1.25


def test_extended_emission_does_not_swell_the_noise():
    rng = np.random.default_rng(3)
    pixels = correlated_noise((400, 400), rng)
    pixels += 30 * gaussian(pixels.shape, 200, 200, round_covariance(60))
    background, noise = estimate_noise(make_map(pixels)).evaluate()
    assert noise[200, 200] < 1.3
    assert background[200, 200] < 2.0


def test_no_negative_bowl_around_a_bright_disk():
    """The sky beside a disk three cells wide is as if the disk were not there."""
    rng = np.random.default_rng(31)
    sky = correlated_noise((480, 480), rng)
    inside = disk(sky.shape, 240, 240, 80)
    free, bright = (estimate_noise(make_map(pixels)).evaluate() for pixels in (sky, sky + 8.0 * inside))
    beside = disk(sky.shape, 240, 240, 110) & ~inside
    assert abs((bright[0] - free[0])[beside].mean()) < 0.15
    assert np.abs(bright[1] / free[1] - 1)[beside].max() < 0.2
    assert abs(bright[0][inside].mean()) < 0.5 and np.abs(bright[1][inside] - 1).max() < 0.3


def test_a_faint_diffuse_disk_is_masked_although_no_pixel_of_it_stands_out():
    rng = np.random.default_rng(32)
    sky = correlated_noise((640, 640), rng)
    inside = disk(sky.shape, 320, 320, 70)
    radio_map = make_map(sky + 1.5 * inside)
    levels = {
        threshold: estimate_noise(radio_map, config=BackgroundConfig(mask_diffuse=threshold)).evaluate()[0]
        for threshold in (0.0, 4.0)
    }
    assert abs(levels[4.0][inside].mean()) < 0.25
    assert levels[0.0][inside].mean() > levels[4.0][inside].mean() + 0.15


def masks_of(thinned, model, config=None):
    """Pixels of sources and diffuse emission, and of sources alone."""
    config = config or BackgroundConfig()
    sources, diffuse = emission_masks(thinned, model, config, look_for_diffuse=True, workers=1)
    return sources | diffuse, sources


def test_masks_hold_sources_and_diffuse_emission_and_little_else():
    rng = np.random.default_rng(33)
    pixels = correlated_noise((640, 640), rng)
    inside = disk(pixels.shape, 400, 400, 60)
    pixels = pixels + 1.5 * inside + 12.0 * gaussian(pixels.shape, 100, 120, round_covariance(5.0))
    thinned = ThinnedMap.of(make_map(pixels))
    model = MeshNoise(np.zeros((1, 1)), np.ones((1, 1)), 640, (640, 640))
    mask, without = masks_of(thinned, model)
    far = ~disk(pixels.shape, 400, 400, 60 + 3 * 20) & ~disk(pixels.shape, 100, 120, 15)
    step = thinned.step
    assert mask[disk(pixels.shape, 400, 400, 45)[::step, ::step]].mean() > 0.95
    assert mask[disk(pixels.shape, 100, 120, 4)[::step, ::step]].all()
    assert mask[far[::step, ::step]].mean() < 0.03
    assert without[inside[::step, ::step]].mean() < 0.6


def sloping_model(shape, *, cell, seed=0):
    """A model with structure in both meshes."""
    rng = np.random.default_rng(seed)
    nodes = tuple(max(1, round(length / cell)) for length in shape)
    return MeshNoise(rng.normal(size=nodes), rng.uniform(1, 2, nodes), cell, shape)


@pytest.mark.parametrize("fwhm", [1.0, 3.0, 5.0, 9.0])
def test_significance_of_thinned_pixels_is_that_of_the_map(fwhm):
    rng = np.random.default_rng(34)
    pixels = rng.normal(size=(331, 397)).astype(np.float32)
    pixels[40:70, 100:160] = np.nan
    thinned = ThinnedMap.of(make_map(pixels, fwhm=fwhm))
    model = sloping_model(pixels.shape, cell=12 * thinned.step)
    background, noise = model.evaluate()
    expected = ((pixels - background) / noise)[:: thinned.step, :: thinned.step]
    np.testing.assert_allclose(thinned.significance(model), expected, atol=5e-6)
    for rows in thinned.bands(7):
        np.testing.assert_array_equal(thinned.significance(model, rows), thinned.significance(model)[rows])


@pytest.mark.parametrize("side", [1, 3, 4])
def test_blocks_are_means_of_what_is_known_of_them(side):
    rng = np.random.default_rng(35)
    significance = rng.normal(scale=3.0, size=(26, 31)).astype(np.float32)
    significance[rng.random(significance.shape) < 0.4] = np.nan
    means = block_means(significance, side)
    assert means.shape == (-(-26 // side), -(-31 // side))
    for (row, col), mean in np.ndenumerate(means):
        block = np.clip(significance[row * side : (row + 1) * side, col * side : (col + 1) * side], -4, 4)
        known = block[np.isfinite(block)]
        if 2 * known.size < side**2:
            assert np.isnan(mean)
        else:
            assert mean == pytest.approx(known.mean(dtype=float), abs=1e-6)


def test_cells_on_emission_stand_out_of_the_medians_around_them():
    rng = np.random.default_rng(36)
    level, spread = rng.normal(scale=0.8, size=(24, 31)), rng.uniform(0.5, 2.0, (24, 31))
    level[5:8, 9:12] += 3.0
    hidden = rng.random(level.shape) < 0.2
    level[hidden] = spread[hidden] = np.nan

    def middle(around):
        known = np.sort(around[np.isfinite(around)])
        return known[known.size // 2]

    usual_level, usual_spread = (
        ndimage.generic_filter(mesh.astype(np.float32), middle, size=7, mode="constant", cval=np.nan)
        for mesh in (level, spread)
    )
    expected = np.greater(level - usual_level, usual_spread, where=~hidden, out=np.zeros(level.shape, bool))
    assert expected.any() and not expected.all()
    np.testing.assert_array_equal(cells_on_emission(level, spread), expected)


def test_sidelobes_hide_from_the_mesh_what_they_raise_anywhere():
    shape = (330, 420)
    sources = BrightSources(
        x=np.array([60, 72, 419]), y=np.array([2, 30, 300]), peak_flux=np.ones(3), radius=np.array([30.0, 45.0, 52.0])
    )
    sidelobes = SidelobeNoise(sources, np.array([[2.0, 1.0, 0.3, 0.0, 0.0], [0.3] * 5, [3.0] * 5]), ring=9.0)
    thinned = ThinnedMap.of(make_map(np.zeros(shape, np.float32)))
    factor = np.ones(thinned.pixels.shape, np.float32)
    sidelobes.raise_noise(factor, window=Window(0, shape[0], 0, shape[1]), step=thinned.step)
    assert thinned.step == 3
    np.testing.assert_array_equal(_raised_by(sidelobes, thinned), factor > 1.2)


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


@pytest.mark.parametrize("power", [10, -20, 40])
def test_powers_of_two_scale_everything_exactly(power):
    radio_map, _ = make_sky(6)
    background, noise = estimate_noise(radio_map).evaluate()
    scaled = estimate_noise(make_map(radio_map.data * np.float32(2.0**power))).evaluate()
    np.testing.assert_array_equal(scaled[0], background * np.float32(2.0**power))
    np.testing.assert_array_equal(scaled[1], noise * np.float32(2.0**power))


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


@pytest.mark.parametrize("edge, value", [(150, 0.0), (270, 0.0), (291, 0.0), (240, 0.1)])
def test_constant_regions_have_the_noise_of_the_sky_beside_them(edge, value):
    """Nor do cells that are padded in part become quieter than the sky."""
    pixels = correlated_noise((480, 480), np.random.default_rng(81))
    pixels[:, :edge] = value
    _, noise = estimate_noise(make_map(pixels)).evaluate()
    assert noise[:, edge + 10 :].min() > 0.75 and noise[:, edge + 10 :].max() < 1.3
    assert noise.min() > 0.7


def test_no_spread_is_a_clear_error():
    with pytest.raises(InputError) as caught:
        estimate_noise(make_map(np.ones((64, 64))))
    assert caught.value.code == "NoNoise" and caught.value.exit_code == 3


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1000, 4000), share=st.floats(0.0, 0.05))
@settings(max_examples=25, deadline=None)
def test_estimators_agree_with_independent_ones(seed, count, share):
    rng = np.random.default_rng(seed)
    values = rng.normal(2.0, 0.5, count)
    values[: int(share * count)] = rng.uniform(5, 50, int(share * count))
    values = rng.permutation(values).astype(np.float32)
    centre, spread = level_and_spread(values, estimator=ESTIMATORS["median"])
    assert centre == np.sort(values)[count // 2]
    assert spread == pytest.approx(1.4826 * np.sort(np.abs(values - centre))[count // 2], rel=1e-5)
    centre, spread = level_and_spread(values, estimator=ESTIMATORS["mean"])
    assert (centre, spread) == pytest.approx((values.mean(dtype=float), values.std(dtype=float)), rel=1e-5)
    centre, spread = level_and_spread(values, estimator=ESTIMATORS["biweight"])
    assert centre == pytest.approx(biweight_location(values.astype(float)), abs=0.03)  # astropy takes one step
    assert spread == pytest.approx(biweight_scale(values.astype(float)), rel=0.02)
    centre, spread = level_and_spread(values, estimator=ESTIMATORS["clipped"])
    _, median, deviation = sigma_clipped_stats(values.astype(float), sigma=3.0, maxiters=20)
    assert centre == pytest.approx(median, abs=0.02)
    assert spread == pytest.approx(deviation / 0.98658, rel=0.025)


def test_clipped_statistics_of_a_gaussian_with_outliers():
    rng = np.random.default_rng(9)
    values = np.concatenate([rng.normal(2.0, 0.5, 20000), rng.uniform(5, 50, 400)])
    median, spread = level_and_spread(values, estimator=ESTIMATORS["clipped"])
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


@pytest.mark.parametrize("fwhm", [3.0, 5.0, 9.0])
def test_bands_and_threads_change_nothing(fwhm, monkeypatch):
    radio_map, _ = make_sky(12, shape=(300, 260), n_sources=9, snr=(20, 400))
    radio_map = make_map(radio_map.data, fwhm=fwhm)
    reference = estimate_noise(radio_map)
    for rows in (1, 7, 64, 1000):
        monkeypatch.setattr("neanias_ml.extraction.noise.thinned.READ_ROWS", max(rows, int(fwhm)))
        monkeypatch.setattr("neanias_ml.extraction.noise.thinned.BAND_ROWS", rows)
        model = estimate_noise(radio_map, workers=3)
        np.testing.assert_array_equal(model.noise_mesh, reference.noise_mesh)
        np.testing.assert_array_equal(model.background_mesh, reference.background_mesh)
        for ours, theirs in zip(model.evaluate(), reference.evaluate(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_known_sources_are_left_out():
    """Sources too faint and too many for the mask raise the noise unless they are known."""
    rng = np.random.default_rng(13)
    sky = correlated_noise((300, 300), rng)
    labels = np.zeros(sky.shape, np.int32)
    labels[disk(sky.shape, 150, 150, 60)] = 1
    texture = 3.5 * correlated_noise(sky.shape, rng) * (labels > 0)
    config = BackgroundConfig(mask_seed=90.0, mask_merge=80.0, mask_diffuse=0.0)
    blind = estimate_noise(make_map(sky + texture), config=config).evaluate()[1]
    known = estimate_without(make_map(sky + texture), Runs.from_labels(labels), config=config).evaluate()[1]
    assert blind[150, 150] > 1.8
    assert 0.8 < known[150, 150] < 1.2


@pytest.mark.parametrize(
    "setting",
    [
        {"mesh_beams": -1.0},
        {"mask_seed": 1.0},
        {"max_iterations": -1},
        {"estimator": "mode"},
        {"mask_diffuse": -1.0},
        {"bright_beams": 0.0},
        {"converged_fraction": 1.0},
    ],
)
def test_settings_are_checked(setting):
    with pytest.raises(UsageError):
        BackgroundConfig(**setting)
