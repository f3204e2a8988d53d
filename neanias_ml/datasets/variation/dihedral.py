"""The eight symmetries of the square: the augmentation that changes no pixel, with numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.tiles import PreparedTile

N_SYMMETRIES = 8


def transform_array(array: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """The last two axes (square) turned by ``symmetry % 4`` quarter turns, then mirrored if ``symmetry >= 4``."""
    turned = np.rot90(array, symmetry % 4, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if symmetry >= 4 else turned)


def transform_boxes(boxes: NDArray[np.floating], symmetry: int, *, size: int) -> NDArray[np.float32]:
    """Half-open boxes (N, 4) xyxy of a square of ``size`` pixels, moved as `transform_array` moves its pixels."""
    x0, y0, x1, y1 = np.asarray(boxes, dtype=np.float32).reshape(-1, 4).T
    for _ in range(symmetry % 4):  # a quarter turn takes column x to row size - x and row y to column y
        x0, y0, x1, y1 = y0, size - x1, y1, size - x0
    if symmetry >= 4:
        x0, x1 = size - x1, size - x0
    return np.stack([x0, y0, x1, y1], axis=1)


def transform_tile(tile: PreparedTile, symmetry: int) -> PreparedTile:
    """A tile under one of the `N_SYMMETRIES` symmetries of the square; 0 is the identity."""
    if not 0 <= symmetry < N_SYMMETRIES:
        raise ValueError(f"a symmetry is a number from 0 to {N_SYMMETRIES - 1}, not {symmetry}")
    if symmetry == 0:
        return tile
    return tile.replace(
        channels=transform_array(tile.channels, symmetry),
        instances=transform_array(tile.instances, symmetry),
        islands=transform_array(tile.islands, symmetry),
        island_boxes=transform_boxes(tile.island_boxes, symmetry, size=tile.size),
    )
