"""Bands of rows and threads are a matter of memory and time: no row of any table depends on them."""

import dataclasses

import numpy as np
import pytest
from astropy.io import fits

from neanias_ml.extraction import FinderConfig, SourceFinder
from neanias_ml.maps import Window, read_map
from tests.conftest import (
    BEAM_PIXELS,
    PIXEL_ARCSEC,
    correlated_noise,
    gaussian,
    make_map,
    make_sky,
    make_wcs,
    round_covariance,
)

SHAPE = (230, 210)
CONFIG = FinderConfig(search_extended=True)


def crowded():
    """Points, an extended source with points inside, one taller than most bands, holes, and sources cut by the rows."""
    radio_map, _ = make_sky(1, shape=SHAPE, n_sources=25, snr=(8, 60))
    pixels = radio_map.data.astype(float)
    rows, cols = np.indices(SHAPE)
    pixels += 1.2e-3 * (np.hypot(rows - 120, cols - 60) < 26)
    for x, y in ((50.0, 120.4), (70.0, 128.0)):
        pixels += 0.01 * gaussian(SHAPE, x, y, round_covariance(BEAM_PIXELS))
    pixels += 2e-3 * gaussian(SHAPE, 150.0, 115.0, np.diag([9.0, 2000.0]))
    for y in (63.6, 64.4, 127.5, 191.5):
        pixels += 4e-3 * gaussian(SHAPE, 100.0, y, round_covariance(BEAM_PIXELS))
    pixels += 0.2 * gaussian(SHAPE, 185.0, 30.0, round_covariance(BEAM_PIXELS))
    pixels[60:70, 95:98] = np.nan
    pixels[200:215, :40] = np.nan
    return pixels


def tables(extraction):
    """Every array that an extraction hands over, by name."""
    parts = {
        "components": extraction.components,
        "islands": extraction.islands.table,
        "nested": extraction.nested.table,
        "diffuse": extraction.diffuse.table,
        "negatives": extraction.negatives.table,
        "shapes": extraction.shapes,
        "sky_shapes": extraction.sky_shapes,
        "evidence": extraction.evidence,
    }
    columns = {
        f"{part}.{field.name}": getattr(table, field.name)
        for part, table in parts.items()
        for field in dataclasses.fields(table)
    }
    for name, layer in zip(("islands", "diffuse", "nested"), extraction.layers, strict=True):
        columns[f"{name}.runs"] = layer.runs.runs
        columns[f"{name}.region"] = layer.runs.region
    return columns


def assert_identical(left, right):
    mine, theirs = tables(left), tables(right)
    assert mine.keys() == theirs.keys()
    for name, column in mine.items():
        np.testing.assert_array_equal(column, theirs[name], err_msg=name)
    for one, other in zip(left.noise.evaluate(), right.noise.evaluate(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def whole():
    return SourceFinder(CONFIG)(make_map(crowded()))


def test_the_sky_of_these_tests_has_something_of_everything(whole):
    assert len(whole.islands) > 20 and len(whole.nested) >= 2
    assert set(whole.islands.table.kind) == {"compact", "extended"}
    assert (whole.islands.table.y1 - whole.islands.table.y0).max() > 100
    assert (whole.islands.table.flags > 0).any()
    assert np.count_nonzero(whole.components.nested_id) >= 2


@pytest.mark.parametrize("rows, workers", [(1, 1), (3, 3), (64, 2), (65, 1), (10_000, 4), (None, 3)])
def test_tiled_equals_whole(whole, rows, workers):
    assert_identical(SourceFinder(CONFIG, rows=rows, workers=workers)(make_map(crowded())), whole)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    header = make_wcs(SHAPE).to_header()
    header["BUNIT"] = "Jy/beam"
    header["BMAJ"] = header["BMIN"] = BEAM_PIXELS * PIXEL_ARCSEC / 3600
    header["BPA"] = 0.0
    path = tmp_path_factory.mktemp("tiling") / "map.fits"
    fits.writeto(path, crowded().astype(np.float32), header)
    return path


@pytest.fixture(scope="module")
def from_disk(on_disk):
    return SourceFinder(CONFIG)(read_map(on_disk))


@pytest.mark.parametrize("rows, workers", [(17, 1), (64, 3)])
def test_maps_on_disk_are_read_in_bands_with_the_same_result(on_disk, from_disk, rows, workers):
    assert_identical(SourceFinder(CONFIG, rows=rows, workers=workers)(read_map(on_disk)), from_disk)


def test_maps_on_disk_and_in_memory_are_one(whole, from_disk):
    np.testing.assert_array_equal(from_disk.islands.table.n_pixels, whole.islands.table.n_pixels)
    np.testing.assert_array_equal(from_disk.islands.table.total_flux, whole.islands.table.total_flux)
    np.testing.assert_allclose(from_disk.components.total_flux, whole.components.total_flux, rtol=1e-6)


class CountingReader:
    """Tells the largest window that was asked of a map."""

    def __init__(self, pixels):
        self.pixels = np.ascontiguousarray(pixels, dtype=np.float32)
        self.largest = 0

    def __call__(self, window):
        self.largest = max(self.largest, window.shape[0] * window.shape[1])
        return self.pixels[window.slices]


def test_bands_bound_what_is_read_at_once(monkeypatch):
    monkeypatch.setattr("neanias_ml.extraction.noise.thinned.READ_ROWS", 16)
    radio_map, _ = make_sky(2, shape=(400, 128), n_sources=16)
    reader = CountingReader(radio_map.data)
    finder, counted = SourceFinder(rows=16), dataclasses.replace(radio_map, reader=reader)
    found = finder.find_islands(counted, finder.noise_of(counted))
    assert len(found.islands) > 5
    assert reader.largest <= 3 * 16 * 128 < 400 * 128 / 4


@pytest.mark.parametrize("lower", [1, 3])
def test_lowered_seeds_do_not_depend_on_bands(lower):
    config = FinderConfig(seed_threshold=6.0, seed_iterations=lower, search_nested=False)
    radio_map, _ = make_sky(3, shape=(160, 150), n_sources=16, snr=(5, 30))
    one, other = (SourceFinder(config, rows=rows, workers=2)(radio_map) for rows in (None, 9))
    assert_identical(one, other)


def test_noise_alone_is_the_same_in_any_window():
    model = SourceFinder().noise_of(make_map(correlated_noise(SHAPE, np.random.default_rng(4))))
    background, noise = model.evaluate()
    window = Window(37, 91, 103, 190)
    cut = model.evaluate(window)
    np.testing.assert_array_equal(cut[0], background[window.slices])
    np.testing.assert_array_equal(cut[1], noise[window.slices])
