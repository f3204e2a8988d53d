"""Outer boundaries of islands as chains of pixel edges and as polygons."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.islands.pixels import IslandPixels

Polygon = NDArray[np.float64]
"""(V, 2) vertices (x, y) in 0-based pixels, not closed."""
IntPixels = NDArray[np.int32]
Chain = NDArray[np.int8]
"""(L,) headings of successive pixel edges: 0 = +x, 1 = +y, 2 = -x, 3 = -y."""

MAX_VERTICES = 240
"""DS9 and browsers stay fast with outlines of this many vertices."""
SIMPLIFY_PIXELS = 1.0 / 3.0
FEW_VERTICES = 32
"""Outlines with at most so many corners stay exact: simplifying many point sources costs more than it saves."""

STAMP_PIXELS = 2**22
"""Boundaries are traced on an image if the island's box is at most so large."""
STEP_X = np.array([1, 0, -1, 0], dtype=np.int64)
STEP_Y = np.array([0, 1, 0, -1], dtype=np.int64)
_LEFT_X = np.array([0, -1, -1, 0], dtype=np.int64)
_LEFT_Y = np.array([0, 0, -1, -1], dtype=np.int64)


def outline(pixels: IslandPixels) -> Polygon:
    """Outer boundary of one island through the midpoints of its outermost pixel edges; holes are filled.

    It is the contour at one half of the island's mask (marching squares, neighbours by a corner connected), with a
    vertex wherever it turns, anticlockwise in (x, y).

    Parameters
    ----------
    pixels
        One island, 8-connected; pixels of a margin are left out.

    Raises
    ------
    ValueError
        If there is not exactly one island with a pixel inside.
    """
    inside = pixels.without_margin()
    if len(inside) != 1 or len(inside.x) == 0:
        raise ValueError(f"an outline needs one island with pixels, not {len(inside)} with {len(inside.x)} pixels")
    return _corners(_midpoints(inside.y, inside.x))


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
    rows, columns = np.nonzero(mask)
    vertices = _simplified(_corners(_midpoints(rows.astype(np.int32), columns.astype(np.int32))), SIMPLIFY_PIXELS)
    smoothing = 1.0
    while len(vertices) > max_vertices:
        from scipy import ndimage  # loaded when used: most islands have few vertices

        margin = int(4 * smoothing) + 1
        smooth = ndimage.gaussian_filter(np.pad(mask, margin).astype(np.float32), smoothing, mode="constant")
        contour = _largest_contour(smooth, level=min(0.5, 0.5 * float(smooth.max()))) - margin
        vertices = _simplified(_corners(contour), SIMPLIFY_PIXELS * smoothing)
        smoothing *= 2.0
    return vertices + np.asarray(offset, dtype=np.float64)


def signed_area(vertices: Polygon) -> float:
    """Area of a polygon (shoelace formula), positive where the second axis lies anticlockwise of the first."""
    first, second = vertices[:, 0], vertices[:, 1]
    return 0.5 * float(np.sum(first * np.roll(second, -1) - np.roll(first, -1) * second))


def _largest_contour(image: NDArray[np.float32], *, level: float) -> Polygon:
    """The contour (x, y) at a level that encloses the largest area, without the repeated last vertex."""
    from skimage.measure import find_contours

    contours = find_contours(image, level, fully_connected="high")
    return max(contours, key=lambda contour: abs(signed_area(contour)))[:-1, ::-1]


def _simplified(corners: Polygon, tolerance: float) -> Polygon:
    """A closed polygon within ``tolerance`` pixels of another."""
    if len(corners) <= FEW_VERTICES:
        return corners
    simplified = corners[kept_vertices(np.concatenate([corners, corners[:1]]).astype(np.float64), tolerance)[:-1]]
    return simplified if len(simplified) >= 3 else corners  # a sliver may collapse to a line


def _corners(vertices: Polygon) -> Polygon:
    """The vertices at which the boundary turns."""
    ahead = np.roll(vertices, -1, axis=0) - vertices
    behind = vertices - np.roll(vertices, 1, axis=0)
    turn = ahead[:, 0] * behind[:, 1] - ahead[:, 1] * behind[:, 0]
    return vertices[np.abs(turn) > 1e-9]


def _midpoints(y: IntPixels, x: IntPixels) -> Polygon:
    """(L, 2) midpoints (x, y) of the outer pixel edges of one island's pixels, in order."""
    chain = boundary_chain(y, x)
    corner_x = x[0] + np.concatenate([[0], np.cumsum(STEP_X[chain])[:-1]])
    corner_y = y[0] + np.concatenate([[0], np.cumsum(STEP_Y[chain])[:-1]])
    halves = np.stack([corner_x + 0.5 * STEP_X[chain], corner_y + 0.5 * STEP_Y[chain]], axis=1)
    return np.asarray(halves - 0.5)


