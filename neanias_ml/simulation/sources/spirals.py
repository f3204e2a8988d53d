"""Nearby star-forming galaxies: an inclined exponential disk with spiral arms, clumps and a nucleus."""

from __future__ import annotations

import math

import numpy as np

from neanias_ml.simulation.sources.discs import Disc, patch_model, point_at, soft_edge
from neanias_ml.simulation.sources.draws import log_uniform
from neanias_ml.simulation.sources.models import SourceModel
from neanias_ml.simulation.sources.shapes import Site, texture


def spiral(rng: np.random.Generator, site: Site) -> SourceModel:
    """A spiral galaxy from face-on to edge-on.

    Arms are logarithmic spirals with pitch angles of 8 to 35 degrees (Kennicutt 1981, AJ 86, 1847); the thickness
    of the disk keeps the axis ratio above 0.15.
    """
    cosine = rng.uniform(0.0, 1.0)
    disc = Disc.at(site, axis_ratio=math.sqrt(cosine**2 + 0.15**2 * (1.0 - cosine**2)))
    pitch, arms = math.radians(rng.uniform(8.0, 35.0)), int(rng.choice([2, 2, 2, 3, 4]))
    winding = rng.choice([-1.0, 1.0]) / math.tan(pitch)
    phase = arms * (disc.azimuth - winding * np.log(disc.radius + 0.05)) + rng.uniform(0.0, 2.0 * math.pi)
    contrast, sharpness = rng.uniform(0.0, 4.0), rng.uniform(1.0, 3.0)
    crest = (0.5 * (1.0 + np.cos(phase))) ** sharpness * np.clip(disc.radius / 0.15, 0.0, 1.0)
    clumps = np.exp(0.35 * texture(rng, disc.shape, scale=0.05 * site.length))
    profile = np.exp(-rng.uniform(1.5, 4.5) * disc.radius) * soft_edge(disc.radius, at=1.0, width=0.06)
    nucleus = point_at(site, flux=log_uniform(rng, 0.01, 0.3)) if rng.uniform() < 0.6 else None
    return patch_model("spiral", site, profile * (1.0 + contrast * crest) * clumps, spots=nucleus)
