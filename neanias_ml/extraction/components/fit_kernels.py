"""Compiled evaluation of a sum of Gaussians on the pixels of an island, and its normal equations.

All that has one number per pixel lies in arrays of its own, a component or a parameter after another, so that every
loop runs along pixels and becomes vector instructions: values with their residuals first, which is all that a trial
of the minimiser needs; from the same values the weighted derivatives of the parameters, columns of the Jacobian J;
from those J^T J and J^T r by products of columns.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from neanias_ml.extraction.components.compilation import compiled, compiled_leaf, compiled_part, compiled_sum, inlined
from neanias_ml.extraction.components.exponential import exponential
from neanias_ml.extraction.components.fit_model import (
    FIXED_PARAMETERS,
    PLANE_PARAMETERS,
    SHAPE_PARAMETERS,
    BoolArray,
    FloatArray,
    IntArray,
    Model,
    Pixels,
)

FAR = 30.0
"""Squared distance in sigma beyond which a Gaussian is nothing (3e-7 of its peak)."""
LEAST_EXPONENT = -700.0
"""Exponentials of less are 0."""


class Workspace(NamedTuple):
    """Room for models of up to K components, P parameters, on up to n pixels; used over and over.

    ``profile``: (K n,) the components in the pixels; ``residual``: (n,) weighted; ``jacobian``: (P n,) weighted
    derivatives; ``emphasis``, ``weight``: (n,) see `profile_emphasis`; ``hessian``: (P, P) J^T J, its lower triangle,
    and ``gradient``: (P,) J^T r; ``chosen``: (P,) parameters in a score test with their ``part`` (P, P) of the Hessian
    and ``right`` (P,) side; ``factor``, ``step``: (P, P), (P,) Cholesky factor and solution.
    """

    profile: FloatArray
    residual: FloatArray
    jacobian: FloatArray
    emphasis: FloatArray
    weight: FloatArray
    hessian: FloatArray
    gradient: FloatArray
    chosen: IntArray
    part: FloatArray
    right: FloatArray
    factor: FloatArray
    step: FloatArray


@compiled
def workspace(pixels: int, components: int) -> Workspace:
    """A workspace for so many pixels and components."""
    count = SHAPE_PARAMETERS * components + PLANE_PARAMETERS
    return Workspace(
        np.empty(components * pixels),
        np.empty(pixels),
        np.empty(count * pixels),
        np.empty(pixels),
        np.empty(pixels),
        np.empty((count, count)),
        np.empty(count),
        np.empty(count, dtype=np.int64),
        np.empty((count, count)),
        np.empty(count),
        np.empty((count, count)),
        np.empty(count),
    )


@compiled_sum
def dot(left: FloatArray, right: FloatArray) -> float:
    """Sum of products, in the order of vector lanes (the same for equal lengths, on one machine)."""
    total = 0.0
    for i in range(len(left)):
        total += left[i] * right[i]
    return total


@compiled_leaf
def _subtract(
    x: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    parameters: FloatArray,
    k: int,
    profile: FloatArray,
    residual: FloatArray,
) -> None:
    """See `subtract_component`."""
    count = len(x)
    peak, x0, y0 = math.exp(parameters[k, 0]), parameters[k, 1], parameters[k, 2]
    per_l11, per_l22 = math.exp(-parameters[k, 3]), math.exp(-parameters[k, 5])
    skew = parameters[k, 4] * per_l22
    own = profile[k * count : (k + 1) * count]
    for i in range(count):
        z1 = (x[i] - x0) * per_l11
        z2 = (y[i] - y0) * per_l22 - skew * z1
        squared = z1 * z1 + z2 * z2
        own[i] = 0.0 if squared >= FAR else peak * exponential(-0.5 * squared)
    for i in range(count):
        residual[i] -= own[i] * weight[i]


@inlined
def subtract_component(pixels: Pixels, model: Model, k: int, work: Workspace) -> None:
    """Evaluate component ``k`` in all pixels and take it, weighted, from the residual."""
    _subtract(pixels.x, pixels.y, pixels.weight, model.parameters, k, work.profile, work.residual)


@compiled_leaf
def _subtract_plane(x: FloatArray, y: FloatArray, weight: FloatArray, plane: FloatArray, residual: FloatArray) -> None:
    for i in range(len(x)):
        residual[i] -= (plane[0] + plane[1] * x[i] + plane[2] * y[i]) * weight[i]


@compiled_part
def evaluate_arrays(
    x: FloatArray,
    y: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    parameters: FloatArray,
    plane: FloatArray,
    profile: FloatArray,
    residual: FloatArray,
) -> float:
    """See `evaluate`."""
    for i in range(len(x)):
        residual[i] = value[i] * weight[i]
    if len(plane) > 0:
        _subtract_plane(x, y, weight, plane, residual)
    for k in range(len(parameters)):
        _subtract(x, y, weight, parameters, k, profile, residual)
    return dot(residual[: len(x)], residual[: len(x)])


@inlined
def evaluate(pixels: Pixels, model: Model, work: Workspace) -> float:
    """Fill profiles and weighted residuals (values minus model); returns the sum of their squares."""
    return evaluate_arrays(
        pixels.x,
        pixels.y,
        pixels.value,
        pixels.weight,
        model.parameters,
        model.plane,
        work.profile,
        work.residual,
    )


@compiled_leaf
def _differentiate(
    x: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    parameters: FloatArray,
    k: int,
    profile: FloatArray,
    columns: FloatArray,
) -> None:
    """Derivatives by amplitude and position, (3 n,)."""
    count = len(x)
    x0, y0 = parameters[k, 1], parameters[k, 2]
    per_l11, per_l22 = math.exp(-parameters[k, 3]), math.exp(-parameters[k, 5])
    skew = parameters[k, 4] * per_l22
    own = profile[k * count : (k + 1) * count]
    for i in range(count):
        z1 = (x[i] - x0) * per_l11
        z2 = (y[i] - y0) * per_l22 - skew * z1
        value = own[i] * weight[i]
        columns[i] = value
        columns[count + i] = value * (z1 - z2 * skew) * per_l11
        columns[2 * count + i] = value * z2 * per_l22


@compiled_leaf
def _differentiate_shape(x: FloatArray, y: FloatArray, parameters: FloatArray, k: int, columns: FloatArray) -> None:
    """Derivatives by the shape, the second half of (6 n,) columns of which the first half is there."""
    count = len(x)
    x0, y0 = parameters[k, 1], parameters[k, 2]
    per_l11, per_l22 = math.exp(-parameters[k, 3]), math.exp(-parameters[k, 5])
    skew = parameters[k, 4] * per_l22
    for i in range(count):
        z1 = (x[i] - x0) * per_l11
        z2 = (y[i] - y0) * per_l22 - skew * z1
        columns[3 * count + i] = columns[count + i] * (x[i] - x0)
        columns[4 * count + i] = columns[2 * count + i] * z1
        columns[5 * count + i] = columns[i] * z2 * z2


@compiled_part
def differentiate(
    x: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    parameters: FloatArray,
    free: BoolArray,
    plane: FloatArray,
    profile: FloatArray,
    jacobian: FloatArray,
) -> int:
    """Fill the Jacobian from the profiles; returns its number of columns."""
    count, columns = len(x), 0
    for k in range(len(free)):
        own = jacobian[columns * count :]
        _differentiate(x, y, weight, parameters, k, profile, own)
        if free[k]:
            _differentiate_shape(x, y, parameters, k, own)
        columns += SHAPE_PARAMETERS if free[k] else FIXED_PARAMETERS
    if len(plane) > 0:
        own = jacobian[columns * count :]
        for i in range(count):
            own[i], own[count + i], own[2 * count + i] = weight[i], weight[i] * x[i], weight[i] * y[i]
        columns += PLANE_PARAMETERS
    return columns


@compiled_part
def products(
    jacobian: FloatArray, columns: int, residual: FloatArray, count: int, hessian: FloatArray, gradient: FloatArray
) -> None:
    """J^T J, its lower triangle, and J^T r from (columns count,) and (count,)."""
    for a in range(columns):
        gradient[a] = dot(jacobian[a * count : (a + 1) * count], residual[:count])
        for b in range(a + 1):
            hessian[a, b] = dot(jacobian[a * count : (a + 1) * count], jacobian[b * count : (b + 1) * count])


@inlined
def normal_equations(pixels: Pixels, model: Model, work: Workspace) -> int:
    """Fill Jacobian, J^T J (lower triangle) and J^T r after `evaluate`; returns the number of parameters."""
    columns = differentiate(
        pixels.x,
        pixels.y,
        pixels.weight,
        model.parameters,
        model.free,
        model.plane,
        work.profile,
        work.jacobian,
    )
    products(work.jacobian, columns, work.residual, len(pixels.x), work.hessian, work.gradient)
    return columns


@compiled
def profile_emphasis(pixels: Pixels, model: Model, beam: FloatArray, work: Workspace) -> Pixels:
    """The pixels with the weights that they keep in the fit: the profile of the nearest component, 1 at its centre.

    Noise that the beam has correlated is best averaged over less than the source: the flanks of a beam-shaped source
    and the noise on them say what the pixels within already say. For sources wider than the beam the noise approaches
    white noise and all pixels count alike, so that the profile is flattened. Of that factor on the statistical weight
    the root goes to ``work.emphasis``, times the inverse noise to ``work.weight``, which the result uses.
    ``beam``: (3,) log l11, l21, log l22.
    """
    x, y = pixels.x, pixels.y
    emphasis, weight = work.emphasis[: len(x)], work.weight[: len(x)]
    for i in range(len(x)):
        emphasis[i] = LEAST_EXPONENT
    for k in range(len(model.free)):
        x0, y0 = model.parameters[k, 1], model.parameters[k, 2]
        area = math.exp(model.parameters[k, 3] + model.parameters[k, 5] - beam[0] - beam[2])
        power = 0.25 * min(1.0, 2.0 / (1.0 + area))
        per_l11, per_l22 = math.exp(-model.parameters[k, 3]), math.exp(-model.parameters[k, 5])
        skew = model.parameters[k, 4] * per_l22
        for i in range(len(x)):
            z1 = (x[i] - x0) * per_l11
            z2 = (y[i] - y0) * per_l22 - skew * z1
            emphasis[i] = max(emphasis[i], -power * (z1 * z1 + z2 * z2))
    for i in range(len(x)):
        emphasis[i] = exponential(emphasis[i])
        weight[i] = emphasis[i] * pixels.weight[i]
    return Pixels(x, y, pixels.value, weight)
