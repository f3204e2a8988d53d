"""Draws of the sources of a field: source counts, kinds, sizes and places."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.diffuse import DIFFUSE_SHAPES
from neanias_ml.simulation.shapes import Site, double, filament, jets, oriented_covariance, triple
from neanias_ml.simulation.sources import Covariance, Gaussians, SourceModel, render

FAINTEST_SNR = 3.0
"""Sources are drawn down to this S/N: those below the visibility limit disturb fits as real ones do."""
VISIBLE_SNR = 5.0
"""An object counts as visible where its model exceeds this many local rms."""

OUTSIDE_REACH = 0.2
"""Bright sources beyond the edge lie within this fraction of the map's size."""

Builder = Callable[[np.random.Generator, Site], SourceModel]


@dataclass(frozen=True)
class Family:
    """Extended objects drawn alike: shapes in equal parts, sizes in beams, peaks in S/N from 4."""

    builders: tuple[Builder, ...]
    brightest: float
    smallest: float = 1.5


def draw_sources(
    config: SkyConfig, rng: np.random.Generator, *, noise: NDArray[np.float32], beam: Covariance
) -> list[SourceModel]:
    """All sources of a field, in pixels and Jy.

    Parameters
    ----------
    config
        Densities and limits.
    rng
        Source of randomness.
    noise
        Local rms (ny, nx), Jy/beam: peaks are drawn as signal to noise.
    beam
        Pixel covariance (2, 2) of the restoring beam.
    """
    sources = list(_compact_sources(config, rng, noise=noise, beam=beam))
    for bright in _bright_sources(config, rng, noise=noise):
        sources.append(bright)
        sources += list(_companions(config, rng, bright, noise=noise, beam=beam))
    families = (
        (config.double_density, Family((double,), brightest=300.0, smallest=2.5)),
        (config.triple_density, Family((triple,), brightest=200.0, smallest=3.0)),
        (config.jet_density, Family((jets,), brightest=150.0)),
        (config.diffuse_density, Family((*DIFFUSE_SHAPES, filament), brightest=40.0)),
    )
    for density, family in families:
        for _ in range(rng.poisson(density * config.n_beams / 1000.0)):
            sources.append(_extended_source(config, rng, family=family, noise=noise, beam=beam))
    return sources


def draw_snr(rng: np.random.Generator, count: int, *, flux_break: float, maximum: float) -> NDArray[np.float64]:
    """Peak S/N (count,) from a broken power law between `FAINTEST_SNR` and ``maximum``.

    Differential counts fall as S^-1.8 below ``flux_break`` and S^-2.4 above it, as the radio source
    counts do around the millijansky (de Zotti et al. 2010) once the flux limit is put at the noise.
    """
    grid = np.geomspace(FAINTEST_SNR, maximum, 512)
    counts = np.where(grid < flux_break, (grid / flux_break) ** -1.8, (grid / flux_break) ** -2.4)
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (counts[1:] + counts[:-1]) * np.diff(grid))])
    return np.interp(rng.uniform(0.0, cumulative[-1], count), cumulative, grid)


def _local(noise: NDArray[np.float32], x: float, y: float) -> float:
    row, column = round(min(max(y, 0), noise.shape[0] - 1)), round(min(max(x, 0), noise.shape[1] - 1))
    return float(noise[row, column])


def _compact_sources(
    config: SkyConfig, rng: np.random.Generator, *, noise: NDArray[np.float32], beam: Covariance
) -> Iterator[SourceModel]:
    """Points and slightly resolved Gaussians; some get an unrelated close neighbour."""
    probe = draw_snr(np.random.default_rng(0), 20000, flux_break=config.flux_break, maximum=config.maximum_snr)
    share_visible = float(np.mean(probe >= VISIBLE_SNR))
    count = rng.poisson(config.compact_density * config.n_beams / 1000.0 / share_visible)
    for snr in draw_snr(rng, count, flux_break=config.flux_break, maximum=config.maximum_snr):
        x, y = rng.uniform(-0.5, config.size - 0.5, 2)
        yield _gaussian_source(config, rng, x=x, y=y, peak=snr * _local(noise, x, y), beam=beam)
        if rng.uniform() < config.pair_fraction:
            distance, angle = rng.uniform(1.0, 2.5) * config.beam_fwhm, rng.uniform(0.0, 2.0 * math.pi)
            near_x, near_y = x + distance * math.cos(angle), y + distance * math.sin(angle)
            peak = snr * _local(noise, x, y) * 10.0 ** rng.uniform(-0.5, 0.5)
            yield _gaussian_source(config, rng, x=near_x, y=near_y, peak=peak, beam=beam)


