"""Diffuse extragalactic and Galactic emission: halos, relics, odd radio circles, filaments."""

from __future__ import annotations

import math

import numpy as np

from neanias_ml.simulation.sources.discs import Disc, patch_model, point_at, soft_edge, uneven
from neanias_ml.simulation.sources.draws import log_uniform
from neanias_ml.simulation.sources.models import SourceModel
from neanias_ml.simulation.sources.shapes import Site, Sketch, curved_line, direction, texture


def halo(rng: np.random.Generator, site: Site) -> SourceModel:
    """A giant halo: an exponential profile (Murgia et al. 2009, A&A 499, 679), irregular, without structure inside."""
    disc = Disc.at(site, axis_ratio=rng.uniform(0.6, 1.0))
    lumps = np.exp(0.3 * texture(rng, disc.shape, scale=rng.uniform(0.12, 0.3) * site.length))
    brightness = np.exp(-rng.uniform(2.0, 3.5) * disc.radius) * lumps * soft_edge(disc.radius, at=1.0, width=0.08)
    return patch_model("halo", site, brightness)


def relic(rng: np.random.Generator, site: Site) -> SourceModel:
    """A relic: a long arc across the site's axis, sharp on the outside, fading inwards (van Weeren et al. 2019).

    The outside lies in the direction of the axis; length and width differ by a factor of 3 to 10.
    """
    sketch = Sketch(site)
    outward, across = direction(site.angle), site.angle + 0.5 * math.pi
    curve = math.radians(rng.uniform(10.0, 90.0))
    start = site.centre - 0.5 * site.length * direction(across)
    line = curved_line(start, angle=across - 0.5 * curve, length=site.length, turn=curve)
    line += site.centre - line.mean(0)
    way = np.linspace(0.0, 1.0, len(line))
    depth = site.length / rng.uniform(3.0, 10.0)
    ends = np.sin(math.pi * np.clip(way, 0.02, 0.98)) ** rng.uniform(0.3, 1.0)
    tilt = 1.0 + rng.uniform(-0.6, 0.6) * (2.0 * way - 1.0)
    layers = 4
    for layer in range(layers):
        inward = depth * layer / layers
        level = ends * tilt * math.exp(-2.0 * layer / layers)
        sketch.stroke(line - inward * outward, ridge=level, width=np.full(len(line), 0.45 * depth))
    return sketch.model("relic", rng=rng, roughness=rng.uniform(0.2, 0.5))


def odd_circle(rng: np.random.Generator, site: Site) -> SourceModel:
    """An odd radio circle: a bright ring, faint inside, often with a host in its middle (Norris et al. 2021)."""
    disc = Disc.at(site, axis_ratio=rng.uniform(0.8, 1.0))
    width = rng.uniform(0.06, 0.15)
    ring = np.exp(-0.5 * ((disc.radius - 0.88) / width) ** 2) * uneven(rng, disc.azimuth, strength=0.7)
    inside = rng.uniform(0.0, 0.35) * soft_edge(disc.radius, at=0.88, width=0.05)
    brightness = (ring + inside) * np.exp(0.2 * texture(rng, disc.shape, scale=0.12 * site.length))
    brightness[disc.radius > 1.25] = 0.0
    host = point_at(site, flux=log_uniform(rng, 0.01, 0.1)) if rng.uniform() < 0.6 else None
    return patch_model("ORC", site, brightness, spots=host)


def filament(rng: np.random.Generator, site: Site) -> SourceModel:
    """A narrow, curved, patchy thread (Galactic filament, old tail)."""
    sketch = Sketch(site)
    turn = math.radians(rng.uniform(-60.0, 60.0))
    start = site.centre - 0.5 * site.length * direction(site.angle)
    line = curved_line(start, angle=site.angle - 0.5 * turn, length=site.length, turn=turn)
    way = np.linspace(0.0, 1.0, len(line))
    fade = np.sin(math.pi * np.clip(way, 0.04, 0.96)) ** 0.7
    width = site.length * rng.uniform(0.015, 0.06) * np.ones(len(line))
    sketch.stroke(line, ridge=fade, width=width)
    return sketch.model("filament", rng=rng, roughness=rng.uniform(0.2, 0.5))
