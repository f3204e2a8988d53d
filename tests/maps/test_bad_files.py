"""Every file that is no usable map is refused with a code, one sentence, and exit code 3."""

from __future__ import annotations

import gzip
import io
import os
import zlib

import numpy as np
import pytest
from astropy.io import fits

from neanias_ml.errors import InputError
from neanias_ml.maps import Beam, RadioMap, read_map, require_usable_pixels
from tests.maps.makers import SHAPE, STEP, gaussian_sky, sky_cards, write_fits, write_raw

CARDS = ["SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    2"]
AXES = ["NAXIS1  =                   64", "NAXIS2  =                   48"]


def refusal(path, **options):
    with pytest.raises(InputError) as caught:
        require_usable_pixels(read_map(path, **options))
    error = caught.value
    assert error.exit_code == 3
    assert "\n" not in error.message and not error.message.endswith(".")
    assert "the map" in error.message or path.name in error.message
    return error


def content(cards=None, *, data=None):
    """Bytes of a sound map."""
    image = fits.PrimaryHDU(gaussian_sky().astype(np.float32) if data is None else data)
    image.header.update(sky_cards() if cards is None else cards)
    buffer = io.BytesIO()
    image.writeto(buffer)
    return buffer.getvalue()


def test_missing_file(tmp_path):
    assert refusal(tmp_path / "absent.fits").code == "FileMissing"


def test_directory_and_pipe(tmp_path):
    assert "directory" in refusal(tmp_path).message
    os.mkfifo(tmp_path / "pipe.fits")
    assert refusal(tmp_path / "pipe.fits").code == "FileUnreadable"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"S",
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"RA Dec flux\n1 2 3\n",
        b"\x89PNG\r\n\x1a\n" + bytes(5000),
        np.random.default_rng(3).bytes(10000),
        gzip.compress(b"no map at all" * 1000, mtime=0),
    ],
)
def test_what_is_not_fits(tmp_path, raw):
    path = tmp_path / "map.fits"
    path.write_bytes(raw)
    assert refusal(path).code == "NotFits"


def test_web_page_is_called_one(tmp_path):
    path = tmp_path / "map.fits"
    path.write_bytes(b"\n<html><title>502 Bad Gateway</title></html>")
    assert "web page" in refusal(path).message


@pytest.mark.parametrize("length", [80, 2000, 2879])
def test_cut_inside_the_header(tmp_path, length):
    path = tmp_path / "map.fits"
    path.write_bytes(content()[:length])
    error = refusal(path)
    assert error.code == "FitsTruncated" and "header" in error.message


def test_cut_inside_the_data_states_both_sizes(tmp_path):
    raw = content()
    path = tmp_path / "map.fits"
    path.write_bytes(raw[: 2880 + 1000])
    error = refusal(path)
    assert error.code == "FitsTruncated"
    assert str(64 * 48 * 4) in error.message and " 1000" in error.message


def test_missing_padding_is_tolerated(tmp_path):
    path = tmp_path / "map.fits"
    path.write_bytes(content()[: 2880 + 64 * 48 * 4])
    assert read_map(path).data.shape == SHAPE


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ("BITPIX  =                   17", "FitsHeader"),
        ("BITPIX  = 'float'", "FitsHeader"),
        ("NAXIS   =                  999", "FitsShape"),
        ("NAXIS   =                   -2", "FitsShape"),
        ("NAXIS   = T", "FitsHeader"),
        ("NAXIS1  =                  -64", "FitsShape"),
        ("NAXIS2  =                    0", "FitsShape"),
        ("NAXIS1  =         999999999999", "FitsShape"),
        ("NAXIS2  = 99999999999999999999999999999", "FitsShape"),
        ("NAXIS1  =                1e400", "FitsHeader"),
        ("NAXIS1  =              4000000", "FitsTruncated"),
    ],
)
def test_impossible_shapes(tmp_path, changed, code):
    keyword = changed[:8]
    cards = [changed if card.startswith(keyword) else card for card in CARDS + AXES]
    assert refusal(write_raw(tmp_path / "map.fits", cards, bytes(20000))).code == code


@pytest.mark.parametrize("missing", range(1, 5))
def test_missing_mandatory_card(tmp_path, missing):
    cards = CARDS + AXES
    assert refusal(write_raw(tmp_path / "map.fits", cards[:missing] + cards[missing + 1 :], bytes(20000))).code in (
        "FitsHeader",
        "NoImage",
    )


def test_visibilities_are_called_so(tmp_path):
    cards = [*CARDS, "NAXIS1  =                    0", "NAXIS2  =                    3", "GROUPS  =        T"]
    error = refusal(write_raw(tmp_path / "map.fits", cards))
    assert error.code == "FitsShape" and "visibilities" in error.message


