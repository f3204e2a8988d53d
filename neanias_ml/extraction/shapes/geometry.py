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
) -> FloatArray:
    """`BOUNDARY_COLUMNS` of N islands, (N, 3); NaN for islands without pixels.

    ``filled_area`` counts the pixels within the outer boundary, holes included. ``perimeter`` is the length of the
    chain of edge midpoints times `CHAIN_BIAS`, right on average for boundaries of any direction. ``bending_energy``
    is the mean square curvature of the boundary over that of a circle of equal length: 1 for a circle and more for any
    other shape (Young, Walker & Bowie 1974, Information and Control 25, 357). Before, the boundary is smoothed along
    its length with a sigma of ``smoothing`` pixels, at least 1/40 and at most 1/8 of the length.
    """
    result = np.full((len(offsets) - 1, 3), np.nan)
    scratch = np.empty((4, 0))
    for island in range(len(offsets) - 1):
        start, stop = offsets[island], offsets[island + 1]
        if stop > start:
            chain = boundary_chain(y[start:stop], x[start:stop])
            if len(chain) > scratch.shape[1]:
                scratch = np.empty((4, 2 * len(chain)))
            result[island, 0], length = _area_and_length(chain)
            result[island, 1] = length * CHAIN_BIAS
            result[island, 2] = _bending_energy(chain, smoothing * len(chain) / length, scratch)
    return result


@njit(cache=True, nogil=True)
def _area_and_length(chain: Chain) -> tuple[float, float]:
    """Enclosed pixels, and length of the polygon through the midpoints of the edges."""
    area, height, length = 0, 0, 0.0
    for place in range(len(chain)):
        height += STEP_Y[chain[place]]
        area -= height * STEP_X[chain[place]]
        length += 1.0 if chain[place] == chain[place - 1] else _SQRT_HALF
    return float(area), length


@njit(cache=True, nogil=True)
def _bending_energy(chain: Chain, smoothing: float, scratch: FloatArray) -> float:
    """Length times the integral of the squared curvature over 4 pi^2, after smoothing by ``smoothing`` edges."""
    length = len(chain)
    x, y = _smoothed_midpoints(
        chain, min(max(smoothing, _LEAST_SMOOTHING * length), _MOST_SMOOTHING * length), scratch
    )
    perimeter, energy = 0.0, 0.0
    for place in range(length):
        after = place + 1 if place + 1 < length else 0
        dx, dy = 0.5 * (x[after] - x[place - 1]), 0.5 * (y[after] - y[place - 1])
        ddx = x[after] - 2.0 * x[place] + x[place - 1]
        ddy = y[after] - 2.0 * y[place] + y[place - 1]
        square = dx * dx + dy * dy
        speed = math.sqrt(square)
        perimeter += speed
        if speed > 0.0:
            energy += (dx * ddy - dy * ddx) ** 2 / (square * square * speed)
    return perimeter * energy / (4.0 * math.pi**2)


@njit(cache=True, nogil=True)
def _smoothed_midpoints(
    chain: Chain, sigma: float, scratch: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Columns and rows of the edges' midpoints, smoothed by three running means of a joint sigma of ``sigma`` edges.

    Both are views of ``scratch``, which has four rows of at least the chain's length.
    """
    length = len(chain)
    x, y, other_x, other_y = scratch[0, :length], scratch[1, :length], scratch[2, :length], scratch[3, :length]
    corner_x, corner_y = 0, 0
    for place in range(length):
        step_x, step_y = STEP_X[chain[place]], STEP_Y[chain[place]]
        x[place], y[place] = corner_x + 0.5 * step_x, corner_y + 0.5 * step_y
        corner_x, corner_y = corner_x + step_x, corner_y + step_y
    half = int(0.5 * math.sqrt(4.0 * sigma * sigma + 1.0))
    for _ in range(3):
        _running_mean(x, half, other_x)
        _running_mean(y, half, other_y)
        x, y, other_x, other_y = other_x, other_y, x, y
    return x, y


@njit(cache=True, nogil=True)
def _running_mean(values: FloatArray, half: int, means: FloatArray) -> None:
    """Mean of each value of a closed boundary and ``half`` ones to either side (less than its length)."""
    length, share, total = len(values), 1.0 / (2 * half + 1), 0.0
    for place in range(-half, half + 1):
        total += values[place if place < length else place - length]
    leaving, entering = length - half if half > 0 else 0, half + 1 if half + 1 < length else 0
    for place in range(length):
        means[place] = total * share
        total += values[entering] - values[leaving]
        entering = entering + 1 if entering + 1 < length else 0
        leaving = leaving + 1 if leaving + 1 < length else 0


@njit(cache=True, nogil=True)
def convex_hulls(
    y: IntPixels, x: IntPixels, offsets: Offsets
) -> tuple[FloatArray, Offsets]:
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
def _hull(y: IntPixels, x: IntPixels, vertices: FloatArray) -> int:
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
def _turn(first: FloatArray, second: FloatArray, px: float, py: float) -> float:
    """Positive where the way from the first over the second point to (px, py) turns left."""
    return (second[0] - first[0]) * (py - second[1]) - (second[1] - first[1]) * (px - second[0])


@njit(cache=True, nogil=True)
def measure_boxes(vertices: FloatArray, offsets: Offsets) -> FloatArray:
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
def _polygon_area(corners: FloatArray) -> float:
    area = 0.0
    for place in range(len(corners)):
        area += (corners[place - 1, 0] - corners[0, 0]) * (corners[place, 1] - corners[0, 1])
        area -= (corners[place, 0] - corners[0, 0]) * (corners[place - 1, 1] - corners[0, 1])
    return 0.5 * abs(area)


@njit(cache=True, nogil=True)
def _smallest_box(corners: FloatArray) -> tuple[float, float, float]:
    """Longer and shorter side, and the angle of the longer one."""
    best_length, best_width, best_x, best_y = np.inf, 0.0, 0.0, 0.0
    for place in range(len(corners)):
        ux, uy = corners[place, 0] - corners[place - 1, 0], corners[place, 1] - corners[place - 1, 1]
        norm = math.sqrt(ux * ux + uy * uy)
        if norm == 0.0:
            continue
        ux, uy = ux / norm, uy / norm
        left, right, low, high = np.inf, -np.inf, np.inf, -np.inf
        for corner in range(len(corners)):
            x, y = corners[corner, 0], corners[corner, 1]
            along, across = x * ux + y * uy, y * ux - x * uy
            left, right, low, high = min(left, along), max(right, along), min(low, across), max(high, across)
        length, width = right - left, high - low
        if length * width < best_length * best_width * (1.0 - 1e-9) or best_length == np.inf:
            best_length, best_width, best_x, best_y = length, width, ux, uy
    if best_length == np.inf:
        return np.inf, 0.0, 0.0
    angle = math.atan2(best_y, best_x) if best_length >= best_width else math.atan2(best_x, -best_y)
    return max(best_length, best_width), min(best_length, best_width), math.degrees(angle) % 180.0


@njit(cache=True, nogil=True)
def _diameter(corners: FloatArray) -> tuple[float, float]:
    """Largest distance between two corners, and its angle."""
    largest, far_x, far_y = -1.0, 0.0, 0.0
    for first in range(len(corners)):
        x, y = corners[first, 0], corners[first, 1]
        for second in range(first):
            dx, dy = x - corners[second, 0], y - corners[second, 1]
            distance = dx * dx + dy * dy
            if distance > largest * (1.0 + 1e-12):
                largest, far_x, far_y = distance, dx, dy
    return math.sqrt(largest), math.degrees(math.atan2(far_y, far_x)) % 180.0
