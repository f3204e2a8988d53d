"""Edge-darkened radio galaxies: FR-I jets and plumes, and those bent by the medium they move through."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.sources.draws import log_uniform
from neanias_ml.simulation.sources.models import SourceModel
from neanias_ml.simulation.sources.shapes import Line, Site, Sketch, curved_line

_STEPS = 48


def fr1(rng: np.random.Generator, site: Site) -> SourceModel:
    """Twin jets that flare close to the core and fade into plumes (FR-I), straight or gently curved.

    Jets widen fast after the flaring point and fade along their way (Laing & Bridle 2014, MNRAS 437, 3405).
    """
    sketch = Sketch(site)
    curve, opening = math.radians(rng.normal(0.0, 20.0)), rng.uniform(0.15, 0.7)
    s_shaped = rng.uniform() < 0.5
    for side in (0, 1):
        turn = curve if s_shaped or side == 0 else -curve
        line = _plume(rng, site, angle=site.angle + side * math.pi, turn=turn * _ramp(1.0), unevenness=0.15)
        _draw_plume(rng, sketch, line, width=0.5 * site.length * opening * math.exp(rng.normal(0.0, 0.15)))
    sketch.spot(site.centre, peak=log_uniform(rng, 0.2, 6.0))
    return sketch.model("FR-I", rng=rng, roughness=rng.uniform(0.1, 0.4))


def wide_angle_tail(rng: np.random.Generator, site: Site) -> SourceModel:
    """Straight jets that bend where they meet the wind: tails 60 to 150 degrees apart (WAT)."""
    apart = math.radians(rng.uniform(60.0, 150.0))
    return _bent(rng, site, kind="wide-angle tail", sweep=0.5 * (math.pi - apart), bend=rng.uniform(0.15, 0.45),
                 width=rng.uniform(0.05, 0.17))  # fmt: skip


def narrow_angle_tail(rng: np.random.Generator, site: Site) -> SourceModel:
    """Jets swept back close to the galaxy: tails up to 60 degrees apart (NAT)."""
    apart = math.radians(rng.uniform(8.0, 60.0))
    return _bent(rng, site, kind="narrow-angle tail", sweep=0.5 * (math.pi - apart), bend=rng.uniform(0.05, 0.2),
                 width=rng.uniform(0.04, 0.12))  # fmt: skip


def head_tail(rng: np.random.Generator, site: Site) -> SourceModel:
    """A bright head and one long, fading, wavering tail: twin tails that are not told apart."""
    sketch = Sketch(site)
    head = site.centre - 0.5 * site.length * np.array([math.cos(site.angle), math.sin(site.angle)])
    turn = math.radians(rng.normal(0.0, 25.0)) * _ramp(1.0) + _wiggle(rng, 0.25)
    line = curved_line(head, angle=site.angle, length=site.length, turn=turn)
    way = np.linspace(0.0, 1.0, len(line))
    width = site.length * (0.03 + rng.uniform(0.04, 0.22) * way**0.7)
    sketch.stroke(line, ridge=np.exp(-rng.uniform(0.8, 3.5) * way) * (1.0 - 0.8 * way**4), width=width)
    sketch.spot(head, peak=log_uniform(rng, 0.5, 3.0))
    return sketch.model("head-tail", rng=rng, roughness=rng.uniform(0.1, 0.4))


def _bent(
    rng: np.random.Generator, site: Site, *, kind: str, sweep: float, bend: float, width: float
) -> SourceModel:
    """Both jets turn by ``sweep`` radians to the same side, within the first share ``bend`` of their way.

    Plumes are ``width`` of the object's length wide at their ends.
    """
    sketch = Sketch(site)
    side_of_wind = rng.choice([-1.0, 1.0])
    for side in (0, 1):
        turn = side_of_wind * (1.0 - 2.0 * side) * sweep * math.exp(rng.normal(0.0, 0.1)) * _ramp(bend)
        line = _plume(rng, site, angle=site.angle + side * math.pi, turn=turn, unevenness=0.25)
        _draw_plume(rng, sketch, line, width=width * site.length * math.exp(rng.normal(0.0, 0.15)))
    sketch.spot(site.centre, peak=log_uniform(rng, 0.3, 5.0))
    return sketch.model(kind, rng=rng, roughness=rng.uniform(0.1, 0.4))


def _ramp(share: float) -> NDArray[np.float64]:
    """A smooth rise (steps,) from 0 to 1 that is half done at the share ``share`` / 2 of the way."""
    way = np.arange(_STEPS) / (_STEPS - 1.0)
    return np.asarray(np.sin(0.5 * math.pi * np.clip(way / share, 0.0, 1.0)) ** 2)


def _wiggle(rng: np.random.Generator, largest: float) -> NDArray[np.float64]:
    """A wave (steps,) of random strength up to ``largest`` radians that grows along the way."""
    way = np.arange(_STEPS) / (_STEPS - 1.0)
    phase, waves = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.5, 2.0)
    return np.asarray(rng.uniform(0.0, largest) * way * np.sin(2.0 * math.pi * waves * way + phase))


def _plume(
    rng: np.random.Generator, site: Site, *, angle: float, turn: NDArray[np.float64], unevenness: float
) -> Line:
    """Middle of one jet and its plume, half the object's length on average."""
    length = 0.5 * site.length * math.exp(rng.normal(0.0, unevenness))
    return curved_line(site.centre, angle=angle, length=length, turn=turn + _wiggle(rng, 0.4))


def _draw_plume(rng: np.random.Generator, sketch: Sketch, line: Line, *, width: float) -> None:
    """A jet that is faint up to its flaring point, brightest there, then wider and fainter along its way."""
    way = np.linspace(0.0, 1.0, len(line))
    flare = rng.uniform(0.03, 0.25)
    rise = 0.25 + 0.75 * np.clip(way / flare, 0.0, 1.0)
    fade = np.exp(-rng.uniform(0.8, 3.0) * np.clip(way - flare, 0.0, 1.0)) * (1.0 - 0.7 * way**6)
    opening = 0.12 + 0.88 * np.clip((way - 0.3 * flare) / (1.0 - 0.3 * flare), 0.0, 1.0) ** 0.8
    ridge = 10.0 ** rng.normal(0.0, 0.12) * rise * fade
    sketch.stroke(line, ridge=ridge, width=np.maximum(width * opening, 0.01 * sketch.site.length))
