"""Noise of a map: coloured by the visibility weights, of an rms that varies over the field, on a smooth background."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.interpolate import BSpline

from neanias_ml.errors import UsageError
from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.imaging.gridding import cell_sums
from neanias_ml.simulation.imaging.interferometer import Coverage
from neanias_ml.simulation.imaging.mosaic import Mosaic, sensitivity
from neanias_ml.simulation.sources.models import Covariance, gaussian_transfer

CLIP_SIGMA = 2.2
"""Sidelobes above this many local rms stand out and do not count as noise."""
FloatMap = NDArray[np.float32]


def correlated_noise(
    config: SkyConfig, rng: np.random.Generator, *, coverage: Coverage, beam: Covariance
) -> FloatMap:
    """Unit-variance noise (size, size) with the power spectrum of a synthesised map.

    Noise of a map is the transform of independent noise on the weighted visibilities, so a uv cell has the sum of
    the squared weights in it for power. Sources too faint to be cleaned, a white field seen through the dirty
    beam, have the square of the sum. The power spectrum is a mixture of these two (``noise_gridding`` of it, of
    which ``confusion_share`` the latter) and of the transform of the restoring beam.
    """
    size = fft.next_fast_len(config.size, real=True)
    imaging, cells = config.imaging, (coverage.kx, coverage.ky)
    shares = (
        (1.0 - imaging.noise_gridding, gaussian_transfer((size, size), beam).astype(np.float64)),
        (imaging.noise_gridding * (1.0 - imaging.confusion_share), cell_sums(*cells, coverage.weight**2, size=size)),
        (imaging.noise_gridding * imaging.confusion_share, cell_sums(*cells, coverage.weight, size=size) ** 2),
    )
    power = sum((share / _plane_sum(part, size) * part for share, part in shares), np.zeros((size, size // 2 + 1)))
    spectrum = fft.rfft2(rng.standard_normal((size, size), dtype=np.float32), workers=1)
    spectrum *= (np.sqrt(power) * size).astype(np.float32)
    noise = fft.irfft2(spectrum, s=(size, size), workers=1, overwrite_x=True)[: config.size, : config.size]
    return noise.astype(np.float32, copy=False)


def _plane_sum(grid: NDArray[np.floating], size: int) -> float:
    """Sum over the full plane of a symmetric grid of which the half with kx >= 0 is given."""
    own = grid[:, 0].sum(dtype=float) + (grid[:, -1].sum(dtype=float) if size % 2 == 0 else 0.0)
    return float(2.0 * grid.sum(dtype=float) - own)


def smooth_field(rng: np.random.Generator, *, size: int, scale: float) -> FloatMap:
    """A smooth random field (size, size), zero mean, unit standard deviation, correlation ``scale`` pixels."""
    coarse = math.ceil(size / (scale / 4.0)) + 8
    field = ndimage.gaussian_filter(rng.standard_normal((coarse, coarse)), 2.0)
    places = np.linspace(2.0, coarse - 3.0, size)
    # cubic B-splines with the values for coefficients: as smooth as an interpolation, and two small products
    basis = BSpline.design_matrix(places + 2.0, np.arange(coarse + 4.0), 3)
    fine = basis @ (basis @ field).T
    return ((fine - fine.mean()) / fine.std()).astype(np.float32)


def rms_map(config: SkyConfig, rng: np.random.Generator, *, mosaic: Mosaic | None = None) -> FloatMap:
    """Thermal rms (size, size), Jy/beam, of median ``config.rms`` where there are data.

    A gradient, a vignette and a smooth random part, whose extremes have the ratio ``config.imaging.noise_ratio``,
    times the noise of the pointings, if there are any. Where no pointing reaches it is the largest one.

    Raises
    ------
    UsageError
        ``NoCoverage`` if no pointing reaches any pixel.
    """
    axis = np.linspace(-1.0, 1.0, config.size, dtype=np.float32)
    angle = rng.uniform(0.0, 2.0 * math.pi)
    shares = rng.dirichlet([1.0, 1.0, 1.0]).astype(np.float32)
    slope = np.float32(math.cos(angle)) * axis[None, :] + np.float32(math.sin(angle)) * axis[:, None]
    vignette = axis[None, :] ** 2 + axis[:, None] ** 2
    field = shares[0] * slope + shares[1] * vignette
    field += np.float32(0.5) * shares[2] * smooth_field(rng, size=config.size, scale=config.size / 3.0)
    field = (field - field.min()) / (field.max() - field.min())
    shape = np.exp(np.float32(math.log(config.imaging.noise_ratio)) * field)
    if mosaic is None:
        return (shape * np.float32(config.rms / np.median(shape))).astype(np.float32)
    depth = sensitivity(mosaic, (config.size, config.size))
    if not depth.any():
        raise UsageError(
            "NoCoverage",
            "simulation: no pointing covers a pixel of the map; raise primary_beam, or lower pointing_spacing or "
            "mosaic_cutoff",
        )
    shape /= np.sqrt(np.where(depth > 0.0, depth, depth[depth > 0.0].min()))
    return (shape * np.float32(config.rms / np.median(shape[depth > 0.0]))).astype(np.float32)


def local_rms(thermal: FloatMap, artefact: FloatMap, *, beam_fwhm: float) -> FloatMap:
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
    block = max(1, int(beam_fwhm))
    power = _blocks(artefact**2, block)
    noise_variance = _blocks(thermal**2, block).mean((1, 3))
    mean = _smoothed(power.mean((1, 3)))
    for _ in range(8):
        limit = CLIP_SIGMA**2 * (noise_variance + mean)
        usual = power < limit[:, None, :, None]
        share = _smoothed(usual.mean((1, 3), dtype=np.float32))
        mean = np.divide(_smoothed((power * usual).mean((1, 3))), np.maximum(share, 0.05), dtype=np.float32)
    return np.sqrt(thermal**2 + _magnified(mean, block, thermal.shape)).astype(np.float32)


def _blocks(image: FloatMap, block: int) -> FloatMap:
    """Blocks (rows, block, columns, block) of an image, mirrored beyond its edges to whole blocks."""
    rows, columns = (math.ceil(length / block) for length in image.shape)
    padding = (0, rows * block - image.shape[0]), (0, columns * block - image.shape[1])
    return np.pad(image, padding, mode="reflect").reshape(rows, block, columns, block)


def _smoothed(blocks: FloatMap) -> FloatMap:
    """Gaussian mean over four blocks, that is over some ten beams."""
    return np.asarray(ndimage.gaussian_filter(blocks, 4.0, mode="reflect"), dtype=np.float32)


def _magnified(coarse: FloatMap, block: int, shape: tuple[int, ...]) -> FloatMap:
    """Linear interpolation between the middles of blocks to the pixels of a map."""
    for axis, length in enumerate(shape):
        last = coarse.shape[axis] - 1
        place = np.clip((np.arange(length) + 0.5) / block - 0.5, 0.0, last)
        low = np.minimum(place.astype(np.intp), max(last - 1, 0))
        share = (place - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        above = np.take(coarse, np.minimum(low + 1, last), axis)
        coarse = np.asarray(np.take(coarse, low, axis) * (1.0 - share) + above * share, dtype=np.float32)
    return coarse


def background_map(config: SkyConfig, rng: np.random.Generator) -> FloatMap:
    """Smooth background (size, size), Jy/beam, on scales of some 40 beams."""
    scale = max(40.0 * config.beam_fwhm, config.size / 6.0)
    field = smooth_field(rng, size=config.size, scale=scale)
    return field * np.float32(config.imaging.background_amplitude * config.rms)