@njit(cache=True, nogil=True)
def boundary_chain(y: IntPixels, x: IntPixels) -> Chain:
    """Outer pixel edges of one island, from the lower edge of its first pixel around with the island to the left.

    Parameters
    ----------
    y, x
        (P,) int32, P >= 1, row by row; the boundary is that of the 8-connected piece that holds the first pixel.
    """
    left, right = x[0], x[0]
    for column in x:
        left, right = min(left, column), max(right, column)
    chain = np.empty(4 * len(x), dtype=np.int8)
    width, height = np.int64(right) - left + 3, np.int64(y[-1]) - y[0] + 3
    if width * height <= STAMP_PIXELS:
        stamp = np.zeros(width * height, dtype=np.int8)
        for place in range(len(x)):
            stamp[(np.int64(y[place]) - y[0] + 1) * width + x[place] - left + 1] = 1
        length = _trace_on_stamp(stamp, width, width + x[0] - left + 1, chain)
    else:
        length = _trace_in_list(y, x, chain)
    return chain[:length].copy()


@njit(cache=True, nogil=True)
def _trace_on_stamp(stamp: Chain, width: int, start: int, chain: Chain) -> int:
    """Trace the boundary on a flat image, 1 in the island and 0 on its margin, from a pixel; return its length.

    Nothing is decided by a branch: which way a frayed boundary turns cannot be foreseen.
    """
    step_0, step_1 = 1, width  # a corner has the place of the pixel above and right of it
    steps = (step_0, step_1, -step_0, -step_1)
    ahead = (0, -1, -width - 1, -width)  # the pixel left of a heading from a corner
    turns = (1, 0, 3, 3)  # left, straight on, right, right
    place, heading, length = start, 0, 0
    while True:
        chain[length] = heading
        length += 1
        place += steps[heading]
        left_of, right_of = stamp[place + ahead[heading]], stamp[place + ahead[(heading + 3) & 3]]
        heading = (heading + turns[2 * right_of + left_of]) & 3
        if place == start and heading == 0:
            return length


@njit(cache=True, nogil=True)
def _trace_in_list(y: IntPixels, x: IntPixels, chain: Chain) -> int:
    """Trace the boundary of an island too large for an image; return its length."""
    row_start = row_starts(y)
    corner_x, corner_y, heading = x[0], y[0], 0
    length = 0
    while True:
        chain[length] = heading
        length += 1
        corner_x += STEP_X[heading]
        corner_y += STEP_Y[heading]
        right = (heading + 3) % 4  # what lies right of this heading lies left of the next one to the right
        if _holds(y, x, row_start, corner_y + _LEFT_Y[right], corner_x + _LEFT_X[right]):
            heading = right
        elif not _holds(y, x, row_start, corner_y + _LEFT_Y[heading], corner_x + _LEFT_X[heading]):
            heading = (heading + 1) % 4
        if corner_x == x[0] and corner_y == y[0] and heading == 0:
            return length


@njit(cache=True, nogil=True)
def row_starts(y: IntPixels) -> NDArray[np.int64]:
    """(rows + 1,) index of the first pixel at or above each row, counted from the first pixel's row."""
    rows = y[-1] - y[0] + 1
    starts = np.empty(rows + 1, dtype=np.int64)
    row = 0
    for index in range(len(y)):
        while row <= y[index] - y[0]:
            starts[row] = index
            row += 1
    starts[rows] = len(y)
    return starts


@njit(cache=True, nogil=True)
def _holds(
    y: IntPixels, x: IntPixels, row_start: NDArray[np.int64], row: int, column: int
) -> bool:
    """Whether a pixel belongs to the island, by bisection within its row."""
    if row < y[0] or row > y[-1]:
        return False
    low, high = row_start[row - y[0]], row_start[row - y[0] + 1]
    while low < high:
        middle = (low + high) // 2
        if x[middle] < column:
            low = middle + 1
        else:
            high = middle
    return low < row_start[row - y[0] + 1] and x[low] == column


@njit(cache=True, nogil=True)
def kept_vertices(vertices: Polygon, tolerance: float) -> NDArray[np.bool_]:
    """Which vertices (V, 2) of a line stay when it is simplified by Douglas & Peucker (1973); the ends always do.

    scikit-image has the same, but loads for a second what an extraction does not need otherwise.
    """
    kept = np.zeros(len(vertices), dtype=np.bool_)
    kept[0] = kept[-1] = True
    pending = [(0, len(vertices) - 1)]
    while pending:
        first, last = pending.pop()
        dx, dy = vertices[last, 0] - vertices[first, 0], vertices[last, 1] - vertices[first, 1]
        length = np.sqrt(dx * dx + dy * dy)
        farthest, distance = first, tolerance
        for k in range(first + 1, last):
            x, y = vertices[k, 0] - vertices[first, 0], vertices[k, 1] - vertices[first, 1]
            along = (x * dx + y * dy) / length if length > 0.0 else 0.0
            if along <= 0.0:
                away = np.sqrt(x * x + y * y)
            elif along >= length:
                away = np.sqrt((x - dx) ** 2 + (y - dy) ** 2)
            else:
                away = abs(x * dy - y * dx) / length
            if away > distance:
                farthest, distance = k, away
        if farthest > first:
            kept[farthest] = True
            pending.append((first, farthest))
            pending.append((farthest, last))
    return kept
