"""The uv plane, the dirty beam and what imaging faults leave behind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import fft

from neanias_ml.maps import RadioMap
from neanias_ml.simulation import LAYOUTS
from neanias_ml.simulation.artefacts import sidelobe_artefacts
from neanias_ml.simulation.interferometer import antenna_layout, dirty_beam, grid_visibilities, observe
from neanias_ml.simulation.sky import sky_beam, sky_wcs
from tests.simulation.makers import RMS, field, gaussians, point, quiet


def setup(layout="vla", **changes):
    declination = -50.0 if layout in ("atca", "askap", "meerkat") else 40.0
    span = {"hour_angle_span": 8.0} if layout == "atca" else {}
    config = quiet(**{"layout": layout, "declination": declination, **span, **changes})
    canvas = np.zeros((config.size, config.size), dtype=np.float32)
    beam = RadioMap.from_array(canvas, beam=sky_beam(config), wcs=sky_wcs(config)).beam_covariance
    return config, beam, observe(config, beam=beam)


def artefacts(config, beam, coverage, sources):
    noise = np.full((config.size, config.size), RMS, dtype=np.float32)
    return sidelobe_artefacts(config, np.random.default_rng(1), sources, coverage=coverage, beam=beam, noise=noise)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_dirty_beam_has_unit_peak_and_point_symmetry(layout):
    _, _, coverage = setup(layout)
    beam = dirty_beam(coverage, size=256)
    assert beam[128, 128] == pytest.approx(1.0, abs=1e-4)
    assert beam.argmax() == 128 * 256 + 128
    assert np.allclose(beam[1:, 1:], beam[:0:-1, :0:-1], atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_main_lobe_has_the_curvature_of_the_restoring_beam(layout):
    _, covariance, coverage = setup(layout, beam_major=14.0, beam_minor=9.0, beam_pa=25.0)
    moment = np.einsum("im,jm,m->ij", *[np.stack([coverage.kx, coverage.ky])] * 2, coverage.weight)
    assert 4 * np.pi**2 * moment == pytest.approx(np.linalg.inv(covariance), rel=0.02, abs=1e-3)


def test_the_grid_is_the_transform_of_a_real_image():
    _, _, coverage = setup()
    values = coverage.weight * np.exp(1j * np.random.default_rng(2).uniform(0, 6, len(coverage.weight)))
    image = fft.irfft2(grid_visibilities(coverage, values, size=128), s=(128, 128)) * 128**2
    # direct sum over every visibility and its mirror, at the frequencies of the cells
    kx, ky = np.rint(coverage.kx * 128) / 128, np.rint(coverage.ky * 128) / 128
    for x, y in ((0, 0), (3, 5), (100, 64), (17, 127)):
        direct = np.sum((values * np.exp(2j * np.pi * (kx * x + ky * y))).real)
        assert image[y, x] == pytest.approx(direct, abs=1e-5)


def test_visibilities_have_weights_that_sum_to_one_within_the_sampled_band():
    for layout in LAYOUTS:
        _, _, coverage = setup(layout)
        assert coverage.weight.sum() == pytest.approx(1.0)
        assert np.all(coverage.weight >= 0)
        used = coverage.weight > 0
        assert max(np.abs(coverage.kx[used]).max(), np.abs(coverage.ky[used]).max()) < 0.5


def test_an_east_west_array_at_the_pole_sees_concentric_rings():
    _, _, coverage = setup("atca", declination=-89.0, hour_angle_span=12.0)
    beam = dirty_beam(coverage, size=256)
    rows, columns = np.mgrid[:256, :256] - 128
    radius = np.rint(np.hypot(rows, columns)).astype(int)
    # around the main lobe a ring is nearly constant: most of the variance is that of the ring means
    means = np.bincount(radius.ravel(), beam.ravel()) / np.bincount(radius.ravel())
    near = (radius > 6) & (radius < 30)
    assert np.std(means[radius[near]]) > 2 * np.std(beam[near] - means[radius[near]])


def test_scans_leave_gaps_and_fill_the_span():
    _, _, coverage = setup(hour_angle_span=8.0, scans=4, scan_duty=0.1)
    times = np.unique(coverage.hour)
    gaps = np.diff(times)
    assert (gaps > 1.5).sum() == 3
    assert times[-1] - times[0] == pytest.approx(6.2, abs=0.05)


def test_layouts_have_their_number_of_antennas():
    counts = {name: len(antenna_layout(name).positions) for name in LAYOUTS}
    assert counts == {"askap": 36, "meerkat": 64, "vla": 27, "atca": 6, "lofar": 38}
    assert np.ptp(antenna_layout("atca").positions[:, 1]) == 0


def test_a_deep_clean_with_perfect_gains_leaves_nothing():
    config, beam, coverage = setup()
    assert not artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image.any()


def test_shallow_cleaning_leaves_dirty_minus_restoring_beam():
    config, beam, coverage = setup(clean_depth=0.1)
    image = artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image / (1000 * RMS)
    size = fft.next_fast_len(256, real=True)
    dirty = dirty_beam(coverage, size=size)[size // 2 - 40 : size // 2 + 41, size // 2 - 40 : size // 2 + 41]
    rows, columns = np.mgrid[-40:41, -40:41]
    restoring = np.exp(-4 * np.log(2) * (rows**2 + columns**2) / 5.0**2)
    part = image[24:105, 24:105]
    depth = np.sum(part * (dirty - restoring)) / np.sum((dirty - restoring) ** 2)
    assert 0.02 < depth < 0.4
    assert part == pytest.approx(depth * (dirty - restoring), abs=2e-5)


def test_artefacts_grow_with_gain_errors_and_with_flux():
    config, beam, coverage = setup(gain_amplitude_error=0.01, gain_phase_error=1.0)
    worse = dataclasses.replace(config, gain_amplitude_error=0.03, gain_phase_error=3.0)
    small = artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image.std()
    large = artefacts(worse, beam, coverage, [point(64.0, 64.0, 1000)]).image.std()
    bright = artefacts(config, beam, coverage, [point(64.0, 64.0, 2000)]).image.std()
    assert large == pytest.approx(3 * small, rel=0.1)
    assert bright == pytest.approx(2 * small, rel=1e-3)


def test_a_phase_error_alone_leaves_an_odd_pattern_and_an_amplitude_error_an_even_one():
    phase, beam, coverage = setup(gain_phase_error=0.5)
    amplitude = dataclasses.replace(phase, gain_phase_error=0.0, gain_amplitude_error=0.01)
    for config, parity in ((phase, -1), (amplitude, 1)):
        image = artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image[24:105, 24:105]
        mirrored = parity * image[::-1, ::-1]
        assert np.std(image - mirrored) < 0.1 * np.std(image)


def test_a_source_between_pixels_moves_its_sidelobes_along():
    config, beam, coverage = setup(gain_amplitude_error=0.02)
    whole = artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image
    scale = float(np.abs(whole).max())
    shifted = artefacts(config, beam, coverage, [point(67.0, 60.0, 1000)]).image
    assert shifted[30:90, 33:93] == pytest.approx(whole[34:94, 30:90], abs=1e-4 * scale)
    half = artefacts(config, beam, coverage, [point(64.5, 64.0, 1000)]).image
    # band-limited interpolation of the whole-pixel map, half a pixel to the right
    spectrum = np.fft.fft(whole, axis=1) * np.exp(-2j * np.pi * np.fft.fftfreq(128) * 0.5)
    assert half[30:90, 40:90] == pytest.approx(np.fft.ifft(spectrum, axis=1).real[30:90, 40:90], abs=0.05 * scale)


def test_faint_and_wide_sources_are_no_culprits():
    config, beam, coverage = setup(clean_depth=0.2, gain_amplitude_error=0.05)
    assert not artefacts(config, beam, coverage, [point(64.0, 64.0, 20)]).image.any()
    assert not artefacts(config, beam, coverage, [gaussians((64.0, 64.0, 5000 * RMS, 30.0))]).image.any()


def test_culprits_are_named_where_they_dominate():
    config, beam, coverage = setup(clean_depth=0.2)
    found = artefacts(config, beam, coverage, [point(30.0, 30.0, 800), point(100.0, 100.0, 800)])
    assert found.culprit[28, 34] == 1
    assert found.culprit[103, 96] == 2


def test_a_source_too_far_outside_leaves_nothing_and_a_near_one_something():
    # stamps of a field of 128 pixels reach 128 pixels from their source
    config, beam, coverage = setup(clean_depth=0.2)
    for place in ((-129.0, 64.0), (64.0, 260.0), (-500.0, 900.0)):
        found = artefacts(config, beam, coverage, [point(*place, 5000)])
        assert not found.image.any() and not found.culprit.any()
    near = artefacts(config, beam, coverage, [point(-20.0, 64.0, 5000), point(-500.0, 64.0, 5000)])
    assert near.image.any() and set(np.unique(near.culprit)) <= {0, 1}


def test_a_field_with_a_source_too_far_outside_is_the_field_without_it():
    faults = {"clean_depth": 0.2, "gain_amplitude_error": 0.02}
    sky = field(point(-300.0, 60.0, 5000), point(60.0, 60.0, 20), **faults)
    assert not sky.artefact.any()
    assert list(sky.truth.objects.visible) == [False, True]
    assert np.array_equal(sky.radio_map.data, field(point(60.0, 60.0, 20), **faults).radio_map.data)


def test_sidelobes_taper_off_within_1024_pixels_in_a_large_map():
    config, beam, coverage = setup(size=1300, clean_depth=0.2)
    image = artefacts(config, beam, coverage, [point(50.0, 60.0, 5000)]).image
    assert not image[60 + 1024 :].any() and not image[:, 50 + 1024 :].any()
    inner, outer = np.std(image[60:660, 660:664]), np.std(image[60:660, 1040:1070])
    assert 0 < outer < 0.02 * inner
