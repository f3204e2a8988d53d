import numpy as np
import pytest
from astropy.io import fits

from neanias_ml.cli.main import main
from tests.conftest import BEAM_PIXELS, PIXEL_ARCSEC, make_sky, make_wcs
from tests.training.conftest import prepared_folder, tiny_config  # noqa: F401 - fixtures of the tests of `train`


def map_header(shape, *, beam=BEAM_PIXELS * PIXEL_ARCSEC, unit="Jy/beam"):
    header = make_wcs(shape).to_header()
    header["BUNIT"] = unit
    if beam is not None:
        header["BMAJ"] = header["BMIN"] = beam / 3600
        header["BPA"] = 0.0
    return header


@pytest.fixture(scope="session")
def map_file(tmp_path_factory):
    """A good map of 9 point sources."""
    radio_map, _ = make_sky(1, shape=(128, 128), n_sources=9, snr=(20, 80))
    path = tmp_path_factory.mktemp("maps") / "good map.fits"
    fits.writeto(path, np.asarray(radio_map.data), map_header((128, 128)))
    return path


@pytest.fixture
def run(capsys):
    """Run a command line; returns exit code, standard output and standard error."""

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
