"""Islands or components of a catalogue grouped by a graph network, on a plane or on any part of the sky.

The network sees positions on a plane. A catalogue that spans more of the sky than a plane can show, or holds more rows
than should be in memory at once, is cut into patches; each is grouped with a wide margin of its surroundings, and an
object belongs to the patch that holds its first row. The margin is larger than anything that the network looks at from
one object, so the seams do not show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neanias_ml.columns import Columns
from neanias_ml.datasets.graphs import MAX_SEPARATION, GraphIslands, IslandGraph
from neanias_ml.errors import ModelError
from neanias_ml.inference.graph_association import members_of
from neanias_ml.models.association.grouping import group_islands

if TYPE_CHECKING:
    from neanias_ml.models.association.bundle import GraphBundle

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Progress = Callable[[str, int, int], None]

MOST_NODES = 20_000
"""Nodes of one patch without its margin: bounds the memory."""
WIDEST_RADIANS = np.radians(10.0)
"""Largest side of a patch on the sky: an orthographic plane shrinks lengths by one per cent at most within it."""
MARGIN = 5 * MAX_SEPARATION
"""Width of the margin, beam widths: three rounds of messages along the longest pairs, and what features look at."""


@dataclass(frozen=True)
class Nodes(Columns):
    """What shall be grouped, with the axes in beam widths and the fluxes in units of the local noise."""

    peak_snr: FloatArray
    total_snr: FloatArray
    major: FloatArray
    minor: FloatArray


@dataclass(frozen=True)
class NodeGroups:
    """Objects of nodes.

    Attributes
    ----------
    object_of
        (N,) object of each node, numbered 0, 1, ... by their first nodes.
    joined_probability
        (K,) least probability of the links that hold an object together; NaN for single nodes.
    """

    object_of: IntArray
    joined_probability: FloatArray


def group_on_sky(
    bundle: GraphBundle,
    nodes: Nodes,
    *,
    ra: FloatArray,
    dec: FloatArray,
    pa: FloatArray,
    beam_arcsec: float,
    progress: Progress,
) -> NodeGroups:
    """Group nodes at (N,) ICRS positions, degrees; position angles of the major axes in degrees east of north.

    Raises
    ------
    ModelError
        ``NeedsMap`` if the network wants what only a map shows.
    """
    beam = np.radians(beam_arcsec / 3600.0)
    east, north, outward = sky_axes(ra, dec)
    turn = np.radians(pa)[:, None]
    along = np.sin(turn) * east + np.cos(turn) * north
    widest = float(WIDEST_RADIANS / beam)
    return _grouped(bundle, nodes, outward / beam, along, tangent_plane, widest=widest, progress=progress)


def group_on_plane(
    bundle: GraphBundle, nodes: Nodes, *, x: FloatArray, y: FloatArray, angle: FloatArray, progress: Progress
) -> NodeGroups:
    """Group nodes at (N,) positions in beam widths; angles of the major axes in degrees from +x towards +y.

    Raises
    ------
    ModelError
        ``NeedsMap`` if the network wants what only a map shows.
    """
    turn = np.radians(angle)
    zero = np.zeros(len(nodes))
    points, along = np.stack([x, y, zero], axis=1), np.stack([np.cos(turn), np.sin(turn), zero], axis=1)
    return _grouped(bundle, nodes, points, along, lambda centre: np.eye(3)[:2], widest=np.inf, progress=progress)


def sky_axes(ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Unit vectors (N, 3) to the east, to the north and outward at positions in degrees."""
    right, up = np.radians(ra), np.radians(dec)
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(right), np.cos(right), np.sin(up), np.cos(up)
    east = np.stack([-sin_ra, cos_ra, np.zeros_like(right)], axis=-1)
    north = np.stack([-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec], axis=-1)
    return east, north, np.stack([cos_dec * cos_ra, cos_dec * sin_ra, sin_dec], axis=-1)


