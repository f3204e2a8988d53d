"""Draws of the sources of a field: how many of which family, where, how large and how bright."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.sources.compact import bright_sources, compact_sources, local_rms_at
from neanias_ml.simulation.sources.draws import log_uniform
from neanias_ml.simulation.sources.families import (
    DIFFUSE,
    EDGE_BRIGHTENED,
    GALAXIES,
    NEBULAE,
    PLANETARY_NEBULAE,
    PLANETARY_SHARE,
    STRAIGHT_JETS,
    TAILS,
    Family,
)
from neanias_ml.simulation.sources.galaxy_clusters import galaxy_cluster, with_peak
from neanias_ml.simulation.sources.models import Covariance, SourceModel
from neanias_ml.simulation.sources.shapes import Site
from neanias_ml.simulation.sources.universe import published_sources

_FAINTEST_EXTENDED = 4.0  # smallest peak S/N of extended objects
_LARGEST = 0.6  # of the map's side
_CLUSTER_BEAMS = 15.0  # smallest diameter of a cluster


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
    options = config.population
    families: list[tuple[Family, float]]
    if options.counts == "published":
        sources = list(published_sources(config, rng, noise=noise, beam=beam))
        families = []
    else:
        sources = list(compact_sources(config, rng, noise=noise, beam=beam))
        families = [
            (EDGE_BRIGHTENED, options.double_density),
            (STRAIGHT_JETS, options.jet_density),
            (TAILS, options.tail_density),
            (GALAXIES, options.galaxy_density),
        ]
    families += [
        (NEBULAE, (1.0 - PLANETARY_SHARE) * options.nebula_density),
        (PLANETARY_NEBULAE, PLANETARY_SHARE * options.nebula_density),
        (DIFFUSE, options.diffuse_density),
    ]
    sources += bright_sources(config, rng, noise=noise, beam=beam)
    for family, density in families:
        for _ in range(rng.poisson(density * config.n_beams / 1000.0)):
            sources.append(_extended_source(config, rng, family=family, noise=noise, beam=beam))
    for _ in range(rng.poisson(options.cluster_density * config.n_beams / 1000.0)):
        sources += _cluster(config, rng, noise=noise, beam=beam)
    return sources


def _extended_source(
    config: SkyConfig,
    rng: np.random.Generator,
    *,
    family: Family,
    noise: NDArray[np.float32],
    beam: Covariance,
) -> SourceModel:
    """One object of a family: size log-uniform, peak S/N log-distributed with the faint ones favoured."""
    largest = max(family.largest * config.population.largest_size, 1.2 * family.smallest)
    site = _site(config, rng, length=log_uniform(rng, family.smallest, largest), beam=beam)
    model = family.draw(rng)(rng, site)
    snr = _FAINTEST_EXTENDED * (family.brightest / _FAINTEST_EXTENDED) ** (rng.uniform() ** 1.3)
    return with_peak(model, snr * local_rms_at(noise, site.centre[0], site.centre[1]), site=site)


def _cluster(
    config: SkyConfig, rng: np.random.Generator, *, noise: NDArray[np.float32], beam: Covariance
) -> Iterator[SourceModel]:
    largest = max(2.0 * config.population.largest_size, 1.5 * _CLUSTER_BEAMS)
    site = _site(config, rng, length=log_uniform(rng, _CLUSTER_BEAMS, largest), beam=beam)
    yield from galaxy_cluster(rng, site, rms=local_rms_at(noise, site.centre[0], site.centre[1]))


def _site(config: SkyConfig, rng: np.random.Generator, *, length: float, beam: Covariance) -> Site:
    """A place in the field or just beyond its edge, and an axis, for an object of a length in beams."""
    pixels = min(length * config.beam_fwhm, _LARGEST * config.size)
    centre = rng.uniform(-0.02 * config.size, 1.02 * config.size, 2)
    return Site(centre=centre, length=pixels, angle=rng.uniform(0.0, 2.0 * math.pi), beam=beam)
