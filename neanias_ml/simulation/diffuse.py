"""Diffuse shapes as brightness patches: irregular blobs, disks, shells and rings."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neanias_ml.simulation.shapes import Site
from neanias_ml.simulation.sources import Gaussians, Patch, SourceModel, gaussian_transfer

Image = NDArray[np.float64]


def _model(kind: str, site: Site, brightness: Image) -> SourceModel:
    half = brightness.shape[0] // 2
    x0, y0 = round(float(site.centre[0])) - half, round(float(site.centre[1])) - half
    return SourceModel(kind, Gaussians.empty(), Patch(x0, y0, brightness / brightness.sum()))


def _elliptical_radius(rng: np.random.Generator, site: Site, *, flattest: float) -> tuple[Image, Image]:
    """Radius in units of half the object's length, and azimuth in radians, on a square patch."""
    half = math.ceil(0.5 * site.length * 1.25) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    along = x * math.cos(site.angle) + y * math.sin(site.angle)
    across = -x * math.sin(site.angle) + y * math.cos(site.angle)
    axis_ratio = rng.uniform(flattest, 1.0)
    radius = np.hypot(along, across / axis_ratio) / (0.5 * site.length)
    return radius, np.arctan2(across, along)


def blob(rng: np.random.Generator, site: Site) -> SourceModel:
    """An irregular cloud: a positive random field under a Gaussian envelope (halo, HII region)."""
    radius, _ = _elliptical_radius(rng, site, flattest=0.5)
    texture = _texture(rng, radius.shape, scale=site.length * rng.uniform(0.08, 0.25))
    brightness = np.clip(texture + rng.uniform(0.2, 1.5), 0.0, None) * np.exp(-0.5 * (radius / 0.45) ** 2)
    brightness[radius > 1.2] = 0.0
    return _model("diffuse", site, brightness)


def disk(rng: np.random.Generator, site: Site) -> SourceModel:
    """A disk, from nearly flat to exponential (nearby galaxy, planetary nebula)."""
    radius, azimuth = _elliptical_radius(rng, site, flattest=0.3)
    steepness = rng.uniform(0.3, 3.0)
    edge = 1.0 / (1.0 + np.exp((radius - 0.95) / 0.04))
    brightness = np.exp(-steepness * radius) * edge * _uneven(rng, azimuth, strength=0.3)
    return _model("disk", site, brightness)


def shell(rng: np.random.Generator, site: Site) -> SourceModel:
    """A limb-brightened spherical shell, uneven in azimuth and patchy (supernova remnant)."""
    radius, azimuth = _elliptical_radius(rng, site, flattest=0.8)
    inner = rng.uniform(0.7, 0.92)
    brightness = np.sqrt(np.clip(1.0 - radius**2, 0.0, None)) - np.sqrt(np.clip(inner**2 - radius**2, 0.0, None))
    patches = np.clip(1.0 + 0.4 * _texture(rng, radius.shape, scale=0.1 * site.length), 0.1, None)
    return _model("shell", site, brightness * patches * _uneven(rng, azimuth, strength=0.7))


def ring(rng: np.random.Generator, site: Site) -> SourceModel:
    """A thin ring or arc (odd radio circle, bow shock)."""
    radius, azimuth = _elliptical_radius(rng, site, flattest=0.7)
    width = rng.uniform(0.05, 0.15)
    brightness = np.exp(-0.5 * ((radius - 0.9) / width) ** 2) * _uneven(rng, azimuth, strength=0.95)
    brightness[radius > 1.25] = 0.0
    return _model("ring", site, brightness)


DIFFUSE_SHAPES: tuple[Callable[[np.random.Generator, Site], SourceModel], ...] = (blob, disk, shell, ring)


def _uneven(rng: np.random.Generator, azimuth: Image, *, strength: float) -> Image:
    """A factor that varies smoothly with azimuth between 1 and 1 - strength."""
    lobes = int(rng.integers(1, 4))
    return 1.0 - rng.uniform(0.0, strength) * 0.5 * (1.0 + np.cos(lobes * azimuth + rng.uniform(0.0, 2.0 * math.pi)))


def _texture(rng: np.random.Generator, shape: tuple[int, ...], *, scale: float) -> Image:
    """A random field of zero mean, unit standard deviation and correlation length ``scale`` pixels."""
    size = (fft.next_fast_len(shape[0], real=True), fft.next_fast_len(shape[1], real=True))
    spectrum = fft.rfft2(rng.standard_normal(size), workers=1) * gaussian_transfer(size, np.eye(2) * scale**2 / 2)
    field = fft.irfft2(spectrum, s=size, workers=1)[: shape[0], : shape[1]]
    return (field - field.mean()) / field.std()
