"""From significances to log-odds of emission, with a noise model per scale that counts artefacts as noise."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage, special

from neanias_ml.extraction.extended.blocks import Block
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.starlet import Starlet
from neanias_ml.extraction.noise.mesh_kernels import MAD_TO_SIGMA

FloatMap = NDArray[np.float32]

CELL = 8
"""Side in bins of the cells on which the noise of a scale is known."""
PRIOR_AREAS = 12.0
"""The propagated noise counts as much as this many independent negative values around a cell."""
STRENGTH = 4.0
"""Typical significance of emission where there is any: width of the half-normal prior."""
PRIOR_LOG_ODDS = -9.0
"""Log-odds of extended emission in one resolution element before looking."""
SKY_SIGMA = 2.0
"""Bins are sky where the widest smoothing stays below this; around emission it does not."""
LEAST_NEGATIVE = 16
TABLE_STEP = 1 / 64
TABLE_LIMIT = 24.0


def _bayes_factor_table() -> NDArray[np.float32]:
    z = np.arange(-TABLE_LIMIT, TABLE_LIMIT + TABLE_STEP, TABLE_STEP)
    spread = 1 + STRENGTH**2
    positive = special.log_ndtr(z * STRENGTH / np.sqrt(spread))
    return (np.log(2) - 0.5 * np.log(spread) + z**2 * STRENGTH**2 / (2 * spread) + positive).astype(np.float32)


_TABLE = _bayes_factor_table()


def log_bayes_factor(significance: NDArray[np.floating]) -> FloatMap:
    """Log of how much likelier a significance is with emission than without.

    Without emission it is a unit Gaussian; with it, a positive mean of half-normal size is added.
    NaN counts as no evidence at all.
    """
    finite = np.nan_to_num(significance, nan=0.0)
    index = ((np.clip(finite, -TABLE_LIMIT, TABLE_LIMIT) + TABLE_LIMIT) / TABLE_STEP).astype(np.int32)
    return np.where(np.isnan(significance), np.float32(0.0), _TABLE[index])


def log_odds(significance: NDArray[np.floating]) -> FloatMap:
    """Log-odds of extended emission of one significance per pixel."""
    return log_bayes_factor(significance) + np.float32(PRIOR_LOG_ODDS)


def probability(odds: NDArray[np.floating]) -> FloatMap:
    """Evidence between 0 and 1 of log-odds."""
    return special.expit(np.asarray(odds, dtype=np.float32))


def local_noise(level: FloatMap, *, noise: float, scale: int, beam: float) -> FloatMap:
    """Noise of a smoothed map in cells of `CELL` bins, raised where its negative side is too strong.

    Sidelobes are as often negative as positive and emission is never negative, so the negative side measures
    what noise and artefacts together do there.

    Parameters
    ----------
    level
        (ny, nx) smoothed map, 0 where blank.
    noise
        Standard deviation without artefacts.
    scale
        Dyadic scale of the smoothing.
    beam
        Width (FWHM) of the beam in bins.
    """
    cells = (-(-level.shape[0] // CELL), -(-level.shape[1] // CELL))
    square, count = np.empty(cells, dtype=np.float64), np.empty(cells, dtype=np.float64)
    _sum_negative(level, square, count)
    size = 2 * max(3, -(-3 * (1 << scale) // CELL)) + 1
    square = ndimage.uniform_filter(square, size, mode="constant") * size**2
    count = ndimage.uniform_filter(count, size, mode="constant") * size**2
    prior = PRIOR_AREAS * 4 * np.pi * ((beam / 2.3548) ** 2 + (4**scale - 1) / 3)
    mean_square = (prior * noise**2 + np.maximum(square, 0)) / (prior + np.maximum(count, 0))
    return np.sqrt(np.maximum(mean_square, noise**2)).astype(np.float32)


def level_significance(block: Block, starlet: Starlet, *, config: ExtendedConfig) -> FloatMap:
    """Strongest significance of a pixel's level over the scales, float32 (ny, nx), NaN where blank.

    A scale counts only as far as the finer ones do not deny it: beside a bright region the wide smoothings are
    high, the narrow ones are not.
    """
    scales = range(config.min_scale, config.max_scale + 1)
    noise = [
        local_noise(
            starlet.smoothed[scale],
            noise=float(np.hypot(block.grid.noise.smoothing(scale), config.background_error)),
            scale=scale,
            beam=block.grid.beam,
        )
        for scale in scales
    ]
    out = np.empty_like(block.values)
    _strongest_level(starlet.smoothed[config.min_scale :], np.stack(noise), starlet.valid, out)
    return out


def on_bins(cells: FloatMap, shape: tuple[int, int]) -> FloatMap:
    """Values of cells on the bins of the map that the cells cover."""
    return np.repeat(np.repeat(cells, CELL, axis=0), CELL, axis=1)[: shape[0], : shape[1]]


def artefact_strength(block: Block, starlet: Starlet, *, config: ExtendedConfig) -> FloatMap:
    """How many times the noise exceeds that of a clean map around each bin, float32 (ny, nx), at least 1."""
    scale = config.min_scale
    clean = float(np.hypot(block.grid.noise.smoothing(scale), config.background_error))
    noise = local_noise(starlet.smoothed[scale], noise=clean, scale=scale, beam=block.grid.beam)
    return on_bins(noise / np.float32(clean), block.values.shape)


def plane_significance(block: Block, starlet: Starlet, *, config: ExtendedConfig) -> FloatMap:
    """Strongest significance of a pixel over the wavelet planes, float32 (ny, nx), NaN where blank.

    The planes are those coarser than the finest smoothing that is searched. Their noise is measured away from
    emission, whose planes have negative surroundings.
    """
    widest = starlet.smoothed[config.max_scale]
    sky = starlet.valid & (widest < SKY_SIGMA * block.grid.noise.smoothing(config.max_scale))
    strongest = np.full_like(block.values, -np.inf)
    for scale in range(config.min_scale + 1, config.max_scale + 1):
        plane = starlet.plane(scale)
        noise = max(block.grid.noise.plane(scale), measured_noise(plane, sky))
        np.maximum(strongest, plane / np.float32(noise), out=strongest)
    strongest /= artefact_strength(block, starlet, config=config)
    return np.where(starlet.valid, strongest, np.float32(np.nan))


def measured_noise(plane: FloatMap, sky: NDArray[np.bool_]) -> float:
    """Robust standard deviation of the negative side of a plane in the sky (0 where nothing is negative)."""
    sample = plane[::3, ::3]
    return negative_spread(sample[sky[::3, ::3]], default=0.0)


def negative_spread(values: NDArray[np.floating], *, default: float) -> float:
    """Robust standard deviation of the negative side of values; a default where hardly any are negative."""
    negative = -values[values < 0]
    return MAD_TO_SIGMA * float(np.median(negative)) if negative.size >= LEAST_NEGATIVE else default


@njit("void(float32[:, ::1], float64[:, ::1], float64[:, ::1])", cache=True, nogil=True)
def _sum_negative(level: FloatMap, square: NDArray[np.float64], count: NDArray[np.float64]) -> None:
    """Sum of squares and number of the negative bins of every cell."""
    ny, nx = level.shape
    for row in range(square.shape[0]):
        for col in range(square.shape[1]):
            total = 0.0
            number = 0
            for y in range(row * CELL, min((row + 1) * CELL, ny)):
                for x in range(col * CELL, min((col + 1) * CELL, nx)):
                    value = level[y, x]
                    if value < 0:
                        total += value * value
                        number += 1
            square[row, col] = total
            count[row, col] = number


@njit("void(float32[:, :, ::1], float32[:, :, ::1], boolean[:, ::1], float32[:, ::1])", cache=True, nogil=True)
def _strongest_level(levels: FloatMap, noise: FloatMap, valid: NDArray[np.bool_], out: FloatMap) -> None:
    """Largest significance over the smoothed levels of each bin, the wider only as far as the narrower allow."""
    half = np.float32(0.5)
    zero = np.float32(0.0)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            if not valid[y, x]:
                out[y, x] = np.nan
                continue
            best = levels[0, y, x] / noise[0, y // CELL, x // CELL]
            for scale in range(1, levels.shape[0]):
                level = levels[scale, y, x]
                value = level / noise[scale, y // CELL, x // CELL]
                if value <= best:
                    continue
                denied = zero
                for finer in range(scale):
                    gap = (half * level - levels[finer, y, x]) / noise[finer, y // CELL, x // CELL]
                    denied = max(denied, gap)
                best = max(best, value - denied)
            out[y, x] = best
