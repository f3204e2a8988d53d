"""`overview.png`: the map with outlines by class, and what was found in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from neanias_ml.catalogue.display import (
    SOFTENING_SIGMA,
    Picture,
    common_flux_prefix,
    describe_map,
    flux_prefix,
    shades,
    stretch_limits,
    whole_map_picture,
)
from neanias_ml.catalogue.outlines import Polygon
from neanias_ml.catalogue.panels import INK, SOFT, draw_counts, draw_histogram
from neanias_ml.catalogue.png import png_file
from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.text import printable
from neanias_ml.maps import RadioMap, ellipses_of_covariances
from neanias_ml.models.class_styles import ClassStyle, in_order, style_of

WIDTH, HEIGHT, DPI = 14.8, 9.6, 110
MAP_AREA = (0.07, 0.105, 0.555, 0.79)
"""Left, bottom, width and height of the map in the figure."""
LONGEST_SIDE = 1400
"""Larger maps are reduced: the panel has about a thousand pixels."""
SMALLEST_OUTLINE = 11.0
"""Sources smaller than this many pixels of the picture get a marker instead of an outline."""
CROWDED = 600
"""From so many sources on, markers are smaller."""
MOST_NAMED = 12
"""So many of the brightest sources carry their number."""
HALO = [effects.withStroke(linewidth=2.2, foreground="black", alpha=0.75)]


def write_overview(sources: Sources, outlines: Sequence[Polygon], path: Path, *, title: str) -> None:
    """Draw the overview of a run.

    Parameters
    ----------
    sources
        Objects or islands of a map.
    outlines
        Polygon of every island, in the order of the island table.
    path
        PNG file to write.
    title
        Heading, such as the name of the map.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    picture = whole_map_picture(sources.extraction, longest=LONGEST_SIDE)
    _draw_map(figure, sources, outlines, picture)
    _draw_side(figure, sources)
    figure.text(0.07, 0.948, _shortened(printable(title), 90), fontsize=16, weight="bold", color=INK, parse_math=False)
    facts = "   |   ".join(describe_map(sources.extraction.radio_map, noise=picture.noise))
    figure.text(0.07, 0.917, facts, fontsize=10, color=SOFT)
    canvas.draw()
    path.write_bytes(png_file(np.asarray(canvas.buffer_rgba())[..., :3], dpi=DPI))


def _draw_side(figure: Figure, sources: Sources) -> None:
    """Counts and distributions at the right."""
    rows = sources.rows
    draw_counts(figure.add_axes((0.715, 0.69, 0.265, 0.25)), sources)
    snr = figure.add_axes((0.735, 0.41, 0.245, 0.22))
    draw_histogram(snr, sources, rows.snr, title="Signal to noise", label="peak over noise")
    factor, prefix = common_flux_prefix(rows.total_flux)
    flux = figure.add_axes((0.735, 0.085, 0.245, 0.22))
    draw_histogram(flux, sources, rows.total_flux * factor, title="Flux density", label=f"total flux / {prefix}Jy")


def _draw_map(figure: Figure, sources: Sources, outlines: Sequence[Polygon], picture: Picture) -> None:
    """The map with everything on it."""
    radio_map = sources.extraction.radio_map
    axes = _map_axes(figure, radio_map)
    low, high = stretch_limits(picture)
    factor, prefix = flux_prefix(high)
    height, width = picture.pixels.shape
    axes.imshow(
        shades(picture, limits=(low, high)),
        origin="lower",
        interpolation="nearest",
        extent=(-0.5, width * picture.block - 0.5, -0.5, height * picture.block - 0.5),
    )
    axes.set_xlim(-0.5, radio_map.shape[1] - 0.5)
    axes.set_ylim(-0.5, radio_map.shape[0] - 0.5)
    _draw_sources(figure, axes, sources, outlines)
    _draw_beam(axes, radio_map)
    _draw_scale_bar(axes, radio_map)
    _draw_colour_bar(figure, axes, radio_map, (low * factor, high * factor), picture.noise * factor, f"{prefix}Jy/beam")


