"""Masks as polygons that give the same pixels back, and pixels inside polygons (even-odd rule at pixel centres)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]
Polygon = FloatArray
"""(V, 2) vertices (x, y) in 0-based pixels, not closed."""


def mask_polygons(mask: Mask, *, offset: tuple[int, int] = (0, 0)) -> list[tuple[Polygon, bool]]:
    """Outlines of a mask and of its holes, largest first; pixels that touch at a corner belong together.

    They are contours at one half (marching squares), so no pixel centre lies on one: filling them in turn with
    True for outlines and False for holes gives the mask back.

    Parameters
    ----------
    offset
        ``x0, y0`` of the mask in the image.

    Returns
    -------
    list of (Polygon, bool)
        Each outline, and whether it is the rim of a hole.
    """
    from skimage.measure import find_contours

    contours = find_contours(np.pad(mask, 1).astype(np.float32), 0.5, fully_connected="high")
    rings = [_corners(contour[:-1, ::-1] - 1.0 + np.array(offset)) for contour in contours]
    areas = [signed_area(ring) for ring in rings]
    order = sorted(range(len(rings)), key=lambda number: -abs(areas[number]))
    # all contours keep the inside on the same hand, so holes run the other way round than the largest outline
    outer = areas[order[0]] if order else 0.0
    return [(rings[number], areas[number] * outer < 0) for number in order]


def polygon_pixels(polygon: Polygon, shape: tuple[int, int]) -> Mask:
    """(ny, nx) bool: pixels whose centres lie inside, by the even-odd rule.

    Every edge toggles the pixels to the right of its crossing with each row of centres.
    """
    ny, nx = shape
    toggles = np.zeros((ny, nx + 1), dtype=np.int64)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        low, high = (y1, y2) if y1 < y2 else (y2, y1)
        rows = np.arange(max(int(np.ceil(low)), 0), min(int(np.ceil(high)), ny))
        if rows.size:
            crossing = x1 + (rows - y1) * (x2 - x1) / (y2 - y1)
            np.add.at(toggles, (rows, np.clip(np.ceil(crossing), 0, nx).astype(np.int64)), 1)
    return np.asarray(np.cumsum(toggles[:, :nx], axis=1) % 2 == 1)


def signed_area(polygon: Polygon) -> float:
    """Area by the shoelace formula, negative for one orientation."""
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2.0)


def smallest_box(points: FloatArray) -> tuple[float, float, float, float, float]:
    """The rotated box of least area around points (N, 2): one side lies on an edge of their hull.

    Source of the method: Freeman and Shapira 1975.

    Returns
    -------
    tuple
        Centre x and y, width along the direction ``angle``, height across it, and ``angle`` in [0, 90) degrees from
        +x towards +y.
    """
    from scipy.spatial import ConvexHull

    corners = points[ConvexHull(points).vertices]
    edges = np.roll(corners, -1, axis=0) - corners
    angles = np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2))
    axes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    along = corners @ axes.T
    across = corners @ np.stack([-axes[:, 1], axes[:, 0]])
    spans, heights = np.ptp(along, axis=0), np.ptp(across, axis=0)
    best = int(np.argmin(np.round(spans * heights, 9)))
    middle = [(values[:, best].min() + values[:, best].max()) / 2 for values in (along, across)]
    cosine, sine = axes[best]
    x, y = middle[0] * cosine - middle[1] * sine, middle[0] * sine + middle[1] * cosine
    return float(x), float(y), float(spans[best]), float(heights[best]), float(np.degrees(angles[best]))


def pixel_corners(mask: Mask) -> FloatArray:
    """(N, 2) corners (x, y) of the first and last pixel of every row of a mask: their hull is that of all corners."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    ends: Sequence[FloatArray] = [
        np.stack([columns + dx, rows + dy], axis=1)
        for columns, dx in ((first, -0.5), (last, 0.5))
        for dy in (-0.5, 0.5)
    ]
    return np.concatenate(ends).astype(np.float64)


def _corners(polygon: Polygon) -> Polygon:
    """The vertices at which the outline turns."""
    behind, ahead = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
    turns = np.abs(behind[:, 0] * ahead[:, 1] - behind[:, 1] * ahead[:, 0]) > 1e-9
    return np.asarray(polygon[turns])
