"""What imaging faults leave behind around bright sources."""

from __future__ import annotations

import numpy as np
import pytest

from neanias_ml.simulation.imaging.artefacts import REACH, sidelobe_artefacts
from neanias_ml.simulation.imaging.culprits import find_culprits, source_visibilities
from neanias_ml.simulation.imaging.interferometer import dirty_beam
from neanias_ml.simulation.sources.models import Gaussians, Patch, SourceModel
from tests.simulation.makers import RMS, changed, field, gaussians, observed, point


def artefacts(config, beam, coverage, sources):
    noise = np.full((config.size, config.size), RMS, dtype=np.float32)
    return sidelobe_artefacts(config, np.random.default_rng(1), sources, coverage=coverage, beam=beam, noise=noise)


def test_a_deep_clean_with_perfect_gains_leaves_nothing():
    config, beam, coverage = observed()
    assert not artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image.any()


def test_shallow_cleaning_leaves_dirty_minus_restoring_beam():
    config, beam, coverage = observed(clean_depth=0.1)
    image = artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image / (1000 * RMS)
    rows, columns = np.mgrid[-40:41, -40:41]
    restoring = np.exp(-4 * np.log(2) * (rows**2 + columns**2) / 5.0**2)
    missing = dirty_beam(coverage, extent=128)[24:105, 24:105] - restoring
    part = image[24:105, 24:105]
    depth = np.sum(part * missing) / np.sum(missing**2)
    assert 0.02 < depth < 0.4
    assert part == pytest.approx(depth * missing, abs=1e-4)


def test_artefacts_grow_with_gain_errors_and_with_flux():
    config, beam, coverage = observed(gain_amplitude_error=0.01, gain_phase_error=1.0)
    worse = changed(config, gain_amplitude_error=0.03, gain_phase_error=3.0)
    small = artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image.std()
    large = artefacts(worse, beam, coverage, [point(64.0, 64.0, 1000)]).image.std()
    bright = artefacts(config, beam, coverage, [point(64.0, 64.0, 2000)]).image.std()
    assert large == pytest.approx(3 * small, rel=0.1)
    assert bright == pytest.approx(2 * small, rel=1e-3)


def test_a_phase_error_alone_leaves_an_odd_pattern_and_an_amplitude_error_an_even_one():
    phase, beam, coverage = observed(gain_phase_error=0.5)
    amplitude = changed(phase, gain_phase_error=0.0, gain_amplitude_error=0.01)
    for config, parity in ((phase, -1), (amplitude, 1)):
        image = artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image[24:105, 24:105]
        mirrored = parity * image[::-1, ::-1]
        assert np.std(image - mirrored) < 0.1 * np.std(image)


def test_a_source_between_pixels_moves_its_sidelobes_along():
    config, beam, coverage = observed(gain_amplitude_error=0.02)
    whole = artefacts(config, beam, coverage, [point(64.0, 64.0, 1000)]).image
    scale = float(np.abs(whole).max())
    shifted = artefacts(config, beam, coverage, [point(67.0, 60.0, 1000)]).image
    assert shifted[30:90, 33:93] == pytest.approx(whole[34:94, 30:90], abs=1e-4 * scale)
    half = artefacts(config, beam, coverage, [point(64.5, 64.0, 1000)]).image
    # band-limited interpolation of the whole-pixel map, half a pixel to the right
    spectrum = np.fft.fft(whole, axis=1) * np.exp(-2j * np.pi * np.fft.fftfreq(128) * 0.5)
    assert half[30:90, 40:90] == pytest.approx(np.fft.ifft(spectrum, axis=1).real[30:90, 40:90], abs=0.05 * scale)


def test_faint_sources_are_no_culprits_and_wide_ones_only_on_request():
    config, beam, coverage = observed(clean_depth=0.2, gain_amplitude_error=0.05)
    assert not artefacts(config, beam, coverage, [point(64.0, 64.0, 20)]).image.any()
    assert not artefacts(config, beam, coverage, [gaussians((64.0, 64.0, 5000 * RMS, 30.0))]).image.any()


def test_culprits_are_named_where_they_dominate():
    config, beam, coverage = observed(clean_depth=0.2)
    found = artefacts(config, beam, coverage, [point(30.0, 30.0, 800), point(100.0, 100.0, 800)])
    assert found.culprit[28, 34] == 1
    assert found.culprit[103, 96] == 2


def test_extended_emission_leaves_its_dirty_image_minus_its_model():
    config, beam, coverage = observed("atca", extended_clean_depth=0.05)
    image = artefacts(config, beam, coverage, [gaussians((64.0, 64.0, 300 * RMS, 20.0))]).image / (300 * RMS)
    spread = (20.0 / 2.3548) ** 2
    place = np.arange(-40, 41)
    seen = coverage.weight * np.exp(-2 * np.pi**2 * spread * (coverage.kx**2 + coverage.ky**2))
    down, across = (np.exp(2j * np.pi * np.outer(k, place)) for k in (coverage.ky, coverage.kx))
    dirty = np.einsum("m,my,mx->yx", seen, down, across, optimize=True).real
    width = spread + beam[0, 0]
    restored = beam[0, 0] / width * np.exp(-(place[:, None] ** 2 + place**2) / (2 * width))
    part = image[24:105, 24:105]
    depth = np.sum(part * (dirty - restored)) / np.sum((dirty - restored) ** 2)
    assert 0.01 < depth < 0.2
    assert part == pytest.approx(depth * (dirty - restored), abs=1e-4)


