"""Wide random draws of whole fields for training data."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.imaging.random_imaging import random_imaging
from neanias_ml.simulation.sources.config import PopulationConfig
from neanias_ml.simulation.sources.counts import brightest_flux, crowding
from neanias_ml.simulation.sources.draws import log_uniform

SPARSEST, DENSEST = 0.3, 25.0
"""Sources per 1000 beams between which random fields may follow the published counts."""
SPARSE_SHARE = 0.2
"""Share of nearly empty fields, as cut-outs of shallow surveys are: islands there are few, and often false."""


def random_config(rng: np.random.Generator, *, size: int) -> SkyConfig:
    """A wide random draw for training data.

    Beams of 3.5 to 8 pixels with axis ratios 1 to 1.8, every layout, fields from sparse to
    crowded, imaging faults from none to severe.

    Parameters
    ----------
    rng
        Source of randomness; the same state gives the same configuration.
    size
        Rows and columns of the map, pixels.
    """
    fwhm, ratio = rng.uniform(3.5, 8.0), rng.uniform(1.0, 1.8)
    pixel_scale = log_uniform(rng, 0.8, 8.0)
    minor = max(fwhm / math.sqrt(ratio), 2.6)
    severity = float(rng.choice([0.0, 0.5, 1.0], p=[0.1, 0.1, 0.8]))
    rms, frequency = log_uniform(rng, 5e-6, 5e-4), log_uniform(rng, 144e6, 3e9)
    density = crowding(rms, beam=ratio * (minor * pixel_scale) ** 2, frequency=frequency)
    population = random_population(rng, severity=severity, density=density)
    brightest = population.maximum_snr
    if population.counts == "published":
        brightest = max(brightest, brightest_flux((size * pixel_scale / 3600.0) ** 2, frequency=frequency) / rms)
    imaging = random_imaging(rng, severity=severity, maximum_snr=brightest)
    north = imaging.layout in ("vla", "lofar")
    return SkyConfig(
        size=size,
        pixel_scale=pixel_scale,
        beam_major=minor * ratio * pixel_scale,
        beam_minor=minor * pixel_scale,
        beam_pa=rng.uniform(0.0, 180.0),
        rms=rms,
        right_ascension=rng.uniform(0.0, 360.0),
        declination=rng.uniform(15.0, 70.0) if north else rng.uniform(-75.0, -17.0),
        frequency=frequency,
        population=population,
        imaging=imaging,
    )


def random_population(rng: np.random.Generator, *, severity: float, density: float) -> PopulationConfig:
    """Sources of a field from sparse to crowded.

    Parameters
    ----------
    rng
        Source of randomness.
    severity
        Strength of the imaging faults, 0 to 1: where they are strong the field gets bright sources to show them.
    density
        Sources above 5 rms per 1000 beams that the published counts give; where they make a field that is neither
        empty nor confused, half of the fields have them.
    """
    published = rng.uniform() < 0.5 and SPARSEST < density < DENSEST
    sparse = rng.uniform() < SPARSE_SHARE
    crowding = log_uniform(rng, 0.03, 0.15) if sparse else log_uniform(rng, 0.12, 1.8)
    return PopulationConfig(
        counts="published" if published else "crowded",
        compact_density=4.5 * crowding * log_uniform(rng, 0.6, 1.6),
        resolved_fraction=rng.uniform(0.1, 0.4),
        pair_fraction=rng.uniform(0.0, 0.15),
        flux_break=log_uniform(rng, 20.0, 200.0),
        maximum_snr=log_uniform(rng, 300.0, 2000.0),
        double_density=1.3 * crowding * log_uniform(rng, 0.5, 2.0),
        jet_density=0.35 * crowding * log_uniform(rng, 0.5, 2.0),
        tail_density=0.3 * crowding * log_uniform(rng, 0.5, 2.0),
        galaxy_density=0.08 * crowding * log_uniform(rng, 0.3, 3.0),
        nebula_density=0.15 * crowding * log_uniform(rng, 0.3, 3.0),
        diffuse_density=0.1 * crowding * log_uniform(rng, 0.3, 3.0),
        clustered_fraction=rng.uniform(0.0, 0.3),
        largest_size=log_uniform(rng, 15.0, 50.0),
        cirrus_amplitude=log_uniform(rng, 0.2, 2.0) if rng.uniform() < 0.25 else 0.0,
        cirrus_slope=rng.uniform(2.5, 3.1),
        cirrus_scale=log_uniform(rng, 15.0, 80.0),
        cluster_density=0.02 * crowding * log_uniform(rng, 0.3, 3.0),
        bright_sources=0.1 + severity * (0.2 if sparse else log_uniform(rng, 0.3, 3.5)),
        outside_sources=severity * rng.uniform(0.0, 0.8),
    )


def crowded_population(rng: np.random.Generator, population: PopulationConfig) -> PopulationConfig:
    """The same sky, rich in neighbours and in radio galaxies: a fifth of the objects have several islands.

    Parameters
    ----------
    rng
        Source of randomness.
    population
        What the field held before; brightness, artefacts' sources and background stay as they are.
    """
    crowding = log_uniform(rng, 0.5, 1.8)
    return dataclasses.replace(
        population,
        counts="crowded",
        compact_density=4.5 * crowding * log_uniform(rng, 0.6, 1.6),
        double_density=1.3 * crowding * log_uniform(rng, 0.6, 2.0),
        jet_density=0.3 * crowding * log_uniform(rng, 0.5, 2.0),
        tail_density=0.3 * crowding * log_uniform(rng, 0.5, 2.0),
    )
