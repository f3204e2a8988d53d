"""Fields of single islands and of doubles, triples and bent sources, as graphs, without any map.

Singles lie anywhere, a fifth of them are extended; objects have two lobes on a bent axis, a core in nearly half of the
cases, and now and then a knot.
"""

import dataclasses

import numpy as np

from neanias_ml.datasets.graphs import GraphIslands, IslandGraph
from neanias_ml.models.classes import CLASS_LABELS

SIZE = 256
BEAM = 2.0
"""Pixels."""
SNR_OF_FLUX = 20.0


def toy_field(seed, *, singles=10.0):
    """The graph of one field; every island has an object."""
    rng = np.random.default_rng(seed)
    rows = []
    number = 0
    for _ in range(rng.poisson(singles)):
        number += 1
        rows.append((number, *rng.uniform(0, SIZE, 2), 0.3 * (rng.pareto(1.0) + 1) + 0.3, *single_shape(rng)))
    for _ in range(1 + rng.poisson(1.0)):
        number += 1
        rows += [(number, *island) for island in multi_island_object(rng)]
    instance, x, y, flux, major, minor, angle = np.array(rows).reshape(-1, 7).T
    islands = GraphIslands(
        x=x / BEAM,
        y=y / BEAM,
        peak_x=x / BEAM,
        peak_y=y / BEAM,
        peak_snr=SNR_OF_FLUX * flux * BEAM**2 / (np.maximum(major, BEAM) * np.maximum(minor, BEAM)),
        total_snr=SNR_OF_FLUX * flux,
        major=major / BEAM,
        minor=minor / BEAM,
        angle=angle,
        n_beams=np.full(len(x), np.nan),
    )
    objects = instance.astype(np.int64)
    is_multi = np.bincount(objects)[objects] >= 2
    return dataclasses.replace(
        IslandGraph.without_map(islands, field=f"toy-{seed}"),
        instance=objects,
        object_class=np.where(is_multi, CLASS_LABELS["extended-multisland"], CLASS_LABELS["compact"]),
    )


def single_shape(rng):
    """Major and minor axis in pixels, angle."""
    if rng.uniform() < 0.2:
        major = rng.uniform(3, 10)
        return major, major * rng.uniform(0.4, 1.0), rng.uniform(0, np.pi)
    major = rng.uniform(1.8, 2.6)
    return major, 0.95 * major, rng.uniform(0, np.pi)


def multi_island_object(rng):
    """Rows of x, y, flux, major, minor, angle."""
    size = 28.0 * np.exp(0.5 * rng.normal())
    centre = rng.uniform(20, SIZE - 20, 2)
    flux = rng.pareto(1.2) + 2.0
    ratio = 10 ** (0.25 * rng.normal())
    direction = rng.uniform(0, 2 * np.pi)
    axis = np.array([np.cos(direction), np.sin(direction)])
    side = np.array([-axis[1], axis[0]])
    part = rng.uniform(0.35, 0.65)
    for reach, share in ((part * size, ratio / (1 + ratio)), (-(1 - part) * size, 1 / (1 + ratio))):
        place = centre + reach * axis + 0.12 * rng.normal() * size * side
        major = max(0.22 * size * np.exp(0.35 * rng.normal()), 2.0)
        yield *place, flux * share, major, major * rng.uniform(0.35, 0.9), (direction + 0.45 * rng.normal()) % np.pi
    if rng.uniform() < 0.45:
        place = centre + 0.06 * size * rng.normal(size=2)
        yield *place, flux * 10 ** rng.normal(-0.9, 0.3), 2.2, 2.1, rng.uniform(0, np.pi)
    if rng.uniform() < 0.15:
        reach = rng.uniform(0.15, 0.35) * size * rng.choice([-1.0, 1.0])
        yield *(centre + reach * axis), flux * 10 ** rng.normal(-0.8, 0.3), 2.2, 2.1, rng.uniform(0, np.pi)
