"""Tiles under more noise: noise as a synthesis map has it, correlated over the beam, and what is then still seen."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neanias_ml.datasets.channels import (
    FWHM_PER_SIGMA,
    SMOOTHING_BEAMS,
    smooth_significance,
    smoothing_radius,
)
from neanias_ml.datasets.tiles import PreparedTile
from neanias_ml.datasets.variation.reobserve import IslandRule, TruthRule, reobserve

FloatMap = NDArray[np.float32]


def change_noise(
    tile: PreparedTile,
    rng: np.random.Generator,
    *,
    added: float = 0.0,
    noise_error: float = 1.0,
    islands: IslandRule,
    truth: TruthRule,
) -> PreparedTile:
    """A tile as a shallower observation, or one whose noise is estimated wrongly, would show it.

    With noise ``n`` of unit rms, correlated over the beam, signal to noise becomes
    ``(snr + added * n) / sqrt(1 + added**2) / noise_error``: on empty sky it keeps its unit rms (but for the error),
    while every source fades by the same factor, as all fluxes do when a field is farther away or the time shorter.

    Parameters
    ----------
    added
        rms of the added noise in units of the noise there is; 1 lowers signal to noise to 0.71.
    noise_error
        Estimated over true noise.
    islands, truth
        Thresholds at which islands are extracted again, and class numbers.

    Returns
    -------
    PreparedTile
        The tile itself where nothing changes.
    """
    if added == 0 and noise_error == 1:
        return tile
    factor = np.float32(1.0 / (math.sqrt(1.0 + added**2) * noise_error))
    snr, smoothed = tile.significance, tile.smoothed_significance
    if added > 0:
        noise, smoothed_noise = _noise_of(tile, rng, pixels_per_beam=islands.pixels_per_beam)
        snr = snr + np.float32(added) * noise
        smoothed = smoothed + np.float32(added) * smoothed_noise
    return reobserve(
        tile, snr=snr * factor, smoothed=smoothed * factor, factor=float(factor), islands=islands, truth=truth
    )


def beam_noise(rng: np.random.Generator, *, size: int, pixels_per_beam: float) -> tuple[FloatMap, FloatMap]:
    """Noise (size, size) of unit rms correlated over a Gaussian beam, and its map smoothed as the channel is.

    It is cut from a larger periodic field, so that the smoothed map knows what lies beyond the edges.
    """
    whole = fft.next_fast_len(size + 2 * smoothing_radius(pixels_per_beam), real=True)
    beam, smoothing = _transfers(whole, pixels_per_beam)
    waves = fft.rfft2(rng.standard_normal((whole, whole), dtype=np.float32)) * beam
    noise, smoothed = (fft.irfft2(part, s=(whole, whole))[:size, :size] for part in (waves, waves * smoothing))
    return np.ascontiguousarray(noise), np.ascontiguousarray(smoothed)


@functools.lru_cache(maxsize=8)
def _transfers(size: int, pixels_per_beam: float) -> tuple[FloatMap, FloatMap]:
    """What a beam of unit-rms noise and the smoothing of the channel do to each wave of a periodic field."""
    radius = smoothing_radius(pixels_per_beam)
    offsets = np.minimum(np.arange(size), size - np.arange(size))

    def transfer(fwhm: float, reach: int) -> tuple[NDArray[np.float64], float]:
        sigma = fwhm / FWHM_PER_SIGMA
        kernel = np.where(offsets <= reach, np.exp(-0.5 * (offsets / sigma) ** 2), 0.0)
        kernel /= kernel.sum()
        full, half = fft.fft(kernel).real, fft.rfft(kernel).real
        return full[:, None] * half[None, :], float((kernel**2).sum())

    beam, power = transfer(pixels_per_beam, size)
    smoothing, _ = transfer(SMOOTHING_BEAMS * pixels_per_beam, radius)
    scale = math.sqrt(1.0 + SMOOTHING_BEAMS**2)
    return (beam / power).astype(np.float32), (scale * smoothing).astype(np.float32)


def _noise_of(tile: PreparedTile, rng: np.random.Generator, *, pixels_per_beam: float) -> tuple[FloatMap, FloatMap]:
    """Noise for a tile and its smoothed map, in which blank pixels carry no weight."""
    valid = tile.valid
    if valid.all():
        return beam_noise(rng, size=tile.size, pixels_per_beam=pixels_per_beam)
    halo = smoothing_radius(pixels_per_beam)
    noise, _ = beam_noise(rng, size=tile.size + 2 * halo, pixels_per_beam=pixels_per_beam)
    around = np.pad(valid, halo, mode="edge")  # a blank edge goes on beyond the tile
    smoothed = smooth_significance(np.where(around, noise, np.float32(np.nan)), beam_fwhm_pixels=pixels_per_beam)
    inner = np.s_[halo : halo + tile.size, halo : halo + tile.size]
    return noise[inner], smoothed[inner]
