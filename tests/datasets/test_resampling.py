"""The network's grid: windows equal the whole, boxes round-trip, known images resample to known images."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.datasets.resampling import ResampledGrid, window_channels, window_labels
from neanias_ml.extraction import FinderConfig, SourceFinder
from neanias_ml.maps import Beam, RadioMap, Window

SCALES = [0.37, 0.5, 1.0, 1.37, 2.0, 3.1]


def whole(grid, values):
    return grid.resample(values, window=grid.extent)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SCALES), st.integers(0, 2**31), st.data())
def test_any_window_equals_the_whole(scale, seed, data):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(53, 61)).astype(np.float32)
    values[rng.random(values.shape) < 0.05] = np.nan
    labels = rng.integers(0, 5, size=values.shape)
    grid = ResampledGrid(values.shape, scale)
    y0, x0 = (data.draw(st.integers(0, length - 1)) for length in grid.shape)
    y1, x1 = data.draw(st.integers(y0 + 1, grid.shape[0])), data.draw(st.integers(x0 + 1, grid.shape[1]))
    window = Window(y0, y1, x0, x1)
    source = grid.map_window(window)
    np.testing.assert_array_equal(
        grid.resample(values[source.slices], window=window), whole(grid, values)[window.slices]
    )
    np.testing.assert_array_equal(
        grid.resample_labels(labels[source.slices], window=window),
        grid.resample_labels(labels, window=grid.extent)[window.slices],
    )


def test_scale_one_is_the_identity():
    values = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    values[3, 4] = np.nan
    np.testing.assert_array_equal(whole(ResampledGrid((20, 30), 1.0), values), values)


@pytest.mark.parametrize("scale", SCALES)
def test_linear_ramp_is_reproduced_and_constant_kept(scale):
    y, x = np.mgrid[:60, :80].astype(np.float32)
    grid = ResampledGrid((60, 80), scale)
    rows, cols = np.arange(grid.shape[0]), np.arange(grid.shape[1])
    expected = 2 * ((rows[:, None] + 0.5) / scale - 0.5) + ((cols[None] + 0.5) / scale - 0.5)
    edge = math.ceil(2 * scale) + 2
    inner = np.s_[edge:-edge, edge:-edge]
    # the taps of a triangle of fractional half-width are not quite balanced about its centre
    tolerance = 1e-4 if scale >= 1 or scale == 0.5 else 0.15
    np.testing.assert_allclose(whole(grid, 2 * y + x)[inner], expected[inner], atol=tolerance)
    np.testing.assert_allclose(whole(grid, np.full((60, 80), 3.5, np.float32)), 3.5, rtol=1e-6)


def test_shrinking_averages_white_noise():
    values = np.random.default_rng(1).normal(size=(300, 300)).astype(np.float32)
    shrunk = whole(ResampledGrid(values.shape, 0.25), values)
    # triangle of half-width 4: variance falls by the sum of squared weights, (2/3 / 4)^2 in two dimensions
    assert shrunk.std() == pytest.approx(2 / 3 / 4, rel=0.1)


def test_blank_pixels_stay_blank_and_do_not_leak():
    values = np.ones((40, 40), dtype=np.float32)
    values[:, 20:] = np.nan
    up = whole(ResampledGrid((40, 40), 2.0), values)
    np.testing.assert_array_equal(up[:, :40], 1.0)
    assert np.isnan(up[:, 41:]).all()


def test_boxes_scale_and_come_back():
    grid = ResampledGrid((100, 100), 2.3)
    boxes = np.array([[0, 0, 10, 4], [3, 5, 50, 90]])
    np.testing.assert_allclose(grid.boxes_to_grid(boxes)[0], [0, 0, 23.0, 9.2])
    np.testing.assert_allclose(grid.boxes_to_map(grid.boxes_to_grid(boxes)), boxes)


def test_upscaled_label_fills_its_scaled_box():
    labels = np.zeros((20, 20), dtype=np.int32)
    labels[4:9, 6:12] = 7
    grid = ResampledGrid((20, 20), 2.0)
    rows, cols = np.nonzero(window_labels(labels, grid, window=grid.extent) == 7)
    box = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(box, grid.boxes_to_grid(np.array([[6, 4, 12, 9]]))[0])


def test_bad_scale_and_wrong_window_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        ResampledGrid((10, 10), 0.0)
    grid = ResampledGrid((40, 40), 2.0)
    with pytest.raises(ValueError, match="of the map"):
        grid.resample(np.zeros((3, 3), np.float32), window=Window(0, 40, 0, 40))


@pytest.fixture(scope="module")
def extraction():
    """A small map with point sources and blanks, beam of 4 pixels."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:150, :170]
    pixels = rng.normal(scale=1e-4, size=y.shape)
    for _ in range(8):
        distance = (x - rng.uniform(10, 160)) ** 2 + (y - rng.uniform(10, 140)) ** 2
        pixels += rng.uniform(1e-3, 1e-1) * np.exp(-0.5 * distance / (4 / 2.3548) ** 2)
    pixels[40:60, 100:] = np.nan
    radio_map = RadioMap.from_array(pixels, beam=Beam(4 / 3600, 4 / 3600), pixel_scale=1 / 3600)
    return SourceFinder(FinderConfig())(radio_map)


def test_grid_has_six_pixels_per_beam(extraction):
    grid = ResampledGrid.of(extraction.radio_map)
    assert grid.scale == pytest.approx(1.5)
    assert grid.shape == (225, 255)


@pytest.mark.parametrize("window", [Window(0, 64, 0, 64), Window(37, 133, 90, 186), Window(161, 225, 191, 255)])
def test_channels_of_a_window_equal_those_of_the_whole_map(extraction, window):
    grid = ResampledGrid.of(extraction.radio_map)
    everything = window_channels(extraction, grid, window=grid.extent)
    np.testing.assert_array_equal(
        window_channels(extraction, grid, window=window), everything[:, window.y0 : window.y1, window.x0 : window.x1]
    )


def test_windows_beyond_the_map_are_blank_there(extraction):
    grid = ResampledGrid.of(extraction.radio_map)
    beyond = window_channels(extraction, grid, window=Window(200, 264, -20, 44))
    everything = window_channels(extraction, grid, window=grid.extent)
    np.testing.assert_array_equal(beyond[:, :25, 20:], everything[:, 200:225, :44])
    assert not beyond[:, 25:].any() and not beyond[:, :, :20].any()
    assert not window_channels(extraction, grid, window=Window(500, 532, 0, 32)).any()
    labels = window_labels(extraction.islands.labels, grid, window=Window(200, 264, -20, 44))
    assert labels.shape == (64, 64) and not labels[25:].any()


def test_sources_are_supported_and_significant_on_the_grid(extraction):
    grid = ResampledGrid.of(extraction.radio_map)
    channels = window_channels(extraction, grid, window=grid.extent)
    table = extraction.islands.table
    for x, y, snr in zip(table.peak_x, table.peak_y, table.snr, strict=True):
        row, col = int((y + 0.5) * grid.scale), int((x + 0.5) * grid.scale)
        assert channels[3, row, col] == 1
        recovered = 3 * np.sinh(channels[1, row, col] * np.arcsinh(100))
        assert 0.7 * snr < recovered <= snr * 1.001
