"""Outlines of labelled pixels as polygons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.extraction.tables import Islands

Polygon = NDArray[np.float64]
"""(V, 2) vertices (x, y) in 0-based pixels, not closed."""

MAX_VERTICES = 240
"""DS9 and browsers stay fast with outlines of this many vertices."""
SIMPLIFY_PIXELS = 1.0 / 3.0
FEW_VERTICES = 32
"""Outlines with at most so many corners stay exact: simplifying many point sources costs more than it saves."""


def island_outlines(islands: Islands, *, max_vertices: int = MAX_VERTICES) -> tuple[Polygon, ...]:
    """Outer boundary of every island, in the order of the island table."""
    table = islands.table
    boxes = zip(table.island_id, table.y0, table.y1, table.x0, table.x1, strict=True)
    return tuple(
        mask_outline(islands.labels[y0:y1, x0:x1] == label, offset=(int(x0), int(y0)), max_vertices=max_vertices)
        for label, y0, y1, x0, x1 in boxes
    )


def mask_outline(
    mask: NDArray[np.bool_], *, offset: tuple[int, int] = (0, 0), max_vertices: int = MAX_VERTICES
) -> Polygon:
    """Outer boundary of a connected mask by marching squares, with few vertices.

    The boundary is simplified (Douglas-Peucker) by less than a pixel. Where that leaves too many vertices, as on
    islands frayed by noise or artefacts, the mask is smoothed by more and more pixels first, which keeps its course
    where a coarser simplification would make it a saw blade.

    Parameters
    ----------
    mask
        (h, w) bool with at least one set pixel; neighbours by a corner count as connected.
    offset
        Column and row of the mask's first pixel in the map.
    max_vertices
        Most vertices of the polygon.
    """
    sharp = _outer_contour(np.pad(mask, 1).astype(np.float32))
    vertices = _simplified(sharp, SIMPLIFY_PIXELS)
    smoothing = 1.0
    while len(vertices) > max_vertices:
        margin = int(4 * smoothing) + 1
        smooth = ndimage.gaussian_filter(np.pad(mask, margin).astype(np.float32), smoothing, mode="constant")
        contour = _outer_contour(smooth, level=min(0.5, 0.5 * float(smooth.max()))) - (margin - 1)
        vertices = _simplified(contour, SIMPLIFY_PIXELS * smoothing)
        smoothing *= 2.0
    return vertices[:, ::-1] - 1.0 + np.asarray(offset, dtype=np.float64)


def _outer_contour(image: NDArray[np.float32], *, level: float = 0.5) -> Polygon:
    """The closed contour (row, column) at a level that encloses the largest area."""
    from skimage.measure import find_contours

    contours = find_contours(image, level, fully_connected="high")
    return max(contours, key=lambda contour: abs(signed_area(contour)))


def _simplified(contour: Polygon, tolerance: float) -> Polygon:
    """A closed contour within ``tolerance`` pixels of another, without the repeated last vertex."""
    corners = _corners(contour[:-1])
    if len(corners) <= FEW_VERTICES:
        return corners
    from skimage.measure import approximate_polygon

    simplified = approximate_polygon(np.concatenate([corners, corners[:1]]), tolerance)[:-1]
    return simplified if len(simplified) >= 3 else corners  # a sliver may collapse to a line


def _corners(vertices: Polygon) -> Polygon:
    """The vertices at which the boundary turns."""
    ahead = np.roll(vertices, -1, axis=0) - vertices
    behind = vertices - np.roll(vertices, 1, axis=0)
    turn = ahead[:, 0] * behind[:, 1] - ahead[:, 1] * behind[:, 0]
    return vertices[np.abs(turn) > 1e-9]


def signed_area(vertices: Polygon) -> float:
    """Area of a polygon (shoelace formula), positive where the second axis lies anticlockwise of the first."""
    first, second = vertices[:, 0], vertices[:, 1]
    return 0.5 * float(np.sum(first * np.roll(second, -1) - np.roll(first, -1) * second))
