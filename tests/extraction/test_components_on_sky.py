from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from neanias_ml.extraction.components.fit_islands import fit_islands
from neanias_ml.extraction.components.fit_results import FittedComponents
from neanias_ml.extraction.components.table import component_table
from neanias_ml.extraction.tables import SourceFlag
from neanias_ml.maps import Beam, RadioMap
from tests.conftest import correlated_noise, gaussian, make_wcs
from tests.extraction.fit_tools import islands_of

BEAM = Beam(14.0 / 3600, 10.0 / 3600, 25.0)
SHAPE = (128, 128)


def rows_of(count, *, rms=1e-4, flags=0):
    """The columns of an island table that components need."""
    return SimpleNamespace(
        island_id=np.arange(1, count + 1),
        local_rms=np.full(count, rms),
        local_background=np.zeros(count),
        flags=np.full(count, int(flags)),
    )


def components_of(radio_map, image, *, noise=1e-4, flags=0):
    pixels = islands_of(image, noise=noise)
    fitted = fit_islands(pixels, beam_covariance=radio_map.beam_covariance)
    return component_table(radio_map, rows_of(len(pixels), rms=noise, flags=flags), fitted), fitted


@pytest.mark.parametrize("dec", [-89.7, -30.0, 0.0, 62.0, 89.8])
@pytest.mark.parametrize("ra", [0.01, 150.0])
def test_sizes_angles_and_positions_at_any_declination(dec, ra):
    wcs = make_wcs(SHAPE, ra=ra, dec=dec)
    radio_map = RadioMap.from_array(np.zeros(SHAPE), beam=BEAM, wcs=wcs)
    x, y, position_angle = 88.0, 41.0, 140.0
    intrinsic = radio_map.covariance_to_pixels(x, y, major=20 / 3600, minor=8 / 3600, position_angle=position_angle)
    image = 1e-5 * correlated_noise(SHAPE, np.random.default_rng(4))
    image += 0.1 * gaussian(SHAPE, x, y, intrinsic + radio_map.beam_covariance)
    table, _ = components_of(radio_map, image, noise=1e-5)
    best = int(np.argmax(table.snr))
    assert table.dc_major[best] == pytest.approx(20, rel=0.01)
    assert table.dc_minor[best] == pytest.approx(8, rel=0.02)
    assert table.dc_pa[best] == pytest.approx(position_angle, abs=1.0)
    truth = SkyCoord(*(wcs.all_pix2world(x, y, 0) * u.deg), frame="icrs")
    found = SkyCoord(table.ra[best] * u.deg, table.dec[best] * u.deg)
    assert found.separation(truth).arcsec < 0.05
    assert 0 <= table.ra[best] < 360 and table.ra_err[best] == pytest.approx(table.dec_err[best], rel=0.6)


def test_points_have_the_beam_and_an_upper_limit():
    radio_map = RadioMap.from_array(np.zeros(SHAPE), beam=BEAM, wcs=make_wcs(SHAPE))
    image = 1e-4 * correlated_noise(SHAPE, np.random.default_rng(5))
    for x, peak in ((30.0, 2e-3), (90.0, 2e-2)):
        image += peak * gaussian(SHAPE, x, 60.0, radio_map.beam_covariance)
    table, fitted = components_of(radio_map, image, flags=SourceFlag.EDGE)
    points = table.select(fitted.shape_fixed & (table.snr > 10))
    assert len(points) == 2
    np.testing.assert_allclose(points.major, 14.0, rtol=1e-3)
    np.testing.assert_allclose(points.pa, 25.0, atol=0.1)
    wanted = int(SourceFlag.SIZE_UPPER_LIMIT | SourceFlag.EDGE)
    assert (points.flags == wanted).all() and np.isnan(points.dc_pa).all()
    faint, bright = np.argsort(points.snr)
    assert points.dc_major[bright] < 0.5 * points.dc_major[faint] < 14.0
    np.testing.assert_allclose(points.total_flux, points.peak_flux, rtol=1e-6)
    np.testing.assert_allclose(points.total_flux_err, points.peak_flux_err, rtol=1e-6)


def test_columns_agree_with_the_fit_and_without_sky_only_pixels_remain():
    radio_map = RadioMap.from_array(np.zeros(SHAPE), beam=BEAM, pixel_scale=2.0 / 3600)
    image = 1e-4 * correlated_noise(SHAPE, np.random.default_rng(6))
    image += 5e-3 * gaussian(SHAPE, 64.3, 60.2, 3.0 * radio_map.beam_covariance)
    table, fitted = components_of(radio_map, image)
    best = int(np.argmax(table.snr))
    assert np.isnan(table.ra).all() and np.isfinite(table.major).all()
    assert table.total_flux[best] == pytest.approx(1.5e-2, rel=0.05)
    assert table.x_err[best] == pytest.approx(np.sqrt(fitted.errors[best, 1, 1]))
    assert table.major[best] / table.minor[best] == pytest.approx(1.4, rel=0.1)
    assert 0 < table.major_err[best] < 0.1 * table.major[best]


def test_no_components_give_an_empty_table():
    radio_map = RadioMap.from_array(np.zeros(SHAPE), beam=BEAM, wcs=make_wcs(SHAPE))
    assert len(component_table(radio_map, rows_of(0), FittedComponents.joined([]))) == 0
