"""Positions: every projection and frame against astropy or an analytic formula, and the hard places of the sphere."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK4, FK5, Galactic, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.maps import Beam, RadioMap, SkyFrame, ellipse_from_covariance, read_map, tangent_offsets
from tests.maps.makers import SHAPE, SOURCES, STEP, centroids, gaussian_sky, sky_cards, write_fits

CENTRE = ((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2)


def open_map(tmp_path, cards, *, data=None):
    return read_map(write_fits(tmp_path / "map.fits", gaussian_sky() if data is None else data, cards))


def separation(radio_map, x, y, truth):
    """Distance in pixels on the sky between the map's position of pixels and the true one."""
    ra, dec = radio_map.sky.to_sky(x, y)
    return SkyCoord(ra * u.deg, dec * u.deg).separation(truth.icrs).deg / radio_map.pixel_scale


@pytest.mark.parametrize("projection", ["SIN", "TAN", "ZEA", "ARC", "STG", "CAR", "SFL", "AIT", "MOL", "HPX"])
@pytest.mark.parametrize("crval", [(150.0, -30.0), (359.99, 38.0)])
def test_injected_positions_come_back(tmp_path, projection, crval):
    cards = sky_cards(projection=projection, crval=crval)
    if projection in ("CAR", "SFL", "AIT", "MOL", "HPX"):  # native reference on the equator
        cards |= {"CRVAL2": 0.0, "CRPIX2": SHAPE[0] / 2 - crval[1] / STEP}
    judge = WCS(fits.Header(cards))
    x, y = np.array(SOURCES).T
    truth = SkyCoord(*(judge.all_pix2world(x, y, 0) * u.deg))
    radio_map = open_map(tmp_path, cards)
    assert radio_map.flags == ()
    found = centroids(radio_map.data)
    assert separation(radio_map, *found.T, truth).max() < 0.1
    back = np.array(radio_map.sky.to_pixel(truth.ra.deg, truth.dec.deg)).T
    np.testing.assert_allclose(back, SOURCES, atol=1e-6)


@pytest.mark.parametrize("dec0", [-41.86, 52.0, 85.0])
def test_ncp_is_the_projection_of_the_east_west_array(tmp_path, dec0):
    """Greisen's formulas: L = cos d sin(a - a0), M = (cos d0 - cos d cos(a - a0)) / sin d0."""
    step = 1 / 60
    ra, dec = np.array([255.0, 255.9, 254.2]), dec0 + np.array([0.3, -0.2, 0.35])
    delta, phi, phi0 = np.radians(ra - 255.0), np.radians(dec), np.radians(dec0)
    east = np.degrees(np.cos(phi) * np.sin(delta))
    north = np.degrees((np.cos(phi0) - np.cos(phi) * np.cos(delta)) / np.sin(phi0))
    cards = sky_cards(projection="NCP", crval=(255.0, dec0), step=step, EPOCH=2000.0, RADESYS=None)
    radio_map = open_map(tmp_path, cards)
    x, y = radio_map.sky.to_pixel(*icrs_of(FK5(ra * u.deg, dec * u.deg)))
    np.testing.assert_allclose(x, CENTRE[0] - east / step, atol=1e-5)
    np.testing.assert_allclose(y, CENTRE[1] + north / step, atol=1e-5)


def test_ncp_on_the_equator_has_no_geometry(tmp_path):
    radio_map = open_map(tmp_path, sky_cards(projection="NCP", crval=(10.0, 0.0)))
    assert radio_map.sky is None and radio_map.flags == ("BadWcs",)


def test_gls_is_global_sinusoidal_about_its_reference(tmp_path):
    radio_map = open_map(tmp_path, sky_cards(projection="GLS", crval=(10.0, 40.0)))
    ra, dec = radio_map.sky.to_sky([CENTRE[0], CENTRE[0] + 20], [CENTRE[1] + 15, CENTRE[1]])
    np.testing.assert_allclose(dec, [40.0 + 15 * STEP, 40.0], atol=1e-6)
    np.testing.assert_allclose(ra, [10.0, 10.0 - 20 * STEP / np.cos(np.radians(40.0))], atol=1e-5)


def icrs_of(frame):
    sky = SkyCoord(frame).icrs
    return sky.ra.deg, sky.dec.deg


