"""Compiled minimiser of the fits: Levenberg and Marquardt's with an analytic Jacobian.

Marquardt's (1963) scaling of the diagonal; steps are limited, and projected on simple bounds.
"""

from __future__ import annotations

import math

from neanias_ml.extraction.components.compilation import compiled, compiled_leaf, compiled_part
from neanias_ml.extraction.components.fit_kernels import Workspace, differentiate, evaluate_arrays, products
from neanias_ml.extraction.components.fit_model import (
    FIXED_PARAMETERS,
    SHAPE_PARAMETERS,
    BoolArray,
    Bounds,
    FloatArray,
    Model,
    Pixels,
)

LARGEST_DAMPING = 1e7
LEAST_PIVOT = 1e-13
"""A pivot below this part of its diagonal element is rounding noise: the matrix is singular."""

CONVERGED, STOPPED, SINGULAR = 0, 1, 2
"""How a fit ended: within tolerance, out of iterations, or with an unsolvable system."""


@compiled_part
def factorise(hessian: FloatArray, count: int, damping: float, factor: FloatArray) -> bool:
    """Cholesky factor of H + damping diag H, of the first ``count`` rows; False where it is singular.

    Only the lower triangles are read and written, and the factor's diagonal holds the inverse of its elements.
    """
    for i in range(count):
        for j in range(i + 1):
            total = hessian[i, j]
            if i == j:
                total *= 1.0 + damping
            for m in range(j):
                total -= factor[i, m] * factor[j, m]
            if i != j:
                factor[i, j] = total * factor[j, j]
            elif total > LEAST_PIVOT * hessian[i, i]:
                factor[i, i] = 1.0 / math.sqrt(total)
            else:
                return False
    return True


@compiled_part
def solve(factor: FloatArray, right: FloatArray, count: int, solution: FloatArray) -> None:
    """Solution of L L^T s = right, with the factor of `factorise`."""
    for i in range(count):
        total = right[i]
        for m in range(i):
            total -= factor[i, m] * solution[m]
        solution[i] = total * factor[i, i]
    for i in range(count - 1, -1, -1):
        total = solution[i]
        for m in range(i + 1, count):
            total -= factor[m, i] * solution[m]
        solution[i] = total * factor[i, i]


@compiled_leaf
def take_step(
    parameters: FloatArray,
    free: BoolArray,
    plane: FloatArray,
    step: FloatArray,
    low: FloatArray,
    high: FloatArray,
    longest: FloatArray,
    trial: FloatArray,
    trial_plane: FloatArray,
) -> float:
    """Bring the trial one limited step further than the model, within the bounds; returns the part that was taken."""
    part, at = 1.0, 0
    for k in range(len(free)):
        for j in range(SHAPE_PARAMETERS if free[k] else FIXED_PARAMETERS):
            size = abs(step[at])
            if size * part > longest[j]:
                part = longest[j] / size
            at += 1
    at = 0
    for k in range(len(free)):
        for j in range(SHAPE_PARAMETERS if free[k] else FIXED_PARAMETERS):
            trial[k, j] = min(max(parameters[k, j] + part * step[at], low[j]), high[j])
            at += 1
    for j in range(len(plane)):
        trial_plane[j] = plane[j] + part * step[at]
        at += 1
    return part


@compiled_leaf
def overwrite(parameters: FloatArray, plane: FloatArray, trial: FloatArray, trial_plane: FloatArray) -> None:
    """Give a model the values of the trial."""
    for k in range(len(parameters)):
        for j in range(SHAPE_PARAMETERS):
            parameters[k, j] = trial[k, j]
    for j in range(len(plane)):
        plane[j] = trial_plane[j]


@compiled
def minimise(
    pixels: Pixels, model: Model, bounds: Bounds, tolerance: float, iterations: int, work: Workspace
) -> tuple[Model, float, int]:
    """Least squares by Levenberg and Marquardt.

    Ends when a hardly damped, unshortened step lowers the sum of squares by less than ``tolerance``.
    Returns the model, its sum of squares and how it ended.
    """
    x, y, value, weight = pixels
    low, high, longest = bounds
    profile, residual, jacobian = work.profile, work.residual, work.jacobian
    hessian, gradient, factor, step = work.hessian, work.gradient, work.factor, work.step
    parameters, free, plane = model.parameters.copy(), model.free.copy(), model.plane.copy()
    trial, trial_plane = parameters.copy(), plane.copy()
    squares, count, damping, part, ended = math.inf, 0, 1e-2, 1.0, STOPPED
    for passes in range(iterations + 1):
        trial_squares = evaluate_arrays(x, y, value, weight, trial, trial_plane, profile, residual)
        gain = squares - trial_squares
        if passes == 0 or gain > 0.0:
            squares = trial_squares
            overwrite(parameters, plane, trial, trial_plane)
            if gain < tolerance and part == 1.0 and damping <= 0.01:
                ended = CONVERGED
                break
            damping = max(0.1 * damping, 1e-7)
            count = differentiate(x, y, weight, parameters, free, plane, profile, jacobian)
            products(jacobian, count, residual, len(x), hessian, gradient)
        else:
            close = -gain < tolerance and (damping >= 1.0 or -gain < 1e-3 * tolerance)
            damping *= 10.0
            if close or damping > LARGEST_DAMPING:
                ended = CONVERGED
                break
        if passes == iterations:
            break
        while not factorise(hessian, count, damping, factor):
            damping *= 10.0
            if not damping < LARGEST_DAMPING:
                return Model(parameters, free, plane), squares, SINGULAR
        solve(factor, gradient, count, step)
        part = take_step(parameters, free, plane, step, low, high, longest, trial, trial_plane)
    return Model(parameters, free, plane), squares, ended


@compiled
def expected_gain(work: Workspace, count: int) -> float:
    """By how much the sum of squares would fall at the minimum of its quadratic approximation (score test).

    From the normal equations, of which only the first ``count`` of ``work.chosen`` (ascending) may change.
    """
    for a in range(count):
        work.right[a] = work.gradient[work.chosen[a]]
        for b in range(a + 1):
            work.part[a, b] = work.hessian[work.chosen[a], work.chosen[b]]
    if not factorise(work.part, count, 1e-4, work.factor):
        return 0.0
    solve(work.factor, work.right, count, work.step)
    gain = 0.0
    for a in range(count):
        gain += work.step[a] * work.right[a]
    return gain
