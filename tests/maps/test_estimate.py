"""Pixel size from the noise itself, against simulated noise of known correlation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft

from neanias_ml.errors import InputError
from neanias_ml.maps import read_map
from neanias_ml.maps.estimate import estimate_beam_fwhm
from tests.maps.makers import STEP, correlated_noise, sky_cards, write_fits

NO_GEOMETRY = {name: None for name in ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2")}


def with_sources(noise, *, fwhm, count, seed, axis_ratio=1.0):
    """Add beam-shaped sources of 5 to about 1000 times the noise."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(noise.shape)
    field = noise.copy()
    for _ in range(count):
        x0, y0 = rng.uniform(0, noise.shape[1]), rng.uniform(0, noise.shape[0])
        scaled = ((x - x0) ** 2 / axis_ratio + (y - y0) ** 2 * axis_ratio) / fwhm**2
        field += 5 * (1 + rng.pareto(1.0)) * np.exp(-4 * np.log(2) * scaled)
    return field


def naturally_weighted_noise(shape, *, fwhm, seed):
    """Noise whose autocorrelation is a Gaussian of the beam's own width: white noise shaped in the Fourier plane."""
    white = np.random.default_rng(seed).normal(size=shape)
    v, u = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None, :]
    power = np.exp(-(np.pi**2) * (u**2 + v**2) * fwhm**2 / (4 * np.log(2)))
    noise = fft.irfft2(fft.rfft2(white) * np.sqrt(power), shape)
    return noise / noise.std()


@pytest.mark.parametrize("fwhm", [2.5, 4.0, 6.5, 9.0])
@pytest.mark.parametrize("axis_ratio", [1.0, 1.6])
def test_smoothed_noise_with_sources(fwhm, axis_ratio):
    noise = correlated_noise((200, 220), fwhm=fwhm, axis_ratio=axis_ratio, seed=5)
    field = with_sources(noise, fwhm=fwhm, count=25, seed=7, axis_ratio=axis_ratio)
    estimate = estimate_beam_fwhm(field, axis_ratio=axis_ratio)
    assert estimate.is_trustworthy, estimate.reason
    assert estimate.fwhm == pytest.approx(fwhm, rel=0.15)


@pytest.mark.parametrize("fwhm", [3.0, 5.0, 8.0])
def test_naturally_weighted_noise_with_sources(fwhm):
    field = with_sources(naturally_weighted_noise((200, 220), fwhm=fwhm, seed=2), fwhm=fwhm, count=25, seed=3)
    estimate = estimate_beam_fwhm(field, axis_ratio=1.0)
    assert estimate.is_trustworthy, estimate.reason
    assert estimate.fwhm == pytest.approx(fwhm, rel=0.15)


@pytest.mark.parametrize("make", [correlated_noise, naturally_weighted_noise])
def test_noise_alone_is_bracketed(make):
    estimate = estimate_beam_fwhm(make((200, 200), fwhm=4.5, seed=11))
    assert estimate.is_trustworthy, estimate.reason
    assert estimate.fwhm == pytest.approx(4.5, rel=0.22)


def test_resolved_sources_alone_do_not_widen_the_beam():
    noise = correlated_noise((200, 200), fwhm=4.0, seed=4)
    estimate = estimate_beam_fwhm(with_sources(noise, fwhm=14.0, count=6, seed=8))
    assert estimate.fwhm < 1.36 * 4.0


def test_a_gradient_of_the_background_does_not_matter():
    noise = with_sources(correlated_noise((200, 200), fwhm=4.0, seed=4), fwhm=4.0, count=15, seed=9)
    tilted = noise + np.linspace(0, 10, 200)[:, np.newaxis]
    assert estimate_beam_fwhm(tilted).fwhm == pytest.approx(estimate_beam_fwhm(noise).fwhm, rel=0.05)


def test_blank_and_padded_pixels_do_not_matter():
    field = with_sources(correlated_noise((240, 240), fwhm=4.0, seed=4), fwhm=4.0, count=25, seed=9)
    y, x = np.indices(field.shape)
    field[(x - 120) ** 2 + (y - 120) ** 2 > 110**2] = np.nan
    field[:, :20] = 0.0
    assert estimate_beam_fwhm(field).fwhm == pytest.approx(4.0, rel=0.15)


DOUBTFUL = {
    "white noise": lambda: np.random.default_rng(1).normal(size=(150, 150)),
    "blank": lambda: np.full((100, 100), np.nan),
    "constant": lambda: np.ones((100, 100)),
    "few pixels": lambda: correlated_noise((20, 20), fwhm=3.0),
    "few beams": lambda: correlated_noise((60, 60), fwhm=9.0),
    "two resolutions": lambda: np.hstack(
        [correlated_noise((150, 100), fwhm=3.0), correlated_noise((150, 100), fwhm=7.0)]
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_doubtful_maps_are_not_trusted(name):
    estimate = estimate_beam_fwhm(DOUBTFUL[name]())
    assert not estimate.is_trustworthy and estimate.reason


def test_a_strip_is_measured_along_its_length():
    estimate = estimate_beam_fwhm(correlated_noise((9, 900), fwhm=3.0))
    assert not estimate.is_trustworthy or estimate.fwhm == pytest.approx(3.0, rel=0.3)


def test_noise_of_another_shape_than_the_beam_is_not_trusted():
    field = correlated_noise((200, 200), fwhm=4.0, axis_ratio=2.5)
    assert "axis ratio" in estimate_beam_fwhm(field, axis_ratio=1.0).reason


def test_map_without_pixel_size_is_read_with_the_estimate(tmp_path):
    field = with_sources(correlated_noise((200, 200), fwhm=4.0, seed=5), fwhm=4.0, count=25, seed=7)
    path = write_fits(tmp_path / "map.fits", field, sky_cards(**NO_GEOMETRY))
    radio_map = read_map(path)
    assert radio_map.sky is None
    assert radio_map.flags == ("NoWcs", "PixelScaleEstimated")
    assert radio_map.pixel_scale == pytest.approx(STEP, rel=0.15)
    given = read_map(path, pixel_scale=STEP)
    assert given.flags == ("NoWcs", "PixelScaleFromUser") and given.beam_fwhm == pytest.approx(4.0)


def test_map_whose_pixel_size_cannot_be_told_names_the_option(tmp_path):
    white = np.random.default_rng(1).normal(size=(150, 150))
    path = write_fits(tmp_path / "map.fits", white, sky_cards(**NO_GEOMETRY))
    with pytest.raises(InputError, match="--pixel-scale ARCSEC") as caught:
        read_map(path)
    assert caught.value.code == "PixelScaleMissing" and caught.value.exit_code == 3


def test_default_steps_of_one_are_no_pixel_size(tmp_path):
    white = np.random.default_rng(1).normal(size=(150, 150))
    cards = sky_cards(**NO_GEOMETRY) | {"CDELT1": 1.0, "CDELT2": 1.0}
    with pytest.raises(InputError) as caught:
        read_map(write_fits(tmp_path / "map.fits", white, cards))
    assert caught.value.code == "PixelScaleMissing"
