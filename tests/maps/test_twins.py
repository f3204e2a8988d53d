"""The same sky in different dialects of FITS gives the same map."""

from __future__ import annotations

import gzip
import itertools

import numpy as np
import pytest
from astropy.io import fits

from neanias_ml.errors import InputError
from neanias_ml.maps import Window, read_map
from tests.maps.makers import SHAPE, STEP, gaussian_sky, sky_cards, write_fits

CORNERS = (np.array([0.0, 63.0, 0.0, 63.0, 20.7]), np.array([0.0, 0.0, 47.0, 47.0, 33.1]))


@pytest.fixture
def sky():
    return gaussian_sky().astype(np.float32)


@pytest.fixture
def reference(tmp_path, sky):
    return read_map(write_fits(tmp_path / "reference.fits", sky, sky_cards()))


def same_positions(left, right, *, places=1e-9):
    return np.allclose(left.sky.to_sky(*CORNERS), right.sky.to_sky(*CORNERS), rtol=0, atol=places)


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0])
def test_cd_pc_and_crota_describe_the_same_geometry(tmp_path, sky, angle):
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    linear = np.array([[-STEP * cosine, -STEP * sine], [-STEP * sine, STEP * cosine]])
    no_steps = {"CDELT1": None, "CDELT2": None}
    cd = {f"CD{i + 1}_{j + 1}": linear[i, j] for i in range(2) for j in range(2)}
    pc_values = linear / np.array([[-STEP], [STEP]])
    names = itertools.product(range(2), range(2))
    pc = {}
    old_pc = {}
    for i, j in names:
        pc[f"PC{i + 1}_{j + 1}"] = pc_values[i, j]
        old_pc[f"PC00{i + 1}00{j + 1}"] = pc_values[i, j]
    twins = [
        read_map(write_fits(tmp_path / f"{name}.fits", sky, sky_cards(**cards)))
        for name, cards in {
            "crota": {"CROTA2": angle},
            "cd": cd | no_steps,
            "cd_with_steps": cd | {"CDELT1": 1.0, "CDELT2": 1.0},
            "pc": pc,
            "old_pc": old_pc,
        }.items()
    ]
    judge = fits.getheader(tmp_path / "cd.fits")
    from astropy.wcs import WCS

    expected = WCS(judge).all_pix2world(*CORNERS, 0)
    for twin in twins:
        assert twin.flags == ()
        np.testing.assert_allclose(twin.sky.to_sky(*CORNERS), expected, rtol=0, atol=1e-9)


def test_units_of_the_axes_are_honoured(tmp_path, sky, reference):
    cards = sky_cards(CDELT1=-1.8, CDELT2=1.8, CUNIT1="arcsec", CUNIT2="arcsec")
    cards |= {"CRVAL1": 150.0 * 3600, "CRVAL2": -30.0 * 3600}
    assert same_positions(read_map(write_fits(tmp_path / "arcsec.fits", sky, cards)), reference)


@pytest.mark.parametrize("bitpix", [8, 16, 32, 64, -32, -64])
def test_every_data_type_gives_the_same_pixels(tmp_path, sky, reference, bitpix):
    if bitpix < 0:
        stored, scaling, tolerance = sky.astype(f"f{-bitpix // 8}"), {}, 0.0
    else:
        step = 1.2 / 200 if bitpix == 8 else 1e-4
        offset = -0.05
        stored = np.round((sky - offset) / step).astype("u1" if bitpix == 8 else f"i{bitpix // 8}")
        stored[5, 7] = 255 if bitpix == 8 else -9
        scaling, tolerance = {"BSCALE": step, "BZERO": offset, "BLANK": int(stored[5, 7])}, step / 2 * 1.001
    path = tmp_path / f"bitpix{bitpix}.fits"
    image = fits.PrimaryHDU(stored)
    image.header.update(sky_cards())
    image.writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header.update(scaling)
    assert fits.getheader(path)["BITPIX"] == bitpix
    radio_map = read_map(path)
    assert radio_map.data.dtype == np.float32 and radio_map.data.dtype.isnative
    difference = np.abs(radio_map.data - reference.data)
    assert np.isnan(difference[5, 7]) == (bitpix > 0)
    assert np.nanmax(difference) <= tolerance
    assert np.isfinite(radio_map.data).sum() == sky.size - (bitpix > 0)


