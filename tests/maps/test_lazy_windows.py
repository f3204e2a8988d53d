"""Opening reads headers, a window reads its own pixels, and maps travel to other processes."""

from __future__ import annotations

import gzip
import hashlib
import multiprocessing
import pickle
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.maps import Beam, MapSource, RadioMap, Window, file_digest, read_map, tile_grid
from neanias_ml.maps.pixel_readers import ArrayReader, FileReader
from tests.maps.makers import SHAPE, STEP, gaussian_sky, sky_cards, write_fits, write_raw

SIDE = 20000


@pytest.fixture
def huge(tmp_path):
    """A sparse file that declares a map of 1.6 GB, with one row of known pixels."""
    cards = ["SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    2"]
    cards += [f"NAXIS1  = {SIDE}", f"NAXIS2  = {SIDE}"]
    cards += [f"{name:8}= {value!r}" for name, value in sky_cards(shape=(SIDE, SIDE)).items()]
    path = write_raw(tmp_path / "huge.fits", cards)
    start = path.stat().st_size
    row = 15000
    with path.open("r+b") as file:
        file.seek(start + 4 * SIDE * row)
        file.write(np.arange(SIDE, dtype=">f4").tobytes())
        file.truncate(start + 4 * SIDE**2 + 2880)
    return path, row


def test_a_window_of_a_huge_map_is_read_alone(huge):
    path, row = huge
    tracemalloc.start()
    try:
        radio_map = read_map(path)
        opened = tracemalloc.get_traced_memory()[1]
        pixels = radio_map.read(Window(row - 50, row + 50, 1000, 1300))
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert radio_map.shape == (SIDE, SIDE)
    np.testing.assert_array_equal(pixels[50], np.arange(1000, 1300))
    assert not pixels[:50].any() and not pixels[51:].any()
    assert pixels.base is None or pixels.base.nbytes < 10**6, "the window must not keep the map alive"
    assert opened < 5e6 and read < 5e6


def test_opening_and_a_window_touch_no_other_pixels(tmp_path, monkeypatch):
    """Poisoned pixels: whatever is read outside the window raises a signal that is seen."""
    data = gaussian_sky().astype(np.float32)
    path = write_fits(tmp_path / "map.fits", data, sky_cards())
    seen = []
    original = FileReader._physical

    def watching(self, stored):
        seen.append(stored.shape)
        return original(self, stored)

    monkeypatch.setattr(FileReader, "_physical", watching)
    radio_map = read_map(path)
    assert seen == []
    radio_map.read(Window(2, 9, 3, 14))
    assert seen == [(7, 11)]


def test_a_window_of_a_compressed_map_decompresses_its_tiles_alone(tmp_path, monkeypatch):
    image = fits.CompImageHDU(np.round(1e4 * gaussian_sky()).astype(np.int32), tile_shape=(8, 8))
    image.header.update(sky_cards())
    path = tmp_path / "map.fits.fz"
    image.writeto(path)
    from astropy.io.fits.hdu.compressed import _tiled_compression

    tiles = []
    original = _tiled_compression._decompress_tile

    def counting(*args, **keywords):
        tiles.append(1)
        return original(*args, **keywords)

    monkeypatch.setattr(_tiled_compression, "_decompress_tile", counting)
    radio_map = read_map(path)
    assert not tiles
    radio_map.read(Window(8, 16, 8, 24))
    assert len(tiles) == 2


def test_a_gzipped_map_is_inflated_once(tmp_path, monkeypatch):
    path = tmp_path / "map.fits.gz"
    path.write_bytes(gzip.compress(write_fits(tmp_path / "map.fits", gaussian_sky(), sky_cards()).read_bytes()))
    from neanias_ml.maps import gzip_files

    count = []
    original = gzip_files._inflated_chunks

    def counting(source):
        count.append(source)
        return original(source)

    monkeypatch.setattr(gzip_files, "_inflated_chunks", counting)
    radio_map = read_map(path)
    for window in tile_grid(SHAPE, size=16):
        radio_map.read(window)
    assert len(count) == 1
    path.write_bytes(gzip.compress(write_fits(tmp_path / "map.fits", 2 * gaussian_sky(), sky_cards()).read_bytes()))
    np.testing.assert_allclose(read_map(path).data, 2 * gaussian_sky(), rtol=1e-6)