def _draw_colour_bar(
    figure: Figure, axes: Axes, radio_map: RadioMap, limits: tuple[float, float], noise: float, unit: str
) -> None:
    """What the shades of the map mean, at its right; limits and noise in the unit."""
    ticks = [level for level in brightness_ticks(noise, limits[1]) if level <= limits[1]]
    map_width = _pixels_per_map_pixel(radio_map) * radio_map.shape[1] / (WIDTH * DPI)
    bar_axes = axes.inset_axes((1 + 0.006 / map_width, 0.0, 0.008 / map_width, 1.0))
    norm = AsinhNorm(linear_width=SOFTENING_SIGMA * noise, vmin=limits[0], vmax=limits[1])
    bar = figure.colorbar(ScalarMappable(norm, "gray"), cax=bar_axes, ticks=FixedLocator(ticks))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.set_yticklabels([f"{level:g}" for level in ticks])
    bar.set_label(unit, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=SOFT)


def brightness_ticks(noise: float, highest: float) -> list[float]:
    """Zero, and 1, 2 and 5 of each decade (1 only, where there are many) from a few times the noise to the top."""
    decades = range(math.floor(math.log10(3.0 * noise)), math.ceil(math.log10(highest)) + 1)
    numbers = (1.0, 2.0, 5.0) if len(decades) <= 3 else (1.0,)
    levels = [number * 10.0**decade for decade in decades for number in numbers]
    return [0.0, *(level for level in levels if 3.0 * noise <= level <= highest)]


def _map_axes(figure: Figure, radio_map: RadioMap) -> Axes:
    """Axes with a sky grid, or with pixel numbers where the map has no sky."""
    if radio_map.sky is None:
        axes = figure.add_axes(MAP_AREA, anchor="NW")
        axes.set_xlabel("x / pixels", fontsize=10, color=INK)
        axes.set_ylabel("y / pixels", fontsize=10, color=INK)
        axes.tick_params(labelsize=9, colors=SOFT)
        return axes
    from astropy.visualization.wcsaxes import WCSAxes

    sky_axes = WCSAxes(figure, MAP_AREA, wcs=radio_map.sky.wcs, anchor="NW")
    figure.add_axes(sky_axes)
    sky_axes.coords.grid(color="white", alpha=0.22, linestyle=":", linewidth=0.8)
    for coordinate, kind in zip(sky_axes.coords, radio_map.sky.wcs.axis_type_names, strict=True):
        coordinate.set_ticklabel(size=9, color=SOFT, exclude_overlapping=True)
        coordinate.set_ticks(color="white", size=5)
        coordinate.set_axislabel(_axis_label(kind, radio_map.sky.wcs.wcs.radesys), fontsize=10, color=INK)
    return sky_axes


def _axis_label(kind: str, frame: str) -> str:
    """Name of a sky axis as astronomers write it."""
    system = f" ({frame})" if frame else ""
    names = {"RA": f"Right ascension{system}", "DEC": f"Declination{system}"}
    names |= {"GLON": "Galactic longitude", "GLAT": "Galactic latitude"}
    return names.get(kind, kind)


def _pixels_per_map_pixel(radio_map: RadioMap) -> float:
    """Pixels of the picture that one pixel of the map takes."""
    across = MAP_AREA[2] * WIDTH * DPI / radio_map.shape[1]
    up = MAP_AREA[3] * HEIGHT * DPI / radio_map.shape[0]
    return min(across, up)


def _legend_height(radio_map: RadioMap) -> float:
    """Place of the legend in the figure: below the map and its axis labels."""
    taken = _pixels_per_map_pixel(radio_map) * radio_map.shape[0] / (HEIGHT * DPI)
    return MAP_AREA[1] + MAP_AREA[3] - taken - 0.093


def _draw_sources(figure: Figure, axes: Axes, sources: Sources, outlines: Sequence[Polygon]) -> None:
    """Outline or marker of each source, legend, numbers of the brightest."""
    rows, radio_map = sources.rows, sources.extraction.radio_map
    sides = np.maximum(rows.x1 - rows.x0, rows.y1 - rows.y0) * _pixels_per_map_pixel(radio_map)
    handles = []
    counts = sources.counts()
    for name in in_order(rows.class_name):
        style = style_of(name)
        chosen = rows.class_name == name
        large = np.flatnonzero(chosen & (sides >= SMALLEST_OUTLINE))
        lines = [outlines[member] for index in large for member in sources.members[index]]
        axes.add_collection(_outline_collection(lines, style), autolim=False)
        small = chosen & (sides < SMALLEST_OUTLINE)
        axes.plot(
            rows.x[small],
            rows.y[small],
            linestyle="none",
            color=style.colour,
            marker=style.marker,
            markersize=6.5 if len(rows) < CROWDED else 4.5,
            markeredgewidth=1.2 if len(rows) < CROWDED else 0.8,
            markerfacecolor="none",
        )
        handles.append(
            Line2D(
                [],
                [],
                color=style.colour,
                linewidth=2,
                dashes=style.dashes or (None, None),
                marker=style.marker,
                markerfacecolor="none",
                markersize=6,
                label=f"{name} ({counts[name]})",
            )
        )
    if handles:
        axes.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(MAP_AREA[0], _legend_height(radio_map)),
            bbox_transform=figure.transFigure,
            ncols=len(handles),
            frameon=False,
            fontsize=9.5,
            labelcolor=INK,
            borderaxespad=0.0,
            columnspacing=1.6,
        )
    _name_brightest(axes, sources)


