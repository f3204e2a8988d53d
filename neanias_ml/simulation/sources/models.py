"""Noise-free models of sources: Gaussians and brightness patches, and their rendering at the beam."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neanias_ml.columns import Columns
from neanias_ml.maps import Window
from neanias_ml.simulation.sources.painting import paint_gaussians

FloatColumn = NDArray[np.float64]
Covariance = NDArray[np.float64]
VISIBLE_SNR = 5.0
"""An object counts as visible where its model exceeds this many local rms."""


@dataclass(frozen=True)
class Gaussians(Columns):
    """Intrinsic (not convolved) Gaussians; all zero covariance is a point source."""

    x: FloatColumn
    """0-based pixels"""
    y: FloatColumn
    total_flux: FloatColumn
    """Jy"""
    cxx: FloatColumn
    """intrinsic covariance, pixels squared"""
    cxy: FloatColumn
    cyy: FloatColumn

    @classmethod
    def empty(cls) -> Gaussians:
        """No Gaussians."""
        return cls(*(np.zeros(0) for _ in range(6)))

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(N, 2, 2), axes (x, y), pixels squared."""
        return np.stack([np.stack([self.cxx, self.cxy], -1), np.stack([self.cxy, self.cyy], -1)], -2)

    def peak_flux(self, beam: Covariance) -> FloatColumn:
        """Peak (N,) in Jy/beam after convolution with a beam of the given pixel covariance."""
        determinant = (self.cxx + beam[0, 0]) * (self.cyy + beam[1, 1]) - (self.cxy + beam[0, 1]) ** 2
        return np.asarray(self.total_flux * np.sqrt(np.linalg.det(beam) / determinant))


GAUSSIAN_COLUMNS = tuple(field.name for field in dataclasses.fields(Gaussians))
"""Columns of `Gaussians` in the order of its arguments."""


@dataclass(frozen=True)
class Patch:
    """Intrinsic brightness on pixels: ``brightness`` (h, w) in Jy/pixel, first pixel at (x0, y0)."""

    x0: int
    y0: int
    brightness: NDArray[np.float64]


@dataclass(frozen=True)
class SourceModel:
    """One physical object: its kind, its Gaussians and, for diffuse shapes, a brightness patch."""

    kind: str
    gaussians: Gaussians
    patch: Patch | None = None

    @property
    def total_flux(self) -> float:
        """Jy."""
        patch = float(self.patch.brightness.sum()) if self.patch is not None else 0.0
        return float(self.gaussians.total_flux.sum()) + patch

    def scaled(self, factor: float) -> SourceModel:
        """The same shape with all fluxes multiplied."""
        patch = self.patch
        if patch is not None:
            patch = dataclasses.replace(patch, brightness=patch.brightness * factor)
        gaussians = self.gaussians.replace(total_flux=self.gaussians.total_flux * factor)
        return SourceModel(self.kind, gaussians, patch)

    def moments(self) -> tuple[float, float, Covariance]:
        """Flux-weighted centroid x, y (pixels) and intrinsic covariance (2, 2) (pixels squared)."""
        parts = self.pieces()
        weights, places = parts.total_flux / parts.total_flux.sum(), np.stack([parts.x, parts.y], -1)
        centre = weights @ places
        offsets = places - centre
        covariance = np.einsum("n,nij->ij", weights, parts.covariance + offsets[:, :, None] * offsets[:, None, :])
        return float(centre[0]), float(centre[1]), covariance

    def pieces(self) -> Gaussians:
        """The Gaussians, and the patch as one more of its moments."""
        if self.patch is None:
            return self.gaussians
        total, place, width = patch_moments(self.patch)
        last = (*place, total, width[0, 0], width[0, 1], width[1, 1])
        columns = zip(GAUSSIAN_COLUMNS, last, strict=True)
        return Gaussians(*(np.append(getattr(self.gaussians, name), value) for name, value in columns))


def patch_moments(patch: Patch) -> tuple[float, NDArray[np.float64], Covariance]:
    """Total flux (Jy), centroid (x, y) in pixels and covariance (2, 2) of a patch."""
    image = patch.brightness
    total = float(image.sum())
    x = np.arange(image.shape[1]) + patch.x0
    y = np.arange(image.shape[0]) + patch.y0
    columns, rows = image.sum(0) / total, image.sum(1) / total
    cx, cy = float(columns @ x), float(rows @ y)
    cxy = float((y - cy) @ image @ (x - cx)) / total
    covariance = np.array([[columns @ (x - cx) ** 2, cxy], [cxy, rows @ (y - cy) ** 2]])
    return total, np.array([cx, cy]), covariance


