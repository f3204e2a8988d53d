"""Outlines of labelled pixels as polygons."""

from __future__ import annotations

from collections.abc import Sequence

from neanias_ml.extraction.shapes.contours import MAX_VERTICES, Polygon, mask_outline, signed_area
from neanias_ml.extraction.tables import Islands

__all__ = ["MAX_VERTICES", "Polygon", "island_outlines", "mask_outline", "signed_area"]


def island_outlines(layers: Sequence[Islands], *, max_vertices: int = MAX_VERTICES) -> tuple[Polygon, ...]:
    """Outer boundary of every island of some layers, layer by layer in the order of their tables."""
    return tuple(
        mask_outline(
            islands.mask(row),
            offset=(int(islands.table.x0[row]), int(islands.table.y0[row])),
            max_vertices=max_vertices,
        )
        for islands in layers
        for row in range(len(islands))
    )
