"""Shapes of radio galaxies as chains of Gaussians: doubles, triples, jets and bent tails.

Brightnesses are given as peaks after convolution with the beam, because that is what decides whether
a piece stands above the noise; they become total fluxes at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neanias_ml.maps import FWHM_PER_SIGMA
from neanias_ml.simulation.sources import Covariance, Gaussians, SourceModel

Point = NDArray[np.float64]


def oriented_covariance(major: float, minor: float, angle: float) -> Covariance:
    """Pixel covariance (2, 2) of a Gaussian: FWHM in pixels, ``angle`` radians from +x towards +y."""
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    return (major / FWHM_PER_SIGMA) ** 2 * np.outer(along, along) + (minor / FWHM_PER_SIGMA) ** 2 * np.outer(
        across, across
    )


@dataclass(frozen=True)
class Site:
    """Where and how large an object is: centre (pixels), full length (pixels), axis, the beam there."""

    centre: Point
    length: float
    angle: float
    """radians from +x towards +y"""
    beam: Covariance

    @property
    def beam_fwhm(self) -> float:
        """Geometric-mean FWHM of the beam, pixels."""
        return FWHM_PER_SIGMA * float(np.linalg.det(self.beam)) ** 0.25


@dataclass
class _Pieces:
    """Gaussians collected with their convolved peaks."""

    beam: Covariance
    rows: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, place: Point, *, peak: float, major: float, minor: float, angle: float) -> None:
        width = oriented_covariance(max(major, minor), min(major, minor), angle + (math.pi / 2) * (minor > major))
        dilution = math.sqrt(float(np.linalg.det(width + self.beam) / np.linalg.det(self.beam)))
        self.rows.append((place[0], place[1], peak * dilution, width[0, 0], width[0, 1], width[1, 1]))

    def model(self, kind: str) -> SourceModel:
        return SourceModel(kind, Gaussians(*np.array(self.rows, dtype=float).T))


def _direction(angle: float) -> Point:
    return np.array([math.cos(angle), math.sin(angle)])


def double(rng: np.random.Generator, site: Site) -> SourceModel:
    """Edge-brightened double (FR-II) or, without hot spots, a remnant pair of lobes.

    Hot spots with tails towards the core, a core from bright to invisible, a bridge from strong to
    invisible, unequal arms and a slight bend.
    """
    pieces, beam = _Pieces(site.beam), site.beam_fwhm
    remnant = rng.uniform() < 0.2
    bend = math.radians(rng.normal(0.0, 6.0))
    filling = rng.uniform(0.1, 0.6)
    for side in (0, 1):
        angle = site.angle + side * (math.pi + bend)
        arm = 0.5 * site.length * math.exp(rng.normal(0.0, 0.15))
        brightness = 10.0 ** rng.uniform(-0.5, 0.0)
        if not remnant:
            spot = rng.uniform(0.1, 0.6) * beam
            pieces.add(
                site.centre + arm * _direction(angle), peak=brightness, major=spot, minor=0.8 * spot, angle=angle
            )
        _lobe(rng, pieces, site, angle=angle, arm=arm, filling=filling, peak=brightness * (0.9 if remnant else 0.4))
    if rng.uniform() < 0.6:
        pieces.add(site.centre, peak=10.0 ** rng.uniform(-1.7, 0.0), major=0.0, minor=0.0, angle=0.0)
    if rng.uniform() < 0.35:
        _bridge(rng, pieces, site)
    return pieces.model("double")


def triple(rng: np.random.Generator, site: Site) -> SourceModel:
    """A clear core and two detached lobes of unequal distance and brightness."""
    pieces, beam = _Pieces(site.beam), site.beam_fwhm
    pieces.add(site.centre, peak=10.0 ** rng.uniform(-0.6, 0.3), major=0.2 * beam, minor=0.1 * beam, angle=site.angle)
    bend = math.radians(rng.normal(0.0, 8.0))
    for side in (0, 1):
        angle = site.angle + side * (math.pi + bend)
        arm = 0.5 * site.length * math.exp(rng.normal(0.0, 0.2))
        filling, peak = rng.uniform(0.1, 0.45), 10.0 ** rng.uniform(-0.6, 0.0)
        _lobe(rng, pieces, site, angle=angle, arm=arm, filling=filling, peak=peak)
    if rng.uniform() < 0.2:
        _bridge(rng, pieces, site)
    return pieces.model("triple")


def jets(rng: np.random.Generator, site: Site) -> SourceModel:
    """Edge-darkened jets from a core (FR-I): straight, wiggling, or swept back as a bent tail.

    The opening between the jets is drawn from a straight line (wide-angle) down to nearly parallel
    tails (narrow-angle, head-tail).
    """
    pieces, beam = _Pieces(site.beam), site.beam_fwhm
    bent = rng.uniform() < 0.6
    sweep = math.radians(rng.uniform(25.0, 85.0)) if bent else math.radians(rng.normal(0.0, 8.0))
    wiggle = math.radians(rng.uniform(0.0, 25.0))
    if rng.uniform() < 0.8:
        pieces.add(site.centre, peak=10.0 ** rng.uniform(-0.8, 0.3), major=0.0, minor=0.0, angle=0.0)
    for side, turn in ((0, sweep), (1, -sweep)):  # both tails sweep to the same side of the axis
        _jet(
            rng,
            pieces,
            site,
            start=site.angle + side * math.pi,
            turn=turn,
            wiggle=wiggle,
            length=0.5 * site.length * math.exp(rng.normal(0.0, 0.2)),
            peak=10.0 ** rng.uniform(-0.4, 0.0),
            width=rng.uniform(0.15, 0.6) * beam,
        )
    return pieces.model("bent" if bent else "jets")


def filament(rng: np.random.Generator, site: Site) -> SourceModel:
    """A narrow, curved, patchy filament (relic, Galactic filament)."""
    pieces, beam = _Pieces(site.beam), site.beam_fwhm
    width = rng.uniform(0.3, 1.2) * beam
    start = site.centre - 0.5 * site.length * _direction(site.angle)
    turn = math.radians(rng.uniform(-60.0, 60.0))
    steps = max(3, int(site.length / (0.8 * (beam + width))))
    step = site.length / steps
    place, angle = start, site.angle - 0.5 * turn
    for number in range(steps):
        fade = math.sin(math.pi * (number + 0.7) / (steps + 0.4)) ** 0.7
        pieces.add(place, peak=fade * 10.0 ** rng.uniform(-0.25, 0.0), major=1.3 * step, minor=width, angle=angle)
        angle += turn / steps + rng.normal(0.0, 0.08)
        place = place + step * _direction(angle)
    return pieces.model("filament")


def _lobe(
    rng: np.random.Generator,
    pieces: _Pieces,
    site: Site,
    *,
    angle: float,
    arm: float,
    filling: float,
    peak: float,
) -> None:
    """Plasma from the end of an arm backwards over the share ``filling`` of it, fading inwards."""
    extent = filling * arm
    width = max(rng.uniform(0.25, 0.6) * extent, 0.15 * site.beam_fwhm)
    count = int(np.clip(round(extent / (0.7 * site.beam_fwhm + 0.5 * width)), 1, 5))
    drift = rng.normal(0.0, 0.12)
    for number in range(count):
        inward = (number + 0.5) / count
        place = site.centre + (arm - inward * extent) * _direction(angle + drift * inward)
        pieces.add(
            place,
            peak=peak * (1.0 - 0.75 * inward) * 10.0 ** rng.normal(0.0, 0.08),
            major=1.4 * extent / count,
            minor=width * rng.uniform(0.8, 1.2),
            angle=angle,
        )


def _bridge(rng: np.random.Generator, pieces: _Pieces, site: Site) -> None:
    """Faint emission between the lobes."""
    pieces.add(
        site.centre,
        peak=10.0 ** rng.uniform(-2.0, -0.5),
        major=0.6 * site.length,
        minor=max(rng.uniform(0.05, 0.2) * site.length, 0.2 * site.beam_fwhm),
        angle=site.angle,
    )


def _jet(
    rng: np.random.Generator,
    pieces: _Pieces,
    site: Site,
    *,
    start: float,
    turn: float,
    wiggle: float,
    length: float,
    peak: float,
    width: float,
) -> None:
    """A chain of Gaussians that widens, fades and turns by ``turn`` radians along its way."""
    steps = int(np.clip(round(length / (0.6 * site.beam_fwhm)), 2, 12))
    step = length / steps
    fade = rng.uniform(1.0, 2.5)
    phase, waves = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.5, 1.5)
    place, angle = site.centre, start
    for number in range(steps):
        way = (number + 1.0) / steps
        angle = start + turn * min(1.0, 1.6 * way) + wiggle * math.sin(2.0 * math.pi * waves * way + phase)
        place = place + step * _direction(angle)
        pieces.add(
            place,
            peak=peak * math.exp(-fade * way) * 10.0 ** rng.normal(0.0, 0.1),
            major=1.3 * step,
            minor=width + 0.25 * length * way * rng.uniform(0.7, 1.2),
            angle=angle,
        )