@pytest.mark.parametrize("scaling", ["BSCALE  =                  0.0", "BSCALE  =                1e999"])
def test_scaling_without_values(tmp_path, scaling):
    cards = [*CARDS, *AXES, scaling, f"BMAJ    = {4 * STEP}", f"CDELT1  = {STEP}", f"CDELT2  = {STEP}"]
    assert refusal(write_raw(tmp_path / "map.fits", cards, bytes(64 * 48 * 4))).code == "FitsHeader"


def test_endless_header(tmp_path):
    cards = CARDS + AXES + [f"HISTORY {number}" for number in range(30000)]
    assert refusal(write_raw(tmp_path / "map.fits", cards, bytes(64 * 48 * 4))).code == "HeaderTooLarge"


def test_tables_alone_hold_no_map(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "D", array=np.arange(3.0))])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "table.fits")
    assert refusal(tmp_path / "table.fits").code == "NoImage"


def test_spectrum_is_no_map(tmp_path):
    assert refusal(write_fits(tmp_path / "map.fits", np.arange(100.0), {})).code == "NoImage"


def compressed_with(tmp_path, **changes):
    """A tile-compressed map whose table header is edited afterwards."""
    image = fits.CompImageHDU(gaussian_sky().astype(np.float32))
    image.header.update(sky_cards())
    path = tmp_path / "map.fits.fz"
    image.writeto(path)
    with fits.open(path, mode="update", disable_image_compression=True) as hdus:
        for keyword, value in changes.items():
            hdus[1].header[keyword] = value
    return path


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ZNAXIS1": 999999999, "ZNAXIS2": 999999999}, "FitsShape"),
        ({"ZNAXIS2": 4800}, "FitsShape"),
        ({"ZNAXIS2": -48}, "FitsShape"),
        ({"ZNAXIS1": 200000000, "ZTILE1": 200000000}, "DecompressionLimit"),
        ({"ZTILE1": 0}, "FitsHeader"),
        ({"ZBITPIX": 17}, "FitsHeader"),
        ({"ZNAXIS": 99}, "FitsShape"),
        ({"ZNAXIS": 1}, "FitsShape"),
    ],
)
def test_tile_compressed_images_with_impossible_claims(tmp_path, changes, code):
    assert refusal(compressed_with(tmp_path, **changes)).code == code


def test_damaged_tiles_are_refused_when_read(tmp_path):
    path = compressed_with(tmp_path)
    raw = bytearray(path.read_bytes())
    heap = fits.open(path, disable_image_compression=True)[1]._data_offset
    raw[heap : heap + 48 * 32] = b"\xff" * (48 * 32)
    path.write_bytes(raw)
    radio_map = read_map(path)
    with pytest.raises(InputError) as caught:
        radio_map.data  # noqa: B018
    assert caught.value.code == "FitsDamaged"


@pytest.mark.parametrize("keep", [0.2, 0.9, 0.999])
def test_cut_gzip(tmp_path, keep):
    packed = gzip.compress(content(), mtime=0)
    path = tmp_path / "map.fits.gz"
    path.write_bytes(packed[: int(len(packed) * keep)])
    assert refusal(path).code == "FitsTruncated"


def test_damaged_gzip(tmp_path):
    packed = bytearray(gzip.compress(content(), mtime=0))
    packed[100:130] = bytes(30)
    path = tmp_path / "map.fits.gz"
    path.write_bytes(packed)
    assert refusal(path).code in ("GzipDamaged", "FitsTruncated", "FitsHeader")


