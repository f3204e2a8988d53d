"""A sum of elliptical Gaussians on an optional plane: how it is held, and the pixels and bounds of its fit.

A component is held as ``(log amplitude, x, y, log l11, l21, log l22)`` where ``L = [[l11, 0], [l21, l22]]`` is the
Cholesky factor of its pixel covariance: smooth everywhere, positive by construction, and without the degenerate
angle of a round source. Components whose shape is fixed have three parameters in the fit, free ones six; a plane
adds three.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.compilation import compiled_part

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

SHAPE_PARAMETERS = 6
FIXED_PARAMETERS = 3
PLANE_PARAMETERS = 3


class Pixels(NamedTuple):
    """(n,) positions relative to the island's origin, values and inverse noise, in units of one reference noise."""

    x: FloatArray
    y: FloatArray
    value: FloatArray
    weight: FloatArray


class Model(NamedTuple):
    """(K, 6) parameters, (K,) whether a shape is free, (0,) or (3,) plane: level and slopes along x and y."""

    parameters: FloatArray
    free: BoolArray
    plane: FloatArray


class Bounds(NamedTuple):
    """(6,) least and largest parameters of every component, and the largest step of each in one iteration."""

    low: FloatArray
    high: FloatArray
    step: FloatArray


def starting_parameters(amplitude: FloatArray, x: FloatArray, y: FloatArray, covariance: FloatArray) -> FloatArray:
    """Parameters (K, 6) of Gaussians of given amplitudes, positions and pixel covariances (2, 2) or (K, 2, 2)."""
    lower = np.linalg.cholesky(covariance)
    start = np.empty((len(amplitude), SHAPE_PARAMETERS))
    start[:, 0], start[:, 1], start[:, 2] = np.log(amplitude), x, y
    start[:, 3], start[:, 4], start[:, 5] = np.log(lower[..., 0, 0]), lower[..., 1, 0], np.log(lower[..., 1, 1])
    return start


def covariance_of(parameters: FloatArray) -> FloatArray:
    """Pixel covariances (K, 2, 2), axes (x, y), of parameters (K, 6)."""
    l11, l21, l22 = np.exp(parameters[:, 3]), parameters[:, 4], np.exp(parameters[:, 5])
    covariance = np.empty((len(parameters), 2, 2))
    covariance[:, 0, 0] = l11**2
    covariance[:, 0, 1] = covariance[:, 1, 0] = l11 * l21
    covariance[:, 1, 1] = l21**2 + l22**2
    return covariance


@compiled_part
def parameter_count(model: Model) -> int:
    """Parameters that the fit may change."""
    total = len(model.plane)
    for free in model.free:
        total += SHAPE_PARAMETERS if free else FIXED_PARAMETERS
    return total


@compiled_part
def copied(model: Model) -> Model:
    """A model of its own."""
    return Model(model.parameters.copy(), model.free.copy(), model.plane.copy())


@compiled_part
def without(model: Model, left_out: int) -> Model:
    """A copy of the model without one component."""
    kept = len(model.free) - 1
    parameters, free = np.empty((kept, SHAPE_PARAMETERS)), np.empty(kept, dtype=np.bool_)
    for k in range(kept):
        source = k if k < left_out else k + 1
        free[k] = model.free[source]
        for j in range(SHAPE_PARAMETERS):
            parameters[k, j] = model.parameters[source, j]
    return Model(parameters, free, model.plane.copy())


@compiled_part
def extended(model: Model) -> Model:
    """A copy of the model with room for one more component of fixed shape at its end."""
    count = len(model.free)
    parameters, free = np.zeros((count + 1, SHAPE_PARAMETERS)), np.zeros(count + 1, dtype=np.bool_)
    for k in range(count):
        free[k] = model.free[k]
        for j in range(SHAPE_PARAMETERS):
            parameters[k, j] = model.parameters[k, j]
    return Model(parameters, free, model.plane.copy())
