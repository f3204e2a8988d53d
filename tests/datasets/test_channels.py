"""Channels: units of the noise, blanks, and statistics of empty sky."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.datasets.channels import (
    CHANNEL_NAMES,
    assemble_channels,
    channels_from_significance,
    significance,
    significance_of_asinh,
    smooth_significance,
    smoothing_radius,
)

BEAM = 6.0


def correlated_noise(rng, shape):
    """Unit-rms noise correlated over a beam of 6 pixels FWHM, as the noise of a synthesis map is."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), BEAM / 2.3548, mode="wrap")
    return (noise / noise.std()).astype(np.float32)


def make_channels(pixels, background, noise, support):
    """Channels of a whole map."""
    return channels_from_significance(significance(pixels, background, noise), support, beam_fwhm_pixels=BEAM)


def test_channel_values_follow_their_definition():
    pixels = np.array([[2.0, -14.0, 100.0, np.nan]], dtype=np.float32)
    background, noise = np.full((1, 4), 1.0, np.float32), np.full((1, 4), 0.5, np.float32)
    support = np.array([[False, False, True, True]])
    channels = make_channels(pixels, background, noise, support)
    snr = np.array([2.0, -30.0, 198.0])
    assert channels.shape == (len(CHANNEL_NAMES), 1, 4) and channels.dtype == np.float32
    np.testing.assert_allclose(channels[0, 0], [2 / 30, -5 / 30, 1.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(channels[1, 0, :3], np.arcsinh(snr / 3) / np.arcsinh(100), rtol=1e-6)
    assert channels[1, 0, 3] == 0 and channels[2, 0, 3] == 0
    assert channels[3, 0].tolist() == [0, 0, 1, 0]
    assert channels[4, 0].tolist() == [1, 1, 1, 0]


def test_scaling_map_and_noise_together_changes_nothing():
    rng = np.random.default_rng(0)
    pixels = correlated_noise(rng, (64, 64))
    one = np.ones_like(pixels)
    support = pixels > 2
    reference = make_channels(pixels, one * 0.5, one, support)
    factor = np.float32(2.0**-17)
    scaled = make_channels(pixels * factor, one * 0.5 * factor, one * factor, support)
    np.testing.assert_array_equal(reference, scaled)


def test_smoothed_empty_sky_has_about_unit_rms():
    smoothed = smooth_significance(correlated_noise(np.random.default_rng(1), (768, 768)), beam_fwhm_pixels=BEAM)
    inner = smoothed[60:-60, 60:-60]
    assert inner.std() == pytest.approx(1.0, abs=0.12)


def test_smoothing_of_a_constant_ignores_blanks_and_edges():
    snr = np.full((90, 90), 2.0, dtype=np.float32)
    snr[20:40, 30:70] = np.nan
    expected = 2.0 * np.sqrt(17.0)
    np.testing.assert_allclose(smooth_significance(snr, beam_fwhm_pixels=BEAM), expected, rtol=1e-4)


def test_everything_blank_gives_zeros():
    snr = np.full((40, 40), np.nan, dtype=np.float32)
    assert not channels_from_significance(snr, np.zeros((40, 40), bool), beam_fwhm_pixels=BEAM).any()


def test_smoothed_channel_of_a_window_with_halo_equals_the_whole():
    rng = np.random.default_rng(2)
    snr = rng.normal(size=(200, 210)).astype(np.float32)
    snr[rng.random(snr.shape) < 0.02] = np.nan
    support = rng.random(snr.shape) < 0.1
    whole = channels_from_significance(snr, support, beam_fwhm_pixels=BEAM)
    halo = smoothing_radius(BEAM)
    cut = np.s_[60 - halo : 120 + halo, 70 - halo : 110 + halo]
    part = channels_from_significance(snr[cut], support[cut], beam_fwhm_pixels=BEAM)
    np.testing.assert_array_equal(part[:, halo:-halo, halo:-halo], whole[:, 60:120, 70:110])


def test_channels_are_made_again_from_their_own_significance():
    snr = (np.random.default_rng(3).normal(size=(50, 60)) * 40).astype(np.float32)
    snr[:4] = np.nan
    support = snr > 20
    channels = channels_from_significance(snr, support, beam_fwhm_pixels=BEAM)
    valid = channels[4] > 0
    again = np.where(valid, significance_of_asinh(channels[1]), np.nan)
    np.testing.assert_allclose(again, snr, rtol=1e-4, atol=1e-5)
    rebuilt = assemble_channels(again, significance_of_asinh(channels[2]), support)
    np.testing.assert_allclose(rebuilt, channels, atol=2e-5)


def test_a_change_within_a_window_is_smoothed_as_in_the_whole_map():
    whole = correlated_noise(np.random.default_rng(4), (200, 200))
    whole[:, :70] = np.nan
    change = np.zeros((200, 200), np.float32)
    change[60:90, 80:100] = 7.0
    window = np.s_[50:150, 65:165]
    within = np.where(np.isfinite(whole[window]), change[window], np.float32(np.nan))
    smoothed = smooth_significance(within, beam_fwhm_pixels=BEAM, zero_beyond=True)
    difference = smooth_significance(whole + change, beam_fwhm_pixels=BEAM) - smooth_significance(
        whole, beam_fwhm_pixels=BEAM
    )
    far = np.s_[:, 40:]  # where the blank part of the map is farther away than the kernel reaches
    np.testing.assert_allclose(smoothed[far], difference[window][far], atol=1e-3)


def test_prepared_data_can_be_read_without_the_libraries_of_preparation():
    code = (
        "import sys\n"
        "import neanias_ml.datasets.channels, neanias_ml.datasets.tiles, neanias_ml.datasets.shards\n"
        "import neanias_ml.datasets.variation.augmentation, neanias_ml.datasets.tile_store\n"
        "import neanias_ml.datasets.variation.dihedral\n"
        "loaded = {'astropy', 'albumentations', 'mlflow', 'horovod', 'lightning'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