def tangent_plane(centre: FloatArray) -> FloatArray:
    """Unit vectors (2, 3) to the east and north at a point (3,) of a sphere around the origin."""
    outward = centre / np.linalg.norm(centre)
    east = np.cross([0.0, 0.0, 1.0], outward)
    length = np.linalg.norm(east)
    east = east / length if length > 1e-12 else np.array([1.0, 0.0, 0.0])  # any direction is east at a pole
    return np.stack([east, np.cross(outward, east)])


def _grouped(
    bundle: GraphBundle,
    nodes: Nodes,
    points: FloatArray,
    along: FloatArray,
    plane_at: Callable[[FloatArray], FloatArray],
    *,
    widest: float,
    progress: Progress,
) -> NodeGroups:
    """Group points (N, 3) in beam widths whose major axes point along (N, 3), patch by patch."""
    if bundle.settings.architecture.features != "catalogue":
        raise ModelError(
            "NeedsMap",
            "this model groups islands by what the map shows around them, which a catalogue does not hold; give one "
            "that was trained with features: catalogue",
        )
    patches = list(_patches(points, widest=widest))
    joined: list[tuple[IntArray, float]] = []
    for done, core in enumerate(patches):
        progress("association", done, len(patches))
        rows = core if len(patches) == 1 else _with_margin(points, core, margin=min(MARGIN, widest))
        plane = plane_at(points[core].mean(axis=0))
        grouping = group_islands(bundle, _graph(nodes.select(rows), points[rows] @ plane.T, along[rows] @ plane.T))
        inside = np.isin(rows, core)
        for number, members in enumerate(members_of(grouping.object_of)):
            if len(members) > 1 and inside[members[0]]:
                joined.append((rows[members], float(grouping.joined_probability[number])))
    progress("association", len(patches), len(patches))
    return _united(joined, len(nodes))


def _graph(nodes: Nodes, positions: FloatArray, along: FloatArray) -> IslandGraph:
    """The graph of nodes at positions (N, 2) on a plane, beam widths; their major axes point along (N, 2)."""
    unknown = np.full(len(nodes), np.nan)
    islands = GraphIslands(
        x=positions[:, 0],
        y=positions[:, 1],
        peak_x=positions[:, 0],
        peak_y=positions[:, 1],
        peak_snr=nodes.peak_snr,
        total_snr=nodes.total_snr,
        major=nodes.major,
        minor=nodes.minor,
        angle=np.arctan2(along[:, 1], along[:, 0]),
        n_beams=unknown,
    )
    return IslandGraph.without_map(islands)


def _patches(points: FloatArray, *, widest: float) -> Iterator[IntArray]:
    """Disjoint sets of rows that hold all points, each small and narrow enough: halves along the longest side."""
    waiting = [np.arange(len(points))]
    while waiting:
        rows = waiting.pop()
        if len(rows) == 0:
            continue
        inside = points[rows]
        extent = inside.max(axis=0) - inside.min(axis=0)
        if len(rows) <= MOST_NODES and extent.max() <= widest:
            yield rows
            continue
        axis = int(extent.argmax())
        order = np.argsort(inside[:, axis], kind="stable")
        waiting += [np.sort(rows[order[: len(rows) // 2]]), np.sort(rows[order[len(rows) // 2 :]])]


def _with_margin(points: FloatArray, core: IntArray, *, margin: float) -> IntArray:
    """Rows of a patch and of all points within a distance of one of its points, ascending."""
    distance, _ = cKDTree(points[core]).query(points, distance_upper_bound=margin)
    return np.flatnonzero(np.isfinite(distance))


def _united(joined: list[tuple[IntArray, float]], count: int) -> NodeGroups:
    """Objects of all patches; a node that two objects claim belongs to that of the earlier first node."""
    leader, probability = np.arange(count), np.full(count, np.nan)
    free = np.ones(count, dtype=bool)
    for members, value in sorted(joined, key=lambda one: int(one[0][0])):
        own = members[free[members]]
        if len(own) > 1:
            leader[own], probability[own[0]], free[own] = own[0], value, False
    firsts, object_of = np.unique(leader, return_inverse=True)
    return NodeGroups(object_of.astype(np.int64).reshape(-1), probability[firsts])
