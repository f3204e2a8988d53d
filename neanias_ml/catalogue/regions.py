"""DS9 regions: outlines of the sources coloured by class, ellipses of the components."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.outlines import Polygon
from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.styles import style_of
from neanias_ml.catalogue.text import ascii_printable
from neanias_ml.extraction.components.model_map import pixel_covariances
from neanias_ml.extraction.tables import ComponentTable
from neanias_ml.maps import RadioMap, ellipses_of_covariances

COMPONENT_COLOUR = "#ffffff"
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
    islands = sources.islands
    for index, members in enumerate(sources.members):
        identity = f"{sources.noun} {sources.rows.source_id[index]}"
        class_name = str(sources.rows.class_name[index])
        for rank, member in enumerate(members):
            tags = [identity, class_name]
            if sources.noun != "island":
                tags.append(f"island {islands.island_id[member]}")
            text = f"text={{{sources.rows.source_id[index]}}} " if rank == 0 else ""
            style = style_of(class_name)
            look = f"color={style.colour} width=2{' dash=1' if style.dashes else ''} {text}{_tags(tags)}"
            vertices = sky_outlines[member]
            sky = vertices is not None
            numbers = _numbers(vertices, 7) if vertices is not None else _numbers(outlines[member] + 1.0, 2)
            yield f"polygon({numbers}) # {look}", sky


def _ellipses(sources: Sources) -> Iterator[tuple[str, bool]]:
    """Ellipse lines of the components and whether each is on the sky.

    DS9 counts angles anticlockwise from west, so that north, where position angles start, is at 90 degrees.
    """
    radio_map, components = sources.extraction.radio_map, sources.extraction.components
    owner = dict(zip(sources.islands.island_id.tolist(), sources.island_source_ids, strict=True))
    pixel_ellipses = _pixel_ellipses(radio_map, components)
    for row in range(len(components)):
        island = int(components.island_id[row])
        tags = [f"component {components.component_id[row]}", f"island {island}"]
        if sources.noun != "island" and island in owner:
            tags.append(f"{sources.noun} {owner[island]}")
        look = f"color={COMPONENT_COLOUR} {_tags(tags)}"
        ra, dec = components.ra[row], components.dec[row]
        sky = bool(np.isfinite(ra) and np.isfinite(dec))
        if sky:
            axes = f'{components.major[row] / 2:.3f}",{components.minor[row] / 2:.3f}"'
            yield f"ellipse({ra:.7f},{dec:.7f},{axes},{(components.pa[row] + 90.0) % 360.0:.2f}) # {look}", sky
        else:
            x, y, major, minor, angle = pixel_ellipses[row]
            yield f"ellipse({x + 1:.2f},{y + 1:.2f},{major / 2:.3f},{minor / 2:.3f},{angle:.2f}) # {look}", sky


def _pixel_ellipses(radio_map: RadioMap, components: ComponentTable) -> NDArray[np.float64]:
    """Columns x, y, major, minor (pixels), angle from +x to +y (degrees) of the components, (N, 5)."""
    major, minor, angle = ellipses_of_covariances(pixel_covariances(radio_map, components))
    return np.stack([components.x, components.y, major, minor, angle], axis=1)


def polygons_on_sky(radio_map: RadioMap, polygons: Sequence[Polygon]) -> list[Polygon | None]:
    """The polygons with vertices (ra, dec) in degrees, all in one conversion; None where a vertex is off the sky."""
    if radio_map.sky is None or not polygons:
        return [None] * len(polygons)
    vertices = np.concatenate(polygons)
    on_sky = np.stack(radio_map.sky.to_sky(vertices[:, 0], vertices[:, 1]), axis=1)
    stops = np.cumsum([len(polygon) for polygon in polygons])
    parts = np.split(on_sky, stops[:-1])
    return [part if np.isfinite(part).all() else None for part in parts]


def _numbers(vertices: Polygon, decimals: int) -> str:
    """Coordinates separated by commas."""
    return ",".join(f"{value:.{decimals}f}" for value in vertices.ravel())


def _tags(tags: Iterable[str]) -> str:
    """DS9 tags; braces cannot occur inside them."""
    return " ".join("tag={" + ascii_printable(tag).replace("{", "(").replace("}", ")") + "}" for tag in tags if tag)