def gzip_of(start, *, zeros):
    """A gzip stream of ``start`` and megabytes of zeros, made without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(start)] + [packer.compress(bytes(2**20)) for _ in range(zeros)]
    return b"".join([*parts, packer.flush()])


def temporary_bytes(monkeypatch):
    """Record how much is written to temporary files."""
    written = []
    import tempfile

    original = tempfile.TemporaryFile

    def counting(*args, **keywords):
        file = original(*args, **keywords)
        written.append(os.dup(file.fileno()))
        return file

    monkeypatch.setattr(tempfile, "TemporaryFile", counting)
    return lambda: sum(os.fstat(handle).st_size for handle in written)


@pytest.mark.parametrize(("start", "code"), [(b"", "NotFits"), (b"SIMPLE  =                    T", "HeaderTooLarge")])
def test_bomb_without_a_map_is_stopped_early(tmp_path, monkeypatch, start, code):
    size = temporary_bytes(monkeypatch)
    path = tmp_path / "map.fits.gz"
    path.write_bytes(gzip_of(start, zeros=256))
    assert refusal(path).code == code
    assert size() < 8 * 2**20


def test_bomb_that_claims_to_be_a_map_is_stopped_at_its_claim(tmp_path, monkeypatch):
    size = temporary_bytes(monkeypatch)
    cards = [*CARDS, "NAXIS1  =                16384", "NAXIS2  =                16384"]
    header = write_raw(tmp_path / "header", cards).read_bytes()
    path = tmp_path / "map.fits.gz"
    path.write_bytes(gzip_of(header, zeros=256))
    error = refusal(path)
    assert error.code == "DecompressionLimit" and "gunzip" in error.message
    assert size() < 8 * 2**20


def test_padding_behind_a_gzipped_map_is_not_unpacked(tmp_path, monkeypatch):
    size = temporary_bytes(monkeypatch)
    path = tmp_path / "map.fits.gz"
    path.write_bytes(gzip_of(content(), zeros=256))
    assert read_map(path).data.shape == SHAPE
    assert size() < 8 * 2**20


@pytest.mark.parametrize("shape", [(7, 64), (48, 7), (1, 1)])
def test_small_maps(tmp_path, shape):
    path = write_fits(tmp_path / "map.fits", np.ones(shape), sky_cards(shape=shape))
    assert refusal(path).code == "MapTooSmall"


def test_strip_narrower_than_its_beam(tmp_path):
    data = gaussian_sky(shape=(12, 64))
    path = write_fits(tmp_path / "map.fits", data, sky_cards(BMAJ=20 * STEP, BMIN=20 * STEP))
    assert refusal(path).code == "MapTooSmall"


def test_blank_and_constant_maps(tmp_path):
    cards = sky_cards()
    blank = write_fits(tmp_path / "blank.fits", np.full(SHAPE, np.nan), cards)
    assert refusal(blank).code == "NoValidPixels"
    infinite = write_fits(tmp_path / "infinite.fits", np.full(SHAPE, np.inf), cards)
    assert refusal(infinite).code == "NoValidPixels"
    constant = np.full(SHAPE, 0.25)
    constant[:3] = np.nan
    error = refusal(write_fits(tmp_path / "constant.fits", constant, cards))
    assert error.code == "ConstantMap" and "0.25" in error.message


def test_infinite_pixels_become_blank_with_a_flag(tmp_path):
    data = gaussian_sky()
    data[4, 5], data[6, 7] = np.inf, -np.inf
    radio_map = read_map(write_fits(tmp_path / "map.fits", data, sky_cards()))
    assert np.argwhere(np.isnan(radio_map.data)).tolist() == [[4, 5], [6, 7]]
    assert require_usable_pixels(radio_map).flags == ("NonFinite",)
    array_map = RadioMap.from_array(data, beam=Beam(4 * STEP, 4 * STEP), pixel_scale=STEP)
    np.testing.assert_array_equal(array_map.data, radio_map.data)
    assert require_usable_pixels(array_map).flags == ("NonFinite",)
    assert np.isinf(data).sum() == 2, "the caller's array must stay as it was"


def test_sound_maps_pass_unchanged(tmp_path):
    radio_map = read_map(write_fits(tmp_path / "map.fits", gaussian_sky(), sky_cards()))
    assert require_usable_pixels(radio_map) is radio_map


@pytest.mark.parametrize("dirt", ["Böötes".encode("latin-1"), "Sgr A µ".encode(), b"\x00\x07\xff"])
def test_forbidden_bytes_in_the_header_are_repaired_with_a_flag(tmp_path, dirt):
    raw = content(sky_cards(OBJECT="X" * 20))
    path = tmp_path / "map.fits"
    path.write_bytes(raw.replace(b"X" * 20, dirt.ljust(20)))
    radio_map = read_map(path)
    assert radio_map.flags == ("HeaderRepaired",)
    np.testing.assert_array_equal(radio_map.data, gaussian_sky().astype(np.float32))


def test_forbidden_bytes_in_a_tile_compressed_file(tmp_path, recwarn):
    image = fits.CompImageHDU(np.round(1000 * gaussian_sky()).astype(np.int16))
    image.header.update(sky_cards(OBJECT="X" * 20))
    path = tmp_path / "map.fits.fz"
    image.writeto(path)
    path.write_bytes(path.read_bytes().replace(b"X" * 20, "Böötes".encode("latin-1").ljust(20)))
    radio_map = read_map(path)
    assert radio_map.flags == ("HeaderRepaired",)
    np.testing.assert_array_equal(radio_map.data, np.round(1000 * gaussian_sky()))
    assert not recwarn.list


def test_tabs_are_tolerated(tmp_path):
    raw = content(sky_cards(OBJECT="X" * 20))
    path = tmp_path / "map.fits"
    path.write_bytes(raw.replace(b"X" * 20, b"Sky\tView".ljust(20)))
    assert read_map(path).flags == ()
