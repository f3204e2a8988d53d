"""The restoring beam from the user, header cards, AIPS history or CASA's beams table."""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.io import fits
from numpy.typing import NDArray

from neanias_ml.errors import InputError
from neanias_ml.maps.beam import Beam
from neanias_ml.maps.file_gate import FileLayout, HduLayout, open_bytes
from neanias_ml.maps.header_cards import HeaderCards

_FLOAT = r"([+-]?[\d.]+(?:[EeDd][+-]?\d+)?)"
_AIPS_CLEAN = re.compile(rf"CLEAN\s+BMAJ\s*=\s*{_FLOAT}\s+BMIN\s*=\s*{_FLOAT}\s+BPA\s*=\s*{_FLOAT}", re.IGNORECASE)
_MAX_TABLE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class BeamResult:
    """A beam and the flags that say where it came from."""

    beam: Beam
    flags: tuple[str, ...] = ()


def beam_from_file(layout: FileLayout, hdu: HduLayout, *, channel: int | None, where: str) -> BeamResult:
    """Beam of a map: BMAJ/BMIN/BPA (degrees), else AIPS history, else CASA's beams table.

    Raises
    ------
    InputError
        ``BeamMissing`` or ``BeamImplausible``.
    """
    cards = hdu.cards
    if "BMAJ" in cards or "BMIN" in cards:
        return _from_cards(cards, where=where)
    if (axes := _history_beam(cards)) is not None:
        return BeamResult(ordered_beam(*axes, where=where), flags=("BeamFromHistory",))
    if (axes := _table_beam(layout, channel=channel)) is not None:
        return BeamResult(ordered_beam(*axes, where=where), flags=("BeamFromTable",))
    raise InputError(
        "BeamMissing",
        f"{where} has no beam (BMAJ, BMIN, BPA, AIPS history or beams table); "
        "give it with --beam MAJOR MINOR PA (arcsec, arcsec, deg)",
    )


def ordered_beam(major: float, minor: float, position_angle: float, *, where: str) -> Beam:
    """Beam with the axes in order (swapping turns the angle by 90 degrees).

    Raises
    ------
    InputError
        ``BeamImplausible`` for axes that are not finite and positive.
    """
    if not (math.isfinite(major) and math.isfinite(minor) and major > 0 and minor > 0):
        raise InputError(
            "BeamImplausible",
            f"{where} has a beam of {major} x {minor} deg; give the right one with --beam MAJOR MINOR PA "
            "(arcsec, arcsec, deg)",
        )
    if not math.isfinite(position_angle):
        position_angle = 0.0
    if minor > major:
        major, minor, position_angle = minor, major, (position_angle + 90.0) % 180.0
    return Beam(major=major, minor=minor, position_angle=position_angle)


def _from_cards(cards: HeaderCards, *, where: str) -> BeamResult:
    major, minor = cards.number("BMAJ"), cards.number("BMIN")
    angle = cards.number("BPA")
    flags = ("BeamCircularAssumed",) if (major is None) != (minor is None) else ()
    first = next((value for value in (major, minor) if value is not None), math.nan)
    axes = (first if major is None else major, first if minor is None else minor)
    return BeamResult(ordered_beam(*axes, angle if angle is not None else 0.0, where=where), flags=flags)


def _history_beam(cards: HeaderCards) -> tuple[float, float, float] | None:
    """Axes and angle of the last CLEAN line that AIPS wrote; later lines describe later restorations."""
    for line in reversed(cards.history):
        if match := _AIPS_CLEAN.search(line):
            try:
                major, minor, angle = (float(text.upper().replace("D", "E")) for text in match.groups())
            except ValueError:
                continue
            return major, minor, angle
    return None


def _table_beam(layout: FileLayout, *, channel: int | None) -> tuple[float, float, float] | None:
    """Axes (degrees) and angle of the channel's row in CASA's BEAMS table, of the median row without a channel."""
    table = next((hdu for hdu in layout.hdus if hdu.name == "BEAMS" and not hdu.is_image), None)
    if table is None or table.data_bytes > _MAX_TABLE_BYTES:
        return None
    try:
        rows = _beam_rows(layout, table.index)
    except (OSError, ValueError, KeyError, TypeError, fits.VerifyError):
        return None  # a damaged table is as good as none: the caller names the remedy
    is_sound = np.isfinite(rows).all(axis=1) & (rows[:, 0] > 0) & (rows[:, 1] > 0)
    if channel is not None and channel < len(rows) and is_sound[channel]:
        major, minor, angle = rows[channel]
    elif is_sound.any():
        sound = rows[is_sound]
        areas = sound[:, 0] * sound[:, 1]
        major, minor, angle = sound[np.argsort(areas)[len(areas) // 2]]
    else:
        return None
    return float(major), float(minor), float(angle)


def _beam_rows(layout: FileLayout, index: int) -> NDArray[np.float64]:
    """(N, 3) major, minor, position angle in degrees."""
    with warnings.catch_warnings(), open_bytes(layout.path, gzipped=layout.is_gzip) as file:
        warnings.simplefilter("ignore")
        source = io.BytesIO(os.pread(file.fileno(), _MAX_TABLE_BYTES, 0)) if layout.is_gzip else file
        with fits.open(source) as hdus:
            data, columns = hdus[index].data, hdus[index].columns
            defaults = {"BMAJ": "arcsec", "BMIN": "arcsec", "BPA": "deg"}
            values = [
                np.asarray(data[name], dtype=np.float64).ravel() * u.Unit(columns[name].unit or unit).to(u.deg)
                for name, unit in defaults.items()
            ]
    return np.column_stack(values)
