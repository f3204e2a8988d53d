"""Pointings of a field: where they lie, how deep they are together, and how far a source's sidelobes go in them.

A mosaic of pointings p, each divided by its primary beam A_p and weighted by A_p^2 / s_p^2 (linear mosaicking:
Sault, Staveley-Smith & Brouw 1996, A&AS 120, 375), has the noise (sum A_p^2 / s_p^2)^(-1/2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.config import SkyConfig

FloatMap = NDArray[np.float32]
_FAR_RESPONSE = 0.01
"""Sidelobes of the primary beam let in this much of sources beyond its main lobe."""
_FARTHEST = 3.0
"""Primary beam widths to which those sidelobes count."""


@dataclass(frozen=True)
class Mosaic:
    """Pointings with one Gaussian primary beam.

    Attributes
    ----------
    x, y
        (P,) pointing centres, pixels.
    depth
        (P,) inverse noise variance at the centres, relative.
    fwhm
        FWHM of the primary beam's power, pixels.
    cutoff
        Response below which a pointing is not used.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    depth: NDArray[np.float64]
    fwhm: float
    cutoff: float

    @property
    def radius(self) -> float:
        """Pixels from its centre to which a pointing is used."""
        return self.fwhm * math.sqrt(-math.log2(self.cutoff)) / 2.0

    def apparent(self, x: float, y: float) -> NDArray[np.float64]:
        """Response (P,) of the pointings to a source at a pixel, inside or outside the part of them that is used."""
        distance = ((x - self.x) ** 2 + (y - self.y) ** 2) / self.fwhm**2
        return np.maximum(np.exp2(-4.0 * distance), _FAR_RESPONSE * (distance < _FARTHEST**2))

    def window(self, pointing: int, shape: tuple[int, int]) -> tuple[slice, slice, FloatMap]:
        """Rows and columns of a map that a pointing covers, and its response there, 0 where it is not used."""
        slices, squares = [], []
        for centre, length in zip((self.y[pointing], self.x[pointing]), shape, strict=True):
            low, high = math.floor(centre - self.radius), math.ceil(centre + self.radius) + 1
            part = slice(min(max(low, 0), length), min(max(high, 0), length))
            slices.append(part)
            squares.append(((np.arange(part.start, part.stop) - centre) / self.fwhm) ** 2)
        down, across = squares[0].astype(np.float32), squares[1].astype(np.float32)
        response = np.exp2(-4.0 * down)[:, None] * np.exp2(-4.0 * across)
        response *= response >= self.cutoff
        return slices[0], slices[1], response


def draw_mosaic(config: SkyConfig, rng: np.random.Generator) -> Mosaic | None:
    """Pointings of a field: one, or a square or hexagonal pattern at any angle; None without a primary beam.

    ``mosaic_extent`` is the side of the area whose pointings were observed; some of them may be missing.
    """
    imaging, size = config.imaging, config.size
    if imaging.mosaic == "none":
        return None
    fwhm, middle = imaging.primary_beam * size, 0.5 * (size - 1)
    if imaging.mosaic == "single":
        x, y = np.zeros(1), np.zeros(1)
    else:
        x, y = _pattern(imaging.mosaic, rng, spacing=imaging.pointing_spacing * fwhm, side=imaging.mosaic_extent * size)
        kept = rng.uniform(size=len(x)) >= imaging.missing_pointings
        kept[np.argmin(x**2 + y**2)] = True
        x, y = x[kept], y[kept]
    depth = np.exp(-2.0 * imaging.pointing_scatter * rng.standard_normal(len(x)))
    mosaic = Mosaic(x + middle, y + middle, depth, fwhm, imaging.mosaic_cutoff)
    near = np.hypot(*(np.maximum(np.abs(place) - 0.5 * size, 0.0) for place in (x, y))) < 2.0 * mosaic.radius
    return Mosaic(mosaic.x[near], mosaic.y[near], depth[near], fwhm, mosaic.cutoff)


def _pattern(
    name: str, rng: np.random.Generator, *, spacing: float, side: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pointings around (0, 0) whose centres lie within a square of ``side``, turned by some angle."""
    count = math.ceil(0.75 * side / spacing) + 1
    column, row = (place.ravel().astype(float) for place in np.meshgrid(*[np.arange(-count, count + 1)] * 2))
    column, row = column + rng.uniform(-0.5, 0.5), row + rng.uniform(-0.5, 0.5)
    if name == "hexagonal":
        column, row = column + 0.5 * (np.arange(-count, count + 1) % 2).repeat(2 * count + 1), row * math.sqrt(0.75)
    inside = np.maximum(np.abs(column), np.abs(row)) * spacing <= max(0.5 * side, 0.71 * spacing)
    angle = rng.uniform(0.0, 2.0 * math.pi)
    x, y = column[inside] * spacing, row[inside] * spacing
    return math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y


def sensitivity(mosaic: Mosaic, shape: tuple[int, int]) -> FloatMap:
    """Inverse noise variance (ny, nx) of the mosaic, sum of depth A^2; 0 where no pointing reaches."""
    total = np.zeros(shape, dtype=np.float32)
    for pointing in range(len(mosaic.x)):
        rows, columns, response = mosaic.window(pointing, shape)
        total[rows, columns] += np.float32(mosaic.depth[pointing]) * response**2
    return total


def pointing_groups(mosaic: Mosaic, *, x: float, y: float, most: int) -> list[NDArray[np.intp]]:
    """Numbers of the pointings that see a source, the best first, in at most ``most`` groups.

    All but the last group are single pointings: those that see the source best.
    """
    apparent = mosaic.apparent(x, y)
    order = np.argsort(-apparent, kind="stable")
    order = order[apparent[order] > 0.0]
    return [group for group in np.split(order, np.arange(1, min(most, len(order)))) if len(group)]


def sidelobe_share(
    mosaic: Mosaic, group: NDArray[np.intp], *, x: float, y: float, total: FloatMap
) -> FloatMap:
    """Share (ny, nx) of a source's sidelobes that a mosaic shows, if all are from some of its pointings.

    Pointing p sees the source attenuated by A_p(source); its map is divided by A_p and has the weight
    depth A_p^2 in the mosaic: sum of depth A_p(source) A_p over the sum of depth A_p^2.

    Parameters
    ----------
    mosaic, group
        Pointings, and the numbers of those that count.
    x, y
        Place of the source, pixels.
    total
        `sensitivity` of the mosaic.
    """
    apparent = mosaic.apparent(x, y)
    share = np.zeros_like(total)
    for pointing in group:
        rows, columns, response = mosaic.window(int(pointing), (total.shape[0], total.shape[1]))
        share[rows, columns] += np.float32(mosaic.depth[pointing] * apparent[pointing]) * response
    return np.divide(share, total, out=share, where=total > 0.0)
