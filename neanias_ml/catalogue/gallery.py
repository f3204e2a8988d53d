"""Cut-outs of the brightest and the largest sources for the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.display import cutout_picture, flux_prefix, shades
from neanias_ml.catalogue.html_parts import css_key, escaped
from neanias_ml.catalogue.outlines import Polygon
from neanias_ml.catalogue.png import png_address, png_file, without_colour
from neanias_ml.catalogue.sources import Sources
from neanias_ml.maps import Window, ellipses_of_covariances
from neanias_ml.models.class_styles import style_of

MOST_CUTOUTS = 24
LONGEST_SIDE = 150
"""Pixels of a cut-out; wider ones are reduced."""
MARGIN_BEAMS = 3.0


def gallery_html(sources: Sources, outlines: Sequence[Polygon], positions: Sequence[str]) -> str:
    """Figures of the chosen sources: pixels as PNG, outlines as SVG over them.

    Parameters
    ----------
    sources
        Objects or islands.
    outlines
        Polygon of every island, in the order of the island table.
    positions
        Position of every source in words.
    """
    boxes = _member_boxes(sources)
    figures = [_figure(sources, outlines, boxes, int(row), positions[row]) for row in chosen_rows(sources)]
    return "".join(figures)


def chosen_rows(sources: Sources, *, count: int = MOST_CUTOUTS) -> list[int]:
    """Rows of at most ``count`` sources: half of them the largest, the others the brightest, brightest first."""
    rows = sources.rows
    size = np.hypot(rows.x1 - rows.x0, rows.y1 - rows.y0)
    largest = np.argsort(-size, kind="stable")[: count // 2].tolist()
    chosen = set(largest)
    for row in sources.brightest(count).tolist():
        if len(chosen) < count:
            chosen.add(row)
    return sorted(chosen, key=lambda row: (-np.nan_to_num(rows.snr[row]), row))


def cutout_window(sources: Sources, row: int) -> Window:
    """A square window around a source with some beams of sky, moved into the map at its edges."""
    box, radio_map = sources.box(row), sources.extraction.radio_map
    side = max(box.shape) + 2 * round(MARGIN_BEAMS * radio_map.beam_fwhm)
    y0, y1 = _moved_inside((box.y0 + box.y1 - side) // 2, side, radio_map.shape[0])
    x0, x1 = _moved_inside((box.x0 + box.x1 - side) // 2, side, radio_map.shape[1])
    return Window(y0, y1, x0, x1)


def _moved_inside(start: int, side: int, length: int) -> tuple[int, int]:
    """Half-open range of a stretch of ``side`` pixels moved into an axis, cut where that is shorter."""
    start = max(0, min(start, length - side))
    return start, min(start + side, length)


def _figure(sources: Sources, outlines: Sequence[Polygon], boxes: NDArray[np.int64], row: int, position: str) -> str:
    """One cut-out with its caption."""
    rows = sources.rows
    window = cutout_window(sources, row)
    name = str(rows.class_name[row])
    factor, prefix = flux_prefix(float(rows.total_flux[row]))
    identity = f"{sources.noun} {rows.source_id[row]}"
    caption = (
        f"<a href='#row-{rows.source_id[row]}'>{escaped(identity)}</a> "
        f"<span class='tag {css_key(name)}'>{escaped(name)}</span>"
        f"<br>S/N {rows.snr[row]:.1f}, {rows.total_flux[row] * factor:.3g} {prefix}Jy"
        f"<br><span class='soft'>{escaped(position)}</span>"
    )
    drawing = _drawing(sources, outlines, boxes, row, window)
    return f"<figure data-class='{css_key(name)}'>{drawing}<figcaption>{caption}</figcaption></figure>"


def _drawing(sources: Sources, outlines: Sequence[Polygon], boxes: NDArray[np.int64], row: int, window: Window) -> str:
    """The pixels with the outlines of all sources in the window, the chosen one bold, and the beam."""
    height, width = window.shape
    y0, y1, x0, x1 = boxes.T
    near = np.flatnonzero((y1 > window.y0) & (y0 < window.y1) & (x1 > window.x0) & (x0 < window.x1))
    own = set(sources.members[row].tolist())
    owners = np.searchsorted(sources.rows.source_id, sources.island_source_ids[near])
    shapes = [
        _polygon(outlines[island], window, str(sources.rows.class_name[owner]), bold=island in own)
        for island, owner in zip(near.tolist(), owners.tolist(), strict=True)
    ]
    label = escaped(f"cut-out of {sources.noun} {sources.rows.source_id[row]}, {width} by {height} pixels")
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{label}'><svg width='{width}' height='{height}'>"
        f"<image width='{width}' height='{height}' preserveAspectRatio='none' href='{_png(sources, window)}'/>"
        f"{''.join(shapes)}{_beam(sources, window)}</svg></svg>"
    )


def _polygon(polygon: Polygon, window: Window, class_name: str, *, bold: bool) -> str:
    """An outline in the coordinates of a picture whose rows count from the top."""
    points = " ".join(f"{x - window.x0 + 0.5:.1f},{window.y1 - 0.5 - y:.1f}" for x, y in polygon)
    style = style_of(class_name)
    dashes = f" stroke-dasharray='{' '.join(f'{2 * length:g}' for length in style.dashes)}'" if style.dashes else ""
    look = "own" if bold else "other"
    return f"<polygon class='{look}' points='{points}' stroke='{style.colour}'{dashes}/>"


def _beam(sources: Sources, window: Window) -> str:
    """The beam at the lower left."""
    covariance = sources.extraction.radio_map.beam_covariance[None]
    major, minor, angle = (float(value[0]) for value in ellipses_of_covariances(covariance))
    x, y = major / 2 + 1.5, window.shape[0] - major / 2 - 1.5
    return (
        f"<ellipse class='beam' rx='{major / 2:.2f}' ry='{minor / 2:.2f}' "
        f"transform='translate({x:.2f} {y:.2f}) rotate({-angle:.1f})'/>"
    )


def _png(sources: Sources, window: Window) -> str:
    """The pixels of a window as a data address."""
    pixels = shades(cutout_picture(sources.extraction, window, longest=LONGEST_SIDE))[::-1]
    return png_address(png_file(without_colour(pixels)))


def _member_boxes(sources: Sources) -> NDArray[np.int64]:
    """Boxes (number of islands, 4) of the islands: y0, y1, x0, x1."""
    islands = sources.islands
    return np.stack([islands.y0, islands.y1, islands.x0, islands.x1], axis=1)