FRAMES = {
    "galactic": ({"CTYPE1": "GLON-SIN", "CTYPE2": "GLAT-SIN", "RADESYS": None}, Galactic()),
    "b1950 by EQUINOX": ({"RADESYS": None, "EQUINOX": 1950.0}, FK4(equinox="B1950")),
    "b1950 by EPOCH": ({"RADESYS": None, "EPOCH": 1950.0}, FK4(equinox="B1950")),
    "b1950 by RADESYS": ({"RADESYS": "FK4"}, FK4(equinox="B1950")),
    "b1950 as text": ({"RADESYS": None, "EQUINOX": "B1950"}, FK4(equinox="B1950")),
    "j2000 by EQUINOX": ({"RADESYS": None, "EQUINOX": 2000.0}, FK5(equinox="J2000")),
    "j2000 by EPOCH": ({"RADESYS": None, "EPOCH": 2000.0}, FK5(equinox="J2000")),
    "old keyword": ({"RADESYS": None, "RADECSYS": "FK5"}, FK5(equinox="J2000")),
    "nothing said": ({"RADESYS": None}, SkyCoord(0, 0, unit="deg").frame),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_against_astropy(tmp_path, name):
    changes, frame = FRAMES[name]
    radio_map = open_map(tmp_path, sky_cards(**changes))
    expected = icrs_of(SkyCoord(150.0 * u.deg, -30.0 * u.deg, frame=frame))
    np.testing.assert_allclose(np.ravel(radio_map.sky.to_sky(*CENTRE)), expected, rtol=0, atol=1e-8)


def test_unknown_frame_falls_back_to_the_equinox_with_a_flag(tmp_path):
    radio_map = open_map(tmp_path, sky_cards(RADESYS="MARS", EQUINOX=1950.0))
    assert radio_map.flags == ("FrameAssumed",)
    expected = icrs_of(FK4(150 * u.deg, -30 * u.deg, equinox="B1950"))
    np.testing.assert_allclose(np.ravel(radio_map.sky.to_sky(*CENTRE)), expected, atol=1e-8)


def test_beam_angle_counts_from_the_north_of_the_maps_frame(tmp_path):
    """In pixels the beam of a Galactic map lies as BPA says from the +y axis; on the sky it is turned."""
    beam = {"BMAJ": 8 * STEP, "BMIN": 4 * STEP, "BPA": 30.0}
    plain = open_map(tmp_path, sky_cards(**beam))
    galactic = open_map(tmp_path, sky_cards(CTYPE1="GLON-SIN", CTYPE2="GLAT-SIN", RADESYS=None, **beam))
    np.testing.assert_allclose(galactic.beam_covariance, plain.beam_covariance, rtol=1e-4)
    pole = SkyCoord(0 * u.deg, 90 * u.deg, frame="galactic").icrs
    here = SkyCoord(150 * u.deg, -30 * u.deg, frame="galactic").icrs
    turn = (galactic.beam.position_angle - 30.0 - here.position_angle(pole).deg + 90) % 180 - 90
    assert abs(turn) < 0.01
    assert plain.beam.position_angle == 30.0


@pytest.mark.parametrize("dec0", [0.0, 60.0, 89.99])
def test_map_across_right_ascension_zero(tmp_path, dec0):
    radio_map = open_map(tmp_path, sky_cards(crval=(0.0, dec0)))
    columns = np.arange(SHAPE[1])
    ra, dec = radio_map.sky.to_sky(columns, np.full(SHAPE[1], CENTRE[1]))
    assert ((ra >= 0) & (ra < 360)).all() and (ra > 180).any() and (ra < 180).any()
    x, _ = radio_map.sky.to_pixel(ra, dec)
    np.testing.assert_allclose(x, columns, atol=1e-6)
    east, _ = tangent_offsets(0.0, dec0, ra, dec)
    np.testing.assert_allclose(np.diff(east), -STEP, rtol=1e-4)


def test_map_on_the_pole(tmp_path):
    radio_map = open_map(tmp_path, sky_cards(crval=(40.0, 90.0), CRPIX1=33.0, CRPIX2=25.0))
    ra, dec = radio_map.sky.to_sky([32, 32, 32], [24, 34, 14])
    np.testing.assert_allclose(dec, [90.0, 90 - 10 * STEP, 90 - 10 * STEP], atol=1e-9)
    assert abs(abs(ra[1] - ra[2]) - 180.0) < 1e-6
    jacobians = radio_map.sky.jacobian(np.array([32.0, 32.0, 40.0]), np.array([24.0, 26.0, 24.0]))
    np.testing.assert_allclose(np.abs(np.linalg.det(jacobians)), STEP**2, rtol=1e-6)


@pytest.mark.parametrize("projection", ["SIN", "AIT", "HPX", "ZEA", "CAR"])
def test_pixels_beyond_the_sky_are_nan_and_harmless(tmp_path, projection):
    cards = sky_cards(projection=projection, crval=(150.0, 0.0), step=7.0, BMAJ=28.0, BMIN=28.0)
    radio_map = open_map(tmp_path, cards)
    y, x = (grid.ravel() for grid in np.indices(SHAPE))
    ra, dec = radio_map.sky.to_sky(x, y)
    is_on_sky = np.isfinite(ra)
    assert is_on_sky.any() and not is_on_sky.all()
    assert (np.isfinite(dec) == is_on_sky).all()
    jacobians = radio_map.sky.jacobian(x, y)
    assert np.isfinite(jacobians[is_on_sky]).all()
    assert np.isnan(jacobians[~is_on_sky]).any(axis=(1, 2)).all()
    corner = radio_map.tangent_jacobian(0, 0)
    assert np.isfinite(corner).all()


def test_positions_that_do_not_project_are_nan(tmp_path):
    sky = open_map(tmp_path, sky_cards(projection="SIN")).sky
    x, y = sky.to_pixel([150.0, 330.0, np.nan, 150.0], [-30.0, 30.0, 0.0, 95.0])
    assert np.isfinite(x).tolist() == np.isfinite(y).tolist() == [True, False, False, False]


@pytest.mark.parametrize("signs", [(1, 1), (-1, -1), (1, -1)])
def test_flipped_axes(tmp_path, signs):
    radio_map = open_map(tmp_path, sky_cards(CDELT1=signs[0] * STEP, CDELT2=signs[1] * STEP))
    jacobian = radio_map.sky.jacobian(*CENTRE)
    np.testing.assert_allclose(jacobian, np.diag(signs) * STEP, atol=1e-5 * STEP)
    assert radio_map.pixel_scale == pytest.approx(STEP, rel=1e-6)


def test_pixels_that_are_not_square(tmp_path):
    radio_map = open_map(tmp_path, sky_cards(CDELT1=-STEP, CDELT2=2 * STEP))
    assert radio_map.pixel_scale == pytest.approx(STEP * 2**0.5, rel=1e-6)
    expected = np.diag([16.0, 4.0]) / (8 * np.log(2))
    np.testing.assert_allclose(radio_map.beam_covariance, expected, rtol=1e-5, atol=1e-5)
    assert radio_map.beam_area == pytest.approx(np.pi / 4 / np.log(2) * 8.0, rel=1e-5)


def test_sip_distortion_is_applied(tmp_path):
    cards = sky_cards(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=2, B_ORDER=2, A_2_0=1e-3, B_0_2=-2e-3)
    radio_map = open_map(tmp_path, cards)
    judge = WCS(fits.Header(cards))
    np.testing.assert_allclose(radio_map.sky.to_sky(60.0, 40.0), judge.all_pix2world([[60.0, 40.0]], 0).T, atol=1e-9)
    linear = open_map(tmp_path, sky_cards(projection="TAN"))
    assert abs(radio_map.sky.to_sky(60.0, 40.0)[0] - linear.sky.to_sky(60.0, 40.0)[0])[0] > 0.3 * STEP


BROKEN = {
    "unit as CTYPE": ({"CTYPE1": "Jy/beam", "CTYPE2": None}, "NoWcs"),
    "no CTYPE": ({"CTYPE1": None, "CTYPE2": None}, "NoWcs"),
    "linear": ({"CTYPE1": "X", "CTYPE2": "Y"}, "NoWcs"),
    "no projection": ({"CTYPE1": "RA", "CTYPE2": "DEC"}, "NoWcs"),
    "half a pair": ({"CTYPE2": "LINEAR"}, "BadWcs"),
    "unknown projection": ({"CTYPE1": "RA---QQQ", "CTYPE2": "DEC--QQQ"}, "BadWcs"),
    "two projections": ({"CTYPE2": "DEC--TAN"}, "BadWcs"),
    "unknown frame": ({"CTYPE1": "ELON-SIN", "CTYPE2": "ELAT-SIN"}, "BadWcs"),
    "no reference": ({"CRVAL1": None}, "BadWcs"),
    "no reference pixel": ({"CRPIX2": None}, "BadWcs"),
    "text as reference": ({"CRVAL1": "10:00:00"}, "BadWcs"),
    "beyond the pole": ({"CRVAL2": -130.0}, "BadWcs"),
    "foreign unit": ({"CUNIT1": "m"}, "BadWcs"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_unusable_wcs_gives_no_sky_but_keeps_the_pixel_size(tmp_path, name):
    changes, flag = BROKEN[name]
    data = gaussian_sky()
    path = write_fits(tmp_path / "map.fits", data, sky_cards(**changes))
    given = STEP if name == "foreign unit" else None
    radio_map = read_map(path, pixel_scale=given)
    assert radio_map.sky is None
    assert flag in radio_map.flags
    assert radio_map.pixel_scale == pytest.approx(STEP)
    assert radio_map.beam_fwhm == pytest.approx(4.0)


SINGULAR = {
    "zero": {"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0},
    "singular": {"CD1_1": STEP, "CD1_2": STEP, "CD2_1": STEP, "CD2_2": STEP},
    "one axis": {"CDELT1": 0.0, "CDELT2": STEP},
    "no steps": {},
    "singular PC": {"CDELT1": STEP, "CDELT2": STEP, "PC1_1": 0.0},
    "overflow": {"CDELT1": "1E999", "CDELT2": STEP},
}


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_scale_gives_no_sky(tmp_path, name):
    cards = sky_cards(CDELT1=None, CDELT2=None) | SINGULAR[name]
    radio_map = read_map(write_fits(tmp_path / "map.fits", gaussian_sky(), cards), pixel_scale=STEP)
    assert radio_map.sky is None
    assert radio_map.flags == ("BadWcs", "PixelScaleFromUser")


@pytest.mark.parametrize("projection", ["SIN", "TAN", "NCP", "AIT"])
def test_geometry_is_the_same_to_the_last_bit_in_another_process(tmp_path, projection):
    cards = sky_cards(projection=projection, crval=(150.123456789123, -30.987654321987), EQUINOX=1950.0, RADESYS=None)
    sky = open_map(tmp_path, cards | {"CROTA2": 12.3456789}).sky
    twin = pickle.loads(pickle.dumps(sky))
    x, y = np.meshgrid(np.linspace(0, 63, 20), np.linspace(0, 47, 20))
    np.testing.assert_array_equal(twin.to_sky(x, y), sky.to_sky(x, y))
    assert repr(twin) == repr(sky)


@settings(max_examples=60, deadline=None)
@given(
    ra=st.floats(0, 359.999),
    dec=st.floats(-89.9, 89.9),
    angle=st.floats(0, 179.9),
    ratio=st.floats(0.2, 0.95),
    offset=st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
)
def test_ellipses_survive_the_way_to_pixels_and_back(ra, dec, angle, ratio, offset):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = [ra, dec], [-STEP, STEP], [32.0, 24.0]
    radio_map = RadioMap.from_array(np.ones(SHAPE), beam=Beam(STEP * 4, STEP * 4), wcs=wcs)
    x, y = 31 + offset[0], 23 + offset[1]
    covariance = radio_map.covariance_to_pixels(x, y, major=6 * STEP, minor=6 * STEP * ratio, position_angle=angle)
    jacobian = radio_map.tangent_jacobian(x, y)
    major, minor, turned = ellipse_from_covariance(jacobian @ covariance @ jacobian.T)
    assert major == pytest.approx(6 * STEP, rel=1e-6)
    assert minor == pytest.approx(6 * STEP * ratio, rel=1e-6)
    assert abs((turned - angle + 90) % 180 - 90) < 1e-3


@pytest.mark.parametrize("types", [["DEC--SIN", "RA---SIN"], ["FREQ", "STOKES"]])
def test_sky_frame_refuses_axes_that_do_not_match_the_pixels(types):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = types
    with pytest.raises(ValueError, match="longitude and latitude"):
        SkyFrame(wcs, shape=(10, 10))


WHY_NO_SKY = {
    "unknown projection": r"Unrecognized projection code \(QQQ in CTYPE1\)",
    "beyond the pole": "No valid solution for latp",
    "no reference": "CRVAL1 is missing",
    "unit as CTYPE": "CTYPE 'Jy/beam', '' are not a pair of celestial axes",
}


@pytest.mark.parametrize("name", WHY_NO_SKY)
def test_map_without_sky_says_why_in_a_note(tmp_path, name):
    (note,) = open_map(tmp_path, sky_cards(**BROKEN[name][0])).notes
    assert re.search(f"^The map gets no sky positions: .*{WHY_NO_SKY[name]}", note) and note.endswith(".")
    assert "wcslib" not in note and "\n" not in note


def test_map_with_sky_has_no_note(tmp_path):
    assert open_map(tmp_path, sky_cards()).notes == ()


def test_sky_frame_of_a_wcs_with_cd_matrix_can_be_pickled():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [10.0, 20.0], [5.0, 5.0]
    wcs.wcs.cd = [[-STEP, 0.0], [0.0, STEP]]
    sky = SkyFrame(wcs, shape=(10, 10))
    np.testing.assert_allclose(pickle.loads(pickle.dumps(sky)).to_sky(1, 2), sky.to_sky(1, 2), atol=1e-10)
