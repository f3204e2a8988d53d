"""Beam and brightness unit from headers, history, tables and the user."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

from neanias_ml.errors import InputError, UsageError
from neanias_ml.maps import Beam, read_map
from tests.maps.makers import STEP, gaussian_sky, sky_cards, write_fits

NO_BEAM = {"BMAJ": None, "BMIN": None, "BPA": None}


def open_map(tmp_path, *, beam=None, plane=None, history=(), extensions=(), data=None, **cards):
    pixels = gaussian_sky() if data is None else data
    path = write_fits(tmp_path / "map.fits", pixels, sky_cards(**cards), history=history, extensions=extensions)
    return read_map(path, beam=beam, plane=plane)


def test_missing_angle_is_zero(tmp_path):
    assert open_map(tmp_path, BPA=None).beam == Beam(4 * STEP, 4 * STEP, 0.0)


def test_swapped_axes_are_put_in_order_and_the_angle_turned(tmp_path):
    radio_map = open_map(tmp_path, BMAJ=3 * STEP, BMIN=6 * STEP, BPA=120.0)
    assert radio_map.beam == Beam(6 * STEP, 3 * STEP, 30.0)


def test_one_axis_alone_is_taken_as_round_with_a_flag(tmp_path):
    radio_map = open_map(tmp_path, BMIN=None)
    assert radio_map.beam == Beam(4 * STEP, 4 * STEP) and radio_map.flags == ("BeamCircularAssumed",)


def test_the_last_clean_line_of_aips_counts(tmp_path):
    history = (
        "AIPS   CLEAN BMAJ=  9.9999E-03 BMIN=  9.9999E-03 BPA=  10.00",
        "AIPS   CLEAN NITER=     1000 PRODUCT=1",
        "AIPS   CLEAN BMAJ=  3.0000E-03 BMIN=  1.5000E-03 BPA= -25.50",
        "written long ago",
    )
    radio_map = open_map(tmp_path, history=history, **NO_BEAM)
    assert radio_map.beam == Beam(0.003, 0.0015, -25.5) and radio_map.flags == ("BeamFromHistory",)


def test_header_cards_win_over_history(tmp_path):
    radio_map = open_map(tmp_path, history=("AIPS   CLEAN BMAJ=  9.0E-03 BMIN=  9.0E-03 BPA=  0.00",))
    assert radio_map.beam == Beam(4 * STEP, 4 * STEP) and radio_map.flags == ()


def beams_table(rows, *, units=("arcsec", "arcsec", "deg")):
    names = ("BMAJ", "BMIN", "BPA")
    columns = [
        fits.Column(name, "E", unit=unit, array=np.array(rows, dtype=np.float32)[:, at])
        for at, (name, unit) in enumerate(zip(names, units, strict=True))
    ]
    return fits.BinTableHDU.from_columns(columns, name="BEAMS")


@pytest.mark.parametrize(("units", "factor"), [(("arcsec", "arcsec", "deg"), 1.0), (("deg", "deg", "deg"), 1 / 3600)])
def test_casa_beams_table_gives_the_median_row(tmp_path, units, factor):
    rows = np.array([[8.0, 7.0, 10.0], [0.0, 0.0, 0.0], [10.0, 9.0, 30.0], [9.0, 8.0, 20.0]])
    rows[:, :2] *= factor
    radio_map = open_map(tmp_path, extensions=[beams_table(rows, units=units)], **NO_BEAM)
    assert radio_map.beam.major * 3600 == pytest.approx(9.0, rel=1e-6)
    assert radio_map.beam.minor * 3600 == pytest.approx(8.0, rel=1e-6)
    assert radio_map.beam.position_angle == pytest.approx(20.0)
    assert radio_map.flags == ("BeamFromTable",)


def test_casa_beams_table_gives_the_row_of_the_plane(tmp_path):
    rows = [[8.0, 7.0, 10.0], [12.0, 11.0, 40.0], [10.0, 9.0, 30.0]]
    cube = np.repeat(gaussian_sky()[np.newaxis], 3, axis=0)
    cards = {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CRPIX3": 1.0, "CDELT3": 1e6}
    radio_map = open_map(tmp_path, data=cube, plane=1, extensions=[beams_table(rows)], **cards, **NO_BEAM)
    assert radio_map.beam.major * 3600 == pytest.approx(12.0, rel=1e-6)


@pytest.mark.parametrize("units", [("furlong", "furlong", "deg"), ("Hz", "Hz", "deg")])
def test_beams_table_that_makes_no_sense_counts_as_none(tmp_path, units):
    with pytest.raises(InputError) as caught:
        open_map(tmp_path, extensions=[beams_table([[8.0, 7.0, 10.0]], units=units)], **NO_BEAM)
    assert caught.value.code == "BeamMissing"


def test_the_users_beam_wins(tmp_path):
    beam = Beam(6 * STEP, 5 * STEP, 12.0)
    for cards in ({}, NO_BEAM, {"BMAJ": 0.0}):
        radio_map = open_map(tmp_path, beam=beam, **cards)
        assert radio_map.beam == beam and radio_map.flags == ("BeamFromUser",)


def test_missing_beam_names_the_option(tmp_path):
    with pytest.raises(InputError, match=r"--beam MAJOR MINOR PA \(arcsec, arcsec, deg\)") as caught:
        open_map(tmp_path, **NO_BEAM)
    assert caught.value.code == "BeamMissing" and "map.fits" in caught.value.message


IMPLAUSIBLE = {
    "zero": {"BMAJ": 0.0, "BMIN": 0.0},
    "negative": {"BMAJ": -STEP * 4},
    "not a number": {"BMAJ": "NAN"},
    "infinite": {"BMAJ": "1E999"},
    "text": {"BMAJ": "unknown", "BMIN": "unknown"},
    "under two pixels": {"BMAJ": 1.9 * STEP, "BMIN": 1.9 * STEP},
    "thin": {"BMAJ": 9 * STEP, "BMIN": 0.6 * STEP},
    "larger than the map": {"BMAJ": 70 * STEP, "BMIN": 60 * STEP},
    "in arcsec": {"BMAJ": 8.0, "BMIN": 8.0},
}


@pytest.mark.parametrize("name", IMPLAUSIBLE)
def test_implausible_beams_are_refused_with_the_numbers(tmp_path, name):
    with pytest.raises(InputError, match=r"\d.*--beam MAJOR MINOR PA|nan.*--beam") as caught:
        open_map(tmp_path, **IMPLAUSIBLE[name])
    assert caught.value.code == "BeamImplausible" and caught.value.exit_code == 3


def test_a_beam_of_exactly_two_pixels_passes(tmp_path):
    assert open_map(tmp_path, BMAJ=2 * STEP, BMIN=2 * STEP).beam_fwhm == pytest.approx(2.0)


PER_BEAM = {
    "Jy/beam": 1.0,
    "JY/BEAM": 1.0,
    "Jy/beam ": 1.0,
    "jy/beam": 1.0,
    "Jy beam-1": 1.0,
    "Jy beam^-1": 1.0,
    "Jy.beam-1": 1.0,
    "beam-1 Jy": 1.0,
    "Jy beam**-1": 1.0,
    "Jy per beam": 1.0,
    "Jansky/beam": 1.0,
    "Jy/Bm": 1.0,
    "mJy/beam": 1e-3,
    "mJy/bm": 1e-3,
    "MJY/BEAM": 1e-3,
    "mJy beam-1": 1e-3,
    "uJy/beam": 1e-6,
    "UJY/BEAM": 1e-6,
    "microJy/beam": 1e-6,
    "nJy/beam": 1e-9,
    "kJy/beam": 1e3,
}


@pytest.mark.parametrize("unit", PER_BEAM)
def test_flux_units_per_beam(tmp_path, unit):
    data = gaussian_sky()
    radio_map = open_map(tmp_path, BUNIT=unit, data=data)
    np.testing.assert_allclose(radio_map.data, data * PER_BEAM[unit], rtol=2e-6)
    assert radio_map.original_unit == unit.strip()
    assert radio_map.flags == (("UnitCaseAssumed",) if unit == "MJY/BEAM" else ())


@pytest.mark.parametrize(("unit", "factor"), [("K", 1.0), ("mK", 1e-3), ("Kelvin", 1.0), ("K (Tb)", 1.0)])
def test_brightness_temperature_against_astropy(tmp_path, unit, factor):
    data = gaussian_sky()
    radio_map = open_map(tmp_path, BUNIT=unit, data=data)
    beam_area = 2 * np.pi * (4 * STEP * u.deg / np.sqrt(8 * np.log(2))) ** 2
    jansky = (1.0 * u.K).to_value(u.Jy, u.brightness_temperature(1.4 * u.GHz, beam_area=beam_area))
    np.testing.assert_allclose(radio_map.data, data * factor * jansky, rtol=2e-6)


def test_brightness_temperature_without_frequency_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no frequency.*RESTFRQ") as caught:
        open_map(tmp_path, BUNIT="K", RESTFRQ=None)
    assert caught.value.code == "FrequencyMissing"


@pytest.mark.parametrize("unit", ["Jy/pixel", "JY/PIXEL", "Jy pix-1", "mJy/pix"])
def test_flux_per_pixel_keeps_the_total_flux(tmp_path, unit):
    data = gaussian_sky(noise=0.0)
    radio_map = open_map(tmp_path, BUNIT=unit, data=data)
    total = data.sum() * (1e-3 if unit.startswith("m") else 1.0)
    assert radio_map.data.sum() / radio_map.beam_area == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("unit", ["MJy/sr", "Jy/arcsec2", "Jy arcsec-2", "Jy/arcsec^2"])
def test_surface_brightness_against_astropy(tmp_path, unit):
    data = gaussian_sky()
    radio_map = open_map(tmp_path, BUNIT=unit, data=data)
    brightness = (1.0 * (u.MJy / u.sr if "sr" in unit else u.Jy / u.arcsec**2)).to(u.Jy / u.deg**2).value
    expected = brightness * 2 * np.pi * (4 * STEP) ** 2 / (8 * np.log(2))
    np.testing.assert_allclose(radio_map.data, data * expected, rtol=2e-6)


@pytest.mark.parametrize("unit", [None, "", "  "])
def test_missing_unit_is_assumed_with_a_flag(tmp_path, unit):
    data = gaussian_sky()
    radio_map = open_map(tmp_path, BUNIT=unit, data=data)
    np.testing.assert_array_equal(radio_map.data, data.astype(np.float32))
    assert radio_map.flags == ("UnitAssumed",) and radio_map.original_unit == "Jy/beam"


@pytest.mark.parametrize("unit", ["counts", "Jy", "Jy/bean", "W/m2", "sigma", "xJy/beam", "M"])
def test_unknown_units_are_refused(tmp_path, unit):
    with pytest.raises(InputError, match="set BUNIT to") as caught:
        open_map(tmp_path, BUNIT=unit)
    assert caught.value.code == "UnitUnknown" and repr(unit) in caught.value.message


FREQUENCIES = {
    "rest frequency": ({}, 1.4e9),
    "axis before rest frequency": ({"CTYPE3": "FREQ", "CRVAL3": 888e6, "CUNIT3": "Hz"}, 888e6),
    "in MHz": ({"CTYPE3": "FREQ", "CRVAL3": 888.0, "CUNIT3": "MHz"}, 888e6),
    "on axis 4": ({"CTYPE4": "FREQ-LSR", "CRVAL4": 3e9}, 3e9),
    "velocity is no frequency": ({"CTYPE3": "VELO-LSR", "CRVAL3": 3e9}, 1.4e9),
    "plain keyword": ({"RESTFRQ": None, "FREQ": 2e9}, 2e9),
    "old keyword": ({"RESTFRQ": None, "RESTFREQ": 2e9}, 2e9),
    "nonsense axis": ({"CTYPE3": "FREQ", "CRVAL3": -1.0}, 1.4e9),
    "nothing": ({"RESTFRQ": None}, None),
    "zero": ({"RESTFRQ": 0.0}, None),
}


@pytest.mark.parametrize("name", FREQUENCIES)
def test_frequency(tmp_path, name):
    cards, expected = FREQUENCIES[name]
    frequency = open_map(tmp_path, **cards).frequency
    assert frequency == (pytest.approx(expected) if expected else None)


def test_pixel_size_of_the_user_must_agree_with_the_wcs(tmp_path):
    path = write_fits(tmp_path / "map.fits", gaussian_sky(), sky_cards())
    assert read_map(path, pixel_scale=STEP).flags == ()
    with pytest.raises(UsageError, match="leave --pixel-scale out"):
        read_map(path, pixel_scale=3 * STEP)
    with pytest.raises(UsageError, match="not positive"):
        read_map(path, pixel_scale=-1.0)
