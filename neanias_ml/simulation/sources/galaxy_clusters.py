"""Clusters of galaxies: a central galaxy, tails, members, and often a halo or relics, each an object of its own."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neanias_ml.simulation.sources.diffuse import halo, relic
from neanias_ml.simulation.sources.discs import point_at
from neanias_ml.simulation.sources.draws import log_uniform
from neanias_ml.simulation.sources.models import SourceModel, render
from neanias_ml.simulation.sources.shapes import Site, direction
from neanias_ml.simulation.sources.tailed_galaxies import head_tail, narrow_angle_tail, wide_angle_tail

Builder = Callable[[np.random.Generator, Site], SourceModel]
_TAILS: tuple[Builder, ...] = (wide_angle_tail, narrow_angle_tail, head_tail)


def galaxy_cluster(rng: np.random.Generator, site: Site, *, rms: float) -> list[SourceModel]:
    """The sources of a cluster.

    Parameters
    ----------
    rng
        Source of randomness.
    site
        Its centre, diameter and the axis of its last merger.
    rms
        Local noise, Jy/beam; peaks are drawn relative to it.

    Returns
    -------
    list of SourceModel
        One to three bent radio galaxies, four to twelve members (the first in the middle), a halo in four of ten
        clusters and, along the merger axis at the outskirts, one or two relics in four of ten.
    """
    sources = [_tail(rng, site, rms=rms) for _ in range(int(rng.integers(1, 4)))]
    for number in range(int(rng.integers(4, 13))):
        spread = 0.0 if number == 0 else 0.2 * site.length
        place = Site(site.centre + rng.normal(0.0, 1.0, 2) * spread, 1.0, 0.0, site.beam)
        sources.append(SourceModel("point", point_at(place, flux=rms * log_uniform(rng, 4.0, 60.0))))
    if rng.uniform() < 0.4:
        middle = Site(site.centre, rng.uniform(0.35, 0.8) * site.length, site.angle, site.beam)
        sources.append(with_peak(halo(rng, middle), rms * log_uniform(rng, 3.0, 20.0), site=site))
    if rng.uniform() < 0.4:
        for side in range(int(rng.integers(1, 3))):
            sources.append(_relic(rng, site, angle=site.angle + side * math.pi, rms=rms))
    return sources


def with_peak(model: SourceModel, peak: float, *, site: Site) -> SourceModel:
    """The same shape with a given convolved peak, Jy/beam.

    The object is rendered on a canvas of its own, so that the scale does not depend on where the map ends.
    """
    return model.scaled(peak / float(render(model, beam=site.beam).data.max()))


def _tail(rng: np.random.Generator, site: Site, *, rms: float) -> SourceModel:
    """A bent galaxy off the middle: the tail of a head-tail leads away from there, other tails to or fro."""
    builder = _TAILS[int(rng.integers(len(_TAILS)))]
    bearing = rng.uniform(0.0, 2.0 * math.pi)
    length = max(rng.uniform(0.1, 0.45) * site.length, 2.0 * site.beam_fwhm)
    centre = site.centre + rng.uniform(0.05, 0.35) * site.length * direction(bearing)
    axis = bearing + (0.0 if builder is head_tail else 0.5 * math.pi)
    place = Site(centre, length, axis + rng.normal(0.0, 0.4), site.beam)
    return with_peak(builder(rng, place), rms * log_uniform(rng, 8.0, 150.0), site=site)


def _relic(rng: np.random.Generator, site: Site, *, angle: float, rms: float) -> SourceModel:
    bearing = angle + rng.normal(0.0, 0.2)
    centre = site.centre + 0.5 * site.length * rng.uniform(0.8, 1.1) * direction(bearing)
    place = Site(centre, rng.uniform(0.3, 0.7) * site.length, bearing, site.beam)
    return with_peak(relic(rng, place), rms * log_uniform(rng, 4.0, 30.0), site=site)
