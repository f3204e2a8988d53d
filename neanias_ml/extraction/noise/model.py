"""Background and noise of a map, known everywhere from little: what the estimate hands over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.errors import InputError
from neanias_ml.extraction.noise.spline_kernels import (
    interpolate_meshes,
    interpolate_points,
    raise_at_points,
    raise_in_window,
)
from neanias_ml.maps import RadioMap, Window

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]
Pixels = NDArray[np.int32]


class NoiseModel(Protocol):
    """Anything that knows background and noise in any window of a map."""

    def evaluate(self, window: Window | None = None) -> tuple[FloatMap, FloatMap]:
        """Background and noise in every pixel of a window (the whole map by default), float32 Jy/beam."""

    def at(self, y: Pixels, x: Pixels) -> tuple[FloatMap, FloatMap]:
        """Background and noise (P,) of single pixels: bit for bit what `evaluate` says there.

        Parameters
        ----------
        y, x
            (P,) int32 rows and columns, quickest in the order of their rows.
        """


@dataclass(frozen=True)
class BrightSources(Columns):
    """Bright sources whose sidelobes raise the noise around them."""

    x: NDArray[np.int64]
    """column nearest to the peak"""
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
        chosen = self._near(window, step)
        if chosen.size:
            raise_in_window(noise, window.y0, window.x0, step, *self._profiles(chosen))

    def raise_at(self, noise: FloatMap, *, y: Pixels, x: Pixels) -> None:
        """Raise the noise (P,) of single pixels in place."""
        chosen = self._near(_window_around(y, x), 1)
        if chosen.size:
            raise_at_points(noise, y, x, *self._profiles(chosen))

    def _near(self, window: Window, margin: int) -> NDArray[np.int64]:
        """The sources whose sidelobes may reach into a window."""
        reach = self.sources.radius + margin
        return np.flatnonzero(
            (self.sources.y > window.y0 - reach)
            & (self.sources.y < window.y1 + reach)
            & (self.sources.x > window.x0 - reach)
            & (self.sources.x < window.x1 + reach)
        )

    def _profiles(self, chosen: NDArray[np.int64]) -> tuple[Any, ...]:
        """Of some sources, what the compiled loops take."""
        sources = self.sources
        return sources.y[chosen], sources.x[chosen], sources.radius[chosen], self.variance[chosen], self.ring


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
        window = window or Window(0, self.shape[0], 0, self.shape[1])
        background, noise = np.empty(window.shape, np.float32), np.empty(window.shape, np.float32)
        interpolate_meshes(*self.padded_meshes, float(self.cell), window.y0, window.x0, background, noise)
        if self.sidelobes is not None:
            self.sidelobes.raise_noise(noise, window=window)
        return background, noise

    def at(self, y: Pixels, x: Pixels) -> tuple[FloatMap, FloatMap]:
        """Background and noise (P,) of single pixels: bit for bit what `evaluate` says there."""
        y, x = np.ascontiguousarray(y, np.int32), np.ascontiguousarray(x, np.int32)
        background, noise = np.empty(len(y), np.float32), np.empty(len(y), np.float32)
        for mesh, out in zip(self.padded_meshes, (background, noise), strict=True):
            interpolate_points(mesh, float(self.cell), y, x, out)
        if self.sidelobes is not None and len(y):
            self.sidelobes.raise_at(noise, y=y, x=x)
        return background, noise

    @cached_property
    def padded_meshes(self) -> tuple[FloatMesh, FloatMesh]:
        """The meshes with a ring of nodes around: a background goes on as it slopes, a noise stays as it is."""
        sloping = np.pad(self.background_mesh, 1, mode="reflect", reflect_type="odd")
        return sloping, np.pad(self.noise_mesh, 1, mode="edge")


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

    def at(self, y: Pixels, x: Pixels) -> tuple[FloatMap, FloatMap]:
        """Background and noise (P,) of single pixels, from the smallest window of the maps that holds them."""
        if len(y) == 0:
            return np.empty(0, np.float32), np.empty(0, np.float32)
        window = _window_around(y, x)
        background, noise = self.evaluate(window)
        place = (y - window.y0, x - window.x0)
        return background[place], noise[place]

    def require_shape(self, shape: tuple[int, int]) -> None:
        """Raise `InputError` if a map does not fit a map of the given shape."""
        for name, supplied in (("noise", self.noise), ("background", self.background)):
            if supplied is not None and supplied.shape != shape:
                raise InputError(
                    "NoiseMapShape",
                    f"the {name} map has {supplied.shape[1]} x {supplied.shape[0]} pixels, the map "
                    f"{shape[1]} x {shape[0]}; both must lie on the same pixels",
                )


def _window_around(y: Pixels, x: Pixels) -> Window:
    """The smallest window that holds some pixels."""
    return Window(int(y.min()), int(y.max()) + 1, int(x.min()), int(x.max()) + 1)
