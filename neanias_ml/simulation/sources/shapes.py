"""Where objects lie, and how they are drawn: compact spots and strokes of the brush.

Brightnesses are given as peaks after convolution with the beam, because that is what decides whether
a piece stands above the noise; they become fluxes at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neanias_ml.maps import FWHM_PER_SIGMA
from neanias_ml.simulation.sources.models import Covariance, Gaussians, Patch, SourceModel, gaussian_transfer
from neanias_ml.simulation.sources.painting import paint_gaussians

Point = NDArray[np.float64]
Line = NDArray[np.float64]
"""(n, 2) points x, y in pixels."""
Image = NDArray[np.float64]
_THINNEST = 0.6
"""Smallest standard deviation of a stroke, pixels: thinner ones would be sampled too coarsely."""
_REACH = 3.5


def oriented_covariance(major: float, minor: float, angle: float) -> Covariance:
    """Pixel covariance (2, 2) of a Gaussian: FWHM in pixels, ``angle`` radians from +x towards +y."""
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    return (major / FWHM_PER_SIGMA) ** 2 * np.outer(along, along) + (minor / FWHM_PER_SIGMA) ** 2 * np.outer(
        across, across
    )


def direction(angle: float) -> Point:
    """Unit vector (2,) at ``angle`` radians from +x towards +y."""
    return np.array([math.cos(angle), math.sin(angle)])


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


def curved_line(start: Point, *, angle: float, length: float, turn: Line | float = 0.0, steps: int = 48) -> Line:
    """A line (steps + 1, 2) that leaves ``start`` at ``angle`` and turns on its way.

    Parameters
    ----------
    start
        First point (2,), pixels.
    angle
        Direction at the start, radians from +x towards +y.
    length
        Along the line, pixels.
    turn
        Change of the direction (steps,) since the start, radians; a number is reached evenly at the end.
    steps
        Number of segments.
    """
    turns = np.linspace(0.0, turn, steps) if isinstance(turn, float) else turn
    headings = angle + turns
    offsets = np.stack([np.cos(headings), np.sin(headings)], -1) * (length / len(headings))
    return np.concatenate([start[None], start + np.cumsum(offsets, 0)])


class Sketch:
    """An object being drawn: compact Gaussians, and strokes that become one brightness patch."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._spots: list[tuple[float, ...]] = []
        self._strokes: list[NDArray[np.float64]] = []

    def spot(self, place: Point, *, peak: float, major: float = 0.0, minor: float | None = None, angle: float = 0.0
             ) -> None:  # fmt: skip
        """Add a Gaussian of a given convolved peak: FWHM in pixels (``minor`` as ``major``), axis in radians."""
        beam = self.site.beam
        width = oriented_covariance(major, major if minor is None else minor, angle)
        dilution = math.sqrt(float(np.linalg.det(width + beam) / np.linalg.det(beam)))
        self._spots.append((place[0], place[1], peak * dilution, width[0, 0], width[0, 1], width[1, 1]))

    def stroke(self, line: Line, *, ridge: NDArray[np.float64], width: NDArray[np.float64]) -> None:
        """Draw along a line with a round brush.

        Parameters
        ----------
        line
            (n, 2) points, pixels.
        ridge
            (n,) brightness along the middle of the stroke after convolution with the beam.
        width
            (n,) FWHM of the brush, pixels.
        """
        way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
        sigma = np.maximum(width / FWHM_PER_SIGMA, _THINNEST)
        step = max(0.5 * float(sigma.min()), way[-1] / 1500.0)
        places = np.linspace(0.0, way[-1], max(2, math.ceil(way[-1] / step)))
        x, y = np.interp(places, way, line[:, 0]), np.interp(places, way, line[:, 1])
        spread = np.interp(places, way, sigma)
        beam_area = 2.0 * math.pi * math.sqrt(float(np.linalg.det(self.site.beam)))
        across = np.sqrt(spread**2 + math.sqrt(float(np.linalg.det(self.site.beam))))
        flux = np.interp(places, way, ridge) * (places[1] - places[0]) * math.sqrt(2.0 * math.pi) * across / beam_area
        self._strokes.append(np.stack([x, y, flux, spread]))

    def model(self, kind: str, *, rng: np.random.Generator, roughness: float = 0.0) -> SourceModel:
        """The finished object.

        Parameters
        ----------
        kind
            Fine morphology.
        rng
            Source of the texture.
        roughness
            Standard deviation of the natural logarithm of the strokes' brightness about its mean.
        """
        spots = Gaussians(*np.array(self._spots, dtype=float).T) if self._spots else Gaussians.empty()
        if not self._strokes:
            return SourceModel(kind, spots)
        patch = _painted(np.concatenate(self._strokes, axis=1))
        if roughness > 0.0:
            grain = max(0.06 * self.site.length, 0.6 * self.site.beam_fwhm)
            factor = np.exp(roughness * texture(rng, patch.brightness.shape, scale=grain) - 0.5 * roughness**2)
            patch = Patch(patch.x0, patch.y0, patch.brightness * factor)
        return SourceModel(kind, spots, patch)


def _painted(strokes: NDArray[np.float64]) -> Patch:
    """Round Gaussians (4, n) as x, y, flux (Jy) and standard deviation, on pixels of their own."""
    x, y, flux, sigma = strokes
    x0, y0 = math.floor((x - _REACH * sigma).min()), math.floor((y - _REACH * sigma).min())
    x1, y1 = math.ceil((x + _REACH * sigma).max()), math.ceil((y + _REACH * sigma).max())
    canvas = np.zeros((y1 - y0 + 1, x1 - x0 + 1))
    covariance = sigma[:, None, None] ** 2 * np.eye(2)
    paint_gaussians(canvas, x - x0, y - y0, flux / (2.0 * math.pi * sigma**2), covariance, _REACH)
    return Patch(x0, y0, canvas)


def texture(rng: np.random.Generator, shape: tuple[int, ...], *, scale: float) -> Image:
    """A random field of zero mean, unit standard deviation and correlation length ``scale`` pixels."""
    size = (fft.next_fast_len(shape[0], real=True), fft.next_fast_len(shape[1], real=True))
    spectrum = fft.rfft2(rng.standard_normal(size), workers=1) * gaussian_transfer(size, np.eye(2) * scale**2 / 2)
    field = fft.irfft2(spectrum, s=size, workers=1)[: shape[0], : shape[1]]
    return (field - field.mean()) / max(float(field.std()), 1e-12)
