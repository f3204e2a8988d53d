"""Words of DS9 region files: degrees, pixels from 0, and what is none of them."""

import pytest
from astropy.coordinates import Angle

from neanias_ml.maps.ds9_words import SHAPE, angle_of, position_of, positions_of, size_of, words_of


@pytest.mark.parametrize("text", ["12:34:56.7", "12h34m56.7s", "-00:30:00", "-45d06m07.5s", "7.25", "-3.5"])
def test_angles_are_those_of_astropy(text):
    plain = text.replace("h", ":").replace("d", ":").replace("m", ":").rstrip("s:")
    assert angle_of(text) == pytest.approx(Angle(plain, unit="deg").degree, abs=1e-9)


def test_hours_are_right_ascensions_and_pixels_count_from_0():
    assert position_of("12:00:00", "-30:30:00", "icrs") == pytest.approx((180.0, -30.5))
    assert position_of("12:00:00", "-30:30:00", "galactic") == pytest.approx((12.0, -30.5))
    assert position_of("1", "7.5i", "image") == (0.0, 6.5)


SIZES = {"36\"": 0.01, "6'": 0.1, "0.5d": 0.5, "0.5": 0.5, "1r": 57.29577951}


@pytest.mark.parametrize("text, degrees", SIZES.items())
def test_sizes_are_degrees(text, degrees):
    assert size_of(text, "icrs") == pytest.approx(degrees)
    assert size_of("5p", "image") == 5.0


def test_what_is_no_word_is_refused():
    for bad in (lambda: angle_of("1:2:3:4"), lambda: angle_of("north"), lambda: size_of("5i", "icrs")):
        with pytest.raises(ValueError):
            bad()
    with pytest.raises(ValueError, match="three pairs"):
        positions_of(["1", "2", "3", "4"], "image")


def test_a_shape_is_taken_apart():
    found = SHAPE.match("-circle(10, 20,5)")
    assert (found["sign"], found["shape"], words_of(found["numbers"])) == ("-", "circle", ["10", "20", "5"])