def _gaussian_source(
    config: SkyConfig, rng: np.random.Generator, *, x: float, y: float, peak: float, beam: Covariance
) -> SourceModel:
    resolved = rng.uniform() < config.resolved_fraction
    size = config.beam_fwhm * 10.0 ** rng.uniform(-0.6, 0.45) if resolved else 0.0
    width = oriented_covariance(size, size * rng.uniform(0.3, 1.0), rng.uniform(0.0, math.pi))
    flux = peak * math.sqrt(float(np.linalg.det(width + beam) / np.linalg.det(beam)))
    row = np.array([[x, y, flux, width[0, 0], width[0, 1], width[1, 1]]]).T
    return SourceModel("gauss" if resolved else "point", Gaussians(*row))


def _bright_sources(
    config: SkyConfig, rng: np.random.Generator, *, noise: NDArray[np.float32]
) -> Iterator[SourceModel]:
    """Extra bright points, the usual culprits of sidelobes, in the map and just beyond its edges."""
    lowest = 0.3 * config.maximum_snr
    inside = rng.poisson(config.bright_sources)
    for number in range(inside + rng.poisson(config.outside_sources)):
        place = rng.uniform(0.0, config.size - 1.0, 2)
        if number >= inside:
            beyond = rng.uniform(0.02, OUTSIDE_REACH) * config.size
            place[int(rng.integers(2))] = rng.choice([-beyond, config.size - 1.0 + beyond])
        snr = 10.0 ** rng.uniform(math.log10(lowest), math.log10(config.maximum_snr))
        row = [place[0], place[1], snr * _local(noise, place[0], place[1]), 0.0, 0.0, 0.0]
        yield SourceModel("point", Gaussians(*np.array([row]).T))


def _companions(
    config: SkyConfig,
    rng: np.random.Generator,
    bright: SourceModel,
    *,
    noise: NDArray[np.float32],
    beam: Covariance,
) -> Iterator[SourceModel]:
    """Three to nine faint sources 1.8 to 5.6 beams from a bright one.

    Real sources amid sidelobes are the hard cases, and too rare if left to chance.
    """
    x0, y0 = float(bright.gaussians.x[0]), float(bright.gaussians.y[0])
    for snr in draw_snr(rng, int(rng.integers(3, 10)), flux_break=config.flux_break, maximum=20.0):
        distance, angle = config.beam_fwhm * 10.0 ** rng.uniform(0.25, 0.75), rng.uniform(0.0, 2.0 * math.pi)
        x, y = x0 + distance * math.cos(angle), y0 + distance * math.sin(angle)
        yield _gaussian_source(config, rng, x=x, y=y, peak=1.7 * snr * _local(noise, x, y), beam=beam)


def _extended_source(
    config: SkyConfig,
    rng: np.random.Generator,
    *,
    family: Family,
    noise: NDArray[np.float32],
    beam: Covariance,
) -> SourceModel:
    """One object of a family: size log-uniform, peak S/N log-distributed with the faint ones favoured."""
    builder = family.builders[int(rng.integers(len(family.builders)))]
    largest = max(config.largest_size, family.smallest)
    beams = 10.0 ** rng.uniform(math.log10(family.smallest), math.log10(largest))
    length = min(beams * config.beam_fwhm, 0.6 * config.size)
    centre = rng.uniform(-0.02 * config.size, 1.02 * config.size, 2)
    model = builder(rng, Site(centre=centre, length=length, angle=rng.uniform(0.0, 2.0 * math.pi), beam=beam))
    snr = 4.0 * (family.brightest / 4.0) ** (rng.uniform() ** 1.3)
    # rendered on a canvas of its own, so that the scale does not depend on where the map ends
    peak = float(render(model, beam=beam).data.max())
    return model.scaled(snr * _local(noise, float(centre[0]), float(centre[1])) / peak)
