"""Islands: connected pixels above the merge threshold that hold one above the seed threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)
FOUR_CONNECTED = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)


def label_islands(
    significance: NDArray[np.floating], *, seed: float, merge: float, min_pixels: int, connectivity: int = 8
) -> NDArray[np.int32]:
    """Label the islands of a significance map.

    Parameters
    ----------
    significance
        (ny, nx) signal to noise, NaN where blank.
    seed
        An island holds at least one pixel at or above this.
    merge
        All its pixels are at or above this.
    min_pixels
        Islands with fewer pixels are dropped.
    connectivity
        4 or 8 neighbours.

    Returns
    -------
    ndarray
        (ny, nx) int32; 0 = no island, else 1, 2, ... in the order in which rows, read from the bottom
        row upwards and from left to right, meet the islands first.
    """
    with np.errstate(invalid="ignore"):
        above_merge = significance >= merge
        above_seed = significance >= seed
    structure = EIGHT_CONNECTED if connectivity == 8 else FOUR_CONNECTED
    labels, count = ndimage.label(above_merge, structure=structure, output=np.int32)
    keep = np.zeros(count + 1, dtype=bool)
    keep[labels[above_seed]] = True
    keep &= np.bincount(labels.ravel(), minlength=count + 1) >= min_pixels
    keep[0] = False
    return renumber_by_first_pixel(np.where(keep[labels], labels, 0).astype(np.int32))


def renumber_by_first_pixel(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same regions numbered 1, 2, ... by their first pixel in row-major order."""
    occupied = np.flatnonzero(labels)
    if occupied.size == 0:
        return labels
    values, first = np.unique(labels.ravel()[occupied], return_index=True)
    new_number = np.zeros(int(values.max()) + 1, dtype=np.int32)
    new_number[values[np.argsort(first)]] = np.arange(1, values.size + 1, dtype=np.int32)
    return new_number[labels]