def test_blank_on_floats_is_ignored_without_a_warning(tmp_path, sky, recwarn):
    sky[3, 4] = -1.0
    radio_map = read_map(write_fits(tmp_path / "map.fits", sky, sky_cards(BLANK=-1)))
    np.testing.assert_array_equal(radio_map.data, sky)
    assert not recwarn.list


AXES = {
    "RA": {"CTYPE": "RA---SIN", "CRVAL": 150.0, "CRPIX": 32.5, "CDELT": -STEP},
    "DEC": {"CTYPE": "DEC--SIN", "CRVAL": -30.0, "CRPIX": 24.5, "CDELT": STEP},
    "FREQ": {"CTYPE": "FREQ", "CRVAL": 0.888e9, "CRPIX": 1.0, "CDELT": 288e6, "CUNIT": "Hz"},
    "STOKES": {"CTYPE": "STOKES", "CRVAL": 1.0, "CRPIX": 1.0, "CDELT": 1.0},
}


def write_ordered(path, sky, order, *, lengths=None, cube=None):
    """Write the sky with its axes in FITS order ``order``."""
    cards = {name: value for name, value in sky_cards().items() if not name.startswith(("C", "RESTFRQ"))}
    for number, name in enumerate(order, start=1):
        cards |= {f"{keyword}{number}": value for keyword, value in AXES[name].items()}
    if cube is None:
        cube = sky[np.newaxis, np.newaxis]  # numpy order FREQ, STOKES, DEC, RA
    places = [["FREQ", "STOKES", "DEC", "RA"].index(name) for name in reversed(order)]
    data = np.transpose(cube, places + [axis for axis in range(4) if axis not in places])
    return write_fits(path, data.reshape(data.shape[: len(order)]), cards)


@pytest.mark.parametrize("order", list(itertools.permutations(["RA", "DEC", "FREQ", "STOKES"])))
def test_axes_in_any_order(tmp_path, sky, reference, order):
    radio_map = read_map(write_ordered(tmp_path / "map.fits", sky, order))
    assert radio_map.shape == SHAPE
    np.testing.assert_array_equal(radio_map.data, sky)
    window = Window(3, 17, 20, 51)
    np.testing.assert_array_equal(radio_map.read(window), sky[window.slices])
    assert same_positions(radio_map, reference)
    assert radio_map.frequency == pytest.approx(0.888e9)
    assert ("AxesTransposed" in radio_map.flags) == (order.index("RA") > order.index("DEC"))


@pytest.mark.parametrize("order", [("RA", "DEC", "STOKES"), ("STOKES", "RA", "DEC"), ("RA", "FREQ", "DEC")])
def test_three_axes(tmp_path, sky, reference, order):
    radio_map = read_map(write_ordered(tmp_path / "map.fits", sky, order))
    np.testing.assert_array_equal(radio_map.data, sky)
    assert same_positions(radio_map, reference)


def test_left_over_cards_of_lost_axes(tmp_path, sky, reference):
    further = {"CTYPE3": "FREQ-LSR", "CRVAL3": 1.447e9, "CDELT3": 0.0, "CRPIX3": 3.0, "CUNIT3": "HZ"}
    further |= {"CTYPE4": "STOKES", "CRVAL4": 1.0, "CDELT4": 1.0, "PC4_3": 0.3, "WCSAXES": 4}
    radio_map = read_map(write_fits(tmp_path / "map.fits", sky, sky_cards(**further)))
    assert same_positions(radio_map, reference)
    assert radio_map.frequency == pytest.approx(1.447e9)
    assert radio_map.flags == ()


def test_cube_needs_a_plane_and_is_read_with_one(tmp_path, sky):
    cube = np.stack([sky * (1 + channel) for channel in range(3)])[:, np.newaxis]
    path = write_ordered(tmp_path / "cube.fits", sky, ("RA", "DEC", "STOKES", "FREQ"), cube=cube)
    with pytest.raises(InputError, match=r"cube of 3 planes.*--plane N.*0 to 2") as caught:
        read_map(path)
    assert caught.value.code == "CubeNeedsPlane" and caught.value.exit_code == 3
    radio_map = read_map(path, plane=2)
    np.testing.assert_array_equal(radio_map.data, sky * np.float32(3))
    assert radio_map.frequency == pytest.approx(0.888e9 + 2 * 288e6)
    with pytest.raises(InputError) as caught:
        read_map(path, plane=3)
    assert caught.value.code == "PlaneOutOfRange"


