"""The sum of fitted Gaussians on a window of the map: models and residuals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.compilation import compiled
from neanias_ml.extraction.components.fit_model import FloatArray
from neanias_ml.maps import Window

CUT_SIGMA = 6.0
"""Gaussians are rendered out to this many standard deviations (1.5e-8 of the peak)."""


@compiled
def _add_gaussians(image: NDArray[np.float32], parameters: FloatArray, x0: int, y0: int, cut: float) -> None:
    """Add each Gaussian row by row, each row only where it lies within the cut."""
    height, width = image.shape
    for k in range(len(parameters)):
        peak = math.exp(parameters[k, 0])
        l11, l21, l22 = math.exp(parameters[k, 3]), parameters[k, 4], math.exp(parameters[k, 5])
        spread = math.sqrt(l21 * l21 + l22 * l22)
        x, y = parameters[k, 1] - x0, parameters[k, 2] - y0
        first = max(0, math.ceil(y - cut * spread))
        last = min(height - 1, math.floor(y + cut * spread))
        across = l11 * l22 / spread
        for row in range(first, last + 1):
            dy = (row - y) / spread
            centre = x + dy * l11 * l21 / spread
            reach = across * math.sqrt(max(0.0, cut * cut - dy * dy))
            at_row = peak * math.exp(-0.5 * dy * dy)
            for column in range(max(0, math.ceil(centre - reach)), min(width - 1, math.floor(centre + reach)) + 1):
                z = (column - centre) / across
                image[row, column] += at_row * math.exp(-0.5 * z * z)


def render_components(parameters: FloatArray, window: Window, *, cut: float = CUT_SIGMA) -> NDArray[np.float32]:
    """Sum of Gaussians in each pixel of a window.

    Parameters
    ----------
    parameters
        (K, 6) as in `FittedComponents`: log amplitude, x, y, log l11, l21, log l22.
    window
        Rows and columns of the map.
    cut
        Standard deviations out to which each is drawn.

    Returns
    -------
    ndarray
        (h, w) float32, Jy/beam.
    """
    image = np.zeros(window.shape, dtype=np.float32)
    rows = np.ascontiguousarray(parameters, dtype=np.float64).reshape(-1, 6)
    _add_gaussians(image, rows[np.isfinite(rows).all(axis=1)], window.x0, window.y0, float(cut))
    return image
