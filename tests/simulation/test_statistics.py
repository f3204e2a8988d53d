"""Statistics of maps against analytic answers, and distances between sets of maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from neanias_ml.maps import Beam, RadioMap
from neanias_ml.simulation.realism.distances import energy_distance, ks_distance, split_distance
from neanias_ml.simulation.realism.map_statistics import TAIL_SIGMA, measure_map, tail_shares
from neanias_ml.simulation.realism.noise_statistics import (
    SPECTRUM_EDGES,
    directional_contrast,
    noise_power,
    noise_spectrum,
)
from neanias_ml.simulation.realism.sidelobe_statistics import FAR_EDGES, RING_EDGES, sidelobe_profiles

FWHM = 5.0
SIGMA = FWHM / (2.0 * math.sqrt(2.0 * math.log(2.0)))
ROUND = np.eye(2) * SIGMA**2
AREA = 2.0 * math.pi * SIGMA**2
MIDDLES = 0.5 * (SPECTRUM_EDGES[1:] + SPECTRUM_EDGES[:-1])


def white(size=512, seed=1):
    return np.random.default_rng(seed).standard_normal((size, size))


def through_beam(image, beam=ROUND):
    """White noise seen through a Gaussian beam, of unit variance."""
    ky, kx = np.meshgrid(np.fft.fftfreq(image.shape[0]), np.fft.fftfreq(image.shape[1]), indexing="ij")
    form = beam[0, 0] * kx**2 + 2 * beam[0, 1] * kx * ky + beam[1, 1] * ky**2
    seen = np.fft.ifft2(np.fft.fft2(image) * np.exp(-2 * math.pi**2 * form)).real
    return seen / seen.std()


def everywhere(image):
    return np.ones(image.shape, dtype=bool)


def test_the_spectrum_of_white_noise_is_flat():
    image = white()
    spectrum = noise_spectrum(*noise_power(image, usable=everywhere(image), beam=ROUND))
    assert spectrum[1:] == pytest.approx(1.0 / AREA, rel=0.1)


@pytest.mark.parametrize("ratio", [1.0, 1.7])
def test_noise_through_a_beam_follows_its_gaussian(ratio):
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    beam = turn @ np.diag([ratio * SIGMA**2, SIGMA**2 / ratio]) @ turn.T
    image = through_beam(white(seed=2), beam)
    frequency, power = noise_power(image, usable=everywhere(image), beam=beam)
    expected = 2.0 * np.exp(-(math.pi**2) * MIDDLES**2 / (2.0 * math.log(2.0)))
    assert noise_spectrum(frequency, power)[1:8] == pytest.approx(expected[1:8], rel=0.12)
    assert directional_contrast(frequency, power) < 0.18


def test_masked_pixels_do_not_enter_the_spectrum():
    image = through_beam(white(seed=3))
    usable = everywhere(image)
    usable[100:180, 60:200] = False
    spoilt = np.where(usable, image, 1e6)
    spectra = [noise_spectrum(*noise_power(noise, usable=usable, beam=ROUND)) for noise in (image, spoilt)]
    assert spectra[0] == pytest.approx(spectra[1])
    assert spectra[0][1] == pytest.approx(2.0 * math.exp(-(math.pi**2) * MIDDLES[1] ** 2 / (2 * math.log(2))), rel=0.2)


def test_a_preferred_direction_raises_the_contrast():
    striped = through_beam(white(seed=4)) + 2.0 * ndimage.gaussian_filter1d(through_beam(white(seed=5)), 10.0, axis=0)
    contrasts = [
        directional_contrast(*noise_power(image, usable=everywhere(image), beam=ROUND))
        for image in (through_beam(white(seed=4)), striped)
    ]
    assert contrasts[1] > 5 * contrasts[0]


def test_noise_statistics_refuse_a_map_without_noise():
    with pytest.raises(ValueError, match="no noise"):
        noise_power(np.zeros((32, 32)), usable=np.ones((32, 32), dtype=bool), beam=ROUND)
    with pytest.raises(ValueError, match="no pixel"):
        noise_power(white(32), usable=np.zeros((32, 32), dtype=bool), beam=ROUND)


def test_tail_shares_are_those_of_the_normal_distribution():
    shares = tail_shares(np.random.default_rng(6).standard_normal(1_000_000))
    expected = stats.norm.sf(TAIL_SIGMA[:2])
    assert np.abs(shares[:2] - expected) == pytest.approx(0.0, abs=4e-3 * math.sqrt(expected[1]))
    assert shares[0] == pytest.approx(expected[0], rel=0.05)
    assert shares[-1] == 0.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-200, 200), min_size=1, max_size=40))
def test_tail_shares_count(values):
    expected = [np.mean(np.array(values) > sigma) for sigma in TAIL_SIGMA]
    assert tail_shares(np.array(values)) == pytest.approx(expected)


def gaussian(shape, x, y, *, peak, major, minor):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    width = [axis / (2.0 * math.sqrt(2.0 * math.log(2.0))) for axis in (major, minor)]
    return peak * np.exp(-0.5 * (((columns - x) / width[0]) ** 2 + ((rows - y) / width[1]) ** 2))


def measured(image):
    return measure_map(RadioMap.from_array(image, beam=Beam(FWHM, FWHM), pixel_scale=1.0))


def test_islands_of_known_size():
    """Points have the area of points at any S/N, a source three beams long three times that and its elongation."""
    noise = 1e-3 * through_beam(white(300, seed=7))
    image = noise + gaussian(noise.shape, 60, 60, peak=0.03, major=FWHM, minor=FWHM)
    image += gaussian(noise.shape, 220, 80, peak=0.2, major=FWHM, minor=FWHM)
    image += gaussian(noise.shape, 150, 220, peak=0.12, major=3 * FWHM, minor=FWHM)
    found = measured(image)
    order = np.argsort(found.snr)
    assert found.snr[order] == pytest.approx([30.0, 120.0, 200.0], rel=0.15)
    assert found.area[order] == pytest.approx([1.0, 3.0, 1.0], rel=0.2)
    assert found.elongation[order] == pytest.approx([1.0, 3.0, 1.0], rel=0.3)
    assert found.n_beams == pytest.approx(300**2 / AREA, rel=1e-3)
    assert found.density == pytest.approx(3000.0 / found.n_beams)
    assert found.n_negative == 0
    assert len(found.sidelobes) == 2


def test_negative_islands_are_counted():
    noise = 1e-3 * through_beam(white(256, seed=8))
    image = noise - gaussian(noise.shape, 60, 60, peak=0.03, major=FWHM, minor=FWHM)
    found = measured(image)
    assert (len(found.snr), found.n_negative) == (0, 1)
    assert found.negative[4] > found.positive[4] == 0.0


def test_sidelobes_of_known_strength_and_noise_that_hides_them():
    rng = np.random.default_rng(9)
    rows, columns = np.mgrid[:700, :700]
    distance = np.hypot(rows - 350, columns - 350) / FWHM
    strength = np.where(distance < RING_EDGES[2], 4e-3, 0.0)
    image = np.hypot(1e-3, strength) * rng.standard_normal(distance.shape)
    image[350, 350] = 1.0
    profile = sidelobe_profiles(image, places=[(350.0, 350.0)], beam_fwhm=FWHM)[0]
    assert profile[:2] == pytest.approx(4e-3, rel=0.1)
    assert (profile[2:] < 4e-4).all()


def test_other_sources_are_no_sidelobes_and_rings_outside_are_unknown():
    image = 1e-3 * np.random.default_rng(10).standard_normal((220, 220))
    image[20:24, 20:50] = 5.0
    image[10, 10] = 1.0
    profile = sidelobe_profiles(image, places=[(10.0, 10.0)], beam_fwhm=FWHM)[0]
    assert np.nanmax(profile) < 1e-3
    blank = np.where(np.hypot(*np.mgrid[-10:210, -10:210]) > FAR_EDGES[0] * FWHM, np.nan, image)
    assert np.isnan(sidelobe_profiles(blank, places=[(10.0, 10.0)], beam_fwhm=FWHM)).all()


@pytest.mark.parametrize(("measure", "by_hand"), [(ks_distance, 0.5), (energy_distance, math.sqrt(2.0 * 0.25))])
def test_distances_against_their_definitions(measure, by_hand):
    first, second = np.array([0.0, 1.0]), np.array([1.0, 1.0])
    assert measure(first, second) == pytest.approx(by_hand)
    assert measure(first, first) == 0.0


@pytest.mark.parametrize("measure", [ks_distance, energy_distance])
def test_split_distances_tell_sets_of_one_kind_from_others(measure):
    rng = np.random.default_rng(11)
    real, same = ([rng.normal(0.0, 1.0, 30) for _ in range(12)] for _ in range(2))
    other = [rng.normal(2.0, 1.0, 30) for _ in range(12)]
    alike = split_distance(real, same, distance=measure, rng=np.random.default_rng(0))
    apart = split_distance(real, other, distance=measure, rng=np.random.default_rng(0))
    assert alike.between == pytest.approx(alike.within, rel=0.5)
    assert apart.between > 4 * apart.within == pytest.approx(4 * alike.within, rel=0.3)


def test_one_map_has_no_distance_within():
    split = split_distance([np.zeros(3)], [np.ones(3)], distance=ks_distance, rng=np.random.default_rng(0))
    assert split.between == 1.0 and math.isnan(split.within)
    empty = split_distance([np.zeros(0)], [np.ones(3)], distance=ks_distance, rng=np.random.default_rng(0))
    assert math.isnan(empty.between)
