"""Positions, sizes and angles on the sky, exact at any declination and across RA 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame
from numpy.typing import ArrayLike, NDArray

from neanias_ml.maps.ellipses import ellipses_of_covariances, position_angle

FloatArray = NDArray[np.float64]
_STEPS = (0.5, 0.05, 0.005)
"""Half-widths in pixels of the differences behind a Jacobian; smaller ones serve beside the horizon."""
_EXACT_FIELDS = ("crpix", "cdelt", "crval", "lonpole", "latpole", "radesys", "equinox")


class SkyFrame:
    """Pixel-to-ICRS geometry of a map.

    Parameters
    ----------
    wcs
        Celestial WCS, longitude before latitude (any projection and frame that astropy knows).
    shape
        Rows and columns of the map.

    Raises
    ------
    ValueError
        If there are no celestial axes, or latitude comes first.
    """

    def __init__(self, wcs: WCS, *, shape: tuple[int, int]) -> None:
        wcs.wcs.set()
        if wcs.wcs.lng < 0 or wcs.wcs.lat < wcs.wcs.lng:
            raise ValueError(f"axes {list(wcs.wcs.ctype)} are not longitude and latitude in this order")
        self.wcs = wcs.celestial
        self.shape = shape
        self._frame = wcs_to_celestial_frame(self.wcs)

    def __repr__(self) -> str:
        longitude, latitude = self.wcs.wcs.crval
        axes = "/".join(self.wcs.wcs.ctype)
        return f"SkyFrame({axes}, {self._frame.name}, reference ({longitude:.5f}, {latitude:.5f}) deg)"

    def __getstate__(self) -> dict[str, Any]:
        return {"wcs": _wcs_state(self.wcs), "shape": self.shape}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.wcs = _wcs_from_state(state["wcs"])
        self.shape = state["shape"]
        self._frame = wcs_to_celestial_frame(self.wcs)

    def to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """ICRS right ascension in [0, 360) and declination, degrees; NaN beyond the horizon."""
        first, second = self._to_frame(x, y)
        sky = SkyCoord(first * u.deg, second * u.deg, frame=self._frame).icrs
        ra = np.mod(sky.ra.deg, 360.0)
        return np.where(ra >= 360.0, 0.0, ra), np.asarray(sky.dec.deg)

    def to_pixel(self, ra: ArrayLike, dec: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """0-based pixel positions of ICRS positions in degrees; NaN where they do not project."""
        ra, dec = np.broadcast_arrays(np.atleast_1d(ra).astype(float), np.atleast_1d(dec).astype(float))
        x, y = np.full(ra.shape, np.nan), np.full(ra.shape, np.nan)
        is_position = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0)
        sky = SkyCoord(ra[is_position] * u.deg, dec[is_position] * u.deg, frame="icrs")
        native = sky.transform_to(self._frame).spherical
        x[is_position], y[is_position] = self.wcs.all_world2pix(native.lon.deg, native.lat.deg, 0, quiet=True)
        return x, y

    def jacobian(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """Derivative of tangent-plane offsets (east, north; degrees) by pixel (x, y).

        The offsets are taken on the sphere around the position itself, so that no factor cos(dec) is ever needed.
        Beside the horizon the differences are one-sided or narrower; NaN where the position itself is off the sky.

        Returns
        -------
        ndarray
            (2, 2) for scalars, (N, 2, 2) for arrays of N positions; rows (east, north), columns (x, y).
        """
        columns = np.atleast_1d(np.asarray(x, dtype=float))
        rows = np.atleast_1d(np.asarray(y, dtype=float))
        jacobian = np.full((len(columns), 2, 2), np.nan)
        for step in _STEPS:
            missing = ~np.isfinite(jacobian).all(axis=(1, 2))
            if missing.any():
                jacobian[missing] = self._differences(columns[missing], rows[missing], step=step)
        return jacobian[0] if np.ndim(x) == 0 and np.ndim(y) == 0 else jacobian

    def _differences(self, x: FloatArray, y: FloatArray, *, step: float) -> FloatArray:
        dx = np.array([0.0, step, -step, 0.0, 0.0])
        dy = np.array([0.0, 0.0, 0.0, step, -step])
        ra, dec = self.to_sky(x[:, np.newaxis] + dx, y[:, np.newaxis] + dy)
        offsets = np.stack(tangent_offsets(ra[:, :1], dec[:, :1], ra, dec), axis=1)  # (N, 2, 5)
        forward, backward, centre = offsets[..., [1, 3]], offsets[..., [2, 4]], offsets[..., [0, 0]]
        central = (forward - backward) / (2 * step)
        one_sided = np.where(np.isfinite(forward), (forward - centre) / step, (centre - backward) / step)
        return np.where(np.isfinite(central), central, one_sided)

    def frame_rotation(self) -> float:
        """Angle in degrees, in (-180, 180], to add to angles east of the frame's north to count from ICRS north.

        Taken at the map's centre (at the reference position if the centre is off the sky); 0 for ICRS and nearly 0
        for FK5 maps.
        """
        longitude, latitude = self._to_frame((self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2)
        lon, lat = float(longitude[0]), float(latitude[0])
        if not (math.isfinite(lon) and math.isfinite(lat)):
            lon, lat = (float(value) for value in self.wcs.wcs.crval)
        step = 1e-3 if lat < 89.9 else -1e-3
        pair = SkyCoord([lon, lon] * u.deg, [lat, lat + step] * u.deg, frame=self._frame).icrs
        east, north = tangent_offsets(pair.ra.deg[0], pair.dec.deg[0], pair.ra.deg[1:], pair.dec.deg[1:])
        return math.degrees(math.atan2(east[0] * step, north[0] * step))

    @property
    def pixel_scale(self) -> float:
        """Geometric-mean pixel size at the map's centre (nominal if the centre is off the sky), degrees."""
        jacobian = self.jacobian((self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2)
        scale = math.sqrt(abs(float(np.linalg.det(jacobian))))
        return scale if math.isfinite(scale) else float(np.sqrt(np.prod(proj_plane_pixel_scales(self.wcs))))

    def _to_frame(self, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude in the map's own frame, degrees; NaN beyond the horizon."""
        columns, rows = np.broadcast_arrays(np.atleast_1d(x).astype(float), np.atleast_1d(y).astype(float))
        first, second = self.wcs.all_pix2world(columns, rows, 0)
        is_off = ~(np.isfinite(first) & (np.abs(second) <= 90.0 + 1e-9))
        return np.where(is_off, np.nan, first), np.where(is_off, np.nan, np.clip(second, -90.0, 90.0))


def _wcs_state(wcs: WCS) -> WCS | dict[str, Any]:
    """Bit-exact state; astropy pickles through header text, which loses the last digits of positions."""
    if wcs.sip is not None or wcs.cpdis1 is not None or wcs.cpdis2 is not None or wcs.wcs.has_cd():
        return wcs
    state: dict[str, Any] = {name: getattr(wcs.wcs, name) for name in _EXACT_FIELDS}
    state |= {name: np.array(state[name]) for name in ("crpix", "cdelt", "crval")}
    pc = np.array(wcs.wcs.get_pc())
    return state | {
        "ctype": list(wcs.wcs.ctype),
        "pc": pc,
        "cunit": [str(unit) for unit in wcs.wcs.cunit],
        "pv": list(wcs.wcs.get_pv()),
    }


def _wcs_from_state(state: WCS | dict[str, Any]) -> WCS:
    if isinstance(state, WCS):
        return state
    wcs = WCS(naxis=2)
    for name, value in state.items():
        if name == "pv":
            wcs.wcs.set_pv(value)
        elif name != "equinox" or math.isfinite(value):
            setattr(wcs.wcs, name, value)
    wcs.wcs.set()
    return wcs


def tangent_offsets(ra0: ArrayLike, dec0: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Gnomonic offsets (east, north; degrees) of positions from (ra0, dec0), all in degrees; arrays broadcast."""
    delta = np.radians(np.subtract(ra, ra0))
    phi, phi0 = np.radians(dec), np.radians(dec0)
    cosine = np.sin(phi) * np.sin(phi0) + np.cos(phi) * np.cos(phi0) * np.cos(delta)
    east = np.cos(phi) * np.sin(delta) / cosine
    north = (np.sin(phi) * np.cos(phi0) - np.cos(phi) * np.sin(phi0) * np.cos(delta)) / cosine
    return np.degrees(east), np.degrees(north)


def ellipse_from_covariance(covariance: FloatArray) -> tuple[float, float, float]:
    """FWHM axes and position angle of a Gaussian.

    Parameters
    ----------
    covariance
        (2, 2) in tangent-plane axes (east, north).

    Returns
    -------
    tuple
        major, minor (in the root of the input's unit) and position angle in [0, 180), degrees east of north.
    """
    major, minor, angle = ellipses_of_covariances(np.asarray(covariance))
    return float(major), float(minor), float(position_angle(angle))
