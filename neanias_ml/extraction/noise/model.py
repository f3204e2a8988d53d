"""Background and noise of a map, known everywhere from little: what the estimate hands over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.errors import InputError
from neanias_ml.extraction.noise.mesh_kernels import interpolate_mesh
from neanias_ml.maps import RadioMap, Window

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]


class NoiseModel(Protocol):
    """Anything that knows background and noise in any window of a map."""

    def evaluate(self, window: Window | None = None) -> tuple[FloatMap, FloatMap]:
        """Background and noise in every pixel of a window (the whole map by default), float32 Jy/beam."""


@dataclass(frozen=True)
class BrightSources(Columns):
    """Bright sources whose sidelobes raise the noise around them."""

    x: NDArray[np.int64]
    """column of the brightest pixel"""
    y: NDArray[np.int64]
    peak_flux: NDArray[np.float64]
    """Jy/beam"""
    radius: NDArray[np.float64]
    """pixels within which the noise is raised"""


@dataclass(frozen=True)
class SidelobeNoise:
    """Noise that sidelobes add around bright sources, as profiles by distance.

    Attributes
    ----------
    sources
        The B sources.
    variance
        (B, R) variance added at distance ``(r + 0.5) * ring`` as a multiple of the mesh's own variance; falls
        to zero at the radius of the source.
    ring
        Width of a ring in pixels.
    """

    sources: BrightSources
    variance: FloatMesh
    ring: float

    def raise_noise(self, noise: FloatMap, *, window: Window, step: int = 1) -> None:
        """Raise the noise (Jy/beam) of every ``step``-th pixel of a window in place."""
        reach = self.sources.radius + step
        near = (
            (self.sources.y > window.y0 - reach)
            & (self.sources.y < window.y1 + reach)
            & (self.sources.x > window.x0 - reach)
            & (self.sources.x < window.x1 + reach)
        )
        if near.any():
            chosen = np.flatnonzero(near)
            _raise_noise(
                noise,
                window.y0,
                window.x0,
                step,
                self.sources.y[chosen],
                self.sources.x[chosen],
                self.sources.radius[chosen],
                self.variance[chosen],
                self.ring,
            )


@njit(cache=True, nogil=True)
def _raise_noise(
    noise: FloatMap,
    y0: int,
    x0: int,
    step: int,
    source_y: NDArray[np.int64],
    source_x: NDArray[np.int64],
    radius: FloatMesh,
    variance: FloatMesh,
    ring: float,
) -> None:
    height, width = noise.shape
    added = np.zeros(width, np.float32)
    for j in range(height):
        y = y0 + step * j
        first, last = width, 0
        for k in range(source_y.size):
            dy = float(y - source_y[k])
            if abs(dy) >= radius[k]:
                continue
            half = np.sqrt(radius[k] * radius[k] - dy * dy)
            start = max(0, int(np.ceil((source_x[k] - half - x0) / step)))
            stop = min(width, int(np.floor((source_x[k] + half - x0) / step)) + 1)
            first, last = min(first, start), max(last, stop)
            for i in range(start, stop):
                dx = float(x0 + step * i - source_x[k])
                place = max(np.sqrt(dx * dx + dy * dy) / ring - 0.5, 0.0)
                inner = min(int(place), variance.shape[1] - 2)
                part = min(place - inner, 1.0)
                added[i] += (1.0 - part) * variance[k, inner] + part * variance[k, inner + 1]
        for i in range(first, last):
            noise[j, i] *= np.sqrt(np.float32(1.0) + added[i])
            added[i] = 0.0


@dataclass(frozen=True)
class MeshNoise:
    """Background and noise (Jy/beam) on a mesh, with the noise that bright sources add.

    Between the nodes runs a quadratic B-spline: smooth, exact for a plane, never beyond the values of the mesh.

    Attributes
    ----------
    background_mesh, noise_mesh
        (my, mx) values at the cell centres.
    cell
        Side of a cell in pixels; cell (j, i) covers rows ``j * cell`` to ``(j + 1) * cell``.
    shape
        Rows and columns of the map.
    sidelobes
        Noise around bright sources, or None.
    """

    background_mesh: FloatMesh
    noise_mesh: FloatMesh
    cell: int
    shape: tuple[int, int]
    sidelobes: SidelobeNoise | None = None

    def evaluate(self, window: Window | None = None) -> tuple[FloatMap, FloatMap]:
        """Background and noise in every pixel of a window (the whole map by default), float32 Jy/beam."""
        return self.sampled(window or Window(0, self.shape[0], 0, self.shape[1]), step=1)

    def sampled(self, window: Window, *, step: int) -> tuple[FloatMap, FloatMap]:
        """Background and noise of every ``step``-th row and column from the window's first pixel on."""
        size = (-(-window.shape[0] // step), -(-window.shape[1] // step))
        background, noise = np.empty(size, np.float32), np.empty(size, np.float32)
        sloping = np.pad(self.background_mesh, 1, mode="reflect", reflect_type="odd")
        flat = np.pad(self.noise_mesh, 1, mode="edge")
        interpolate_mesh(sloping, float(self.cell), step, window.y0, window.x0, background)
        interpolate_mesh(flat, float(self.cell), step, window.y0, window.x0, noise)
        if self.sidelobes is not None:
            self.sidelobes.raise_noise(noise, window=window, step=step)
        return background, noise


@dataclass(frozen=True)
class SuppliedNoise:
    """Noise and background maps that the user brings.

    Attributes
    ----------
    noise
        Map of the noise, of the same shape as the map.
    background
        Map of the background, or None for zero.
    """

    noise: RadioMap
    background: RadioMap | None = None

    def evaluate(self, window: Window | None = None) -> tuple[FloatMap, FloatMap]:
        """Background and noise of a window, both blank (NaN) where one of them is, or the noise is not positive."""
        window = window or self.noise.extent
        noise = self.noise.read(window)
        usable = np.isfinite(noise) & (noise > 0)
        background = np.zeros(window.shape, np.float32)
        if self.background is not None:
            background = np.asarray(self.background.read(window), np.float32)
            usable &= np.isfinite(background)
        blank = np.float32(np.nan)
        return np.where(usable, background, blank), np.where(usable, noise, blank)

    def require_shape(self, shape: tuple[int, int]) -> None:
        """Raise `InputError` if a map does not fit a map of the given shape."""
        for name, supplied in (("noise", self.noise), ("background", self.background)):
            if supplied is not None and supplied.shape != shape:
                raise InputError(
                    "NoiseMapShape",
                    f"the {name} map has {supplied.shape[1]} x {supplied.shape[0]} pixels, the map "
                    f"{shape[1]} x {shape[0]}; both must lie on the same pixels",
                )
