"""Edge-brightened radio galaxies: FR-II, double-doubles, X-shaped ones and remnants.

Arm lengths differ as (1 + x) / (1 - x) with x half-normal of 0.12 (Longair & Riley 1979, MNRAS 186, 625;
Arshakian & Longair 2000, MNRAS 311, 846), fluxes of the lobes log-normally by 0.2 dex. Lobes are two to
eight times as long as wide (Leahy & Williams 1984, MNRAS 210, 929).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neanias_ml.simulation.sources.draws import log_uniform
from neanias_ml.simulation.sources.models import SourceModel
from neanias_ml.simulation.sources.shapes import Line, Site, Sketch, curved_line, direction


@dataclass(frozen=True)
class Lobe:
    """One side of an edge-brightened source."""

    angle: float
    """direction of the jet, radians"""
    arm: float
    """distance of the tip, pixels"""
    filling: float
    """share of the arm that the plasma fills, from the tip inwards"""
    width: float
    """largest FWHM across, pixels"""
    peak: float
    """convolved brightness near the tip"""
    bridge: float
    """brightness at the inner end over that at the tip"""


def fr2(rng: np.random.Generator, site: Site) -> SourceModel:
    """A classical double (FR-II): hot spots, lobes, backflow that bridges them or fades, a core or none."""
    sketch = Sketch(site)
    lobes = draw_lobes(rng, site, filling=rng.uniform(0.25, 1.0), bridge=log_uniform(rng, 0.05, 0.9))
    for lobe in lobes:
        add_lobe(rng, sketch, lobe)
        add_hot_spots(rng, sketch, lobe)
    if rng.uniform() < 0.75:
        sketch.spot(site.centre, peak=log_uniform(rng, 0.01, 1.5))
    if rng.uniform() < 0.25:
        _add_jet(rng, sketch, lobes[0])
    return sketch.model("FR-II", rng=rng, roughness=rng.uniform(0.0, 0.35))


def double_double(rng: np.random.Generator, site: Site) -> SourceModel:
    """Two pairs of lobes on one axis: faded outer ones and younger, brighter inner ones.

    The inner pair measures 0.1 to 0.6 of the outer one (Nandi & Saikia 2012, BASI 40, 121).
    """
    sketch = Sketch(site)
    outer = draw_lobes(rng, site, filling=rng.uniform(0.2, 0.6), bridge=log_uniform(rng, 0.01, 0.3))
    share, contrast = rng.uniform(0.15, 0.6), log_uniform(rng, 0.7, 4.0)
    for lobe in outer:
        add_lobe(rng, sketch, lobe)
        if rng.uniform() < 0.4:
            add_hot_spots(rng, sketch, lobe)
        arm = share * lobe.arm * math.exp(rng.normal(0.0, 0.1))
        angle = lobe.angle + math.radians(rng.normal(0.0, 3.0))
        inner = Lobe(angle, arm, rng.uniform(0.15, 0.5), 0.25 * arm, contrast * lobe.peak, 0.1)
        add_lobe(rng, sketch, inner)
        add_hot_spots(rng, sketch, inner)
    if rng.uniform() < 0.7:
        sketch.spot(site.centre, peak=log_uniform(rng, 0.05, 1.5))
    return sketch.model("double-double", rng=rng, roughness=rng.uniform(0.0, 0.3))


def x_shaped(rng: np.random.Generator, site: Site) -> SourceModel:
    """A double with a second, fainter pair of wings across it, without hot spots (X- and S- or Z-shaped).

    Wings start at the core (X) or at the inner ends of the lobes, on opposite sides (S, Z).
    """
    sketch = Sketch(site)
    lobes = draw_lobes(rng, site, filling=rng.uniform(0.6, 1.0), bridge=log_uniform(rng, 0.2, 0.8))
    skew, span = rng.choice([-1.0, 1.0]) * math.radians(rng.uniform(45.0, 95.0)), rng.uniform(0.4, 1.1)
    offset = rng.choice([0.0, rng.uniform(0.2, 0.6)])
    for lobe in lobes:
        add_lobe(rng, sketch, lobe)
        add_hot_spots(rng, sketch, lobe)
        start = site.centre + offset * lobe.arm * direction(lobe.angle)
        line = curved_line(start, angle=lobe.angle + skew, length=span * lobe.arm, turn=rng.normal(0.0, 0.2))
        way = np.linspace(0.0, 1.0, len(line))
        ridge = lobe.peak * rng.uniform(0.2, 0.7) * np.exp(-rng.uniform(0.3, 1.5) * way)
        sketch.stroke(line, ridge=ridge, width=lobe.width * (0.6 + 0.5 * way))
    if rng.uniform() < 0.5:
        sketch.spot(site.centre, peak=log_uniform(rng, 0.02, 0.6))
    return sketch.model("X-shaped" if offset == 0.0 else "Z-shaped", rng=rng, roughness=rng.uniform(0.1, 0.35))


def remnant(rng: np.random.Generator, site: Site) -> SourceModel:
    """A pair of relaxed lobes whose jets have ceased: wide, of even brightness, without hot spots or core."""
    sketch = Sketch(site)
    for lobe in draw_lobes(rng, site, filling=rng.uniform(0.4, 1.0), bridge=rng.uniform(0.1, 0.9)):
        relaxed = Lobe(lobe.angle, lobe.arm, lobe.filling, rng.uniform(0.5, 1.0) * lobe.filling * lobe.arm,
                       lobe.peak, lobe.bridge)  # fmt: skip
        add_lobe(rng, sketch, relaxed)
    return sketch.model("remnant", rng=rng, roughness=rng.uniform(0.1, 0.4))


def draw_lobes(rng: np.random.Generator, site: Site, *, filling: float, bridge: float) -> tuple[Lobe, Lobe]:
    """Two lobes of unequal arms and brightness, a little out of line."""
    x = min(abs(rng.normal(0.0, 0.12)), 0.5)
    bend = math.radians(rng.normal(0.0, 6.0))
    slimness = rng.uniform(0.15, 0.6)
    lobes = []
    for side, arm in ((0, 0.5 * site.length * (1.0 + x)), (1, 0.5 * site.length * (1.0 - x))):
        share = min(filling * math.exp(rng.normal(0.0, 0.1)), 1.0)
        width = max(slimness * arm * (0.4 + 0.6 * share), 0.1 * site.beam_fwhm)
        peak = 10.0 ** rng.normal(0.0, 0.2)
        lobes.append(Lobe(site.angle + side * (math.pi + bend), arm, share, width, peak, bridge))
    return lobes[0], lobes[1]


def add_lobe(rng: np.random.Generator, sketch: Sketch, lobe: Lobe) -> None:
    """Draw the plasma of one side from its tip inwards, fading as it ages."""
    line = _backflow(rng, sketch.site, lobe)
    way = np.linspace(0.0, 1.0, len(line))
    # narrow at the head, widest behind it, then a little narrower towards the core
    width = lobe.width * (0.35 + 0.65 * np.sin(np.pi * np.clip(way * 1.3 + 0.08, 0.0, 1.0)) ** 0.7)
    ridge = lobe.peak * (lobe.bridge + (1.0 - lobe.bridge) * np.exp(-3.0 * way) * (1.0 - way))
    sketch.stroke(line, ridge=ridge, width=width)


def add_hot_spots(rng: np.random.Generator, sketch: Sketch, lobe: Lobe) -> None:
    """Set a hot spot at the tip of a lobe and sometimes a second, weaker one beside it."""
    tip = sketch.site.centre + (lobe.arm - 0.1 * lobe.width) * direction(lobe.angle)
    size = rng.uniform(0.015, 0.05) * sketch.site.length
    peak = lobe.peak * log_uniform(rng, 0.2, 4.0)
    sketch.spot(tip, peak=peak, major=size, minor=0.6 * size, angle=lobe.angle + 0.5 * math.pi)
    if rng.uniform() < 0.3:
        beside = direction(lobe.angle + 0.5 * math.pi) * rng.normal(0.0, 0.4) * lobe.width
        inward = rng.uniform(0.05, 0.2) * lobe.arm * direction(lobe.angle)
        sketch.spot(tip + beside - inward, peak=peak * rng.uniform(0.2, 0.8), major=1.5 * size)


def _backflow(rng: np.random.Generator, site: Site, lobe: Lobe) -> Line:
    """Middle of a lobe, from behind the hot spot inwards over ``filling`` of the arm, drifting sideways a little."""
    inset = min(0.3 * lobe.width, 0.3 * lobe.filling * lobe.arm)
    start = site.centre + (lobe.arm - inset) * direction(lobe.angle)
    length = max(lobe.filling * lobe.arm - inset, 0.5)
    return curved_line(start, angle=lobe.angle + math.pi, length=length, turn=float(rng.normal(0.0, 0.15)))


def _add_jet(rng: np.random.Generator, sketch: Sketch, lobe: Lobe) -> None:
    """A thin jet that feeds one lobe."""
    line = curved_line(sketch.site.centre, angle=lobe.angle, length=0.9 * lobe.arm)
    level = lobe.peak * log_uniform(rng, 0.03, 0.3)
    width = np.full(len(line), 0.02 * sketch.site.length)
    sketch.stroke(line, ridge=np.full(len(line), level), width=width)
