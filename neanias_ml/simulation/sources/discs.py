"""Pieces that objects seen as discs, shells and clouds share: polar coordinates, patches, uneven limbs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neanias_ml.simulation.sources.models import Gaussians, Patch, SourceModel
from neanias_ml.simulation.sources.shapes import Image, Site

_SMALLEST = 4.0  # pixels: smaller shapes fall between the pixels


@dataclass(frozen=True)
class Disc:
    """Coordinates on a square patch around an object, inclined by an axis ratio.

    Attributes
    ----------
    radius
        (n, n) in units of half the object's length.
    azimuth
        (n, n) radians from the object's axis.
    """

    radius: Image
    azimuth: Image

    @classmethod
    def at(cls, site: Site, *, axis_ratio: float, reach: float = 1.25) -> Disc:
        """Coordinates around a site out to ``reach`` times half the object's length."""
        length = max(site.length, _SMALLEST)
        half = math.ceil(0.5 * length * reach) + 2
        y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
        x, y = x - (site.centre[0] - round(site.centre[0])), y - (site.centre[1] - round(site.centre[1]))
        along = x * math.cos(site.angle) + y * math.sin(site.angle)
        across = (-x * math.sin(site.angle) + y * math.cos(site.angle)) / axis_ratio
        return cls(np.hypot(along, across) / (0.5 * length), np.arctan2(across, along))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.radius.shape[0], self.radius.shape[1]


def patch_model(kind: str, site: Site, brightness: Image, *, spots: Gaussians | None = None) -> SourceModel:
    """An object of unit flux in its patch, plus Gaussians whose flux counts on that scale."""
    half = brightness.shape[0] // 2
    x0, y0 = round(float(site.centre[0])) - half, round(float(site.centre[1])) - half
    gaussians = Gaussians.empty() if spots is None else spots
    return SourceModel(kind, gaussians, Patch(x0, y0, brightness / brightness.sum()))


def point_at(site: Site, *, flux: float) -> Gaussians:
    """A point source at the centre of a site."""
    row = np.array([[site.centre[0], site.centre[1], flux, 0.0, 0.0, 0.0]]).T
    return Gaussians(*row)


def uneven(rng: np.random.Generator, azimuth: Image, *, strength: float) -> Image:
    """A factor that varies smoothly with azimuth between 1 and 1 - strength, at most."""
    lobes = int(rng.integers(1, 4))
    return 1.0 - rng.uniform(0.0, strength) * 0.5 * (1.0 + np.cos(lobes * azimuth + rng.uniform(0.0, 2.0 * math.pi)))


def soft_edge(radius: Image, *, at: float, width: float) -> Image:
    """A step from 1 to 0 at a radius, ``width`` wide."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip((radius - at) / width, -60.0, 60.0))))


def limb_brightened(radius: Image, *, inner: float) -> Image:
    """Projection of an optically thin spherical shell between ``inner`` and 1."""
    return np.asarray(np.sqrt(np.clip(1.0 - radius**2, 0.0, None)) - np.sqrt(np.clip(inner**2 - radius**2, 0.0, None)))
