"""The fixed windows in which the network looks at a map, and which islands each of them owns."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.resampling import ResampledGrid
from neanias_ml.extraction import IslandTable
from neanias_ml.maps import Window

HALO_FRACTION = 3 / 16
"""Margin around a window's core on each side, as a part of the window: objects up to that size past the core fit."""


@dataclass(frozen=True)
class NetworkWindow:
    """A window of the network's grid with the islands in it.

    Attributes
    ----------
    window
        What the network sees (grid pixels; may reach beyond the map).
    owned
        Rows of the islands whose brightest pixel lies in the core of the window; cores do not overlap.
    visible
        Rows of all islands whose box overlaps the window.
    """

    window: Window
    owned: NDArray[np.int64]
    visible: NDArray[np.int64]


def plan_windows(islands: IslandTable, grid: ResampledGrid, *, window_size: int) -> list[NetworkWindow]:
    """Windows that hold at least one island, anchored to grid pixel (0, 0) whatever the map's content.

    Parameters
    ----------
    islands
        Islands in map pixels.
    grid
        Sampling of the network.
    window_size
        Side of a window in grid pixels.
    """
    halo = round(window_size * HALO_FRACTION)
    core = window_size - 2 * halo
    anchors = (np.stack([islands.peak_y, islands.peak_x], axis=1) + 0.5) * grid.scale
    cells = np.floor(anchors / core).astype(np.int64)
    boxes = grid.boxes_to_grid(np.stack([islands.x0, islands.y0, islands.x1, islands.y1], axis=1))
    places, place = np.unique(cells, axis=0, return_inverse=True)
    owned = _rows_by(place.reshape(-1), count=len(places))
    by_row: dict[int, NDArray[np.int64]] = {}
    planned = []
    for (row, col), own in zip(places.tolist(), owned, strict=True):
        y0, x0 = row * core - halo, col * core - halo
        window = Window(y0, y0 + window_size, x0, x0 + window_size)
        if row not in by_row:  # places come row by row; to look at all islands for each of them would be quadratic
            by_row = {row: np.flatnonzero((boxes[:, 1] < window.y1) & (boxes[:, 3] > window.y0))}
        near = by_row[row]
        visible = near[(boxes[near, 0] < window.x1) & (boxes[near, 2] > window.x0)]
        planned.append(NetworkWindow(window=window, owned=own, visible=visible))
    return planned


def _rows_by(group: NDArray[np.int64], *, count: int) -> list[NDArray[np.int64]]:
    """Rows of each group, rising."""
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(count + 1))
    return [order[start:stop] for start, stop in pairwise(bounds.tolist())]
