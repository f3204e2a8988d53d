"""Every unusable map ends with exit code 3, one sentence and nothing under a final name."""

from io import BytesIO

import numpy as np
import pytest
from astropy.io import fits

from tests.cli.conftest import map_header
from tests.conftest import correlated_noise

SHAPE = (64, 64)


def noise():
    return (1e-4 * correlated_noise(SHAPE, np.random.default_rng(1))).astype(np.float32)


def fits_bytes(pixels, header):
    buffer = BytesIO()
    fits.PrimaryHDU(pixels, header).writeto(buffer)
    return buffer.getvalue()


def edited(keyword, value):
    """A good file whose card ``keyword`` was overwritten in place."""
    data = bytearray(fits_bytes(noise(), map_header(SHAPE)))
    card = f"{keyword:<8}= {value:>20}".ljust(80).encode()
    position = data.index(f"{keyword:<8}=".encode())
    data[position : position + 80] = card
    return bytes(data)


def with_beam(arcsec):
    return fits_bytes(noise(), map_header(SHAPE, beam=arcsec))


CASES = {
    "text": (b"<html>this is no map</html>" * 50, "NotFits", ""),
    "empty": (b"", "NotFits", ""),
    "random": (np.random.default_rng(2).bytes(6000), "NotFits", ""),
    "truncated": (fits_bytes(noise(), map_header(SHAPE))[:-9000], "FitsTruncated", "bytes"),
    "blank": (fits_bytes(np.full(SHAPE, np.nan, np.float32), map_header(SHAPE)), "NoValidPixels", ""),
    "constant": (fits_bytes(np.ones(SHAPE, np.float32), map_header(SHAPE)), "ConstantMap", ""),
    "zeros": (fits_bytes(np.zeros(SHAPE, np.float32), map_header(SHAPE)), "ConstantMap", ""),
    "no beam": (fits_bytes(noise(), map_header(SHAPE, beam=None)), "BeamMissing", "--beam"),
    "small beam": (with_beam(3.0), "BeamImplausible", "pixel"),
    "large beam": (with_beam(5000.0), "BeamImplausible", ""),
    "negative axis": (edited("NAXIS1", "-64"), "FitsShape", ""),
    "huge axis": (edited("NAXIS2", "2147483648"), "FitsTruncated", "bytes"),
    "zero axis": (edited("NAXIS2", "0"), "FitsShape", ""),
    "cube": (fits_bytes(np.stack([noise()] * 3), map_header(SHAPE)), "CubeNeedsPlane", "--plane"),
    "unknown unit": (fits_bytes(noise(), map_header(SHAPE, unit="furlong")), "UnitUnknown", "furlong"),
    "tiny": (fits_bytes(noise()[:3, :3], map_header((3, 3))), "MapTooSmall", ""),
}


@pytest.mark.parametrize("verb", ["extract", "detect"])
@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_exit_code_3(case, verb, run, tmp_path):
    content, code_name, mentions = CASES[case]
    path = tmp_path / "input.fits"
    path.write_bytes(content)
    code, out, err = run(verb, path, "-o", tmp_path / "out", "--quiet")
    assert code == 3
    assert out == ""
    assert code_name in err and mentions in err
    assert len(err.strip().splitlines()) == 1 and "Traceback" not in err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_missing_file(run, tmp_path):
    code, _, err = run("extract", tmp_path / "none.fits", "-o", tmp_path / "out")
    assert code == 3 and "none.fits" in err
