"""Brightness units of maps and their conversion to Jy/beam."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from neanias_ml.errors import InputError
from neanias_ml.maps.beam import Beam

_LIGHT_SPEED = 299792458.0
_BOLTZMANN = 1.380649e-23
_JANSKY = 1e-26
_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "k": 1e3, "M": 1e6}
_PREFIX_NAMES = {"milli": "m", "micro": "u", "mu": "u"}
_PER_BEAM = ("beam", "bm", "beams", "bms", "beamarea")
_PER_PIXEL = ("pixel", "pix", "px", "pixels")
_PER_AREA = {"sr": 1.0, "arcsec2": math.radians(1 / 3600) ** 2, "arcmin2": math.radians(1 / 60) ** 2}
_PER_AREA |= {"deg2": math.radians(1.0) ** 2, "asec2": _PER_AREA["arcsec2"], "sqarcsec": _PER_AREA["arcsec2"]}


@dataclass(frozen=True)
class UnitScale:
    """Factor from stored values to Jy/beam, the unit's text as used, and flags."""

    factor: float
    unit: str
    flags: tuple[str, ...] = ()


def scale_to_jansky_per_beam(
    unit: str, *, beam: Beam, beam_area: float, frequency: float | None, where: str
) -> UnitScale:
    """Factor that turns values in ``unit`` (the text of BUNIT) into Jy/beam.

    Parameters
    ----------
    beam_area
        Beam solid angle in pixels, for Jy/pixel.
    frequency
        Hz, for brightness temperatures (Rayleigh-Jeans).

    Raises
    ------
    InputError
        ``UnitUnknown`` or ``FrequencyMissing``.
    """
    if not unit.strip():
        return UnitScale(factor=1.0, unit="Jy/beam", flags=("UnitAssumed",))
    if (prefix := _kelvin_prefix(unit)) is not None:
        if frequency is None:
            raise InputError(
                "FrequencyMissing",
                f"{where} is in {unit!r} and has no frequency to convert it to Jy/beam; add a RESTFRQ card in Hz",
            )
        return UnitScale(factor=prefix * jansky_per_kelvin(beam, frequency=frequency), unit=unit)
    jansky = _split_jansky(unit)
    if jansky is None:
        raise InputError(
            "UnitUnknown",
            f"{where} has brightness unit {unit!r}, which is not known; set BUNIT to Jy/beam, mJy/beam, K or Jy/pixel",
        )
    prefix, per, flags = jansky
    if per in _PER_BEAM:
        return UnitScale(factor=prefix, unit=unit, flags=flags)
    if per in _PER_PIXEL:
        return UnitScale(factor=prefix * beam_area, unit=unit, flags=flags)
    solid_angle = beam.area * math.radians(1.0) ** 2
    return UnitScale(factor=prefix * solid_angle / _PER_AREA[per], unit=unit, flags=flags)


def jansky_per_kelvin(beam: Beam, *, frequency: float) -> float:
    """Jy/beam of one kelvin of Rayleigh-Jeans brightness temperature at ``frequency`` in Hz."""
    solid_angle = beam.area * math.radians(1.0) ** 2
    return 2.0 * _BOLTZMANN * frequency**2 / _LIGHT_SPEED**2 * solid_angle / _JANSKY


def _kelvin_prefix(unit: str) -> float | None:
    match = re.fullmatch(r"(m|u|µ|n|k|M)?\s*K(?:elvin)?s?(?:\s*\(?\s*T_?[bB]\s*\)?)?|(kelvin|KELVIN)", unit.strip())
    return _PREFIXES[match[1] or ""] if match else None


def _split_jansky(unit: str) -> tuple[float, str, tuple[str, ...]] | None:
    """Prefix factor, the 'per' part, and flags of a flux density per something."""
    unit = re.sub(r"^\s*([A-Za-z]+)\s*(?:\^|\*\*)?\(?-1\)?[\s.*]+(\S+)\s*$", r"\2/\1", unit)  # beam-1 Jy
    match = re.fullmatch(r"([a-zA-Zµ]*?)\s*(Jy|JY|jy|Jansky|jansky|JANSKY)(.*)", unit.strip())
    if match is None:
        return None
    per = re.sub(r"[\s./*()^]|\*\*", "", match[3].lower().replace("per", ""))
    per = re.sub(r"-1$", "", per).replace("-", "")
    if per not in (*_PER_BEAM, *_PER_PIXEL, *_PER_AREA):
        return None
    prefix = _PREFIX_NAMES.get(match[1].lower(), match[1])
    if match[2] == "JY" and prefix == "M" and per not in _PER_AREA:
        return 1e-3, per, ("UnitCaseAssumed",)  # all capitals: milli, as no map is in megajansky per beam
    if prefix not in _PREFIXES:
        prefix = prefix.lower()
    return (_PREFIXES[prefix], per, ()) if prefix in _PREFIXES else None
