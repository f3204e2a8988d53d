"""Geometry of islands from their boundary: enclosed area, perimeter, convex hull, smallest box, bending energy."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.shapes.contours import STEP_X, STEP_Y, Chain, IntPixels, boundary_chain, row_starts

FloatArray = NDArray[np.float64]
Offsets = NDArray[np.int64]

CHAIN_BIAS = math.pi / (8.0 * (math.sqrt(2.0) - 1.0))
"""True over measured length of chains of edge midpoints, averaged over the directions of a straight line (0.948)."""
_SQRT_HALF = math.sqrt(0.5)
_LEAST_SMOOTHING, _MOST_SMOOTHING = 1.0 / 40.0, 1.0 / 8.0
"""The boundary is smoothed by at least and at most this part of its length: the steps of the pixels must vanish on a
large island, and something must be left of a small one."""
BOUNDARY_COLUMNS = ("filled_area", "perimeter", "bending_energy")
BOX_COLUMNS = ("hull_area", "major", "minor", "angle", "diameter", "diameter_angle")


@njit(cache=True, nogil=True)
def measure_boundaries(
    y: IntPixels, x: IntPixels, offsets: Offsets, smoothing: float
) -> FloatArray:  # pragma: no cover (compiled)
    """`BOUNDARY_COLUMNS` of N islands, (N, 3); NaN for islands without pixels.

    ``filled_area`` counts the pixels within the outer boundary, holes included. ``perimeter`` is the length of the
    chain of edge midpoints times `CHAIN_BIAS`, right on average for boundaries of any direction. ``bending_energy``
    is the mean square curvature of the boundary over that of a circle of equal length: 1 for a circle and more for any
    other shape (Young, Walker & Bowie 1974, Information and Control 25, 357). Before, the boundary is smoothed along
    its length with a sigma of ``smoothing`` pixels, at least 1/40 and at most 1/8 of the length.
    """
    result = np.full((len(offsets) - 1, 3), np.nan)
    for island in range(len(offsets) - 1):
        start, stop = offsets[island], offsets[island + 1]
        if stop > start:
            chain = boundary_chain(y[start:stop], x[start:stop])
            result[island, 0], length = _area_and_length(chain)
            result[island, 1] = length * CHAIN_BIAS
            result[island, 2] = _bending_energy(chain, smoothing * len(chain) / length)
    return result


@njit(cache=True, nogil=True)
def _area_and_length(chain: Chain) -> tuple[float, float]:  # pragma: no cover (compiled)
    """Enclosed pixels, and length of the polygon through the midpoints of the edges."""
    area, height, length = 0, 0, 0.0
    for place in range(len(chain)):
        height += STEP_Y[chain[place]]
        area -= height * STEP_X[chain[place]]
        length += 1.0 if chain[place] == chain[place - 1] else _SQRT_HALF
    return float(area), length


@njit(cache=True, nogil=True)
def _bending_energy(chain: Chain, smoothing: float) -> float:  # pragma: no cover (compiled)
    """Length times the integral of the squared curvature over 4 pi^2, after smoothing by ``smoothing`` edges."""
    length = len(chain)
    points = _smoothed_midpoints(chain, min(max(smoothing, _LEAST_SMOOTHING * length), _MOST_SMOOTHING * length))
    perimeter, energy = 0.0, 0.0
    for place in range(length):
        before, after = points[place - 1], points[(place + 1) % length]
        dx, dy = 0.5 * (after[0] - before[0]), 0.5 * (after[1] - before[1])
        ddx = after[0] - 2.0 * points[place, 0] + before[0]
        ddy = after[1] - 2.0 * points[place, 1] + before[1]
        speed = math.sqrt(dx * dx + dy * dy)
        perimeter += speed
        if speed > 0.0:
            energy += (dx * ddy - dy * ddx) ** 2 / speed**5
    return perimeter * energy / (4.0 * math.pi**2)


@njit(cache=True, nogil=True)
def _smoothed_midpoints(chain: Chain, sigma: float) -> FloatArray:  # pragma: no cover (compiled)
    """(L, 2) midpoints of the edges, smoothed by three running means of a joint sigma of ``sigma`` edges."""
    length = len(chain)
    points = np.empty((length, 2))
    corner_x, corner_y = 0, 0
    for place in range(length):
        points[place, 0] = corner_x + 0.5 * STEP_X[chain[place]]
        points[place, 1] = corner_y + 0.5 * STEP_Y[chain[place]]
        corner_x += STEP_X[chain[place]]
        corner_y += STEP_Y[chain[place]]
    width = 2 * int(0.5 * math.sqrt(4.0 * sigma * sigma + 1.0)) + 1
    for _ in range(3):
        points = _running_mean(points, width)
    return points


@njit(cache=True, nogil=True)
def _running_mean(points: FloatArray, width: int) -> FloatArray:  # pragma: no cover (compiled)
    """Mean of ``width`` (odd) successive points of a closed boundary around each."""
    length, half = len(points), width // 2
    result = np.empty_like(points)
    for axis in range(2):
        total = 0.0
        for place in range(-half, half + 1):
            total += points[place % length, axis]
        for place in range(length):
            result[place, axis] = total / width
            total += points[(place + half + 1) % length, axis] - points[(place - half) % length, axis]
    return result


@njit(cache=True, nogil=True)
def convex_hulls(
    y: IntPixels, x: IntPixels, offsets: Offsets
) -> tuple[FloatArray, Offsets]:  # pragma: no cover (compiled)
    """Convex hulls of the midpoints of all pixel edges: vertices (H, 2) as (x, y), (N + 1,) offsets of the islands."""
    count = len(offsets) - 1
    capacity = 0
    for island in range(count):
        if offsets[island + 1] > offsets[island]:
            capacity += 4 * (y[offsets[island + 1] - 1] - y[offsets[island]]) + 6
    vertices = np.empty((capacity, 2))
    hull_offsets = np.zeros(count + 1, dtype=np.int64)
    for island in range(count):
        start, stop = offsets[island], offsets[island + 1]
        first = hull_offsets[island]
        size = 0
        if stop > start:
            size = _hull(y[start:stop], x[start:stop], vertices[first:])
        hull_offsets[island + 1] = first + size
    return vertices[: hull_offsets[count]].copy(), hull_offsets


@njit(cache=True, nogil=True)
def _hull(y: IntPixels, x: IntPixels, vertices: FloatArray) -> int:  # pragma: no cover (compiled)
    """Fill ``vertices`` with the hull of one island, clockwise from its lower left corner; return their number."""
    starts = row_starts(y)
    rows = len(starts) - 1
    size = 0
    for side in range(2):
        base = size
        for step in range(2 * rows + 1):
            line = step if side == 0 else 2 * rows - step  # odd lines run through pixels, even ones between rows
            reach, known = 0.0, False
            for row in range(max((line - 1) // 2, 0), min(line // 2 + 1, rows)):
                if starts[row + 1] > starts[row]:
                    end = -x[starts[row]] if side == 0 else x[starts[row + 1] - 1]
                    reach = max(reach, float(end)) if known else float(end)
                    known = True
            if not known:
                continue
            reach += 0.5 * (line % 2)
            px, py = -reach if side == 0 else reach, y[0] + 0.5 * (line - 1)
            while size - base >= 2 and _turn(vertices[size - 2], vertices[size - 1], px, py) >= 0.0:
                size -= 1
            vertices[size, 0], vertices[size, 1] = px, py
            size += 1
    return size


@njit(cache=True, nogil=True)
def _turn(first: FloatArray, second: FloatArray, px: float, py: float) -> float:  # pragma: no cover (compiled)
    """Positive where the way from the first over the second point to (px, py) turns left."""
    return (second[0] - first[0]) * (py - second[1]) - (second[1] - first[1]) * (px - second[0])


@njit(cache=True, nogil=True)
def measure_boxes(vertices: FloatArray, offsets: Offsets) -> FloatArray:  # pragma: no cover (compiled)
    """`BOX_COLUMNS` of N convex polygons, (N, 6); NaN for those without vertices.

    The box is the rectangle of least area around the polygon; one of its sides lies on a side of the polygon (Freeman
    & Shapira 1975, Comm. ACM 18, 409). ``angle`` and ``diameter_angle`` run from the first axis to the second, degrees
    in [0, 180).
    """
    result = np.full((len(offsets) - 1, 6), np.nan)
    for polygon in range(len(offsets) - 1):
        corners = vertices[offsets[polygon] : offsets[polygon + 1]]
        if len(corners) >= 3:
            result[polygon, 0] = _polygon_area(corners)
            result[polygon, 1:4] = _smallest_box(corners)
            result[polygon, 4:6] = _diameter(corners)
    return result


@njit(cache=True, nogil=True)
def _polygon_area(corners: FloatArray) -> float:  # pragma: no cover (compiled)
    area = 0.0
    for place in range(len(corners)):
        area += (corners[place - 1, 0] - corners[0, 0]) * (corners[place, 1] - corners[0, 1])
        area -= (corners[place, 0] - corners[0, 0]) * (corners[place - 1, 1] - corners[0, 1])
    return 0.5 * abs(area)


@njit(cache=True, nogil=True)
def _smallest_box(corners: FloatArray) -> tuple[float, float, float]:  # pragma: no cover (compiled)
    """Longer and shorter side, and the angle of the longer one."""
    best = (np.inf, 0.0, 0.0)
    for place in range(len(corners)):
        ux, uy = corners[place, 0] - corners[place - 1, 0], corners[place, 1] - corners[place - 1, 1]
        norm = math.sqrt(ux * ux + uy * uy)
        if norm == 0.0:
            continue
        ux, uy = ux / norm, uy / norm
        along = corners[:, 0] * ux + corners[:, 1] * uy
        across = corners[:, 1] * ux - corners[:, 0] * uy
        length, width = along.max() - along.min(), across.max() - across.min()
        if length * width < best[0] * best[1] * (1.0 - 1e-9) or best[0] == np.inf:
            angle = math.atan2(uy, ux) if length >= width else math.atan2(ux, -uy)
            best = (max(length, width), min(length, width), math.degrees(angle) % 180.0)
    return best


@njit(cache=True, nogil=True)
def _diameter(corners: FloatArray) -> tuple[float, float]:  # pragma: no cover (compiled)
    """Largest distance between two corners, and its angle."""
    largest, angle = -1.0, 0.0
    for first in range(len(corners)):
        for second in range(first):
            dx, dy = corners[first, 0] - corners[second, 0], corners[first, 1] - corners[second, 1]
            if dx * dx + dy * dy > largest * (1.0 + 1e-12):
                largest, angle = dx * dx + dy * dy, math.degrees(math.atan2(dy, dx)) % 180.0
    return math.sqrt(largest), angle
