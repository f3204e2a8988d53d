"""The compiled loops over islands: search for the best model, then its errors."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.compilation import compiled, compiled_part
from neanias_ml.extraction.components.deblending import Fit, Search, searched
from neanias_ml.extraction.components.fit_errors import error_blocks, widened
from neanias_ml.extraction.components.fit_kernels import Workspace, profile_emphasis, workspace
from neanias_ml.extraction.components.fit_model import (
    FIXED_PARAMETERS,
    SHAPE_PARAMETERS,
    Bounds,
    FloatArray,
    Model,
    Pixels,
    parameter_count,
)
from neanias_ml.extraction.components.least_squares import STOPPED

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

AT_LIMIT = 3
"""How a fit may end besides those of `least_squares`: converged with a parameter at its bound."""


class FitData(NamedTuple):
    """Islands on their lattices and their starting peaks, one island after another.

    ``offsets``: (N + 1,) pixels of each; ``x``, ``y``: relative to the island's origin; ``value``, ``weight``: in
    units of the island's noise; ``inside``: not margin; ``box``: (N, 4) left, right, bottom, top of its centres;
    ``step``: (N,) lattice spacing; ``plane``: (N,) whether a plane is fitted; ``peak_offsets``: (N + 1,);
    ``peaks``: (S, 3) amplitude, x, y.
    """

    offsets: IntArray
    x: FloatArray
    y: FloatArray
    value: FloatArray
    weight: FloatArray
    inside: BoolArray
    box: FloatArray
    step: IntArray
    plane: BoolArray
    peak_offsets: IntArray
    peaks: FloatArray


class FitColumns(NamedTuple):
    """What the loops fill in: per slot (an island has as many as it may have components) and per island."""

    parameters: FloatArray
    errors: FloatArray
    free: BoolArray
    plane: FloatArray
    found: IntArray
    parameter_count: IntArray
    ended: IntArray
    squares: FloatArray
    criterion: FloatArray


@compiled_part
def pixels_of(data: FitData, row: int) -> Pixels:
    """The pixels of one island."""
    a, b = data.offsets[row], data.offsets[row + 1]
    return Pixels(data.x[a:b], data.y[a:b], data.value[a:b], data.weight[a:b])


@compiled_part
def start_of(data: FitData, row: int, search: Search) -> Model:
    """Components of the beam's shape at the peaks of one island."""
    first, count = data.peak_offsets[row], data.peak_offsets[row + 1] - data.peak_offsets[row]
    parameters = np.empty((count, SHAPE_PARAMETERS))
    for k in range(count):
        parameters[k, 0] = math.log(data.peaks[first + k, 0])
        for j in range(1, 3):
            parameters[k, j] = data.peaks[first + k, j]
        for j in range(3):
            parameters[k, 3 + j] = search.beam[j]
    return Model(parameters, np.zeros(count, dtype=np.bool_), np.zeros(3 if data.plane[row] else 0))


@compiled_part
def workspace_of(data: FitData, most: int) -> Workspace:
    """Room for the largest of the islands."""
    largest = 0
    for row in range(len(data.step)):
        largest = max(largest, data.offsets[row + 1] - data.offsets[row])
    return workspace(largest, most)


@compiled_part
def set_bounds(data: FitData, row: int, narrow: float, wide: float, bounds: Bounds) -> None:
    """Components stay on their island, between a bit less than the beam and the island's size."""
    left, right, bottom, top = data.box[row]
    brightest = 3.0
    for k in range(data.peak_offsets[row], data.peak_offsets[row + 1]):
        brightest = max(brightest, data.peaks[k, 0])
    size = max(right - left, top - bottom, 3.0 * wide)
    low, high, step = bounds
    low[0], high[0], step[0] = math.log(0.1), math.log(3.0 * brightest), 1.5
    low[1], high[1], step[1] = left - 1.0, right + 1.0, wide
    low[2], high[2], step[2] = bottom - 1.0, top + 1.0, wide
    low[3], high[3], step[3] = math.log(0.6 * narrow), math.log(size), 0.5
    low[4], high[4], step[4] = -size, size, 0.5 * wide
    low[5], high[5], step[5] = low[3], high[3], 0.5


@compiled_part
def at_bounds(model: Model, bounds: Bounds) -> bool:
    """Whether a fitted parameter lies at a limit."""
    for k in range(len(model.free)):
        for j in range(SHAPE_PARAMETERS if model.free[k] else FIXED_PARAMETERS):
            value = model.parameters[k, j]
            if value <= bounds.low[j] + 1e-9 or value >= bounds.high[j] - 1e-9:
                return True
    return False


@compiled_part
def store(fit: Fit, row: int, slot: int, columns: FitColumns) -> None:
    """Write a fit to its island's row and slots, brightest component first."""
    model = fit.model
    columns.found[row], columns.parameter_count[row] = len(model.free), parameter_count(model)
    columns.ended[row], columns.squares[row], columns.criterion[row] = fit.ended, fit.squares, fit.criterion
    for j in range(len(model.plane)):
        columns.plane[row, j] = model.plane[j]
    for k in range(len(model.free)):
        rank = 0
        for other in range(len(model.free)):
            higher = model.parameters[other, 0] - model.parameters[k, 0]
            if higher > 0.0 or (higher == 0.0 and other < k):
                rank += 1
        columns.free[slot + rank] = model.free[k]
        for j in range(SHAPE_PARAMETERS):
            columns.parameters[slot + rank, j] = model.parameters[k, j]


@compiled
def search_batch(data: FitData, search: Search, narrow: float, wide: float, columns: FitColumns) -> None:
    """Find the components of each island; ``narrow`` and ``wide`` are the beam's standard deviations in pixels."""
    work = workspace_of(data, search.most)
    bounds = Bounds(np.empty(SHAPE_PARAMETERS), np.empty(SHAPE_PARAMETERS), np.empty(SHAPE_PARAMETERS))
    for row in range(len(data.step)):
        correlated = max(1.0, search.correlated / data.step[row] ** 2)
        own = Search(
            correlated,
            search.evidence,
            search.shape_evidence,
            search.added,
            search.kept,
            search.most,
            search.largest,
            search.iterations,
            search.beam,
        )
        set_bounds(data, row, narrow, wide, bounds)
        inside = data.inside[data.offsets[row] : data.offsets[row + 1]]
        fit = searched(pixels_of(data, row), inside, start_of(data, row, own), bounds, own, work)
        ended = AT_LIMIT if fit.ended <= STOPPED and at_bounds(fit.model, bounds) else fit.ended
        store(Fit(fit.model, fit.squares, ended, fit.criterion), row, row * search.most, columns)


@compiled
def error_batch(data: FitData, beam: FloatArray, table: FloatArray, most: int, columns: FitColumns) -> None:
    """Fill in the error covariances of all components; see `fit_errors` for ``table``, `Search` for ``beam``."""
    work, correlation = workspace_of(data, most), widened(table, data.x, data.offsets)
    for row in range(len(data.step)):
        slot = row * most
        count = columns.found[row]
        model = Model(
            columns.parameters[slot : slot + count],
            columns.free[slot : slot + count],
            columns.plane[row, : 3 if data.plane[row] else 0],
        )
        pixels = pixels_of(data, row)
        blocks = columns.errors[slot : slot + count]
        if data.plane[row]:
            for i in range(len(pixels.x)):
                work.emphasis[i] = 1.0
        else:
            pixels = profile_emphasis(pixels, model, beam, work)
        error_blocks(pixels, model, correlation, blocks, work)
