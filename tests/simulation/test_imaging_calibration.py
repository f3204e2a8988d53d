"""Gain and pointing errors, bad baselines and ghosts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.simulation.imaging.artefacts import sidelobe_artefacts
from neanias_ml.simulation.imaging.calibration import (
    draw_calibration,
    ghost_errors,
    pointing_gains,
    source_gains,
    visibility_errors,
)
from neanias_ml.simulation.imaging.gridding import image_of_visibilities
from tests.simulation.makers import RMS, observed, point

CENTRE = np.zeros(2)


def calibrated(seed=1, layout="vla", offset=CENTRE, **changes):
    config, _, coverage = observed(layout, **changes)
    rng = np.random.default_rng(seed)
    calibration = draw_calibration(config.imaging, rng, coverage)
    return config.imaging, coverage, calibration, source_gains(config.imaging, rng, calibration, offset=offset)


def test_perfect_antennas_make_no_errors():
    imaging, coverage, calibration, gains = calibrated()
    assert np.all(gains == 1.0)
    assert not visibility_errors(imaging, coverage, gains, calibration).any()


def test_a_gain_error_on_one_antenna_touches_its_baselines_only():
    imaging, coverage, calibration, gains = calibrated()
    gains[:, 5] *= 1.1 * np.exp(0.2j)
    errors = visibility_errors(imaging, coverage, gains, calibration)
    own = (coverage.first == 5) | (coverage.second == 5)
    assert own.any() and not errors[~own].any()
    # the second antenna of a baseline enters conjugated
    assert errors[coverage.first == 5] == pytest.approx(1.1 * np.exp(0.2j) - 1)
    assert errors[coverage.second == 5] == pytest.approx(1.1 * np.exp(-0.2j) - 1)


def test_gains_change_from_interval_to_interval():
    imaging, coverage, calibration, gains = calibrated(hour_angle_span=2.0, gain_interval=30.0)
    assert gains.shape == (4, 27)
    gains[2] = 1.2
    errors = visibility_errors(imaging, coverage, gains, calibration)
    inside = (coverage.hour >= 1.0) & (coverage.hour < 1.5)
    assert np.array_equal(errors != 0, inside)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_sources_share_the_set_part_of_the_gain_errors(share):
    config, _, coverage = observed(gain_amplitude_error=0.05, gain_sharing=share, gain_interval=0.5)
    rng = np.random.default_rng(3)
    calibration = draw_calibration(config.imaging, rng, coverage)
    one, two = (source_gains(config.imaging, rng, calibration, offset=CENTRE).real - 1 for _ in range(2))
    normalised = [gains / calibration.quality for gains in (one, two)]
    assert np.corrcoef(normalised[0].ravel(), normalised[1].ravel())[0, 1] == pytest.approx(share, abs=0.05)


def test_the_size_of_gain_errors_is_the_configured_one_on_average():
    stds = [calibrated(seed, gain_amplitude_error=0.02, gain_interval=1.0)[3].real.std() for seed in range(30)]
    assert np.sqrt(np.mean(np.square(stds))) == pytest.approx(0.02, rel=0.25)


@settings(max_examples=50, deadline=None)
@given(angle=st.floats(0, 6.28), near=st.floats(0.0, 0.7), pointing=st.floats(0.001, 0.05))
def test_pointing_errors_vanish_at_the_centre_and_grow_outwards(angle, near, pointing):
    offsets = pointing * np.random.default_rng(1).standard_normal((3, 20, 2))
    direction = np.array([np.cos(angle), np.sin(angle)])
    assert np.all(pointing_gains(offsets, offset=0.0 * direction) == 1.0)
    inner, outer = (np.log(pointing_gains(offsets, offset=r * direction)) for r in (near, near + 0.3))
    assert np.all(np.abs(outer) >= np.abs(inner))
    # the logarithmic slope of a Gaussian beam of unit power FWHM, in voltage
    assert inner == pytest.approx(-4 * np.log(2) * near * (offsets @ direction), abs=1e-12)


def test_pointing_errors_leave_more_around_sources_further_out():
    config, beam, coverage = observed(pointing_error=0.03, primary_beam=0.8, size=256)
    strength = []
    for place in (127.5, 170.0, 230.0):
        noise = np.full((256, 256), RMS, np.float32)
        rng = np.random.default_rng(4)
        sources = [point(place, 127.5, 1000)]
        image = sidelobe_artefacts(config, rng, sources, coverage=coverage, beam=beam, noise=noise).image
        strength.append(image.std())
    assert strength[0] < 0.1 * strength[1] < 0.1 * strength[2]


def test_bad_baselines_are_wrong_for_a_while_and_leave_stripes():
    _, coverage, calibration, _ = calibrated(bad_baselines=1.0, seed=2)
    bad = calibration.baseline_errors != 0
    assert bad.any()
    assert len(set(zip(coverage.first[bad], coverage.second[bad], strict=True))) <= 5
    image = image_of_visibilities(coverage.kx, coverage.ky, calibration.baseline_errors * coverage.weight, extent=256)
    power = np.sort((np.abs(np.fft.rfft2(image)) ** 2).ravel())[::-1]
    assert power[:800].sum() > 0.9 * power.sum()


def ghost_image(coverage, extent, **neighbours):
    arrays = {name: np.array(values, dtype=float) for name, values in neighbours.items()}
    errors = ghost_errors(coverage, **arrays)
    return image_of_visibilities(coverage.kx, coverage.ky, coverage.weight * errors, extent=extent)


@pytest.mark.parametrize(("layout", "antennas"), [("meerkat", 64), ("askap", 36)])
def test_a_neighbour_missing_in_the_model_is_dimmed_and_has_a_ghost_on_the_other_side(layout, antennas):
    # natural weights: every baseline counts alike, as in the solution for the gains
    _, _, coverage = observed(layout, robust=2.0, hour_angle_span=6.0)
    image = ghost_image(coverage, 160, x=[40.0], y=[25.0], flux=[0.5])
    assert image[80 + 25, 80 + 40] == pytest.approx(-0.5 / antennas, rel=0.35)
    assert image[80 - 25, 80 - 40] == pytest.approx(0.5 / antennas, rel=0.35)
    assert np.unravel_index(image.argmax(), image.shape) == (80 - 25, 80 - 40)
    inner = image[21:140, 21:140]  # a phase error leaves an odd pattern
    assert inner == pytest.approx(-inner[::-1, ::-1], abs=5e-3 / antennas)


def test_the_errors_of_ghosts_close_around_every_triangle():
    _, _, coverage = observed("askap")
    arrays = {"x": np.array([30.0]), "y": np.array([-12.0]), "flux": np.array([0.2])}
    errors = ghost_errors(coverage, **arrays)
    assert np.abs(errors.real).max() < 1e-12  # phases of antennas, to first order
    phase = dict(
        zip(zip(coverage.sample, coverage.first, coverage.second, strict=True), errors.imag, strict=True)
    )
    closed = [
        phase[n, a, b] + phase[n, b, c] - phase[n, a, c]
        for n, a, b, c in ((3, 1, 2, 5), (40, 0, 10, 30), (100, 7, 8, 35))
        if {(n, a, b), (n, b, c), (n, a, c)} <= phase.keys()
    ]
    assert closed == pytest.approx([0.0] * len(closed), abs=1e-12) and closed


def test_ghosts_in_a_map_belong_to_the_brightest_source_and_are_bounded():
    config, beam, coverage = observed("meerkat", ghost_fraction=1.0, hour_angle_span=6.0, robust=2.0)
    noise = np.full((128, 128), RMS, np.float32)
    sources = [point(90.0, 75.0, 1e5), point(64.0, 64.0, 1e6)]
    found = sidelobe_artefacts(
        config, np.random.default_rng(1), sources, coverage=coverage, beam=beam, noise=noise
    )
    assert found.image[53, 38] == pytest.approx(10 * RMS, rel=0.4)
    assert found.culprit[53, 38] == 2
