"""Fluxes, noise, geometry and repeatability of simulated fields."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from neanias_ml.errors import UsageError
from neanias_ml.maps import ellipse_from_covariance
from neanias_ml.simulation import SkyConfig, random_config, simulate_sky
from neanias_ml.simulation.imaging.noise import local_rms
from neanias_ml.simulation.sources.compact import draw_snr
from neanias_ml.simulation.sources.families import ALL_FAMILIES
from neanias_ml.simulation.sources.models import Gaussians, SourceModel, render
from neanias_ml.simulation.sources.shapes import Site, oriented_covariance
from tests.simulation.makers import RMS, changed, field, gaussians, point, quiet

BUILDERS = [builder for family in ALL_FAMILIES for builder in family.builders]
EMPTY = {"noise_gridding": 0.0, "size": 512}


@pytest.mark.parametrize("builder", BUILDERS)
def test_the_convolved_model_keeps_the_total_flux(builder):
    beam = oriented_covariance(7.0, 5.0, 0.4)
    model = builder(np.random.default_rng(3), Site(np.array([100.3, 90.7]), 60.0, 1.0, beam))
    stamp = render(model, beam=beam)
    area = 2 * np.pi * np.sqrt(np.linalg.det(beam))
    assert stamp.data.sum(dtype=float) / area == pytest.approx(model.total_flux, rel=1e-3)


@pytest.mark.parametrize("builder", BUILDERS)
def test_moments_of_the_model_plus_the_beam_are_those_of_its_image(builder):
    beam = oriented_covariance(7.0, 5.0, 0.4)
    model = builder(np.random.default_rng(3), Site(np.array([100.3, 90.7]), 60.0, 1.0, beam))
    stamp = render(model, beam=beam, reach=5.7)
    x, y, covariance = model.moments()
    rows, columns = np.mgrid[stamp.window.slices]
    weight = stamp.data.astype(float) / stamp.data.sum(dtype=float)
    mean_x, mean_y = (weight * columns).sum(), (weight * rows).sum()
    assert (mean_x, mean_y) == pytest.approx((x, y), abs=0.05)
    second = np.array(
        [
            [(weight * (columns - mean_x) ** 2).sum(), (weight * (columns - mean_x) * (rows - mean_y)).sum()],
            [(weight * (columns - mean_x) * (rows - mean_y)).sum(), (weight * (rows - mean_y) ** 2).sum()],
        ]
    )
    assert second == pytest.approx(covariance + beam, rel=0.02, abs=0.2)


def test_peaks_of_the_table_are_those_of_the_map():
    sky = field(gaussians((60.0, 60.0, 100 * RMS, 5.0)), point(20.0, 90.0, 40))
    truth = sky.truth
    # a Gaussian as wide as the beam doubles the area and halves the peak
    assert truth.components.peak_flux == pytest.approx([50 * RMS, 40 * RMS], rel=1e-3)
    assert sky.model[60, 60] == pytest.approx(50 * RMS, rel=1e-3)
    assert truth.objects.peak_flux == pytest.approx(truth.components.peak_flux, rel=1e-3)
    assert truth.components.major == pytest.approx([10.0, 0.0], abs=0.01)


def test_component_ellipses_survive_the_way_to_the_sky():
    width = oriented_covariance(8.0, 4.0, np.radians(90 + 30))  # 30 degrees east (left) of north (up)
    row = np.array([[64.0, 64.0, 1.0, width[0, 0], width[0, 1], width[1, 1]]]).T
    components = field(SourceModel("gauss", Gaussians(*row))).truth.components
    assert components.major[0] == pytest.approx(16.0, rel=1e-3)
    assert components.minor[0] == pytest.approx(8.0, rel=1e-3)
    assert components.pa[0] == pytest.approx(30.0, abs=0.05)


def test_positions_agree_with_the_header():
    sky = field(point(20.0, 90.0, 40), right_ascension=10.0, declination=-60.0)
    centre = SkyCoord(10.0, -60.0, unit="deg")
    place = SkyCoord(sky.truth.objects.ra[0], sky.truth.objects.dec[0], unit="deg")
    east, north = centre.spherical_offsets_to(place)
    assert east.arcsec == pytest.approx(-(20.0 - 63.5) * 2.0, abs=0.01)
    assert north.arcsec == pytest.approx((90.0 - 63.5) * 2.0, abs=0.01)


def test_the_beam_of_the_map_is_the_configured_one():
    sky = field(beam_major=14.0, beam_minor=10.0, beam_pa=40.0)
    jacobian = sky.radio_map.tangent_jacobian(63.5, 63.5)
    major, minor, angle = ellipse_from_covariance(jacobian @ sky.radio_map.beam_covariance @ jacobian.T)
    assert (3600 * major, 3600 * minor, angle) == pytest.approx((14.0, 10.0, 40.0), rel=1e-4)


@pytest.mark.parametrize("gridding", [0.0, 1.0])
def test_noise_has_the_configured_rms(gridding):
    rms = [field(size=256, noise_gridding=gridding, seed=seed).radio_map.data.std() for seed in range(6)]
    assert np.mean(rms) == pytest.approx(RMS, rel=0.03)


def test_noise_is_correlated_like_the_beam():
    # the autocorrelation of a map's noise is its beam: 1/2 at half the FWHM of 5 pixels
    data = field(**EMPTY).radio_map.data
    data = data / data.std()
    for lag, expected in ((1, 2 ** -((1 / 2.5) ** 2)), (2, 2 ** -((2 / 2.5) ** 2)), (5, 2**-4.0), (20, 0.0)):
        along_x = np.mean(data[:, lag:] * data[:, :-lag])
        along_y = np.mean(data[lag:] * data[:-lag])
        assert (along_x, along_y) == pytest.approx((expected, expected), abs=0.05)


def test_the_noise_varies_by_the_configured_ratio():
    sky = field(noise_ratio=3.0)
    assert sky.rms.max() / sky.rms.min() == pytest.approx(3.0, rel=1e-3)
    assert np.median(sky.rms) == pytest.approx(RMS, rel=1e-3)


def test_sidelobes_that_fill_the_field_count_as_noise_and_peaks_do_not():
    thermal = np.full((200, 200), 1.0, dtype=np.float32)
    texture = 2.0 * np.random.default_rng(1).standard_normal((200, 200)).astype(np.float32)
    texture = np.clip(texture, -4.5, 4.5)
    rms = local_rms(thermal, texture, beam_fwhm=4.0)
    assert np.median(rms) == pytest.approx(np.sqrt(1.0 + texture.var()), rel=0.05)
    peak = np.zeros((200, 200), dtype=np.float32)
    peak[98:103, 98:103] = 50.0
    assert local_rms(thermal, peak, beam_fwhm=4.0).max() < 1.05
    assert local_rms(thermal, np.zeros_like(peak), beam_fwhm=4.0) is thermal


def test_the_local_rms_is_what_a_clipped_estimate_measures():
    sky = field(point(64.0, 64.0, 1500), layout="vla", hour_angle_span=0.2, gain_phase_error=12.0, size=256)
    far = np.hypot(*np.mgrid[-64:192, -64:192]) > 60
    rest = (sky.radio_map.data - sky.model)[far]
    clipped = rest[np.abs(rest - np.median(rest)) < 3 * 1.4826 * np.median(np.abs(rest - np.median(rest)))]
    assert np.median(sky.rms) > 1.2 * RMS
    assert clipped.std() / 0.9866 == pytest.approx(np.sqrt(np.mean(sky.rms[far] ** 2)), rel=0.15)


def test_the_map_is_the_sum_of_its_parts():
    config = random_config(np.random.default_rng(5), size=128)
    config = changed(config, blank_edge=0.2)
    sky = simulate_sky(config, seed=5)
    rest = sky.radio_map.data - sky.model - sky.artefact - sky.background
    inside = np.isfinite(rest)
    assert 0.02 < 1 - inside.mean() < 0.4
    assert np.std(rest[inside] / sky.thermal_rms[inside]) == pytest.approx(1.0, rel=0.15)


def test_the_same_seed_gives_the_same_field_and_another_one_does_not():
    config = random_config(np.random.default_rng(8), size=128)
    one, two, other = (simulate_sky(config, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.radio_map.data, two.radio_map.data, equal_nan=True)
    assert np.array_equal(one.truth.object_labels, two.truth.object_labels)
    assert not np.array_equal(one.radio_map.data, other.radio_map.data, equal_nan=True)


def test_noise_does_not_depend_on_the_sources():
    sky = field(point(60.0, 60.0, 9))
    assert np.allclose(sky.radio_map.data - field().radio_map.data, sky.model, atol=1e-9)


def test_bowls_are_negative_and_follow_extended_emission_only():
    wide = field(gaussians((64.0, 64.0, 5.0, 40.0)), bowl_fraction=0.3, bowl_scale=8.0)
    assert wide.background.min() < -0.05 * wide.model.max()
    assert wide.background.max() <= 0
    narrow = field(gaussians((64.0, 64.0, 5.0, 0.0)), bowl_fraction=0.3, bowl_scale=8.0)
    assert narrow.background.min() > -0.01 * narrow.model.max()


def test_source_counts_follow_the_broken_power_law():
    snr = draw_snr(np.random.default_rng(1), 200_000, flux_break=60.0, maximum=2000.0)
    assert 3.0 <= snr.min() <= snr.max() <= 2000.0
    # integral of S^-1.8 over two bins below the break
    expected = (4**-0.8 - 8**-0.8) / (8**-0.8 - 16**-0.8)
    assert ((snr > 4) & (snr < 8)).sum() / ((snr > 8) & (snr < 16)).sum() == pytest.approx(expected, rel=0.03)


def test_random_configurations_are_valid_repeatable_and_varied():
    configs = [random_config(np.random.default_rng(seed), size=256) for seed in range(40)]
    assert configs[0] == random_config(np.random.default_rng(0), size=256)
    assert len({config.imaging.layout for config in configs}) == 5
    fwhm = [config.beam_fwhm for config in configs]
    assert 3.4 < min(fwhm) < max(fwhm) < 8.1
    depths = [config.imaging.clean_depth for config in configs]
    assert min(depths) == 0.0 < max(depths)


def test_an_empty_field_has_empty_tables():
    truth = field().truth
    assert len(truth.objects) == len(truth.components) == len(truth.islands) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rms": 0.0}, "rms must lie in"),
        ({"size": 10}, "size must lie in"),
        ({"layout": "alma"}, "'alma' is not one of askap"),
        ({"beam_minor": 12.0}, "beam_minor exceeds beam_major"),
        ({"pixel_scale": 5.0}, "needs 2.5 pixels"),
        ({"clean_depth": float("nan")}, "clean_depth must lie in"),
        ({"layout": "atca", "hour_angle_span": 0.5}, "hour_angle_span >= 3 h"),
        ({"layout": "lofar", "declination": -60.0}, "never rises at the site of lofar"),
        ({"beam_major": 100.0}, "must measure 3 beams"),
        ({"pixel_scale": 1500.0, "beam_major": 5e3, "beam_minor": 5e3}, "exceeds 45 deg"),
        ({"counts": "published", "rms": 1e-8}, "cannot be told apart"),
        ({"mosaic": "square", "primary_beam": 0.02}, "more than 40 pointings along a side"),
    ],
)
def test_bad_configurations_name_what_is_wrong(changes, words):
    with pytest.raises(UsageError, match=words):
        quiet(**changes)


def test_the_default_configuration_is_valid():
    assert SkyConfig().n_beams > 10_000