@dataclass(frozen=True)
class Stamp:
    """A beam-convolved model on a window of the map: ``data`` (h, w) float32, Jy/beam."""

    window: Window
    data: NDArray[np.float32]

    def inside(self, shape: tuple[int, int]) -> Stamp | None:
        """The part inside a map of ``shape`` (rows, columns); None if nothing of it is."""
        y0, y1 = max(self.window.y0, 0), min(self.window.y1, shape[0])
        x0, x1 = max(self.window.x0, 0), min(self.window.x1, shape[1])
        if y0 >= y1 or x0 >= x1:
            return None
        top, left = self.window.y0, self.window.x0
        return Stamp(Window(y0, y1, x0, x1), self.data[y0 - top : y1 - top, x0 - left : x1 - left])


def gaussian_transfer(shape: tuple[int, int], covariance: Covariance) -> NDArray[np.float32]:
    """Fourier transform (ny, nx // 2 + 1) of a unit-sum Gaussian of pixel ``covariance``, for ``rfft2``."""
    ky = fft.fftfreq(shape[0])[:, None]
    kx = fft.rfftfreq(shape[1])[None, :]
    form = covariance[0, 0] * kx * kx + 2.0 * covariance[0, 1] * kx * ky + covariance[1, 1] * ky * ky
    return np.exp((-2.0 * math.pi**2 * form).astype(np.float32))


RENDER_REACH = math.sqrt(-2.0 * math.log(1e-5))
"""Standard deviations down to which Gaussians are drawn: to 1e-5 of their peak."""


def render(model: SourceModel, *, beam: Covariance, reach: float = RENDER_REACH) -> Stamp:
    """Convolve a model with the restoring beam.

    Parameters
    ----------
    model
        Intrinsic model.
    beam
        Pixel covariance (2, 2) of the restoring beam.
    reach
        Standard deviations down to which Gaussians are drawn.

    Returns
    -------
    Stamp
        The whole model, Jy/beam; its window may reach beyond the map (see `Stamp.inside`).
    """
    patch = None if model.patch is None else _convolved_patch(model.patch, beam=beam)
    parts = model.gaussians
    widths = parts.covariance + beam
    half = reach * np.sqrt(np.diagonal(widths, axis1=1, axis2=2))
    corners = [np.stack([parts.x, parts.y], -1) - half, np.stack([parts.x, parts.y], -1) + half]
    if patch is not None:
        top, left, image = patch
        corners[0] = np.vstack([corners[0], [left, top]])
        corners[1] = np.vstack([corners[1], [left + image.shape[1] - 1, top + image.shape[0] - 1]])
    x0, y0 = (math.floor(value) for value in corners[0].min(0))
    x1, y1 = (math.ceil(value) + 1 for value in corners[1].max(0))
    canvas = np.zeros((y1 - y0, x1 - x0), dtype=np.float32)
    if patch is not None:
        canvas[top - y0 : top - y0 + image.shape[0], left - x0 : left - x0 + image.shape[1]] = image
    paint_gaussians(canvas, parts.x - x0, parts.y - y0, parts.peak_flux(beam), widths, reach)
    return Stamp(Window(y0, y1, x0, x1), canvas)


def _convolved_patch(patch: Patch, *, beam: Covariance) -> tuple[int, int, NDArray[np.float32]]:
    margin = math.ceil(5.0 * math.sqrt(float(np.linalg.eigvalsh(beam)[1])))
    padded = np.pad(patch.brightness, margin)
    size = tuple(fft.next_fast_len(length, real=True) for length in padded.shape)
    spectrum = fft.rfft2(padded, s=size, workers=1) * gaussian_transfer((size[0], size[1]), beam)
    image = fft.irfft2(spectrum, s=size, workers=1)[: padded.shape[0], : padded.shape[1]]
    beam_area = 2.0 * math.pi * math.sqrt(float(np.linalg.det(beam)))
    return patch.y0 - margin, patch.x0 - margin, (image * beam_area).astype(np.float32)
