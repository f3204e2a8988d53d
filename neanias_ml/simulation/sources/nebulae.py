"""Galactic nebulae: supernova remnants, HII regions and planetary nebulae."""

from __future__ import annotations

import math

import numpy as np

from neanias_ml.simulation.sources.discs import Disc, limb_brightened, patch_model, point_at, soft_edge, uneven
from neanias_ml.simulation.sources.draws import log_uniform
from neanias_ml.simulation.sources.models import SourceModel
from neanias_ml.simulation.sources.shapes import Image, Site, texture


def snr_shell(rng: np.random.Generator, site: Site) -> SourceModel:
    """A limb-brightened shell, patchy and uneven along the limb, often two-sided (barrel-shaped)."""
    disc = Disc.at(site, axis_ratio=rng.uniform(0.8, 1.0))
    return patch_model("SNR shell", site, _shell(rng, disc, site))


def snr_filled(rng: np.random.Generator, site: Site) -> SourceModel:
    """A filled-centre remnant (pulsar wind nebula): elongated, brightest inside, with filaments, perhaps the pulsar."""
    disc = Disc.at(site, axis_ratio=rng.uniform(0.45, 1.0))
    brightness = _plerion(rng, disc, site)
    spots = point_at(site, flux=log_uniform(rng, 0.005, 0.1)) if rng.uniform() < 0.3 else None
    return patch_model("SNR filled", site, brightness, spots=spots)


def snr_composite(rng: np.random.Generator, site: Site) -> SourceModel:
    """A shell around a filled centre that is smaller and off the middle."""
    disc = Disc.at(site, axis_ratio=rng.uniform(0.8, 1.0))
    shell = _shell(rng, disc, site)
    offset = 0.2 * site.length * rng.uniform(0.0, 0.5)
    shift_angle = rng.uniform(0.0, 2.0 * math.pi)
    inner = Site(site.centre + offset * np.array([math.cos(shift_angle), math.sin(shift_angle)]),
                 rng.uniform(0.15, 0.4) * site.length, rng.uniform(0.0, math.pi), site.beam)  # fmt: skip
    core_disc = Disc.at(inner, axis_ratio=rng.uniform(0.5, 1.0))
    core = patch_model("", inner, _plerion(rng, core_disc, inner)).scaled(log_uniform(rng, 0.1, 1.0))
    brightness = shell / shell.sum()
    if core.patch is not None:
        half = brightness.shape[0] // 2
        top = core.patch.y0 - (round(float(site.centre[1])) - half)
        left = core.patch.x0 - (round(float(site.centre[0])) - half)
        rows, columns = core.patch.brightness.shape
        brightness[top : top + rows, left : left + columns] += core.patch.brightness
    return patch_model("SNR composite", site, brightness)


def hii_irregular(rng: np.random.Generator, site: Site) -> SourceModel:
    """An irregular cloud with knots and sharp sides: several ionised clumps in a common envelope."""
    disc = Disc.at(site, axis_ratio=rng.uniform(0.5, 1.0))
    grain = texture(rng, disc.shape, scale=site.length * rng.uniform(0.06, 0.2))
    brightness = np.clip(grain + rng.uniform(0.2, 1.5), 0.0, None) * np.exp(-0.5 * (disc.radius / 0.45) ** 2)
    for _ in range(int(rng.integers(0, 4))):
        where, size = rng.normal(0.0, 0.25, 2), log_uniform(rng, 0.04, 0.15)
        x, y = disc.radius * np.cos(disc.azimuth) - where[0], disc.radius * np.sin(disc.azimuth) - where[1]
        brightness += log_uniform(rng, 1.0, 8.0) * np.exp(-0.5 * (x**2 + y**2) / size**2)
    brightness[disc.radius > 1.2] = 0.0
    return patch_model("HII irregular", site, brightness)


def hii_shell(rng: np.random.Generator, site: Site) -> SourceModel:
    """A bubble: a thick, broken rim with faint emission inside."""
    disc = Disc.at(site, axis_ratio=rng.uniform(0.7, 1.0))
    rim = limb_brightened(disc.radius * (1.0 + 0.06 * texture(rng, disc.shape, scale=0.2 * site.length)),
                          inner=rng.uniform(0.55, 0.8))  # fmt: skip
    clumps = np.exp(0.5 * texture(rng, disc.shape, scale=0.1 * site.length))
    return patch_model("HII shell", site, rim * clumps * uneven(rng, disc.azimuth, strength=0.8))


def hii_cometary(rng: np.random.Generator, site: Site) -> SourceModel:
    """A bright, parabolic head with a fading tail (Wood & Churchwell 1989, ApJS 69, 831)."""
    disc = Disc.at(site, axis_ratio=1.0)
    x = disc.radius * np.cos(disc.azimuth) + 0.75
    y = disc.radius * np.sin(disc.azimuth) / rng.uniform(0.5, 1.0)
    depth = x - rng.uniform(0.6, 1.4) * y**2  # behind the parabolic front
    front = soft_edge(-depth, at=0.0, width=rng.uniform(0.02, 0.06))
    brightness = front * np.exp(-np.clip(depth, 0.0, None) / rng.uniform(0.15, 0.7)) * np.exp(-1.2 * y**2)
    brightness *= np.exp(0.25 * texture(rng, disc.shape, scale=0.12 * site.length))
    brightness *= soft_edge(disc.radius, at=1.05, width=0.05)
    return patch_model("HII cometary", site, brightness)


def planetary_nebula(rng: np.random.Generator, site: Site) -> SourceModel:
    """A small disk, a ring or a two-sided shell, optically thick to thin, sharply bounded."""
    disc = Disc.at(site, axis_ratio=rng.uniform(0.6, 1.0))
    kind = str(rng.choice(["PN disk", "PN ring", "PN bipolar"], p=[0.45, 0.35, 0.2]))
    if kind == "PN disk":
        brightness = soft_edge(disc.radius, at=0.95, width=0.05) * (1.0 - 0.3 * disc.radius.clip(0.0, 1.0) ** 2)
    else:
        brightness = limb_brightened(disc.radius, inner=rng.uniform(0.5, 0.85))
    if kind == "PN bipolar":
        brightness = brightness * (0.25 + np.sin(disc.azimuth) ** 4)
    return patch_model(kind, site, brightness * uneven(rng, disc.azimuth, strength=0.3))


def _shell(rng: np.random.Generator, disc: Disc, site: Site) -> Image:
    """A shell whose radius, brightness and limb vary; a fifth is an arc only."""
    wobble = 1.0 + rng.uniform(0.02, 0.06) * texture(rng, disc.shape, scale=0.2 * site.length)
    rim = limb_brightened(disc.radius * wobble, inner=rng.uniform(0.7, 0.93))
    patches = np.exp(0.45 * texture(rng, disc.shape, scale=rng.uniform(0.04, 0.15) * site.length))
    barrel = 1.0 - rng.uniform(0.0, 0.9) * np.cos(disc.azimuth) ** 2 if rng.uniform() < 0.5 else 1.0
    limb = uneven(rng, disc.azimuth, strength=0.95 if rng.uniform() < 0.2 else 0.7)
    return np.asarray(rim * patches * barrel * limb)


def _plerion(rng: np.random.Generator, disc: Disc, site: Site) -> Image:
    """Emission that rises to the middle, with filaments and an edge."""
    filaments = np.exp(0.4 * texture(rng, disc.shape, scale=0.08 * site.length))
    profile = np.exp(-rng.uniform(0.8, 3.0) * disc.radius**1.5) * soft_edge(disc.radius, at=0.9, width=0.08)
    return np.asarray(profile * filaments)
