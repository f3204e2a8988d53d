"""`RadioMap`: one two-dimensional radio map with its sky geometry, beam and unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from neanias_ml.errors import InputError
from neanias_ml.maps.beam import FWHM_PER_SIGMA, Beam
from neanias_ml.maps.ellipses import covariances_of_ellipses, transformed
from neanias_ml.maps.pixel_readers import ArrayReader
from neanias_ml.maps.sky import SkyFrame
from neanias_ml.maps.source import MapSource
from neanias_ml.maps.windows import Window

FloatMap = NDArray[np.float32]


@dataclass(frozen=True, repr=False)
class RadioMap:
    """A radio continuum map in Jy/beam; NaN is blank, zero is a value.

    Windows are read lazily: constructing a map from a file reads the header only.

    Attributes
    ----------
    shape
        Rows and columns (ny, nx).
    reader
        Function from a `Window` to its pixels: float32, Jy/beam, NaN where blank, native byte order.
    beam
        Restoring beam.
    pixel_scale
        Geometric-mean pixel size at the map's centre, degrees.
    sky
        Pixel-to-sky geometry, or None for a map without usable WCS (pixel catalogue).
    original_unit
        Unit string of the file before conversion to Jy/beam.
    frequency
        Reference frequency in Hz, or None.
    source
        Path, digest and HDU of the input.
    flags
        Names of what was repaired or assumed (``BeamFromHistory``, ``NoWcs``, ...).
    notes
        Sentences that say more than a flag can, such as why the sky coordinates were refused.
    """

    shape: tuple[int, int]
    reader: Callable[[Window], FloatMap]
    beam: Beam
    pixel_scale: float
    sky: SkyFrame | None = None
    original_unit: str = "Jy/beam"
    frequency: float | None = None
    source: MapSource = field(default_factory=MapSource)
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_array(
        cls,
        data: NDArray[np.floating],
        *,
        beam: Beam,
        wcs: WCS | None = None,
        pixel_scale: float | None = None,
        frequency: float | None = None,
        flags: tuple[str, ...] = (),
    ) -> RadioMap:
        """Wrap an array in Jy/beam, shape (ny, nx); masked pixels become NaN.

        ``pixel_scale`` (degrees) is needed only when there is no ``wcs``.
        """
        if isinstance(data, np.ma.MaskedArray):
            data = data.filled(np.nan)
        pixels = np.ascontiguousarray(data, dtype=np.float32)
        if pixels.ndim != 2:
            raise InputError("CubeNeedsPlane", f"a map must have two axes, this array has {pixels.ndim}")
        if np.isinf(pixels).any():
            pixels = np.where(np.isinf(pixels), np.float32(np.nan), pixels)
            flags = (*flags, "NonFinite")
        pixels = pixels.view()
        pixels.flags.writeable = False
        sky = SkyFrame(wcs, shape=pixels.shape) if wcs is not None else None
        scale = sky.pixel_scale if sky is not None else pixel_scale
        if scale is None:
            raise InputError("PixelScaleMissing", "the array has no WCS; pass pixel_scale in degrees")
        return cls(
            shape=(pixels.shape[0], pixels.shape[1]),
            reader=ArrayReader(pixels),
            beam=beam,
            pixel_scale=scale,
            sky=sky,
            frequency=frequency,
            flags=flags,
        )

    def __repr__(self) -> str:
        rows, columns = self.shape
        parts = [
            f"{columns} x {rows} pixels of {self.pixel_scale * 3600:.4g} arcsec",
            f"beam {self.beam} = {self.beam_fwhm:.2f} pixels",
            f"{self.frequency / 1e6:.6g} MHz" if self.frequency else "frequency unknown",
            repr(self.sky) if self.sky is not None else "no WCS",
        ]
        parts += [str(self.source.path)] if self.source.path else []
        parts += [f"flags {', '.join(self.flags)}"] if self.flags else []
        return f"RadioMap({'; '.join(parts)})"

    def __getstate__(self) -> dict[str, Any]:
        """State for other processes: without pixels that the reader can fetch again."""
        return {name: value for name, value in self.__dict__.items() if name != "data"}

    @property
    def extent(self) -> Window:
        """The window that covers the whole map."""
        return Window(0, self.shape[0], 0, self.shape[1])

    def read(self, window: Window) -> FloatMap:
        """Pixels of a window: float32 Jy/beam, NaN where blank."""
        return self.reader(window)

    @cached_property
    def data(self) -> FloatMap:
        """All pixels, shape (ny, nx), float32 Jy/beam, NaN where blank, read-only; read at first use."""
        pixels = np.array(self.reader(self.extent), dtype=np.float32)
        pixels.flags.writeable = False
        return pixels

    @cached_property
    def beam_covariance(self) -> NDArray[np.float64]:
        """Covariance (2, 2) of the beam's Gaussian in pixels, axes (x, y), at the map's centre."""
        centre = ((self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2)
        return self.covariance_to_pixels(
            *centre, major=self.beam.major, minor=self.beam.minor, position_angle=self.beam.position_angle
        )

    @property
    def beam_area(self) -> float:
        """Beam solid angle in pixels: the sum over pixels of a unit-peak beam."""
        return 2.0 * math.pi * math.sqrt(float(np.linalg.det(self.beam_covariance)))

    @property
    def beam_fwhm(self) -> float:
        """Geometric-mean full width at half maximum of the beam in pixels."""
        return FWHM_PER_SIGMA * float(np.linalg.det(self.beam_covariance)) ** 0.25

    def covariance_to_pixels(
        self, x: float, y: float, *, major: float, minor: float, position_angle: float
    ) -> NDArray[np.float64]:
        """Pixel covariance (2, 2) at pixel (x, y) of a sky Gaussian (FWHM in degrees, PA in degrees E of N)."""
        sky = covariances_of_ellipses(major, minor, 90.0 - position_angle)
        to_pixels = np.linalg.inv(self.tangent_jacobian(x, y))
        return transformed(sky, to_pixels)

    def tangent_jacobian(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Derivative (2, 2) of tangent-plane offsets (east, north; degrees) by pixel (x, y); (N, 2, 2) for arrays.

        Without usable WCS and beyond the horizon, east is taken as -x and north as +y, as on most radio maps.
        """
        plain = np.array([[-self.pixel_scale, 0.0], [0.0, self.pixel_scale]])
        if self.sky is None or np.size(x) == 0:
            return np.broadcast_to(plain, (*np.shape(x), 2, 2)).copy()
        jacobian = self.sky.jacobian(x, y)
        finite = np.isfinite(jacobian).all(axis=(-2, -1), keepdims=True)
        return np.where(finite, jacobian, plain)
