"""Families of extended objects: which shapes they hold in which shares, how large and how bright they get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neanias_ml.simulation.sources.diffuse import filament, halo, odd_circle, relic
from neanias_ml.simulation.sources.models import SourceModel
from neanias_ml.simulation.sources.nebulae import (
    hii_cometary,
    hii_irregular,
    hii_shell,
    planetary_nebula,
    snr_composite,
    snr_filled,
    snr_shell,
)
from neanias_ml.simulation.sources.radio_galaxies import double_double, fr2, remnant, x_shaped
from neanias_ml.simulation.sources.shapes import Site
from neanias_ml.simulation.sources.spirals import spiral
from neanias_ml.simulation.sources.tailed_galaxies import fr1, head_tail, narrow_angle_tail, wide_angle_tail

Builder = Callable[[np.random.Generator, Site], SourceModel]


@dataclass(frozen=True)
class Family:
    """Extended objects drawn alike."""

    builders: dict[Builder, float]
    """shapes with their shares"""
    brightest: float
    """largest peak S/N; the smallest is 4"""
    smallest: float = 1.5
    """smallest extent, beams"""
    largest: float = 1.0
    """largest extent in units of ``largest_size``"""

    def draw(self, rng: np.random.Generator) -> Builder:
        """One of the shapes."""
        shares = np.array(list(self.builders.values()))
        return list(self.builders)[int(rng.choice(len(shares), p=shares / shares.sum()))]


EDGE_BRIGHTENED = Family(
    {fr2: 0.82, remnant: 0.08, double_double: 0.06, x_shaped: 0.04}, brightest=300.0, smallest=2.5
)
STRAIGHT_JETS = Family({fr1: 1.0}, brightest=150.0, smallest=2.0)
TAILS = Family({wide_angle_tail: 0.45, narrow_angle_tail: 0.3, head_tail: 0.25}, brightest=150.0, smallest=2.5)
GALAXIES = Family({spiral: 1.0}, brightest=40.0, smallest=2.5)
NEBULAE = Family(
    {
        snr_shell: 0.2,
        snr_filled: 0.06,
        snr_composite: 0.04,
        hii_irregular: 0.4,
        hii_shell: 0.1,
        hii_cometary: 0.06,
    },
    brightest=60.0,
    smallest=2.5,
    largest=2.0,
)
PLANETARY_NEBULAE = Family({planetary_nebula: 1.0}, brightest=60.0, smallest=1.0, largest=0.25)
DIFFUSE = Family({relic: 0.35, halo: 0.2, odd_circle: 0.15, filament: 0.3}, brightest=30.0, smallest=4.0)
ALL_FAMILIES = (EDGE_BRIGHTENED, STRAIGHT_JETS, TAILS, GALAXIES, NEBULAE, PLANETARY_NEBULAE, DIFFUSE)
PLANETARY_SHARE = 0.15
"""Share of planetary nebulae among nebulae; they are small and form a family of their own."""
