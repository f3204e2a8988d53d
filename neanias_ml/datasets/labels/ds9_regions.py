"""DS9 region files: shapes with their text and tags, and the pixels of a map inside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.labels.files import Report, refuse
from neanias_ml.datasets.labels.polygons import polygon_pixels
from neanias_ml.errors import InputError
from neanias_ml.maps import SkyFrame, tangent_offsets
from neanias_ml.maps.ds9_words import SHAPE, position_of, positions_of, size_of, words_of

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]
SYSTEMS = {
    "icrs": "icrs", "fk5": "fk5", "j2000": "fk5", "fk4": "fk4", "b1950": "fk4", "galactic": "galactic",
    "image": "image", "physical": "image",
}  # fmt: skip
SIZES = {"circle": 1, "ellipse": 2, "box": 2}
"""Radii or sides of the shapes that have a centre."""
WITHOUT_INSIDE = ("point", "text", "vector", "line", "ruler", "segment", "projection", "compass")
_PROPERTY = re.compile(
    r"\b(?P<name>text|tag)\s*=\s*(?:\{(?P<braces>[^}]*)\}|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')"
)


@dataclass(frozen=True)
class Ds9Shape:
    """One circle, ellipse, box or polygon.

    Attributes
    ----------
    shape
        Its name.
    system
        ``icrs``, ``fk5``, ``fk4``, ``galactic`` or ``image``.
    position
        (K, 2) degrees or 0-based pixels: the centre, or the vertices of a polygon.
    sizes
        Radii or full sides, degrees or pixels.
    angle
        Of the first axis, degrees anticlockwise from the west of ``system`` (from +x in pixels), as DS9 counts.
    include
        False for a shape with a minus sign.
    text, tags
        What the shape is called.
    line
        Number of its line in the file.
    """

    shape: str
    system: str
    position: FloatArray
    sizes: tuple[float, ...]
    angle: float
    include: bool
    text: str
    tags: tuple[str, ...]
    line: int


def read_shapes(path: Path, *, report: Report = refuse) -> list[Ds9Shape]:
    """Shapes of a file; those without an inside are passed over.

    Raises
    ------
    InputError
        ``LabelsMissing`` or ``RegionsUnreadable``, with the line that is not understood.
    """
    found: list[Ds9Shape] = []
    system = "physical"
    for number, line in enumerate(region_lines(path), start=1):
        if re.match(r"^\s*(global\b|#|$)", line):
            continue
        body, _, remark = line.partition("#")
        for part in filter(None, (part.strip() for part in body.split(";"))):
            if part.lower() in SYSTEMS:
                system = part.lower()
                continue
            try:
                shape = _shape(part, remark, SYSTEMS[system], number)
            except ValueError as error:
                place = f"line {number} of the region file {path}"
                report(InputError("RegionsUnreadable", f"{place} is not understood: {error} ({part[:60]!r})"))
                continue
            found += [shape] if shape is not None else []
    return found


def region_lines(path: Path) -> list[str]:
    """Lines of a region file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError as error:
        raise InputError("LabelsMissing", f"there is no region file {path}") from error
    except OSError as error:
        raise InputError("RegionsUnreadable", f"the region file {path} cannot be read ({error.strerror})") from error


def pixels_inside(shape: Ds9Shape, image_shape: tuple[int, int], sky: SkyFrame | None) -> Mask:
    """(ny, nx) bool: pixels whose centres lie inside a shape.

    Polygons on the sky have straight sides in the pixels; circles, ellipses and boxes are taken in the tangent plane
    at their centre.

    Raises
    ------
    ValueError
        If the shape is on the sky and the image has no coordinates, or lies beyond the map's projection.
    """
    ny, nx = image_shape
    if shape.system != "image" and sky is None:
        raise ValueError(f"it is in {shape.system} coordinates and the image has none")
    if shape.shape == "polygon":
        vertices = shape.position if sky is None or shape.system == "image" else _to_pixels(shape, sky)
        return polygon_pixels(vertices, image_shape)
    y, x = np.mgrid[:ny, :nx].astype(np.float64)
    if shape.system == "image" or sky is None:
        along, up = x - shape.position[0, 0], y - shape.position[0, 1]
    else:
        centre = _to_icrs(shape)
        _to_pixels(shape, sky)
        ra, dec = sky.to_sky(x.ravel(), y.ravel())
        with np.errstate(invalid="ignore"):
            east, north = tangent_offsets(centre[0, 0], centre[0, 1], ra, dec)
        along, up = -east.reshape(ny, nx), north.reshape(ny, nx)
    turn = np.radians(shape.angle + _north_of_system(shape))
    u, v = along * np.cos(turn) + up * np.sin(turn), up * np.cos(turn) - along * np.sin(turn)
    with np.errstate(invalid="ignore", divide="ignore"):
        if shape.shape == "box":
            return np.asarray((np.abs(u) <= shape.sizes[0] / 2) & (np.abs(v) <= shape.sizes[1] / 2))
        first, second = shape.sizes[0], shape.sizes[-1]
        return np.asarray((u / first) ** 2 + (v / second) ** 2 <= 1.0)