def written(tmp_path, kind):
    data = np.round(1e4 * gaussian_sky()).astype(np.int32)
    if kind == "fz":
        image = fits.CompImageHDU(data, tile_shape=(16, 16))
        image.header.update(sky_cards())
        image.writeto(tmp_path / "map.fits.fz")
        return tmp_path / "map.fits.fz"
    path = write_fits(tmp_path / "map.fits", data, sky_cards())
    if kind == "gz":
        (tmp_path / "map.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
        return tmp_path / "map.fits.gz"
    return path


def pixels_and_position(radio_map):
    return radio_map.data.sum(), [float(value[0]) for value in radio_map.sky.to_sky(3.25, 4.75)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_maps_travel_to_other_processes(tmp_path, method):
    kinds = ["plain", "gz", "fz"] if method == "fork" else ["gz"]
    maps = [read_map(written(tmp_path, kind)) for kind in kinds]
    expected = [pixels_and_position(radio_map) for radio_map in maps]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(pixels_and_position, maps) == expected


def test_pickles_hold_no_pixels_of_files_and_arrays_keep_theirs(tmp_path):
    radio_map = read_map(written(tmp_path, "plain"))
    assert radio_map.data.nbytes > 10000
    assert len(pickle.dumps(radio_map)) < 5000
    array_map = RadioMap.from_array(gaussian_sky(), beam=Beam(4 * STEP, 4 * STEP), pixel_scale=STEP)
    twin = pickle.loads(pickle.dumps(array_map))
    assert isinstance(twin.reader, ArrayReader)
    np.testing.assert_array_equal(twin.data, array_map.data)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_window_is_that_part_of_the_whole(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "windows"
    if not folder.exists():
        folder.mkdir()
        for kind in ("gz", "fz"):
            written(folder, kind)
    path = folder / data.draw(st.sampled_from(["map.fits", "map.fits.gz", "map.fits.fz"]))
    y0, x0 = data.draw(st.integers(0, SHAPE[0] - 1)), data.draw(st.integers(0, SHAPE[1] - 1))
    window = Window(y0, data.draw(st.integers(y0 + 1, SHAPE[0])), x0, data.draw(st.integers(x0 + 1, SHAPE[1])))
    radio_map = read_map(path)
    np.testing.assert_array_equal(radio_map.read(window), radio_map.data[window.slices])


def test_data_are_read_only(tmp_path):
    with pytest.raises(ValueError, match="read-only"):
        read_map(written(tmp_path, "plain")).data[0, 0] = 1.0


def test_a_file_that_vanishes_is_an_input_error(tmp_path):
    from neanias_ml.errors import InputError

    path = written(tmp_path, "plain")
    radio_map = read_map(path)
    path.unlink()
    with pytest.raises(InputError, match="can no longer be read"):
        radio_map.read(Window(0, 5, 0, 5))


def test_digest_is_the_sha256_of_the_file(tmp_path):
    path = written(tmp_path, "plain")
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert file_digest(path) == read_map(path).source.digest == expected
    assert MapSource().digest == ""


def test_repr_tells_what_a_person_wants_to_know(tmp_path):
    text = repr(read_map(written(tmp_path, "plain")))
    for part in ("64 x 48 pixels of 1.8 arcsec", "4.00 pixels", "1400 MHz", "RA---SIN", "map.fits"):
        assert part in text
    bare = repr(RadioMap.from_array(gaussian_sky(), beam=Beam(4 * STEP, 4 * STEP), pixel_scale=STEP, flags=("NoWcs",)))
    assert "no WCS" in bare and "flags NoWcs" in bare and "frequency unknown" in bare
