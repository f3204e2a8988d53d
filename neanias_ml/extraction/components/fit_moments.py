"""Components from moments: islands that no Gaussian fit describes keep position, size and flux."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.fit_model import starting_parameters
from neanias_ml.extraction.islands.pixels import IslandPixels

FloatArray = NDArray[np.float64]

LEAST_VARIANCE = 0.25
"""Least variance of a moment along either axis, square pixels: one-pixel islands have none."""


def moment_components(pixels: IslandPixels, *, beam_covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """One component for each of N islands.

    Parameters
    ----------
    pixels
        The islands; pixels of a margin are left out.
    beam_covariance
        (2, 2) pixel covariance of the beam.

    Returns
    -------
    tuple
        (N, 6) parameters and (N, 6, 6) error covariances, as of a fit: the Gaussian has the island's flux-weighted
        position and second moments and its integrated flux. The relative error of the flux, shared out
        among amplitude and axes, is that of the sum of the pixels under beam-correlated noise.
    """
    own = pixels.without_margin()
    rows, count = own.island, len(own)

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(rows, weights=values, minlength=count).astype(np.float64)

    flux, beam_area = own.flux.astype(np.float64), 2.0 * np.pi * np.sqrt(np.linalg.det(beam_covariance))
    noise = total(own.noise.astype(np.float64)) / own.counts
    weight = np.maximum(flux, 1e-3 * own.noise)
    norm = total(weight)
    x, y = total(weight * own.x) / norm, total(weight * own.y) / norm
    dx, dy = own.x - x[rows], own.y - y[rows]
    xx = np.maximum(total(weight * dx * dx) / norm, LEAST_VARIANCE)
    yy = np.maximum(total(weight * dy * dy) / norm, LEAST_VARIANCE)
    limit = 0.99 * np.sqrt(xx * yy)
    xy = np.clip(total(weight * dx * dy) / norm, -limit, limit)
    integrated = np.maximum(total(flux), noise)
    area = 2.0 * np.pi * np.sqrt(xx * yy - xy * xy)
    shape = np.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2)
    parameters = starting_parameters(integrated / area, x, y, shape)
    correlated = np.minimum(own.counts, 2.0 * beam_area)
    relative = noise * np.sqrt(own.counts * correlated) / integrated
    spread, third = (xx + yy) * relative**2, relative**2 / 3.0
    diagonal = np.stack([third, spread, spread, third, spread, third], axis=1)
    return parameters, diagonal[:, :, None] * np.eye(6)