def test_cleaning_of_very_bright_extended_emission_goes_on_to_a_fixed_residual():
    config, beam, coverage = observed("atca", extended_clean_depth=1.0)
    image = artefacts(config, beam, coverage, [gaussians((64.0, 64.0, 1e6 * RMS, 20.0))]).image
    assert 5 * RMS < np.abs(image).max() < 40 * RMS


def test_visibilities_of_a_patch_are_those_of_the_gaussians_it_was_painted_from():
    _, beam, coverage = observed()
    rows, columns = np.mgrid[:61, :81]
    brightness = np.exp(-((rows - 28.0) ** 2) / 50.0 - (columns - 43.0) ** 2 / 128.0)
    brightness *= 500 * RMS / brightness.sum()
    patch = SourceModel("patch", Gaussians.empty(), Patch(20, 30, brightness))
    like = SourceModel("gauss", Gaussians(*np.array([[63.0, 58.0, 500 * RMS, 64.0, 0.0, 25.0]]).T))
    seen = [
        source_visibilities(find_culprits([source], beam=beam, noise=RMS)[0], coverage) for source in (patch, like)
    ]
    assert seen[0] == pytest.approx(seen[1], abs=0.01 * 500 * RMS)


def test_sidelobes_of_a_source_outside_go_on_into_the_map_and_end_at_their_reach():
    config, beam, coverage = observed(clean_depth=0.2)
    for place in ((-129.0, 64.0), (-500.0, 700.0)):
        found = artefacts(config, beam, coverage, [point(*place, 5000)])
        assert found.image.any() and set(np.unique(found.culprit)) <= {0, 1}
    assert not artefacts(config, beam, coverage, [point(-1.0 - REACH, 64.0, 5000)]).image.any()


def test_a_source_too_far_outside_leaves_the_field_as_it_is():
    faults = {"clean_depth": 0.2, "gain_amplitude_error": 0.02}
    sky = field(point(-2.0 * REACH, 60.0, 5000), point(60.0, 60.0, 20), **faults)
    assert not sky.artefact.any()
    assert list(sky.truth.objects.visible) == [False, True]
    assert np.array_equal(sky.radio_map.data, field(point(60.0, 60.0, 20), **faults).radio_map.data)


def test_sidelobes_go_on_to_the_far_edge_of_a_large_map():
    config, beam, coverage = observed(size=1600, clean_depth=0.2, hour_angle_span=0.1)
    image = artefacts(config, beam, coverage, [point(50.0, 60.0, 5000)]).image
    inner, outer = np.std(image[500:700, 500:700]), np.std(image[1350:1550, 1350:1550])
    assert outer > 0.3 * inner


def test_sidelobes_below_the_noise_taper_off_without_an_edge():
    config, beam, coverage = observed("meerkat", size=900, clean_depth=0.01)
    image = artefacts(config, beam, coverage, [point(50.0, 60.0, 100)]).image
    assert image[100, 100] != 0.0 and not image[60 + 300 :].any() and not image[:, 50 + 300 :].any()
    assert np.abs(image[:, 340:350]).max() < 0.02 * RMS


def test_aliases_are_faint_copies_folded_into_the_map():
    config, beam, coverage = observed(alias_fraction=0.05)
    sources = [point(140.0, 30.0, 1000), point(64.0, 64.0, 1000)]
    found = artefacts(config, beam, coverage, sources)
    assert found.image[30, 12] == pytest.approx(50 * RMS, rel=1e-3)
    assert found.culprit[30, 12] == 1
    assert found.image[64, 64] == 0.0


def test_what_interference_dominates_is_no_sources_fault():
    config, beam, coverage = observed(rfi_stripes=3.0, rfi_strength=20.0, clean_depth=0.05, hour_angle_span=0.5)
    quiet_config = changed(config, rfi_stripes=0.0)
    found, sidelobes = (artefacts(each, beam, coverage, [point(64.0, 64.0, 100)]) for each in (config, quiet_config))
    fringes = np.abs(found.image - sidelobes.image)
    assert np.count_nonzero(fringes > 0.5 * RMS) > 1000
    assert not found.culprit[fringes > np.abs(sidelobes.image)].any()
    assert (found.culprit[fringes < 0.9 * np.abs(sidelobes.image)] == 1).all()


def test_interference_lays_fringes_of_one_baseline_over_the_map():
    config, beam, coverage = observed(rfi_stripes=1.0, rfi_strength=3.0, size=256, layout="vla")
    image = next(
        found
        for seed in range(9)
        if (found := sidelobe_artefacts(
            config, np.random.default_rng(seed), [], coverage=coverage, beam=beam,
            noise=np.full((256, 256), RMS, np.float32),
        ).image).any()
    )  # fmt: skip
    assert 0.5 * RMS < np.abs(image).max() < 9 * RMS
    power = np.abs(np.fft.rfft2(image * np.outer(np.hanning(256), np.hanning(256)))) ** 2
    brightest = np.sort(power.ravel())[::-1]
    assert brightest[:120].sum() > 0.9 * brightest.sum()  # a few short tracks of some 16 000 cells
