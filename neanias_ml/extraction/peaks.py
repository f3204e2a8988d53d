"""Peaks of an island: the starting points of its Gaussian components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import reconstruction

MIN_PROMINENCE = 3.0
"""A peak rises this many sigma above the saddle to a higher one (Gaussian noise alone seldom does)."""


def find_peaks(significance: NDArray[np.floating], inside: NDArray[np.bool_], *, threshold: float) -> NDArray[np.int64]:
    """Significant peaks of an island by morphological reconstruction (h-domes; Vincent 1993).

    Parameters
    ----------
    significance
        (h, w) signal to noise of the island's box.
    inside
        (h, w) pixels of the island.
    threshold
        Least signal to noise of a peak.

    Returns
    -------
    ndarray
        (K, 2) rows and columns, brightest first; at least the brightest pixel of the island.
    """
    image = np.where(inside, significance, 0.0).astype(np.float64)
    local_maxima = (ndimage.maximum_filter(image, size=3) == image) & inside & (image >= threshold)
    if np.count_nonzero(local_maxima) > 1:
        domes = image - reconstruction(np.maximum(image - MIN_PROMINENCE, 0.0), image, method="dilation")
        local_maxima &= domes >= np.minimum(MIN_PROMINENCE, image) - 1e-9
    if not local_maxima.any():
        local_maxima = image == image.max()
    rows, cols = np.nonzero(_one_pixel_per_plateau(local_maxima))
    order = np.lexsort((cols, rows, -image[rows, cols]))
    return np.stack([rows[order], cols[order]], axis=1)


def _one_pixel_per_plateau(maxima: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the first pixel of each group of touching, equally high maxima."""
    labels, count = ndimage.label(maxima, structure=np.ones((3, 3)))
    if count == np.count_nonzero(maxima):
        return maxima
    kept = np.zeros_like(maxima)
    _, first = np.unique(labels.ravel(), return_index=True)
    kept.ravel()[first[-count:]] = True
    return kept
