"""Picture of a grouped catalogue: all rows with the links between them, and the objects of most rows from near."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neanias_ml.catalogue.association import AssociatedCatalogue
from neanias_ml.catalogue.association_nodes import offsets_from
from neanias_ml.catalogue.text import printable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
"""Colours of Okabe and Ito (2008), which people with any colour vision can tell apart."""
SIZE, DPI = (13.0, 6.4), 110
NEAR = 6
"""Objects that are shown from near."""


def write_association_picture(catalogue: AssociatedCatalogue, path: Path) -> None:
    """Draw the field and the objects of most rows."""
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.0, 1.15))
    field, near = halves
    _draw_field(field.subplots(), catalogue)
    panels = near.subplots(2, 3).ravel()
    chosen = _objects_to_show(catalogue)
    for axes, number in zip(panels, chosen, strict=False):
        _draw_object(axes, catalogue, number)
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    name = printable(catalogue.sources.path.name) if catalogue.sources.path is not None else "catalogue"
    several = int((catalogue.objects.n_members > 1).sum())
    title = f"{name}: {len(catalogue.object_id)} rows, {len(catalogue.objects)} objects, {several} of several rows"
    figure.suptitle(title, parse_math=False)
    figure.savefig(path, format="png")


def _objects_to_show(catalogue: AssociatedCatalogue) -> list[int]:
    """Numbers of the objects of most rows, the brighter ones first."""
    objects = catalogue.objects
    order = np.lexsort((-np.nan_to_num(objects.total_flux), -objects.n_members))
    return [int(objects.object_id[row]) for row in order[:NEAR].tolist() if objects.n_members[row] > 1]


def _draw_field(axes: Any, catalogue: AssociatedCatalogue) -> None:
    """Rows as dots on a plane around their middle, links as lines."""
    rows = catalogue.rows
    placed = np.flatnonzero(np.isfinite(rows.ra) | np.isfinite(rows.east))
    if len(placed) == 0:
        axes.text(0.5, 0.5, "no rows", ha="center", transform=axes.transAxes, color=GREY)
        axes.set_axis_off()
        return
    place = _field_positions(catalogue)
    alone = catalogue.n_members == 1
    for chosen, colour, size in ((alone, GREY, 2.0), (~alone, BLUE, 3.0)):
        axes.scatter(*place[chosen].T, s=size, color=colour, lw=0, rasterized=True)
    axes.add_collection(LineCollection(list(place[catalogue.links]), colors=ORANGE, linewidths=1.2))
    unit = "deg" if rows.on_sky else "pix"
    axes.set_xlabel(f"{'right ascension (times cos dec), from the middle' if rows.on_sky else 'columns'} [{unit}]")
    axes.set_ylabel(f"{'declination, from the middle' if rows.on_sky else 'rows'} [{unit}]")
    axes.set_aspect("equal")
    if rows.on_sky:
        axes.invert_xaxis()


def _field_positions(catalogue: AssociatedCatalogue) -> FloatArray:
    """(N, 2) places for the picture of the whole: offsets in degrees, or pixels."""
    rows = catalogue.rows
    if not rows.on_sky:
        scale = catalogue.pixel_scale_arcsec
        return np.stack([-rows.east / scale, rows.north / scale], axis=1)
    turn = np.exp(1j * np.radians(rows.ra[np.isfinite(rows.ra)]))
    middle = np.degrees(np.angle(turn.mean()))
    offset = (rows.ra - middle + 180.0) % 360.0 - 180.0
    return np.stack([offset * np.cos(np.radians(rows.dec)), rows.dec - np.nanmedian(rows.dec)], axis=1)


def _draw_object(axes: Any, catalogue: AssociatedCatalogue, number: int) -> None:
    """Ellipses of an object's rows and of its neighbours, with its links."""
    members = np.flatnonzero(catalogue.object_id == number)
    rows, base = catalogue.rows, np.full(len(catalogue.rows), members[0])
    place = offsets_from(rows, rows.select(base))
    middle = np.nanmean(place[members], axis=0)
    half = 0.75 * max(float(catalogue.objects.largest_angular_size[number - 1]), 4.0 * catalogue.beam_arcsec)
    with np.errstate(invalid="ignore"):
        shown = np.flatnonzero((np.abs(place - middle) < half).all(axis=1) & _near_side(catalogue, members[0]))
    own = np.isin(shown, members)
    for chosen, colour in ((shown[~own], GREY), (shown[own], BLUE)):
        part = rows.select(chosen)
        axes.add_collection(
            EllipseCollection(
                part.minor, part.major, -part.pa, units="xy", offsets=place[chosen],
                transOffset=axes.transData, facecolors="none", edgecolors=colour, linewidths=1.1,
            )
        )  # fmt: skip
    links = catalogue.links[catalogue.object_id[catalogue.links[:, 0]] == number]
    axes.add_collection(LineCollection(list(place[links]), colors=ORANGE, linewidths=1.2))
    axes.set_xlim(middle[0] + half, middle[0] - half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_aspect("equal")
    probability = float(catalogue.objects.association_probability[number - 1])
    said = f", P {probability:.2f}" if probability > 0 else ""
    axes.set_title(f"object {number}: {len(members)} rows{said}", fontsize=9)
    axes.tick_params(labelsize=7)
    axes.set_xlabel("east [arcsec]", fontsize=8)


def _near_side(catalogue: AssociatedCatalogue, row: int) -> NDArray[np.bool_]:
    """(N,) rows on the same half of the sky as one: the plane of an object shows the other half too."""
    rows = catalogue.rows
    if not rows.on_sky:
        return np.ones(len(rows), dtype=bool)
    up, right = np.radians(rows.dec), np.radians(rows.ra)
    cosine = np.sin(up) * np.sin(up[row]) + np.cos(up) * np.cos(up[row]) * np.cos(right - right[row])
    return np.asarray(cosine > 0)
