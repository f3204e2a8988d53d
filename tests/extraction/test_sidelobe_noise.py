"""Sidelobes of bright sources raise the noise around these sources only, and by the right amount."""

import numpy as np
import pytest

from neanias_ml.extraction import BackgroundConfig, FinderConfig, SourceFinder, estimate_noise
from neanias_ml.extraction.noise.sidelobes import bright_peaks, brightest_pixels
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, make_map, round_covariance

SHAPE = (640, 640)
CENTRE = (330.0, 310.0)
REACH = 45.0


def field(*, amplitude, seed=1):
    """Unit noise, a source of 2000 sigma, and rings of both signs around it that end at ``REACH`` pixels."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(SHAPE)
    distance = np.hypot(rows - CENTRE[1], cols - CENTRE[0])
    rings = amplitude * np.sin(2 * np.pi * distance / 11.0) * ((distance > 12) & (distance < REACH))
    pixels = correlated_noise(SHAPE, rng) + rings
    pixels += 2000.0 * gaussian(SHAPE, *CENTRE, round_covariance(BEAM_PIXELS))
    return make_map(pixels), distance


@pytest.fixture(scope="module")
def ringed():
    radio_map, distance = field(amplitude=6.0)
    return radio_map, distance, estimate_noise(radio_map)


def test_the_noise_is_raised_near_the_source_only(ringed):
    _, distance, model = ringed
    _, noise = model.evaluate()
    expected = np.sqrt(1 + 6.0**2 / 2)
    near = (distance > 20) & (distance < REACH - 15)
    assert noise[near].mean() == pytest.approx(expected, rel=0.15)
    far = distance > REACH + 3 * BEAM_PIXELS + 8
    assert noise[far].mean() == pytest.approx(1.0, rel=0.05)
    assert noise[far].max() < 1.4
    assert model.sidelobes is not None and len(model.sidelobes.sources) == 1
    source = model.sidelobes.sources
    assert np.hypot(source.x[0] - CENTRE[0], source.y[0] - CENTRE[1]) <= 2.0
    assert source.peak_flux[0] == pytest.approx(2000.0, rel=0.15)
    assert REACH - 10 < source.radius[0] < REACH + 20


def test_rings_are_not_islands_with_the_noise_that_knows_them(ringed):
    radio_map, distance, _ = ringed
    counts = {}
    for bright_snr in (0.0, 100.0):
        finder = SourceFinder(FinderConfig(background=BackgroundConfig(bright_snr=bright_snr), search_nested=False))
        table = finder.find_islands(radio_map, finder.noise_of(radio_map)).islands.table
        counts[bright_snr] = len(table)
        at_source = distance[table.peak_y, table.peak_x] < 6
        assert np.count_nonzero(at_source) == 1
    assert counts[100.0] <= 2 and counts[100.0] <= counts[0.0]


def test_a_source_without_sidelobes_raises_nothing():
    radio_map, distance = field(amplitude=0.0)
    _, noise = estimate_noise(radio_map).evaluate()
    assert noise.max() < 1.25
    assert noise[distance < 40].mean() == pytest.approx(1.0, rel=0.12)


def test_faint_sources_get_no_profile():
    rng = np.random.default_rng(5)
    pixels = correlated_noise((256, 256), rng) + 60.0 * gaussian((256, 256), 128, 128, round_covariance(BEAM_PIXELS))
    assert estimate_noise(make_map(pixels)).sidelobes is None


def test_peaks_of_bright_regions_come_brightest_first():
    significance = np.zeros((40, 40), np.float32)
    significance[5, 5:9] = (120, 150, 130, 110)
    significance[6, 8] = 140
    significance[20, 30] = 900
    significance[30, 3:5] = 101
    rows, cols = brightest_pixels(significance, threshold=100.0)
    assert rows.tolist() == [20, 5, 30] and cols.tolist() == [30, 6, 3]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_peaks_between_thinned_pixels_are_not_missed(step):
    """Sources of the beam's shape have one brightness, wherever the thinned pixels meet them."""
    rng = np.random.default_rng(6)
    x, y = (80.0 * np.arange(1, 6) + rng.uniform(-1.5, 1.5, 5) for _ in range(2))
    snr = np.array([900.0, 400.0, 250.0, 160.0, 90.0])
    sky = sum(s * gaussian((480, 480), a, b, round_covariance(BEAM_PIXELS)) for s, a, b in zip(snr, x, y, strict=True))
    thinned = sky.astype(np.float32)[::step, ::step]
    rows, cols, offsets, peaks = bright_peaks(thinned, threshold=100.0, width=BEAM_PIXELS / step)
    np.testing.assert_allclose(peaks, snr[:4], rtol=0.01)
    np.testing.assert_allclose((rows + offsets[0]) * step, y[:4], atol=0.05)
    np.testing.assert_allclose((cols + offsets[1]) * step, x[:4], atol=0.05)


def test_peaks_beside_blank_and_negative_pixels_stay_as_they_are():
    significance = np.full((20, 20), -1.0, np.float32)
    significance[5, 5], significance[0, 19] = 300, 200
    significance[5, 6] = np.nan
    rows, cols, offsets, peaks = bright_peaks(significance, threshold=100.0, width=1.66)
    assert rows.tolist() == [5, 0] and cols.tolist() == [5, 19]
    assert peaks.tolist() == [300, 200] and not offsets.any()
