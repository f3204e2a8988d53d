"""Whatever a header says, the outcome is a map that can be used, or an error for the user."""

from __future__ import annotations

import gzip
import io
import warnings

import numpy as np
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neanias_ml.errors import NeaniasError
from neanias_ml.maps import read_map, require_usable_pixels
from tests.maps.makers import gaussian_sky, sky_cards


def sound_bytes(*, compressed):
    cards = sky_cards(EQUINOX=2000.0, BSCALE=1.0, BZERO=0.0, PC1_1=1.0, PC2_2=1.0, PV2_1=0.0, LONPOLE=180.0)
    cards |= {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CRPIX3": 1.0, "CDELT3": 1e6, "CUNIT3": "Hz", "CUNIT1": "deg"}
    data = gaussian_sky().astype(np.float32)[np.newaxis]
    image = fits.CompImageHDU(data) if compressed else fits.PrimaryHDU(data)
    image.header.update(cards)
    buffer = io.BytesIO()
    image.writeto(buffer)
    return buffer.getvalue()


SOUND = {compressed: sound_bytes(compressed=compressed) for compressed in (False, True)}
KEYWORD_TEXT = """
SIMPLE BITPIX NAXIS NAXIS1 NAXIS2 NAXIS3 CTYPE1 CTYPE2 CTYPE3 CRVAL1 CRVAL2 CRPIX1 CRPIX2 CDELT1 CDELT2 CUNIT1 CUNIT3
RADESYS EQUINOX BMAJ BMIN BPA BUNIT RESTFRQ BSCALE BZERO PC1_1 PC2_2 PV2_1 LONPOLE CRVAL3 CDELT3
XTENSION ZIMAGE ZBITPIX ZNAXIS ZNAXIS1 ZNAXIS2 ZTILE1 ZTILE2 PCOUNT TFIELDS TFORM1 TTYPE1 ZCMPTYPE ZVAL1
"""
WORD_TEXT = """
RA---NCP DEC--NCP RA---AIT DEC--HPX RA---ZPN DEC--TPV RA---TAN-SIP GLON-CAR ELON-SIN RA---SZP RA---COE FREQ K
STOKES FK4 FK4-NO-E GAPPT B1950 Jy/pixel mK arcsec rad RICE_1 GZIP_1 BINTABLE IMAGE
"""
NUMBERS = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(lambda value: f"{value:.12G}"),
    st.sampled_from(["0", "0.0", "1E400", "-1E-400", "1.5D-3", "90.0", "-90.0", "180.0", "1e9", "T", "F", ""]),
)
LETTERS = st.characters(min_codepoint=1, max_codepoint=255)
TEXTS = st.one_of(st.text(LETTERS, max_size=20), st.sampled_from(WORD_TEXT.split())).map(lambda text: f"'{text}'")
FORMS = st.sampled_from(["{keyword:8}= {value}", "{keyword:8}={value}", "COMMENT {value}", "{value}"])
EDITS = st.lists(
    st.tuples(st.sampled_from(KEYWORD_TEXT.split()), FORMS, st.one_of(NUMBERS, TEXTS), st.integers(0, 60)),
    min_size=1,
    max_size=4,
)


def mutated(edits, *, compressed, cut, gzipped):
    """Bytes of a sound file with cards replaced or overwritten, perhaps cut short and gzipped."""
    raw = bytearray(SOUND[compressed])
    positions = {}
    for at in range(0, 5 * 2880, 80):
        positions.setdefault(bytes(raw[at : at + 8]).strip(), at)
    for keyword, form, value, place in edits:
        at = positions.get(keyword.encode(), 80 * place)
        raw[at : at + 80] = form.format(keyword=keyword, value=value).encode("latin-1").ljust(80)[:80]
    kept = bytes(raw if cut is None else raw[: int(cut * len(raw))])
    return gzip.compress(kept, 1) if gzipped else kept


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=EDITS,
    compressed=st.booleans(),
    cut=st.one_of(st.none(), st.none(), st.none(), st.floats(0, 1)),
    gzipped=st.sampled_from([False, False, False, True]),
)
def test_mutated_headers_give_a_usable_map_or_an_error_for_the_user(tmp_path, edits, compressed, cut, gzipped):
    path = tmp_path / "map.fits"
    path.write_bytes(mutated(edits, compressed=compressed, cut=cut, gzipped=gzipped))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            radio_map = require_usable_pixels(read_map(path))
        except NeaniasError as error:
            assert error.exit_code in (2, 3) and "\n" not in error.message
            return
        assert radio_map.data.shape == radio_map.shape and radio_map.data.dtype == np.float32
        assert not np.isinf(radio_map.data).any() and np.isfinite(radio_map.data).any()
        assert np.isfinite(radio_map.beam_covariance).all() and radio_map.beam_fwhm > 1.9
        if radio_map.sky is not None:
            check_sky(radio_map)


def check_sky(radio_map):
    y, x = np.array([[0, 23.5, 47], [0, 31.5, 63]])
    ra, dec = radio_map.sky.to_sky(x, y)
    is_on_sky = np.isfinite(ra) & np.isfinite(dec)
    assert ((ra >= 0) & (ra < 360) & (np.abs(dec) <= 90))[is_on_sky].all()
    radio_map.sky.to_pixel(ra, dec)
    assert np.isfinite(radio_map.sky.jacobian(x, y)[is_on_sky]).all()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from([b"", b"SIMPLE  =                    T", b"\x1f\x8b\x08"]), raw=st.binary(max_size=6000))
def test_random_bytes_are_an_error_for_the_user(tmp_path, start, raw):
    path = tmp_path / "map.fits"
    path.write_bytes(start + raw)
    try:
        read_map(path)
    except NeaniasError as error:
        assert error.exit_code == 3
    else:
        raise AssertionError("random bytes were taken for a map")
