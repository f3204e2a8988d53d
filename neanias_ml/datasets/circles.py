"""The smallest circle around some points, and which pixels of a mask can bound it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ROUNDS = 100
"""Steps of the approximation: on random sets of points the circle is within 1 % of the smallest one."""


def enclosing_circle(points: NDArray[np.floating]) -> tuple[FloatArray, float]:
    """Centre (2,) and radius of the smallest circle that holds some points (P, 2), to a per cent.

    The centre moves towards the farthest point by ever smaller steps (Badoiu & Clarkson 2003, SODA, 801).
    """
    corners = np.asarray(points, dtype=np.float64)
    centre = 0.5 * (corners.min(axis=0) + corners.max(axis=0))
    best, radius = centre, float("inf")
    for step in range(1, ROUNDS + 1):
        distance = np.hypot(*(corners - centre).T)
        farthest = int(distance.argmax())
        if distance[farthest] < radius:
            best, radius = centre, float(distance[farthest])
        centre = centre + (corners[farthest] - centre) / (step + 1)
    return best, radius


def outer_corners(mask: NDArray[np.bool_]) -> FloatArray:
    """Corners (P, 2) y, x of the first and last pixel of each row of a mask, which bound all others.

    Counted from the outer edge of the first pixel: pixel i covers [i, i + 1).
    """
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([rows + dy, x], axis=1) for dy in (0, 1) for x in (first, last)]).astype(np.float64)
