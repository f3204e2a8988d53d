"""Every real map opens, or is refused for the right reason (opt-in, see ``NEANIAS_REAL_DATA``)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from neanias_ml.errors import InputError
from neanias_ml.maps import read_map, require_usable_pixels

REFUSED = {
    "SDC1_B1/PrimaryBeam_B1.fits": "BeamMissing",
    "finder_tests/aegean/1904-66_SIN_3d.fits": "CubeNeedsPlane",
    "finder_tests/aegean/1904_comp.fits": "NoImage",
    "finder_tests/aegean/synthetic_test_rms.fits": "ConstantMap",
    "finder_tests/pybdsf/tbdsf.mean_I.fits": "ConstantMap",
    "finder_tests/pybdsf/tbdsf.rmsd_I.fits": "ConstantMap",
    "misc_maps/FIRST_toothless_1409-0135.fits": "BeamMissing",
    "misc_maps/FIRST_toothless_3C194.fits": "BeamMissing",
    "misc_maps/FIRST_toothless_J153522.1+342247.fits": "BeamMissing",
}
FLAGS = {
    "caesar_samples/galaxy0001.fits": ("NoWcs", "PixelScaleEstimated", "UnitAssumed"),
    "caesar_samples/galaxy0002.fits": ("NoWcs", "PixelScaleEstimated"),
    "misc_maps/FornaxA_NGC1316_VLA_20cm.fits": ("BeamFromHistory",),
    "SCORPIO_caesar/ScorpioExtendedSourceField.fits": (),
    "VLASS_multiepoch/fits/pos005_ep1.fits.fz": (),
}


def test_every_real_map(real_data):
    paths = sorted(path for path in real_data.rglob("*") if path.name.endswith((".fits", ".fits.gz", ".fits.fz")))
    assert len(paths) > 500
    outcomes = {}
    for path in paths:
        name = str(path.relative_to(real_data))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                radio_map = require_usable_pixels(read_map(path))
            except InputError as error:
                outcomes[name] = error.code
                continue
        assert radio_map.data.shape == radio_map.shape
        assert 1.9 < radio_map.beam_fwhm < 10, name
        if name in FLAGS:
            assert radio_map.flags == FLAGS[name], name
    assert outcomes == {name: code for name, code in REFUSED.items() if (real_data / name).exists()}


def test_first_survey_cutouts_are_centred_on_their_objects(real_data):
    """The file names hold the position of the central object, cut to 0.001 degrees (two pixels)."""
    for path in sorted((real_data / "MiraBest_FIRST" / "fits").glob("*.gz"))[::20]:
        ra, dec = float(path.name[4:11]), float(path.name[11:19])
        x, y = read_map(path).sky.to_pixel(ra, dec)
        assert abs(x[0] - 149.5) < 2.5 and abs(y[0] - 149.5) < 2.5, path.name


def test_pixel_size_of_a_survey_is_recovered_from_its_noise(real_data):
    """FIRST has pixels of 1.8 arcsec; this cut-out has lost them."""
    radio_map = read_map(real_data / "caesar_samples" / "galaxy0002.fits")
    assert radio_map.pixel_scale * 3600 == pytest.approx(1.8, rel=0.15)


def test_two_epochs_of_a_field_show_the_same_sky(real_data):
    """VLASS epochs of one position share their brightest source to a fraction of the beam."""
    folder = real_data / "VLASS_multiepoch" / "fits"
    separations = []
    for first in sorted(folder.glob("*_ep1.fits.fz"))[:10]:
        positions = []
        for path in (first, folder / first.name.replace("ep1", "ep2")):
            radio_map = read_map(path)
            y, x = np.unravel_index(np.nanargmax(radio_map.data), radio_map.shape)
            positions.append(np.ravel(radio_map.sky.to_sky(x, y)))
        separations.append(np.hypot(*(positions[0] - positions[1])) * 3600)
    assert np.median(separations) < 1.5
