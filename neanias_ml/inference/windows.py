"""The fixed windows in which the network looks at a map, and which islands each of them owns."""

from __future__ import annotations

from dataclasses import dataclass

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
    planned = []
    for row, col in np.unique(cells, axis=0):
        y0, x0 = int(row) * core - halo, int(col) * core - halo
        window = Window(y0, y0 + window_size, x0, x0 + window_size)
        overlaps = (boxes[:, 0] < window.x1) & (boxes[:, 2] > window.x0)
        overlaps &= (boxes[:, 1] < window.y1) & (boxes[:, 3] > window.y0)
        owned = np.flatnonzero((cells == (row, col)).all(axis=1))
        planned.append(NetworkWindow(window=window, owned=owned, visible=np.flatnonzero(overlaps)))
    return planned
