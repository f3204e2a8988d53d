"""Errors of fitted parameters under noise that the beam has correlated.

Least squares weigh the pixels as if they were independent; their estimates stay right, but the covariance of the
errors is ``H^-1 (J^T W C W J) H^-1`` with ``H = J^T W J``, ``W`` the emphasis of the pixels in the fit and ``C`` the
correlation of the noise: that of noise which is white before the beam, a Gaussian of twice the beam's covariance (as
Condon 1997 assumes).
"""

from __future__ import annotations

import math

import numpy as np

from neanias_ml.extraction.components.compilation import compiled, compiled_part
from neanias_ml.extraction.components.fit_kernels import Workspace, dot, evaluate, normal_equations
from neanias_ml.extraction.components.fit_model import (
    FIXED_PARAMETERS,
    SHAPE_PARAMETERS,
    FloatArray,
    IntArray,
    Model,
    Pixels,
)
from neanias_ml.extraction.components.least_squares import factorise, solve

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
def widened(table: FloatArray, x: FloatArray, offsets: IntArray) -> FloatArray:
    """The lower half of a `correlation_table`, (r + 1, 2 w + 1), with zeros out to the width w of the widest island.

    In such a table the offsets of any two pixels of an island have their place, and the difference of the pixels'
    places in a grid of the same width leads to it.
    """
    reach, width = len(table) // 2, len(table) // 2
    for row in range(len(offsets) - 1):
        left, right = x[offsets[row]], x[offsets[row]]
        for i in range(offsets[row], offsets[row + 1]):
            left, right = min(left, x[i]), max(right, x[i])
        width = max(width, int(right - left))
    wide = np.zeros((reach + 1, 2 * width + 1))
    for dy in range(reach + 1):
        for dx in range(-reach, reach + 1):
            wide[dy, width + dx] = table[reach + dy, reach + dx]
    return wide


@compiled_part
def correlated_product(
    pixels: Pixels, columns: FloatArray, count: int, table: FloatArray, product: FloatArray
) -> None:
    """Fill G^T C G (p, p) of ``count`` columns G, one after another, with the correlation C of `widened`.

    Pixels must come row by row: those before a pixel are correlated with it from some pixel on.
    """
    flat, reach, middle = table.ravel(), len(table) - 1, table.shape[1] // 2
    total = len(pixels.x)
    place, correlation = np.empty(total, dtype=np.int64), np.empty(total)
    for i in range(total):
        place[i] = int(pixels.y[i]) * table.shape[1] + int(pixels.x[i])
    before = np.zeros(count * total)
    first = 0
    for i in range(total):
        while pixels.y[i] - pixels.y[first] > reach:
            first += 1
        offset = place[i] + middle
        for j in range(first, i):
            correlation[j] = flat[offset - place[j]]
        for a in range(count):
            before[a * total + i] = dot(correlation[first:i], columns[a * total + first : a * total + i])
    for a in range(count):
        for b in range(count):
            product[a, b] = dot(columns[a * total : (a + 1) * total], before[b * total : (b + 1) * total])
    for a in range(count):
        for b in range(a + 1):
            own = dot(columns[a * total : (a + 1) * total], columns[b * total : (b + 1) * total])
            product[a, b] = product[b, a] = own + product[a, b] + product[b, a]


@compiled_part
def matrix_product(left: FloatArray, right: FloatArray) -> FloatArray:
    """(p, q) product of small matrices; the library's takes longer to be called."""
    product = np.zeros((left.shape[0], right.shape[1]))
    for a in range(left.shape[0]):
        for c in range(left.shape[1]):
            for b in range(right.shape[1]):
                product[a, b] += left[a, c] * right[c, b]
    return product


@compiled
def error_blocks(pixels: Pixels, model: Model, table: FloatArray, blocks: FloatArray, work: Workspace) -> None:
    """Fill (K, 6, 6) with the error covariance of each component's parameters; 0 for those that were not fitted.

    ``pixels`` have the weights of the fit, of which ``work.emphasis`` is the part that does not come from the noise
    (see `profile_emphasis`); ``table`` is the correlation of the noise (see `widened`). The first element is NaN where
    the parameters are not determined.
    """
    evaluate(pixels, model, work)
    count = normal_equations(pixels, model, work)
    if not factorise(work.hessian, count, 1e-12, work.factor):
        for k in range(len(blocks)):
            blocks[k, 0, 0] = math.nan
        return
    inverse, unit = np.zeros((count, count)), np.zeros(count)
    for a in range(count):
        unit[a] = 1.0
        solve(work.factor, unit, count, inverse[a])
        unit[a] = 0.0
    total = len(pixels.x)
    for a in range(count):
        for i in range(total):
            work.jacobian[a * total + i] *= work.emphasis[i]
    inner = np.empty((count, count))
    correlated_product(pixels, work.jacobian, count, table, inner)
    covariance = matrix_product(inverse, matrix_product(inner, inverse))
    at = 0
    for k in range(len(model.free)):
        own = SHAPE_PARAMETERS if model.free[k] else FIXED_PARAMETERS
        for a in range(own):
            for b in range(own):
                blocks[k, a, b] = covariance[at + a, at + b]
        at += own
