"""Sky geometry from header cards: any projection astropy knows, legacy NCP, old and new keywords.

The WCS is built from the cards of the two sky axes alone, so that a damaged spectral or Stokes axis cannot spoil it.
Whatever cannot be trusted is refused: no map gets silently wrong positions.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.wcs import WCS, Sip
from numpy.typing import NDArray

from neanias_ml.maps.header_axes import PlaneAxes
from neanias_ml.maps.header_cards import HeaderCards
from neanias_ml.maps.sky import SkyFrame

_CTYPE = re.compile(r"(RA|DEC|[A-Z]LON|[A-Z]LAT|[A-Z]{2}LN|[A-Z]{2}LT)-+([A-Z]{3})(-SIP)?")
_DEGREES = {"": 1.0, "DEG": 1.0, "DEGREE": 1.0, "DEGREES": 1.0, "ARCMIN": 1 / 60, "ARCSEC": 1 / 3600}
_DEGREES |= {"RAD": math.degrees(1.0), "RADIAN": math.degrees(1.0), "MAS": 1 / 3.6e6}
_FRAME_SYNONYMS = {"J2000": "FK5", "FK5J2000": "FK5", "B1950": "FK4", "FK4-NO-E": "FK4-NO-E", "GAPPT": ""}
_FRAME_AXES = (("RA", "DEC"), ("GLON", "GLAT"))
_LARGEST_STEP = 360.0
_WCSLIB_PLACE = re.compile(r"ERROR \d+ in \w+\(\) at line \d+ of file \S+: ")
"""Places in the source of wcslib, which its messages begin with and no user can use."""
_KNOWN_FRAMES = ("ICRS", "FK5", "FK4", "FK4-NO-E")


class UnusableWcsError(ValueError):
    """The header's sky geometry cannot be used; the text says why."""


@dataclass(frozen=True)
class SkyResult:
    """Sky geometry of a map, or why there is none.

    Attributes
    ----------
    sky
        Geometry, or None.
    pixel_scale
        Geometric-mean pixel size in degrees, also from bare CDELT cards; None when unknown.
    flags
        ``NoWcs`` (no celestial axes) or ``BadWcs`` (there are, but they cannot be used); ``FrameAssumed``.
    reason
        Why ``sky`` is None, in words that complete a sentence.
    """

    sky: SkyFrame | None
    pixel_scale: float | None
    flags: tuple[str, ...] = ()
    reason: str = ""


def sky_from_cards(cards: HeaderCards, axes: PlaneAxes, *, shape: tuple[int, int]) -> SkyResult:
    """Sky geometry of the map with ``shape`` (ny, nx) on the given axes."""
    has_celestial = any(_CTYPE.fullmatch(cards.text(f"CTYPE{axis}").upper()) for axis in (axes.lon, axes.lat))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            wcs, flags = _celestial_wcs(cards, axes)
            sky = SkyFrame(wcs, shape=shape)
            scale = sky.pixel_scale
            if not math.isfinite(scale) or scale <= 0:
                raise UnusableWcsError("the pixel size at the map's centre is not finite")
    except (ValueError, np.linalg.LinAlgError) as error:  # astropy's WCS errors are ValueErrors
        reason = _WCSLIB_PLACE.sub("", " ".join(str(error).split())).rstrip(".")
        flag = "BadWcs" if has_celestial else "NoWcs"
        return SkyResult(sky=None, pixel_scale=_bare_pixel_scale(cards, axes), flags=(flag,), reason=reason)
    return SkyResult(sky=sky, pixel_scale=scale, flags=flags)


