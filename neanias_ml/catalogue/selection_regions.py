"""DS9 region files: which rows of a catalogue lie inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neanias_ml.errors import InputError
from neanias_ml.evaluation import sky_offsets
from neanias_ml.maps.ds9_words import SHAPE, position_of, positions_of, size_of, words_of

FloatArray = NDArray[np.float64]
TruthArray = NDArray[np.bool_]
SYSTEMS = {
    "icrs": "icrs", "fk5": "icrs", "j2000": "icrs", "fk4": "fk4", "b1950": "fk4", "galactic": "galactic",
    "image": "image", "physical": "image",
}  # fmt: skip
"""Coordinate systems that are read, and the one that each is taken for (FK5 and ICRS agree within 0.1 arcsec)."""
SHAPES = {"circle": (3,), "ellipse": (4, 5), "box": (4, 5), "polygon": (), "annulus": ()}
POINTS = ("point", "text", "vector", "line", "ruler", "segment")
"""Shapes without an inside, which select nothing."""
_LABEL = re.compile(r"(?:text|tag)=(?:\{([^}]*)\}|\"([^\"]*)\"|'([^']*)')")
_PROPERTY = re.compile(r"^\s*(global|#|$)")
ARCSEC = 3600.0
"""Of a degree."""


@dataclass(frozen=True)
class Region:
    """One shape.

    Attributes
    ----------
    shape
        ``circle``, ``ellipse``, ``box``, ``polygon`` or ``annulus``.
    system
        ``icrs``, ``fk4``, ``galactic`` or ``image``.
    position
        (K, 2) degrees or 0-based pixels: the centre, or the vertices of a polygon.
    sizes
        Radii or full widths, arcsec or pixels.
    angle
        Of the first axis, degrees anticlockwise from west (from +x in pixels), as DS9 counts.
    include
        False for a region with a minus sign, whose inside is taken out.
    label
        Its text, or its first tag.
    """

    shape: str
    system: str
    position: FloatArray
    sizes: tuple[float, ...]
    angle: float
    include: bool
    label: str


def read_regions(path: Path | str) -> tuple[Region, ...]:
    """Read the circles, ellipses, boxes, polygons and annuli of a DS9 region file.

    Raises
    ------
    InputError
        ``RegionsUnreadable`` with the line that is not understood, ``NoRegions`` if no shape has an inside.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError("RegionsUnreadable", f"the region file {path} cannot be read ({error.strerror})") from error
    regions, system = [], "physical"
    for number, line in enumerate(lines, start=1):
        if _PROPERTY.match(line):
            continue
        body, _, remark = line.partition("#")
        for part in body.split(";"):
            word = part.strip().lower()
            if word in SYSTEMS:
                system = word
            elif word:
                place = f"line {number} of the region file {path}"
                region = _region(part, remark, SYSTEMS[system], place=place)
                regions += [region] if region is not None else []
    if not regions:
        raise InputError("NoRegions", f"{path} holds no circle, ellipse, box, polygon or annulus")
    return tuple(regions)


def inside_any(
    regions: tuple[Region, ...], *, ra: FloatArray, dec: FloatArray, x: FloatArray, y: FloatArray
) -> NDArray[np.int64]:
    """Number of the region, counted from 0, that each row (N,) lies in; -1 in none.

    The first region counts. Rows in a region with a minus sign are in none; where a file has no others, all that is
    outside of them counts as inside (of the first). Rows without a position in a region's system are outside of it.

    Parameters
    ----------
    ra, dec
        ICRS degrees (N,), NaN where unknown.
    x, y
        0-based pixels (N,), NaN where unknown.
    """
    owner = np.full(len(ra), -1, dtype=np.int64)
    taken_out = np.zeros(len(ra), dtype=bool)
    places: dict[str, tuple[FloatArray, FloatArray]] = {"image": (x, y), "icrs": (ra, dec)}
    for number, region in enumerate(regions):
        if region.system not in places:
            places[region.system] = _in_system(region.system, ra, dec)
        inside = _inside(region, *places[region.system])
        if region.include:
            owner[inside & (owner < 0)] = number
        else:
            taken_out |= inside
    if not any(region.include for region in regions):
        owner[:] = 0
    owner[taken_out] = -1
    return owner