def _outline_collection(polygons: list[Polygon], style: ClassStyle) -> LineCollection:
    """Closed outlines in the look of a class."""
    closed = [np.concatenate([polygon, polygon[:1]]) for polygon in polygons]
    return LineCollection(closed, colors=style.colour, linewidths=1.3, linestyles=(0, style.dashes or None))


def _name_brightest(axes: Axes, sources: Sources) -> None:
    """Numbers above the brightest sources, at their brightest island."""
    islands = sources.islands
    highest = 0.96 * sources.extraction.radio_map.shape[0]
    for index in sources.brightest(MOST_NAMED):
        members = sources.members[index]
        island = members[np.argmax(islands.snr[members])]
        above = islands.y1[island] < highest
        axes.annotate(
            str(sources.rows.source_id[index]),
            ((islands.x0[island] + islands.x1[island] - 1) / 2, float((islands.y1 if above else islands.y0)[island])),
            xytext=(0, 3 if above else -3),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=8,
            color="white",
            path_effects=HALO,
        )


def _draw_beam(axes: Axes, radio_map: RadioMap) -> None:
    """The beam, to scale, in a box at the lower left."""
    major, minor, angle = (float(value[0]) for value in ellipses_of_covariances(radio_map.beam_covariance[None]))
    side = max(1.6 * major, 0.035 * max(radio_map.shape))
    pad = 0.012 * max(radio_map.shape)
    axes.add_patch(Rectangle((pad, pad), side, side, facecolor="white", edgecolor="none", alpha=0.85, zorder=5))
    middle = (pad + side / 2, pad + side / 2)
    axes.add_patch(Ellipse(middle, major, minor, angle=angle, facecolor="black", edgecolor="black", zorder=6))


def _draw_scale_bar(axes: Axes, radio_map: RadioMap) -> None:
    """A bar of a round angle at the lower right."""
    target = 0.2 * radio_map.shape[1] * radio_map.pixel_scale * 3600.0
    arcsec = round_angle(target)
    length = arcsec / 3600.0 / radio_map.pixel_scale
    x1, y = radio_map.shape[1] * 0.97, radio_map.shape[0] * 0.03
    axes.plot([x1 - length, x1], [y, y], color="white", linewidth=2.5, path_effects=HALO, solid_capstyle="butt")
    axes.annotate(
        angle_text(arcsec),
        (x1 - length / 2, y),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color="white",
        path_effects=HALO,
    )


def round_angle(arcsec: float) -> float:
    """The largest round number of degrees, arcminutes, arcseconds or decimals of them not above ``arcsec``."""
    for unit in (3600.0, 60.0):
        for number in (60.0, 30.0, 20.0, 10.0, 5.0, 2.0, 1.0):
            if number * unit <= arcsec:
                return number * unit
    exponent = math.floor(math.log10(arcsec))
    return max(number * 10.0**exponent for number in (1.0, 2.0, 5.0) if number * 10.0**exponent <= arcsec)


def angle_text(arcsec: float) -> str:
    """An angle in degrees, arcminutes or arcseconds."""
    for unit, sign in ((3600.0, "°"), (60.0, "\N{PRIME}")):
        if arcsec >= unit:
            return f"{arcsec / unit:g}{sign}"
    return f"{arcsec:g}″"


def _shortened(text: str, length: int) -> str:
    """Text cut in its middle to a length."""
    if len(text) <= length:
        return text
    return f"{text[: length * 2 // 3]}…{text[-(length // 3 - 1) :]}"
