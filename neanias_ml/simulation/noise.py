"""Noise of a map: correlated like the beam, of an rms that varies over the field, on a smooth background."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.interferometer import Coverage, grid_visibilities
from neanias_ml.simulation.sources import Covariance, gaussian_transfer

CLIP_SIGMA = 2.2
"""Sidelobes above this many local rms stand out and do not count as noise."""


def correlated_noise(
    config: SkyConfig, rng: np.random.Generator, *, coverage: Coverage, beam: Covariance
) -> NDArray[np.float32]:
    """Unit-variance noise (size, size) whose autocorrelation is that of a synthesised map.

    Noise of a map is the transform of independent noise on the visibilities, so its autocorrelation is
    the (dirty) beam. The power spectrum is a mixture of the transform of the restoring beam and of the
    sampled grid (share ``config.noise_gridding``).
    """
    size = fft.next_fast_len(config.size, real=True)
    smooth = gaussian_transfer((size, size), beam).astype(np.float64)
    sampled = grid_visibilities(coverage, coverage.weight, size=size).real
    power = (1.0 - config.noise_gridding) * smooth / _half_plane_sum(smooth)
    power += config.noise_gridding * sampled / _half_plane_sum(sampled)
    spectrum = fft.rfft2(rng.standard_normal((size, size), dtype=np.float32), workers=1)
    spectrum *= (np.sqrt(np.clip(power, 0.0, None)) * size).astype(np.float32)
    return fft.irfft2(spectrum, s=(size, size), workers=1)[: config.size, : config.size].astype(np.float32)


def _half_plane_sum(grid: NDArray[np.floating]) -> float:
    """Sum over the full plane of a symmetric grid of which the half with kx >= 0 is given."""
    return float(2.0 * grid.sum(dtype=float) - grid[:, 0].sum(dtype=float))


def smooth_field(rng: np.random.Generator, *, size: int, scale: float) -> NDArray[np.float32]:
    """A smooth random field (size, size), zero mean, unit standard deviation, correlation ``scale`` pixels."""
    coarse = math.ceil(size / (scale / 4.0)) + 8
    field = ndimage.gaussian_filter(rng.standard_normal((coarse, coarse)), 2.0)
    grid = np.linspace(2.0, coarse - 3.0, size)
    rows = ndimage.map_coordinates(field, np.meshgrid(grid, np.arange(coarse), indexing="ij"), order=3, mode="nearest")
    fine = ndimage.map_coordinates(rows, np.meshgrid(np.arange(size), grid, indexing="ij"), order=3, mode="nearest")
    return ((fine - fine.mean()) / fine.std()).astype(np.float32)


def rms_map(config: SkyConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """Thermal rms (size, size), Jy/beam: a gradient, a vignette and a smooth random part together.

    The extremes have the ratio ``config.noise_ratio``, the median is ``config.rms``.
    """
    axis = np.linspace(-1.0, 1.0, config.size, dtype=np.float32)
    angle = rng.uniform(0.0, 2.0 * math.pi)
    shares = rng.dirichlet([1.0, 1.0, 1.0])
    slope = math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None]
    vignette = axis[None, :] ** 2 + axis[:, None] ** 2
    field = shares[0] * slope + shares[1] * vignette
    field = field + 0.5 * shares[2] * smooth_field(rng, size=config.size, scale=config.size / 3.0)
    field = (field - field.min()) / (field.max() - field.min())
    shape = np.float32(config.noise_ratio) ** field
    return (config.rms * shape / np.median(shape)).astype(np.float32)


def local_rms(thermal: NDArray[np.float32], artefact: NDArray[np.float32], *, beam_fwhm: float) -> NDArray[np.float32]:
    """Rms (ny, nx) that an ideal sigma-clipped estimate on a mesh of some 12 beams finds, Jy/beam.

    Sidelobes that fill the field are noise to whoever looks at the map; only what stands out of them locally
    can be taken for a source. So their variance counts, averaged over the surroundings without the peaks.

    Parameters
    ----------
    thermal, artefact
        Noise rms and sidelobes (ny, nx), Jy/beam.
    beam_fwhm
        FWHM of the beam, pixels.
    """
    if not artefact.any():
        return thermal
    noise_variance, power = thermal**2, artefact**2
    sigma = 4.0 * beam_fwhm
    variance = noise_variance + _coarse_mean(power, sigma=sigma)
    for _ in range(8):
        usual = (power < CLIP_SIGMA**2 * variance).astype(np.float32)
        mean = _coarse_mean(power * usual, sigma=sigma) / np.maximum(_coarse_mean(usual, sigma=sigma), 0.05)
        variance = noise_variance + mean
    return np.sqrt(variance).astype(np.float32)


def _coarse_mean(image: NDArray[np.float32], *, sigma: float) -> NDArray[np.float32]:
    """Gaussian mean over ``sigma`` pixels, worked out on blocks of sigma / 4."""
    block = max(1, int(sigma / 4.0))
    rows, columns = (math.ceil(length / block) for length in image.shape)
    padding = (0, rows * block - image.shape[0]), (0, columns * block - image.shape[1])
    blocks = np.pad(image, padding, mode="reflect").reshape(rows, block, columns, block).mean((1, 3))
    smooth = ndimage.gaussian_filter(blocks, sigma / block, mode="reflect")
    places = [(np.arange(length) + 0.5) / block - 0.5 for length in image.shape]
    grid = np.meshgrid(*places, indexing="ij")
    return ndimage.map_coordinates(smooth, grid, order=1, mode="nearest").astype(np.float32)


def background_map(config: SkyConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth background (size, size), Jy/beam, on scales of some 40 beams."""
    scale = max(40.0 * config.beam_fwhm, config.size / 6.0)
    field = smooth_field(rng, size=config.size, scale=scale)
    return (config.background_amplitude * config.rms * field).astype(np.float32)


def blank_mask(config: SkyConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Pixels (size, size) beyond the observed area: a slanted cut of depth ``config.blank_edge``."""
    angle = rng.uniform(0.0, 2.0 * math.pi)
    axis = np.arange(config.size) - 0.5 * (config.size - 1)
    along = math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None]
    wave = 0.02 * config.size * np.sin(axis / config.size * 9.0 + angle)[:, None]
    farthest = 0.5 * (config.size - 1) * (abs(math.cos(angle)) + abs(math.sin(angle)))
    mask: NDArray[np.bool_] = along + wave > farthest - config.blank_edge * config.size
    return mask & (config.blank_edge > 0.0)