def _celestial_wcs(cards: HeaderCards, axes: PlaneAxes) -> tuple[WCS, tuple[str, ...]]:
    pair = (axes.lon, axes.lat)
    matches = [_CTYPE.fullmatch(cards.text(f"CTYPE{axis}").upper()) for axis in pair]
    if matches[0] is None or matches[1] is None:
        shown = ", ".join(repr(cards.text(f"CTYPE{axis}")) for axis in pair)
        raise UnusableWcsError(f"CTYPE {shown} are not a pair of celestial axes")
    names, projection = [match[1] for match in matches if match], matches[0][2]
    if tuple(names) not in _FRAME_AXES or matches[1][2] != projection:
        raise UnusableWcsError(f"CTYPE {matches[0][0]}, {matches[1][0]} are not one equatorial or Galactic projection")
    units = np.array([_degrees_per_unit(cards, axis) for axis in pair])
    wcs = WCS(naxis=2)
    if projection == "NCP":
        projection = "SIN"
        declination = math.radians(_required(cards, f"CRVAL{axes.lat}") * units[1])
        if abs(math.sin(declination)) < 1e-6:
            raise UnusableWcsError("an NCP projection cannot be centred on the equator")
        parameters = [(2, 1, 0.0), (2, 2, 1.0 / math.tan(declination))]
    else:
        parameters = _projection_parameters(cards, axes)
    suffix = "-SIP" if matches[0][3] else ""
    wcs.wcs.ctype = [name.ljust(4, "-") + "-" + projection + suffix for name in names]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [_required(cards, f"CRPIX{axis}") for axis in pair]
    wcs.wcs.crval = [_required(cards, f"CRVAL{axis}") for axis in pair] * units
    wcs.wcs.cdelt, wcs.wcs.pc = _linear_part(cards, axes, units=units)
    wcs.wcs.set_pv(parameters)
    for keyword, name in (("LONPOLE", "lonpole"), ("LATPOLE", "latpole")):
        if (value := cards.number(keyword)) is not None and abs(value) <= 360:
            setattr(wcs.wcs, name, value)
    flags = _set_frame(wcs, cards) if names[0] == "RA" else ()
    if suffix:
        wcs.sip = _sip(cards, wcs)
    wcs.wcs.fix()
    wcs.wcs.set()
    return wcs, flags


def _required(cards: HeaderCards, keyword: str) -> float:
    value = cards.number(keyword)
    if value is None or not math.isfinite(value):
        raise UnusableWcsError(f"{keyword} is {cards.text(keyword) or 'missing'}")
    return value


def _degrees_per_unit(cards: HeaderCards, axis: int) -> float:
    unit = cards.text(f"CUNIT{axis}").upper()
    if unit not in _DEGREES:
        raise UnusableWcsError(f"CUNIT{axis} {unit!r} is not an angle")
    return _DEGREES[unit]


def _matrix_cards(cards: HeaderCards, name: str, axes: PlaneAxes) -> NDArray[np.float64] | None:
    """The 2 x 2 part of a CD or PC matrix on the sky axes (``PC1_2``, ``PC01_02`` or ``PC001002``), if any is given."""
    place = {axes.lon: 0, axes.lat: 1}
    found = list(cards.matching(name + r"0*(\d+)_0*(\d+)")) + list(cards.matching(name + r"(\d{3})(\d{3})"))
    matrix = np.eye(2) if name == "PC" else np.zeros((2, 2))
    is_given = False
    for match, value in found:
        row, column = place.get(int(match[1])), place.get(int(match[2]))
        if row is not None and column is not None:
            matrix[row, column] = value
            is_given = True
    return matrix if is_given else None


