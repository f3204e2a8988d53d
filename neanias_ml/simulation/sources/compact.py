"""Compact sources: their counts in signal to noise, places, neighbours, and the bright ones with company."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.sources.draws import log_uniform
from neanias_ml.simulation.sources.models import VISIBLE_SNR, Covariance, Gaussians, SourceModel
from neanias_ml.simulation.sources.shapes import oriented_covariance

FAINTEST_SNR = 3.0
"""Sources are drawn down to this S/N: those below the visibility limit disturb fits as real ones do."""
OUTSIDE_REACH = 0.2
"""Bright sources beyond the edge lie within this fraction of the map's size."""
_GROUP_SIGMA = 4.0  # beams; standard deviation of places about the middle of their group
_GROUP_MEMBERS = 6.0  # mean number of sources in a group
FloatArray = NDArray[np.float64]


def draw_snr(rng: np.random.Generator, count: int, *, flux_break: float, maximum: float) -> FloatArray:
    """Peak S/N (count,) from a broken power law between `FAINTEST_SNR` and ``maximum``.

    Differential counts fall as S^-1.8 below ``flux_break`` and S^-2.4 above it, as the radio source
    counts do around the millijansky (de Zotti et al. 2010) once the flux limit is put at the noise.
    """
    grid = np.geomspace(FAINTEST_SNR, maximum, 512)
    counts = np.where(grid < flux_break, (grid / flux_break) ** -1.8, (grid / flux_break) ** -2.4)
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (counts[1:] + counts[:-1]) * np.diff(grid))])
    return np.interp(rng.uniform(0.0, cumulative[-1], count), cumulative, grid)


def draw_places(config: SkyConfig, rng: np.random.Generator, count: int) -> FloatArray:
    """Places (count, 2) in pixels: a share in groups (a Thomas process), the others anywhere in the field."""
    places = rng.uniform(-0.5, config.size - 0.5, (count, 2))
    grouped = np.flatnonzero(rng.uniform(size=count) < config.population.clustered_fraction)
    middles = rng.uniform(-0.5, config.size - 0.5, (max(1, round(len(grouped) / _GROUP_MEMBERS)), 2))
    spread = rng.normal(0.0, _GROUP_SIGMA * config.beam_fwhm, (len(grouped), 2))
    places[grouped] = middles[rng.integers(len(middles), size=len(grouped))] + spread
    return places


def local_rms_at(noise: NDArray[np.float32], x: float, y: float) -> float:
    """Noise at a place in pixels; beyond the map that of its nearest pixel."""
    row, column = round(min(max(y, 0), noise.shape[0] - 1)), round(min(max(x, 0), noise.shape[1] - 1))
    return float(noise[row, column])


def compact_sources(
    config: SkyConfig, rng: np.random.Generator, *, noise: NDArray[np.float32], beam: Covariance
) -> Iterator[SourceModel]:
    """Points and slightly resolved Gaussians; some get an unrelated close neighbour."""
    options = config.population
    limits = {"flux_break": options.flux_break, "maximum": options.maximum_snr}
    probe = draw_snr(np.random.default_rng(0), 20000, **limits)
    share_visible = float(np.mean(probe >= VISIBLE_SNR))
    count = rng.poisson(options.compact_density * config.n_beams / 1000.0 / share_visible)
    places = draw_places(config, rng, count)
    for snr, (x, y) in zip(draw_snr(rng, count, **limits), places, strict=True):
        peak = float(snr) * local_rms_at(noise, x, y)
        yield gaussian_source(config, rng, x=x, y=y, peak=peak, beam=beam)
        if rng.uniform() < options.pair_fraction:
            yield neighbour(config, rng, x=x, y=y, peak=peak, beam=beam)


def neighbour(
    config: SkyConfig, rng: np.random.Generator, *, x: float, y: float, peak: float, beam: Covariance
) -> SourceModel:
    """An unrelated source of similar brightness 1 to 2.5 beams away: a blend."""
    distance, angle = rng.uniform(1.0, 2.5) * config.beam_fwhm, rng.uniform(0.0, 2.0 * math.pi)
    near_x, near_y = x + distance * math.cos(angle), y + distance * math.sin(angle)
    return gaussian_source(config, rng, x=near_x, y=near_y, peak=peak * 10.0 ** rng.uniform(-0.5, 0.5), beam=beam)


def gaussian_source(
    config: SkyConfig, rng: np.random.Generator, *, x: float, y: float, peak: float, beam: Covariance
) -> SourceModel:
    """A point, or in the share ``resolved_fraction`` of cases a resolved Gaussian, of a given convolved peak."""
    resolved = rng.uniform() < config.population.resolved_fraction
    size = config.beam_fwhm * 10.0 ** rng.uniform(-0.6, 0.45) if resolved else 0.0
    width = oriented_covariance(size, size * rng.uniform(0.3, 1.0), rng.uniform(0.0, math.pi))
    flux = peak * math.sqrt(float(np.linalg.det(width + beam) / np.linalg.det(beam)))
    return single_gaussian("gauss" if resolved else "point", x=x, y=y, flux=flux, width=width)


def single_gaussian(kind: str, *, x: float, y: float, flux: float, width: Covariance) -> SourceModel:
    """A source of one Gaussian: total flux in Jy, intrinsic covariance (2, 2) in pixels squared."""
    row = np.array([[x, y, flux, width[0, 0], width[0, 1], width[1, 1]]]).T
    return SourceModel(kind, Gaussians(*row))


def bright_sources(
    config: SkyConfig, rng: np.random.Generator, *, noise: NDArray[np.float32], beam: Covariance
) -> Iterator[SourceModel]:
    """Extra bright points, the usual culprits of sidelobes, in the map and just beyond its edges, with companions."""
    options = config.population
    inside = rng.poisson(options.bright_sources)
    for number in range(inside + rng.poisson(options.outside_sources)):
        x, y = _bright_place(config, rng, outside=number >= inside)
        snr = log_uniform(rng, 0.3 * options.maximum_snr, options.maximum_snr)
        yield single_gaussian("point", x=x, y=y, flux=snr * local_rms_at(noise, x, y), width=np.zeros((2, 2)))
        yield from _companions(config, rng, x0=x, y0=y, noise=noise, beam=beam)


def _bright_place(config: SkyConfig, rng: np.random.Generator, *, outside: bool) -> tuple[float, float]:
    place = rng.uniform(0.0, config.size - 1.0, 2)
    if outside:
        beyond = rng.uniform(0.02, OUTSIDE_REACH) * config.size
        place[int(rng.integers(2))] = rng.choice([-beyond, config.size - 1.0 + beyond])
    return float(place[0]), float(place[1])


def _companions(
    config: SkyConfig,
    rng: np.random.Generator,
    *,
    x0: float,
    y0: float,
    noise: NDArray[np.float32],
    beam: Covariance,
) -> Iterator[SourceModel]:
    """Three to nine faint sources 1.8 to 5.6 beams from a bright one.

    Real sources amid sidelobes are the hard cases, and too rare if left to chance.
    """
    flux_break = config.population.flux_break
    for snr in draw_snr(rng, int(rng.integers(3, 10)), flux_break=flux_break, maximum=20.0):
        distance, angle = config.beam_fwhm * 10.0 ** rng.uniform(0.25, 0.75), rng.uniform(0.0, 2.0 * math.pi)
        x, y = x0 + distance * math.cos(angle), y0 + distance * math.sin(angle)
        yield gaussian_source(config, rng, x=x, y=y, peak=1.7 * snr * local_rms_at(noise, x, y), beam=beam)