def _to_icrs(shape: Ds9Shape) -> FloatArray:
    """(K, 2) positions in ICRS degrees."""
    if shape.system == "icrs":
        return shape.position
    from astropy.coordinates import SkyCoord

    moved = SkyCoord(*shape.position.T, unit="deg", frame=shape.system).icrs
    return np.stack([moved.ra.deg, moved.dec.deg], axis=1)


def _north_of_system(shape: Ds9Shape) -> float:
    """Position angle (degrees east of ICRS north) of the north of a shape's system at its centre."""
    if shape.system in ("image", "icrs"):
        return 0.0
    from astropy import units
    from astropy.coordinates import SkyCoord

    centre = SkyCoord(*shape.position[0], unit="deg", frame=shape.system)
    ahead = centre.directional_offset_by(0.0 * units.deg, 1.0 * units.arcsec)
    return float(centre.icrs.position_angle(ahead.icrs).deg)


def _to_pixels(shape: Ds9Shape, sky: SkyFrame) -> FloatArray:
    """(K, 2) positions in 0-based pixels."""
    vertices = np.stack(sky.to_pixel(*_to_icrs(shape).T), axis=1)
    if not np.isfinite(vertices).all():
        raise ValueError("it lies beyond the map's projection")
    return vertices


def _shape(part: str, remark: str, system: str, line: int) -> Ds9Shape | None:
    """One shape of a line; None for those without an inside."""
    found = SHAPE.match(part)
    name = found["shape"].lower() if found else ""
    if name in WITHOUT_INSIDE:
        return None
    if found is None or (name != "polygon" and name not in SIZES):
        raise ValueError(f"it should be a {', '.join(SIZES)} or polygon, or one of {', '.join(SYSTEMS)}")
    words = words_of(found["numbers"])
    position, sizes, angle = _numbers(name, words, system)
    if not (np.isfinite(position).all() and np.isfinite([*sizes, angle]).all()) or min((1.0, *sizes)) <= 0:
        raise ValueError("positions must be finite and sizes positive")
    properties = list(_properties(remark))
    text = next((value for key, value in properties if key == "text"), "")
    tags = tuple(value for key, value in properties if key == "tag")
    return Ds9Shape(name, system, position, sizes, angle, found["sign"] != "-", text, tags, line)


def _properties(remark: str) -> Iterator[tuple[str, str]]:
    for found in _PROPERTY.finditer(remark):
        value = next(found[key] for key in ("braces", "double", "single") if found[key] is not None)
        yield found["name"], value.strip()


def _numbers(name: str, words: list[str], system: str) -> tuple[FloatArray, tuple[float, ...], float]:
    """Positions, sizes and angle of a shape."""
    if name == "polygon":
        return np.array(positions_of(words, system)), (), 0.0
    n_sizes = SIZES[name]
    if len(words) not in ((3,) if name == "circle" else (4, 5)):
        raise ValueError(f"a {name} has a centre, {n_sizes} size(s) and an angle at most, not {len(words)} numbers")
    sizes = tuple(size_of(word, system) for word in words[2 : 2 + n_sizes])
    angle = float(words[2 + n_sizes].rstrip("d")) if len(words) > 2 + n_sizes else 0.0
    return np.array([position_of(words[0], words[1], system)]), sizes, angle