def _linear_part(
    cards: HeaderCards, axes: PlaneAxes, *, units: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CDELT (2,) in degrees and the PC matrix (2, 2) that the header means by CD, PC or CROTA."""
    pair = (axes.lon, axes.lat)
    cd, pc = _matrix_cards(cards, "CD", axes), _matrix_cards(cards, "PC", axes)
    if cd is not None and cd.any():
        norms = np.hypot(cd[:, 0], cd[:, 1])
        steps = np.where(np.diagonal(cd) < 0, -norms, norms) * units
        matrix = cd * units[:, np.newaxis] / np.where(steps == 0, 1.0, steps)[:, np.newaxis]
    else:
        steps = np.array([_step(cards, axis, has_pc=pc is not None) for axis in pair]) * units
        matrix = pc if pc is not None else _rotation(cards, axes, steps)
    linear = matrix * steps[:, np.newaxis]
    largest = np.max(np.abs(linear))
    if not (np.isfinite(matrix).all() and largest < _LARGEST_STEP):
        raise UnusableWcsError(f"CD, PC or CDELT is not finite or over {_LARGEST_STEP:g} deg")
    if abs(np.linalg.det(linear)) < 1e-10 * max(largest**2, 1e-24):
        raise UnusableWcsError("the CD, PC or CDELT cards are zero or singular")
    return steps, matrix


def _step(cards: HeaderCards, axis: int, *, has_pc: bool) -> float:
    if has_pc and f"CDELT{axis}" not in cards:
        return 1.0  # the standard's default; the scale is then in the PC matrix
    return _required(cards, f"CDELT{axis}")


def _rotation(cards: HeaderCards, axes: PlaneAxes, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """PC matrix of the old CROTA card of the latitude axis."""
    angle = math.radians(cards.number(f"CROTA{axes.lat}") or 0.0)
    ratio = steps[1] / steps[0] if steps[0] and steps[1] else 1.0
    return np.array(
        [
            [math.cos(angle), -math.sin(angle) * ratio],
            [math.sin(angle) / ratio, math.cos(angle)],
        ]
    )


def _projection_parameters(cards: HeaderCards, axes: PlaneAxes) -> list[tuple[int, int, float]]:
    place = {axes.lon: 1, axes.lat: 2}
    parameters = [(2, int(match[1]), value) for match, value in cards.matching(r"PROJP(\d)")]
    for match, value in cards.matching(r"PV(\d+)_(\d+)"):
        if (axis := place.get(int(match[1]))) is not None:
            parameters.append((axis, int(match[2]), value))
    if not all(math.isfinite(value) for *_, value in parameters):
        raise UnusableWcsError("a PV card is not finite")
    return parameters


def _set_frame(wcs: WCS, cards: HeaderCards) -> tuple[str, ...]:
    """Reference frame of equatorial axes by the rules of the standard (missing RADESYS: from the equinox)."""
    text = (cards.text("RADESYS") or cards.text("RADECSYS")).upper()
    system = _FRAME_SYNONYMS.get(text, text)
    equinox = _equinox(cards)
    flags: tuple[str, ...] = ()
    if system not in _KNOWN_FRAMES:
        flags = ("FrameAssumed",) if text else ()
        system = "ICRS" if equinox is None else "FK4" if equinox < 1984.0 else "FK5"
    wcs.wcs.radesys = system
    if system != "ICRS":
        wcs.wcs.equinox = equinox if equinox is not None else (2000.0 if system == "FK5" else 1950.0)
    return flags


def _equinox(cards: HeaderCards) -> float | None:
    for keyword in ("EQUINOX", "EPOCH"):
        text = cards.text(keyword).upper().lstrip("BJ")
        try:
            value = float(text)
        except ValueError:
            continue
        if 1800.0 <= value <= 2200.0:
            return value
    return None


def _sip(cards: HeaderCards, wcs: WCS) -> Sip:
    tables: list[NDArray[np.float64] | None] = []
    for name in ("A", "B", "AP", "BP"):
        order = cards.integer(f"{name}_ORDER")
        if order is None or not 0 <= order <= 9:
            tables.append(None)
            continue
        table = np.zeros((order + 1, order + 1))
        for match, value in cards.matching(name + r"_(\d)_(\d)"):
            if int(match[1]) <= order and int(match[2]) <= order:
                table[int(match[1]), int(match[2])] = value
        tables.append(table)
    return Sip(*tables, wcs.wcs.crpix)


def _bare_pixel_scale(cards: HeaderCards, axes: PlaneAxes) -> float | None:
    """Geometric-mean |CDELT| in degrees where it is a believable pixel size (0.1 mas to 10 deg)."""
    try:
        with np.errstate(all="ignore"):
            units = np.array([_degrees_per_unit(cards, axis) for axis in (axes.lon, axes.lat)])
            steps, matrix = _linear_part(cards, axes, units=units)
    except UnusableWcsError:
        return None
    scale = math.sqrt(abs(float(np.linalg.det(matrix * steps[:, np.newaxis]))))
    smallest, largest = (0.1 * u.mas).to_value(u.deg), 10.0
    is_default = np.all(np.abs(steps) == 1.0)  # 1 "degree" is what software writes that knows no pixel size
    return scale if smallest <= scale <= largest and not is_default else None