def test_planes_of_two_axes_count_with_the_first_fastest(tmp_path, sky):
    factors = np.arange(1, 7, dtype=np.float32).reshape(3, 2)  # FREQ, STOKES
    cube = factors[:, :, np.newaxis, np.newaxis] * sky
    path = write_ordered(tmp_path / "cube.fits", sky, ("STOKES", "RA", "DEC", "FREQ"), cube=cube)
    for plane in range(6):
        np.testing.assert_array_equal(read_map(path, plane=plane).data, sky * factors.ravel()[plane])


def test_gzip_twin(tmp_path, sky, reference):
    path = tmp_path / "map.fits.gz"
    path.write_bytes(gzip.compress((tmp_path / "reference.fits").read_bytes()))
    assert_twin(read_map(path), reference)


def test_gzip_is_known_by_its_bytes_and_members_are_joined(tmp_path, reference):
    content = (tmp_path / "reference.fits").read_bytes()
    path = tmp_path / "map.fits"  # no .gz in the name
    path.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]) + b"\0" * 100)
    assert_twin(read_map(path), reference)


@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1"])
@pytest.mark.parametrize("gzipped", [False, True])
def test_tile_compressed_integers(tmp_path, sky, reference, codec, gzipped):
    step = 1e-4
    stored = np.round((np.clip(sky, 0, None)) / step).astype(np.int16)
    stored[7, 9] = 32000
    image = fits.CompImageHDU(stored, compression_type=codec, tile_shape=(16, 16))
    image.header.update(sky_cards())
    path = tmp_path / "map.fits.fz"
    image.writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[1].header.update({"BSCALE": step, "BZERO": 0.0, "BLANK": 32000})
    if gzipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    radio_map = read_map(path)
    assert radio_map.shape == SHAPE and same_positions(radio_map, reference)
    tolerance = step if codec != "HCOMPRESS_1" else 2 * step
    difference = np.abs(radio_map.data - np.clip(sky, 0, None))
    assert np.nanmax(difference) <= tolerance
    assert np.argwhere(np.isnan(difference)).tolist() == [[7, 9]]
    window = Window(10, 30, 5, 50)
    np.testing.assert_array_equal(radio_map.read(window), radio_map.data[window.slices])


def test_tile_compressed_floats_with_blanks_and_degenerate_axes(tmp_path, reference):
    sky = gaussian_sky(noise=0.01).astype(np.float32)
    sky[:4, :9] = np.nan
    image = fits.CompImageHDU(sky[np.newaxis, np.newaxis], compression_type="RICE_1", quantize_level=16)
    image.header.update(sky_cards(CTYPE3="FREQ", CRVAL3=1.4e9, CRPIX3=1.0, CDELT3=1e6, CUNIT3="Hz"))
    image.writeto(tmp_path / "map.fits.fz")
    radio_map = read_map(tmp_path / "map.fits.fz")
    assert same_positions(radio_map, reference)
    np.testing.assert_array_equal(np.isnan(radio_map.data), np.isnan(sky))
    assert np.nanmax(np.abs(radio_map.data - sky)) < 0.01 / 16


def test_first_image_of_several_is_flagged(tmp_path, sky, reference):
    empty = fits.PrimaryHDU()
    table = fits.BinTableHDU.from_columns([fits.Column("a", "D", array=np.arange(3.0))])
    first, second = fits.ImageHDU(sky), fits.ImageHDU(2 * sky)
    for image in (first, second):
        image.header.update(sky_cards())
    path = tmp_path / "several.fits"
    fits.HDUList([empty, table, first, second]).writeto(path)
    radio_map = read_map(path)
    assert_twin(radio_map, reference, flags=("HduChosen",))
    assert radio_map.source.hdu == 2
    chosen = read_map(path, hdu=3)
    np.testing.assert_array_equal(chosen.data, 2 * sky)
    assert chosen.flags == ()
    with pytest.raises(InputError, match=r"images: 2, 3") as caught:
        read_map(path, hdu=1)
    assert caught.value.code == "NoImage"


def test_junk_behind_the_map_is_left_alone(tmp_path, reference):
    path = tmp_path / "reference.fits"
    path.write_bytes(path.read_bytes() + b"special records" * 1000)
    assert_twin(read_map(path), reference)


def assert_twin(radio_map, reference, *, flags=()):
    np.testing.assert_array_equal(radio_map.data, reference.data)
    assert same_positions(radio_map, reference, places=0.0)
    assert radio_map.beam == reference.beam
    assert radio_map.flags == flags
