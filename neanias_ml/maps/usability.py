"""Whether a map can be searched at all: size, beam, and valid, varying pixels."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from neanias_ml.errors import InputError
from neanias_ml.maps.beam import FWHM_PER_SIGMA
from neanias_ml.maps.pixel_readers import FileReader
from neanias_ml.maps.radio_map import RadioMap
from neanias_ml.maps.windows import tile_grid

FEWEST_PIXELS_PER_SIDE = 8
FEWEST_PIXELS_PER_BEAM = 2.0
_ROUNDING = 0.99
"""Beams of exactly two pixels pass whatever the last digits of the header say."""
_FEWEST_PIXELS_PER_MINOR_AXIS = 1.0
_TILE = 2048


def require_usable_shape(shape: tuple[int, int], *, where: str) -> None:
    """Refuse maps under 8 x 8 pixels (``MapTooSmall``)."""
    if min(shape) < FEWEST_PIXELS_PER_SIDE:
        raise InputError(
            "MapTooSmall",
            f"{where} has {shape[1]} x {shape[0]} pixels; a map needs at least "
            f"{FEWEST_PIXELS_PER_SIDE} x {FEWEST_PIXELS_PER_SIDE}",
        )


def require_usable_beam(radio_map: RadioMap) -> None:
    """Refuse beams under two pixels or larger than the map (``BeamImplausible``), and maps narrower than a beam."""
    where = _name(radio_map)
    remedy = "check BMAJ and BMIN (degrees) and the pixel size, or give --beam MAJOR MINOR PA (arcsec, arcsec, deg)"
    eigenvalues = np.linalg.eigvalsh(radio_map.beam_covariance)
    minor, major = (FWHM_PER_SIGMA * float(value) ** 0.5 for value in np.maximum(eigenvalues, 0.0))
    size = f"{major:.3g} x {minor:.3g} pixels ({radio_map.beam})"
    if not np.isfinite(eigenvalues).all() or major > max(radio_map.shape):
        raise InputError(
            "BeamImplausible",
            f"the beam of {where}, {size}, is larger than the map of "
            f"{radio_map.shape[1]} x {radio_map.shape[0]}; {remedy}",
        )
    if (major * minor) ** 0.5 < _ROUNDING * FEWEST_PIXELS_PER_BEAM or minor < _FEWEST_PIXELS_PER_MINOR_AXIS:
        raise InputError(
            "BeamImplausible",
            f"the beam of {where}, {size}, is under {FEWEST_PIXELS_PER_BEAM:.0f} pixels and does not sample "
            f"a source; {remedy}",
        )
    if min(radio_map.shape) < (major * minor) ** 0.5:
        raise InputError(
            "MapTooSmall",
            f"{where} has {radio_map.shape[1]} x {radio_map.shape[0]} pixels, less than its beam of {size}",
        )


def require_usable_pixels(radio_map: RadioMap) -> RadioMap:
    """Read the map once, tile by tile, and refuse it when there is nothing to find.

    Returns
    -------
    RadioMap
        The map, with the flag ``NonFinite`` added when infinite pixels were taken for blank.

    Raises
    ------
    InputError
        ``NoValidPixels`` (all blank), ``ConstantMap``, ``MapTooSmall``, ``BeamImplausible``.
    """
    require_usable_shape(radio_map.shape, where=_name(radio_map))
    require_usable_beam(radio_map)
    reader = radio_map.reader
    read = reader.with_infinities if isinstance(reader, FileReader) else reader
    lowest, highest, has_infinite = np.inf, -np.inf, False
    for window in tile_grid(radio_map.shape, size=_TILE):
        pixels = read(window)
        low, high = float(np.fmin.reduce(pixels, axis=None)), float(np.fmax.reduce(pixels, axis=None))
        if math.isinf(low) or math.isinf(high):
            has_infinite = True
            finite = np.where(np.isinf(pixels), np.nan, pixels)
            low, high = float(np.fmin.reduce(finite, axis=None)), float(np.fmax.reduce(finite, axis=None))
        if not math.isnan(low):
            lowest, highest = min(lowest, low), max(highest, high)
    if lowest > highest:
        raise InputError("NoValidPixels", f"all pixels of {_name(radio_map)} are blank; give another map or plane")
    if lowest == highest:
        raise InputError("ConstantMap", f"all pixels of {_name(radio_map)} are {lowest:g}; there is nothing to find")
    if has_infinite and "NonFinite" not in radio_map.flags:
        return dataclasses.replace(radio_map, flags=(*radio_map.flags, "NonFinite"))
    return radio_map


def _name(radio_map: RadioMap) -> str:
    return str(radio_map.source.path) if radio_map.source.path else "the map"