def _region(part: str, remark: str, system: str, *, place: str) -> Region | None:
    """One shape of a line; None for shapes without an inside."""
    found = SHAPE.match(part)
    shape = found["shape"].lower() if found else ""
    if found is None or (shape not in SHAPES and shape not in POINTS):
        raise InputError(
            "RegionsUnreadable",
            f"{place} is not understood ({part.strip()[:60]!r}); shapes are {', '.join(SHAPES)}, systems "
            f"{', '.join(SYSTEMS)}",
        )
    if shape in POINTS:
        return None
    words = words_of(found["numbers"])
    label = _LABEL.search(remark)
    try:
        position, sizes, angle = _numbers(shape, words, system)
    except ValueError as error:
        raise InputError("RegionsUnreadable", f"{place}: {error} ({part.strip()[:60]!r})") from error
    text = next((group for group in label.groups() if group is not None), "") if label else ""
    return Region(shape, system, position, sizes, angle, found["sign"] != "-", text)


def _numbers(shape: str, words: list[str], system: str) -> tuple[FloatArray, tuple[float, ...], float]:
    """Positions, sizes and angle of a shape."""
    if shape == "polygon":
        return np.array(positions_of(words, system)), (), 0.0
    if len(words) < 4 if shape == "annulus" else len(words) not in SHAPES[shape]:
        raise ValueError(f"{shape} with {len(words)} numbers")
    n_sizes = {"circle": 1, "ellipse": 2, "box": 2}.get(shape, len(words) - 2)
    unit = 1.0 if system == "image" else ARCSEC
    sizes = tuple(unit * size_of(word, system) for word in words[2 : 2 + n_sizes])
    angle = float(words[2 + n_sizes].rstrip("d")) if len(words) > 2 + n_sizes else 0.0
    return np.array([position_of(words[0], words[1], system)]), sizes, angle


def _in_system(system: str, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
    """ICRS positions in another frame, NaN where they are unknown."""
    from astropy.coordinates import SkyCoord

    known = np.isfinite(ra) & np.isfinite(dec)
    longitude, latitude = np.full(len(ra), np.nan), np.full(len(ra), np.nan)
    moved = SkyCoord(ra[known], dec[known], unit="deg", frame="icrs").transform_to(system)
    longitude[known], latitude[known] = moved.spherical.lon.deg, moved.spherical.lat.deg
    return longitude, latitude


def _inside(region: Region, first: FloatArray, second: FloatArray) -> TruthArray:
    """Rows (N,) inside one shape; NaN positions are not."""
    if region.shape == "polygon":
        return _inside_polygon(region, first, second)
    centre = np.broadcast_to(region.position[0], (len(first), 2))
    if region.system == "image":
        along, up = first - centre[:, 0], second - centre[:, 1]
    else:
        east, up = sky_offsets(centre[:, 0], centre[:, 1], first, second)
        along = -east
    turn = np.radians(region.angle)
    u, v = along * np.cos(turn) + up * np.sin(turn), up * np.cos(turn) - along * np.sin(turn)
    if region.shape == "box":
        return (np.abs(u) <= region.sizes[0] / 2) & (np.abs(v) <= region.sizes[1] / 2)
    if region.shape == "ellipse":
        return (u / max(region.sizes[0], 1e-300)) ** 2 + (v / max(region.sizes[1], 1e-300)) ** 2 <= 1.0
    distance = np.hypot(u, v)
    if region.shape == "annulus":
        return (distance >= min(region.sizes)) & (distance <= max(region.sizes))
    return distance <= region.sizes[0]


def _inside_polygon(region: Region, first: FloatArray, second: FloatArray) -> TruthArray:
    """Even-odd rule in the plane; on the sky in the gnomonic plane, where great circles are straight lines."""
    corners, points = region.position, np.stack([first, second], axis=1)
    ahead = np.isfinite(points).all(axis=1)
    if region.system != "image":
        vectors = _unit_vectors(corners)
        pole = vectors.mean(axis=0)
        pole /= max(np.linalg.norm(pole), 1e-300)
        east = np.cross([0.0, 0.0, 1.0] if abs(pole[2]) < 0.9 else [1.0, 0.0, 0.0], pole)
        east /= np.linalg.norm(east)
        axes = np.stack([east, np.cross(pole, east)], axis=1)
        towards = _unit_vectors(points)
        ahead &= towards @ pole > 1e-9
        with np.errstate(all="ignore"):
            corners, points = vectors @ axes / (vectors @ pole)[:, None], towards @ axes / (towards @ pole)[:, None]
    inside = np.zeros(len(points), dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (y1 > points[:, 1]) != (y2 > points[:, 1])
        if y1 != y2:
            inside ^= crosses & (points[:, 0] < (x2 - x1) * (points[:, 1] - y1) / (y2 - y1) + x1)
    return inside & ahead


def _unit_vectors(places: FloatArray) -> FloatArray:
    alpha, delta = np.radians(places[:, 0]), np.radians(places[:, 1])
    return np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)], axis=1)
