"""Compiled least squares for a sum of elliptical Gaussians on an optional plane.

A component is held as ``(log amplitude, x, y, log l11, l21, log l22)`` where ``L = [[l11, 0], [l21, l22]]`` is the
Cholesky factor of its pixel covariance: smooth everywhere, positive by construction, and without the degenerate
angle of a round source. Components whose shape is fixed have three parameters in the fit, free ones six; a plane
adds three. The minimiser is Levenberg and Marquardt's with an analytic Jacobian (Marquardt 1963, with his scaling
of the diagonal), steps limited and projected on simple bounds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

compiled = njit(cache=True, nogil=True, error_model="numpy")
"""Compiled at first use and kept on disk; other threads run meanwhile; a division by 0 gives inf, not an error."""

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SHAPE_PARAMETERS = 6
FIXED_PARAMETERS = 3
FAR = 30.0
"""Squared distance in sigma beyond which a Gaussian is nothing (3e-7 of its peak)."""
LARGEST_DAMPING = 1e7
LEAST_PIVOT = 1e-13
"""A pivot below this part of its diagonal element is rounding noise: the matrix is singular."""

CONVERGED, STOPPED, SINGULAR = 0, 1, 2
"""How a fit ended: within tolerance, out of iterations, or with an unsolvable system."""


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


class Workspace(NamedTuple):
    """A model ready for evaluation, and room for the derivatives of one pixel.

    ``table``: (K, 6) amplitude, x, y, 1 / l11, l21, 1 / l22; ``columns``: (K + 2,) first column of each component and
    of the plane in the Jacobian, and their number; ``row``: the derivatives.
    """

    table: FloatArray
    columns: NDArray[np.int64]
    row: FloatArray


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


@compiled
def parameter_count(model: Model) -> int:
    """Parameters that the fit may change."""
    total = len(model.plane)
    for free in model.free:
        total += SHAPE_PARAMETERS if free else FIXED_PARAMETERS
    return total


@compiled
def first_columns(model: Model) -> NDArray[np.int64]:
    """(K + 2,) column of the Jacobian at which each component's parameters begin, and the plane's; their number."""
    columns = np.zeros(len(model.free) + 2, dtype=np.int64)
    for k in range(len(model.free)):
        columns[k + 1] = columns[k] + (SHAPE_PARAMETERS if model.free[k] else FIXED_PARAMETERS)
    columns[-1] = columns[-2] + len(model.plane)
    return columns


@compiled
def workspace(model: Model) -> Workspace:
    """What `model_row` needs to know of a model, and room for its results."""
    table = model.parameters.copy()
    for k in range(len(table)):
        table[k, 0] = math.exp(table[k, 0])
        table[k, 3] = math.exp(-table[k, 3])
        table[k, 5] = math.exp(-table[k, 5])
    columns = first_columns(model)
    return Workspace(table, columns, np.empty(columns[-1]))


@compiled
def model_row(model: Model, work: Workspace, x: float, y: float) -> float:
    """The model at one pixel; its derivatives go to ``work.row``."""
    table, row = work.table, work.row
    total = 0.0
    for k in range(len(table)):
        at = work.columns[k]
        skew = table[k, 4] * table[k, 5]
        z1 = (x - table[k, 1]) * table[k, 3]
        z2 = (y - table[k, 2]) * table[k, 5] - skew * z1
        squared = z1 * z1 + z2 * z2
        if squared >= FAR:
            for j in range(at, work.columns[k + 1]):
                row[j] = 0.0
            continue
        value = table[k, 0] * math.exp(-0.5 * squared)
        along = value * (z1 - z2 * skew)
        total += value
        row[at], row[at + 1], row[at + 2] = value, along * table[k, 3], value * z2 * table[k, 5]
        if model.free[k]:
            row[at + 3], row[at + 4], row[at + 5] = along * z1, value * z1 * z2 * table[k, 5], value * z2 * z2
    if len(model.plane) > 0:
        at = work.columns[-2]
        total += model.plane[0] + model.plane[1] * x + model.plane[2] * y
        row[at], row[at + 1], row[at + 2] = 1.0, x, y
    return total


@compiled
def profile_emphasis(pixels: Pixels, model: Model, beam: FloatArray) -> FloatArray:
    """(n,) part of its statistical weight that each pixel keeps: the profile of the nearest component, 1 at its centre.

    Noise that the beam has correlated is best averaged over less than the source: the flanks of a beam-shaped source
    and the noise on them say what the pixels within already say. For sources wider than the beam the noise approaches
    white noise and all pixels count alike, so that the profile is flattened. ``beam``: (3,) log l11, l21, log l22.
    """
    table = workspace(model).table
    emphasis = np.zeros(len(pixels.x))
    for k in range(len(table)):
        area = math.exp(model.parameters[k, 3] + model.parameters[k, 5] - beam[0] - beam[2])
        power = min(1.0, 2.0 / (1.0 + area))
        skew = table[k, 4] * table[k, 5]
        for i in range(len(emphasis)):
            z1 = (pixels.x[i] - table[k, 1]) * table[k, 3]
            z2 = (pixels.y[i] - table[k, 2]) * table[k, 5] - skew * z1
            emphasis[i] = max(emphasis[i], math.exp(-0.5 * power * (z1 * z1 + z2 * z2)))
    return emphasis


@compiled
def normal_equations(pixels: Pixels, model: Model, hessian: FloatArray, gradient: FloatArray) -> float:
    """Fill J^T J (lower triangle) and J^T r; returns the sum of squared residuals in units of the noise."""
    work = workspace(model)
    row, count = work.row, len(gradient)
    for a in range(count):
        gradient[a] = 0.0
        for b in range(a + 1):
            hessian[a, b] = 0.0
    squares = 0.0
    for i in range(len(pixels.x)):
        value = model_row(model, work, pixels.x[i], pixels.y[i])
        weight = pixels.weight[i]
        residual = (pixels.value[i] - value) * weight
        squares += residual * residual
        for a in range(count):
            scaled = row[a] * weight
            if scaled == 0.0:
                continue
            gradient[a] += scaled * residual
            scaled *= weight
            for b in range(a + 1):
                hessian[a, b] += scaled * row[b]
    return squares


@compiled
def residuals(pixels: Pixels, model: Model) -> FloatArray:
    """(n,) values minus model, in units of the reference noise (not weighted)."""
    work = workspace(model)
    left = np.empty(len(pixels.x))
    for i in range(len(left)):
        left[i] = pixels.value[i] - model_row(model, work, pixels.x[i], pixels.y[i])
    return left


@compiled
def factorise(hessian: FloatArray, damping: float, factor: FloatArray) -> bool:
    """Cholesky factor of H + damping diag H from its lower triangle; False where it is singular."""
    for i in range(len(hessian)):
        for j in range(i + 1):
            total = hessian[i, j]
            if i == j:
                total *= 1.0 + damping
            for m in range(j):
                total -= factor[i, m] * factor[j, m]
            if i != j:
                factor[i, j] = total / factor[j, j]
            elif total > LEAST_PIVOT * hessian[i, i]:
                factor[i, i] = math.sqrt(total)
            else:
                return False
    return True


@compiled
def substituted(factor: FloatArray, right: FloatArray) -> FloatArray:
    """Solution of L L^T s = right."""
    solution = right.copy()
    for i in range(len(right)):
        for m in range(i):
            solution[i] -= factor[i, m] * solution[m]
        solution[i] /= factor[i, i]
    for i in range(len(right) - 1, -1, -1):
        for m in range(i + 1, len(right)):
            solution[i] -= factor[m, i] * solution[m]
        solution[i] /= factor[i, i]
    return solution


@compiled
def stepped(model: Model, step: FloatArray, bounds: Bounds) -> tuple[Model, float]:
    """The model one limited step further, projected on the bounds, and the part of the step that was taken."""
    columns = first_columns(model)
    part = 1.0
    for k in range(len(model.free)):
        for j in range(columns[k + 1] - columns[k]):
            size = abs(step[columns[k] + j])
            if size * part > bounds.step[j]:
                part = bounds.step[j] / size
    parameters, plane = model.parameters.copy(), model.plane.copy()
    for k in range(len(model.free)):
        for j in range(columns[k + 1] - columns[k]):
            moved = parameters[k, j] + part * step[columns[k] + j]
            parameters[k, j] = min(max(moved, bounds.low[j]), bounds.high[j])
    for j in range(len(plane)):
        plane[j] += part * step[columns[-2] + j]
    return Model(parameters, model.free, plane), part


@compiled
def minimise(
    pixels: Pixels, model: Model, bounds: Bounds, tolerance: float, iterations: int
) -> tuple[Model, float, int]:
    """Least squares by Levenberg and Marquardt.

    Ends when a hardly damped, unshortened step lowers the sum of squares by less than ``tolerance``.
    Returns the model, its sum of squares and how it ended.
    """
    count = parameter_count(model)
    hessian, gradient = np.zeros((count, count)), np.zeros(count)
    trial_hessian, trial_gradient = np.zeros((count, count)), np.zeros(count)
    factor = np.zeros((count, count))
    squares = normal_equations(pixels, model, hessian, gradient)
    damping = 1e-3
    for _ in range(iterations):
        while not factorise(hessian, damping, factor):
            damping *= 10.0
            if not damping < LARGEST_DAMPING:
                return model, squares, SINGULAR
        trial, part = stepped(model, substituted(factor, gradient), bounds)
        trial_squares = normal_equations(pixels, trial, trial_hessian, trial_gradient)
        gain = squares - trial_squares
        if gain > 0.0:
            model, squares = trial, trial_squares
            hessian, trial_hessian = trial_hessian, hessian
            gradient, trial_gradient = trial_gradient, gradient
            if gain < tolerance and part == 1.0 and damping <= 0.01:
                return model, squares, CONVERGED
            damping = max(0.1 * damping, 1e-7)
        else:
            if -gain < tolerance and (damping >= 1.0 or -gain < 1e-3 * tolerance):
                return model, squares, CONVERGED
            damping *= 10.0
            if damping > LARGEST_DAMPING:
                return model, squares, CONVERGED
    return model, squares, STOPPED


@compiled
def expected_gain(hessian: FloatArray, gradient: FloatArray, chosen: NDArray[np.int64]) -> float:
    """By how much the sum of squares would fall at the minimum of its quadratic approximation (score test).

    From the normal equations, of which only the ``chosen`` parameters (ascending) may change.
    """
    count = len(chosen)
    part, right, factor = np.zeros((count, count)), np.zeros(count), np.zeros((count, count))
    for a in range(count):
        right[a] = gradient[chosen[a]]
        for b in range(a + 1):
            part[a, b] = hessian[chosen[a], chosen[b]]
    gain = 0.0
    if factorise(part, 1e-4, factor):
        step = substituted(factor, right)
        for a in range(count):
            gain += step[a] * right[a]
    return gain
