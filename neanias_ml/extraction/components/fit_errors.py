"""Errors of fitted parameters under noise that the beam has correlated.

Least squares weigh the pixels as if they were independent; their estimates stay right, but the covariance of the
errors is ``H^-1 (J^T W C W J) H^-1`` with ``H = J^T W J``, ``W`` the emphasis of the pixels in the fit and ``C`` the
correlation of the noise: that of noise which is white before the beam, a Gaussian of twice the beam's covariance (as
Condon 1997 assumes).
"""

from __future__ import annotations

import math

import numpy as np

from neanias_ml.extraction.components.fit_kernels import (
    FloatArray,
    Model,
    Pixels,
    compiled,
    factorise,
    first_columns,
    model_row,
    parameter_count,
    substituted,
    workspace,
)

REACH = 3.5
"""Standard deviations of the correlation beyond which it counts as none (0.2 per cent)."""


def correlation_table(beam_covariance: FloatArray) -> FloatArray:
    """Noise correlation (2 r + 1, 2 r + 1) by offset in rows and columns, its centre at offset 0."""
    doubled = 2.0 * np.asarray(beam_covariance, dtype=np.float64)
    inverse = np.linalg.inv(doubled)
    reach = math.ceil(REACH * math.sqrt(max(doubled[0, 0], doubled[1, 1])))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    table: FloatArray = np.exp(
        -0.5 * (inverse[0, 0] * dx * dx + 2.0 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy * dy)
    )
    return table


@compiled
def jacobian_of(pixels: Pixels, model: Model) -> FloatArray:
    """(n, p) derivatives of the model by its parameters, weighted."""
    count = parameter_count(model)
    work = workspace(model)
    jacobian = np.zeros((len(pixels.x), count))
    for i in range(len(pixels.x)):
        model_row(model, work, pixels.x[i], pixels.y[i])
        for a in range(count):
            jacobian[i, a] = work.row[a] * pixels.weight[i]
    return jacobian


@compiled
def correlated_product(pixels: Pixels, jacobian: FloatArray, table: FloatArray) -> FloatArray:
    """C J (n, p), with the correlation taken from its table; pixels must come row by row."""
    reach = len(table) // 2
    product = jacobian.copy()
    count = jacobian.shape[1]
    for i in range(len(pixels.x)):
        for j in range(i - 1, -1, -1):
            dx, dy = int(pixels.x[i] - pixels.x[j]), int(pixels.y[i] - pixels.y[j])
            if dy > reach:
                break
            if abs(dx) > reach:
                continue
            correlation = table[dy + reach, dx + reach]
            for a in range(count):
                product[i, a] += correlation * jacobian[j, a]
                product[j, a] += correlation * jacobian[i, a]
    return product


@compiled
def inner_product(left: FloatArray, right: FloatArray) -> FloatArray:
    """(p, q) left^T right of (n, p) and (n, q)."""
    product = np.zeros((left.shape[1], right.shape[1]))
    for i in range(len(left)):
        for a in range(left.shape[1]):
            for b in range(right.shape[1]):
                product[a, b] += left[i, a] * right[i, b]
    return product


@compiled
def error_blocks(pixels: Pixels, emphasis: FloatArray, model: Model, table: FloatArray, blocks: FloatArray) -> None:
    """Fill (K, 6, 6) with the error covariance of each component's parameters; 0 for those that were not fitted.

    ``emphasis`` (n,) is the factor on the statistical weight of the pixels in the fit, ``table`` the correlation of the
    noise. The first element is NaN where the parameters are not determined.
    """
    count = parameter_count(model)
    jacobian = jacobian_of(pixels, model)
    weighted = jacobian.copy()
    for i in range(len(emphasis)):
        for a in range(count):
            weighted[i, a] *= emphasis[i]
    hessian, factor = inner_product(weighted, jacobian), np.zeros((count, count))
    if not factorise(hessian, 1e-12, factor):
        for k in range(len(blocks)):
            blocks[k, 0, 0] = math.nan
        return
    inverse, unit = np.zeros((count, count)), np.zeros(count)
    for a in range(count):
        unit[a] = 1.0
        column = substituted(factor, unit)
        for b in range(count):
            inverse[a, b] = column[b]
        unit[a] = 0.0
    inner = inner_product(weighted, correlated_product(pixels, weighted, table))
    covariance = inner_product(inverse, inner_product(inner, inverse))
    columns = first_columns(model)
    for k in range(len(model.free)):
        at = columns[k]
        for a in range(columns[k + 1] - at):
            for b in range(columns[k + 1] - at):
                blocks[k, a, b] = covariance[at + a, at + b]
