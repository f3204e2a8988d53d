"""Which axes of a FITS image are the sky, which plane is read, and at what frequency."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from neanias_ml.errors import InputError
from neanias_ml.maps.header_cards import HeaderCards

_LONGITUDE = re.compile(r"(RA|[A-Z]LON|[A-Z]{2}LN)(-.*)?")
_LATITUDE = re.compile(r"(DEC|[A-Z]LAT|[A-Z]{2}LT)(-.*)?")
_HERTZ = {"": 1.0, "HZ": 1.0, "KHZ": 1e3, "MHZ": 1e6, "GHZ": 1e9}
_PLAUSIBLE_HERTZ = (1e5, 1e13)


@dataclass(frozen=True)
class PlaneAxes:
    """The two axes of a map inside a FITS image.

    Attributes
    ----------
    lon, lat
        FITS axis numbers (1-based) of the columns and rows of the map.
    index
        0-based position along every FITS axis (NAXIS1 first); 0 for ``lon`` and ``lat``, which are read whole.
    """

    lon: int
    lat: int
    index: tuple[int, ...]

    @property
    def is_transposed(self) -> bool:
        """Whether rows of the map run along the faster axis of the file."""
        return self.lon > self.lat


def locate_plane(cards: HeaderCards, shape: tuple[int, ...], *, plane: int | None, where: str) -> PlaneAxes:
    """Find the sky axes by CTYPE (else the first two axes longer than one pixel, else the first two) and the plane.

    Parameters
    ----------
    shape
        Axis lengths in FITS order.
    plane
        0-based plane along the further axes; of several such axes the first runs fastest.

    Raises
    ------
    InputError
        ``CubeNeedsPlane`` or ``PlaneOutOfRange``.
    """
    lon, lat = _sky_axes(cards, shape)
    others = [axis for axis in range(1, len(shape) + 1) if axis not in (lon, lat)]
    count = math.prod(shape[axis - 1] for axis in others)
    if plane is None and count > 1:
        names = " x ".join(f"{cards.text(f'CTYPE{axis}') or f'axis {axis}'}: {shape[axis - 1]}" for axis in others)
        raise InputError(
            "CubeNeedsPlane",
            f"{where} is a cube of {count} planes ({names}); choose one with --plane N "
            f"(plane=N), from 0 to {count - 1}",
        )
    if plane is not None and not 0 <= plane < count:
        raise InputError("PlaneOutOfRange", f"{where} has planes 0 to {count - 1}, there is no plane {plane}")
    index = [0] * len(shape)
    remainder = plane or 0
    for axis in others:
        remainder, index[axis - 1] = divmod(remainder, shape[axis - 1])
    return PlaneAxes(lon=lon, lat=lat, index=tuple(index))


def spectral_channel(cards: HeaderCards, axes: PlaneAxes) -> int:
    """0-based position along the spectral axis (the first further axis that is not STOKES); 0 without one."""
    for axis, position in enumerate(axes.index, start=1):
        if axis not in (axes.lon, axes.lat) and not cards.text(f"CTYPE{axis}").upper().startswith("STOKES"):
            return position
    return 0


def _sky_axes(cards: HeaderCards, shape: tuple[int, ...]) -> tuple[int, int]:
    lon = _axis_of(cards, len(shape), _LONGITUDE)
    lat = _axis_of(cards, len(shape), _LATITUDE)
    if lon and lat:
        return lon, lat
    long_axes = [axis for axis, length in enumerate(shape, start=1) if length > 1]
    return (long_axes[0], long_axes[1]) if len(long_axes) >= 2 else (1, 2)


def _axis_of(cards: HeaderCards, count: int, pattern: re.Pattern[str]) -> int | None:
    for axis in range(1, count + 1):
        if pattern.fullmatch(cards.text(f"CTYPE{axis}").upper()):
            return axis
    return None


def reference_frequency(cards: HeaderCards, axes: PlaneAxes) -> float | None:
    """Frequency in Hz of the plane, from a FREQ axis (also a left-over one), else RESTFRQ or FREQ; None if unknown."""
    for axis in range(1, 10):
        if not cards.text(f"CTYPE{axis}").upper().startswith("FREQ"):
            continue
        position = axes.index[axis - 1] if axis <= len(axes.index) else 0
        value = cards.number(f"CRVAL{axis}")
        pixel, step = cards.number(f"CRPIX{axis}") or 0.0, cards.number(f"CDELT{axis}") or 0.0
        unit = _HERTZ.get(cards.text(f"CUNIT{axis}").upper())
        if value is None or unit is None:
            continue
        offset = (position + 1 - pixel) * step if axis <= len(axes.index) else 0.0
        if _is_plausible(frequency := (value + offset) * unit):
            return frequency
    for keyword in ("RESTFRQ", "RESTFREQ", "FREQ"):
        rest = cards.number(keyword)
        if rest is not None and _is_plausible(rest):
            return rest
    return None


def _is_plausible(frequency: float) -> bool:
    return _PLAUSIBLE_HERTZ[0] <= frequency <= _PLAUSIBLE_HERTZ[1]
