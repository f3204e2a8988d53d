"""DS9 regions: outlines of the sources coloured by class, ellipses of the components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.outlines import Polygon
from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.text import ascii_printable
from neanias_ml.extraction.components.model_map import pixel_covariances
from neanias_ml.extraction.tables import ComponentTable
from neanias_ml.maps import RadioMap, ellipses_of_covariances
from neanias_ml.models.class_styles import style_of

COMPONENT_COLOUR = "#ffffff"
SKY_ELLIPSE = 'ellipse(%.7f,%.7f,%.3f",%.3f",%.2f)'
PIXEL_ELLIPSE = "ellipse(%.2f,%.2f,%.3f,%.3f,%.2f)"
HEADER = """# Region file format: DS9 version 4.1
global color=green dashlist=6 3 width=1 font="helvetica 10 normal roman" select=1 dash=0 fixed=0 edit=1 move=1
"""


def write_regions(sources: Sources, outlines: Sequence[Polygon], path: Path) -> None:
    """Write the region file of a map.

    Every island of a source is one polygon with the tag of its source, every component one ellipse whose axes
    are its full widths at half maximum. Shapes are given in ICRS degrees; those without sky coordinates (all of
    them where the map has no WCS) follow in 1-based image pixels.

    Parameters
    ----------
    sources
        Objects or islands.
    outlines
        Polygon of every island, in the order of the island table.
    path
        File to write (ASCII).
    """
    on_sky: list[str] = []
    on_pixels: list[str] = []
    for shape, sky in [*_polygons(sources, outlines), *_ellipses(sources)]:
        (on_sky if sky else on_pixels).append(shape)
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(HEADER)
        for system, shapes in (("icrs", on_sky), ("image", on_pixels)):
            if shapes:
                file.write("\n".join([system, *shapes]) + "\n")


def _polygons(sources: Sources, outlines: Sequence[Polygon]) -> Iterator[tuple[str, bool]]:
    """Polygon lines in the order of the sources, and whether each is on the sky."""
    sky_outlines = polygons_on_sky(sources.extraction.radio_map, outlines)
    island_ids = sources.islands.island_id.tolist()
    looks = {name: _class_look(name) for name in np.unique(sources.rows.class_name).tolist()}
    rows = zip(sources.rows.source_id.tolist(), sources.rows.class_name.tolist(), sources.members, strict=True)
    for identity, class_name, members in rows:
        colour, class_tag = looks[class_name]
        for rank, member in enumerate(members.tolist()):
            island = f" tag={{island {island_ids[member]}}}" if sources.noun != "island" else ""
            text = f"text={{{identity}}} " if rank == 0 else ""
            vertices = sky_outlines[member]
            sky = vertices is not None
            numbers = _numbers(vertices, 7) if vertices is not None else _numbers(outlines[member] + 1.0, 2)
            yield f"polygon({numbers}) # {colour} {text}tag={{{sources.noun} {identity}}}{class_tag}{island}", sky


def _class_look(class_name: str) -> tuple[str, str]:
    """Colour and line of a class, and its tag (in which braces cannot occur) with a space before it, if it has one."""
    style = style_of(class_name)
    colour = f"color={style.colour} width=2{' dash=1' if style.dashes else ''}"
    name = ascii_printable(class_name).replace("{", "(").replace("}", ")")
    return colour, f" tag={{{name}}}" if name else ""


def _ellipses(sources: Sources) -> Iterator[tuple[str, bool]]:
    """Ellipse lines of the components and whether each is on the sky.

    DS9 counts angles anticlockwise from west, so that north, where position angles start, is at 90 degrees.
    """
    radio_map, components = sources.extraction.radio_map, sources.extraction.components
    owner: dict[int, int] = {}
    if sources.noun != "island":
        owner = dict(zip(sources.islands.island_id.tolist(), sources.island_source_ids.tolist(), strict=True))
    on_sky = np.isfinite(components.ra) & np.isfinite(components.dec)
    places = np.stack([components.ra, components.dec, components.major / 2, components.minor / 2], axis=1)
    shapes = np.column_stack([places, (components.pa + 90.0) % 360.0])
    shapes[~on_sky] = _pixel_ellipses(radio_map, components.select(~on_sky))
    names = zip(components.component_id.tolist(), components.island_id.tolist(), strict=True)
    for shape, sky, (identity, island) in zip(shapes.tolist(), on_sky.tolist(), names, strict=True):
        source = f" tag={{{sources.noun} {owner[island]}}}" if island in owner else ""
        ellipse = (SKY_ELLIPSE if sky else PIXEL_ELLIPSE) % tuple(shape)
        look = f"color={COMPONENT_COLOUR} tag={{component {identity}}} tag={{island {island}}}{source}"
        yield f"{ellipse} # {look}", sky


def _pixel_ellipses(radio_map: RadioMap, components: ComponentTable) -> NDArray[np.float64]:
    """Centre (1-based), half axes (pixels) and angle from +x to +y (degrees) of components, (N, 5)."""
    major, minor, angle = ellipses_of_covariances(pixel_covariances(radio_map, components))
    return np.stack([components.x + 1, components.y + 1, major / 2, minor / 2, angle], axis=1)


def polygons_on_sky(radio_map: RadioMap, polygons: Sequence[Polygon]) -> list[Polygon | None]:
    """The polygons with vertices (ra, dec) in degrees, all in one conversion; None where a vertex is off the sky."""
    if radio_map.sky is None or not polygons:
        return [None] * len(polygons)
    vertices = np.concatenate(polygons)
    on_sky = np.stack(radio_map.sky.to_sky(vertices[:, 0], vertices[:, 1]), axis=1)
    stops = np.cumsum([len(polygon) for polygon in polygons])
    starts = np.concatenate([[0], stops[:-1]])
    usable = np.logical_and.reduceat(np.isfinite(on_sky).all(axis=1), starts).tolist()
    spans = zip(starts.tolist(), stops.tolist(), usable, strict=True)
    return [on_sky[start:stop] if whole else None for start, stop, whole in spans]


def _numbers(vertices: Polygon, decimals: int) -> str:
    """Coordinates separated by commas."""
    return ",".join([f"%.{decimals}f"] * vertices.size) % tuple(vertices.ravel().tolist())
