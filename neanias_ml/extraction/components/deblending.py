"""Which Gaussians describe an island: components are added, freed and removed by an information criterion.

Noise is correlated over the beam, so that ``n`` pixels hold only ``n / correlated`` independent data and the sum
of squares is that many times too large; both enter the Bayesian information criterion (Schwarz 1978)

    BIC = chi2 / correlated + parameters * ln(n / correlated)

with ``correlated`` the beam area in pixels, which is the factor by which beam-correlated noise inflates the gain in
chi2 of a beam-shaped component. The search is greedy: it starts from the peaks with the beam's shape, then takes
whichever lowers the criterion most of (a) freeing one shape and (b) adding a component where the residual is
largest, until neither pays; then it takes out weak components that are not missed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.fit_kernels import (
    FIXED_PARAMETERS,
    SHAPE_PARAMETERS,
    Bounds,
    FloatArray,
    Model,
    Pixels,
    compiled,
    expected_gain,
    minimise,
    normal_equations,
    parameter_count,
    profile_emphasis,
    residuals,
)
from neanias_ml.maps import FWHM_PER_SIGMA

BoolArray = NDArray[np.bool_]

LEAST_RESIDUAL = 2.0
"""No component is tried where the residual is nowhere this many sigma: it could not pay."""
LEAST_CONTRAST = 0.02
CONTRAST_REACH = 2.0
"""An added component has at least `LEAST_CONTRAST` of the peak of any other within `CONTRAST_REACH` beam widths: beams,
and responses to bright sources, are seldom known better."""
SCREEN = 0.5
"""Models are tried where the score test promises this part of the gain that would pay: it is an approximation."""
FEW_COMPONENTS = 2
"""Up to so many components every promising change is tried."""
TRIAL_ITERATIONS = 12
TRIAL_TOLERANCE = 1e-1
"""For a model that is only tried; the chosen one is brought to its minimum afterwards."""
FINAL_TOLERANCE = 1e-3
"""Largest gain of the last step in units of one independent chi2: its root is the part of an error left to go."""


class Search(NamedTuple):
    """How the search of an island goes.

    ``correlated``: pixels per independent datum; ``evidence`` and ``shape_evidence``: least fall of the criterion for
    another component and for a free shape; ``added`` and ``kept``: least log signal to noise of an added component and
    of any but the only one; ``most``: largest number of components; ``largest``: independent data up to which
    components are added; ``iterations``: passes of the last fit; ``beam``: (3,) log l11, l21, log l22.
    """

    correlated: float
    evidence: float
    shape_evidence: float
    added: float
    kept: float
    most: int
    largest: float
    iterations: int
    beam: FloatArray


class Fit(NamedTuple):
    """A fitted model, its sum of squares, how the fit ended (see `fit_kernels`) and its criterion."""

    model: Model
    squares: float
    ended: int
    criterion: float


@compiled
def fitted(pixels: Pixels, model: Model, bounds: Bounds, search: Search, final: bool) -> Fit:
    """Fit one model; its criterion is infinite where there are fewer data than parameters."""
    count = parameter_count(model)
    independent = max(len(pixels.x) / search.correlated, math.e)
    tolerance = (FINAL_TOLERANCE if final else TRIAL_TOLERANCE) * search.correlated
    iterations = search.iterations if final else min(TRIAL_ITERATIONS, search.iterations)
    best, squares, ended = minimise(pixels, model, bounds, tolerance, iterations)
    criterion = squares / search.correlated + count * math.log(independent)
    if count > len(pixels.x) or not math.isfinite(criterion):
        criterion = math.inf
    return Fit(best, squares, ended, criterion)


@compiled
def changed(model: Model, left_out: int, more: int) -> Model:
    """The model without component ``left_out`` (none if negative), with room for ``more`` at its end."""
    count = len(model.free)
    kept = count - 1 if left_out >= 0 else count
    parameters, free = np.zeros((kept + more, SHAPE_PARAMETERS)), np.zeros(kept + more, dtype=np.bool_)
    to = 0
    for k in range(count):
        if k == left_out:
            continue
        free[to] = model.free[k]
        for j in range(SHAPE_PARAMETERS):
            parameters[to, j] = model.parameters[k, j]
        to += 1
    return Model(parameters, free, model.plane)


class Change(NamedTuple):
    """A model to try and by how much it promises to lower the criterion; without promise it is not tried."""

    model: Model
    promise: float


@compiled
def promised(gain: float, evidence: float, pixels: Pixels, search: Search) -> float:
    """Fall of the criterion beyond ``evidence`` when three more parameters lower the sum of squares by ``gain``.

    The gain is a score test's: it may be twice as large in the end.
    """
    independent = max(len(pixels.x) / search.correlated, math.e)
    return gain / search.correlated / SCREEN - FIXED_PARAMETERS * math.log(independent) - evidence


@compiled
def freed_shape(pixels: Pixels, fit: Fit, search: Search) -> Change:
    """The model with that shape freed which promises most."""
    model = fit.model
    everything = Model(model.parameters, np.ones(len(model.free), dtype=np.bool_), model.plane)
    count = parameter_count(everything)
    hessian, gradient = np.zeros((count, count)), np.zeros(count)
    normal_equations(pixels, everything, hessian, gradient)
    best, largest = -1, 0.0
    for k in range(len(model.free)):
        if model.free[k]:
            continue
        chosen, active = np.empty(count, dtype=np.int64), 0
        for a in range(count):
            other, place = a // SHAPE_PARAMETERS, a % SHAPE_PARAMETERS
            if other == k or other >= len(model.free) or model.free[other] or place < FIXED_PARAMETERS:
                chosen[active] = a
                active += 1
        gain = expected_gain(hessian, gradient, chosen[:active])
        if gain > largest:
            best, largest = k, gain
    freed = changed(model, -1, 0)
    if best < 0:
        return Change(freed, -math.inf)
    freed.free[best] = True
    return Change(freed, promised(largest, search.shape_evidence, pixels, search))


@compiled
def added_component(pixels: Pixels, inside: BoolArray, fit: Fit, search: Search) -> Change:
    """The model with a component of the beam's shape where the residual is largest."""
    count = len(fit.model.free)
    left = residuals(pixels, fit.model)
    at, largest = -1, LEAST_RESIDUAL
    for i in range(len(left)):
        if inside[i] and left[i] * pixels.weight[i] > largest:
            at, largest = i, left[i] * pixels.weight[i]
    if at < 0 or count >= search.most:
        return Change(fit.model, -math.inf)
    more = changed(fit.model, -1, 1)
    more.parameters[count, 0] = math.log(left[at])
    more.parameters[count, 1], more.parameters[count, 2] = pixels.x[at], pixels.y[at]
    for j in range(3):
        more.parameters[count, 3 + j] = search.beam[j]
    total = parameter_count(more)
    hessian, gradient = np.zeros((total, total)), np.zeros(total)
    squares = normal_equations(pixels, more, hessian, gradient)
    gain = fit.squares - squares + expected_gain(hessian, gradient, np.arange(total))
    return Change(more, promised(gain, search.evidence, pixels, search))


@compiled
def stands_out(model: Model, search: Search) -> bool:
    """Whether the last component is bright enough, by itself and beside its neighbours, and leaves all others so."""
    last = len(model.free) - 1
    reach = CONTRAST_REACH * FWHM_PER_SIGMA * math.exp(0.5 * (search.beam[0] + search.beam[2]))
    for k in range(last):
        dx = model.parameters[k, 1] - model.parameters[last, 1]
        dy = model.parameters[k, 2] - model.parameters[last, 2]
        faint = model.parameters[last, 0] < model.parameters[k, 0] + math.log(LEAST_CONTRAST)
        if model.parameters[k, 0] < search.kept or (faint and dx * dx + dy * dy < reach * reach):
            return False
    return model.parameters[last, 0] >= search.added


@compiled
def is_small(inside: BoolArray, search: Search) -> bool:
    """Whether components may be added to and taken from an island."""
    count = 0
    for one in inside:
        count += one
    return count <= search.largest * search.correlated


@compiled
def grown(pixels: Pixels, inside: BoolArray, start: Fit, bounds: Bounds, search: Search) -> Fit:
    """Free shapes and add components (to islands that are not too large) as long as the criterion falls.

    In islands of few components both changes are tried: two points and one resolved source are much alike. In others
    the more promising one must do.
    """
    fit = start
    small = is_small(inside, search)
    for _ in range(2 * search.most):
        better, needed = fit, search.shape_evidence
        freed = freed_shape(pixels, fit, search)
        added = added_component(pixels, inside, fit, search) if small else Change(fit.model, -math.inf)
        few = len(fit.model.free) <= FEW_COMPONENTS
        if freed.promise > 0.0 and (few or freed.promise >= added.promise):
            better = fitted(pixels, freed.model, bounds, search, False)
        if added.promise > 0.0 and (few or added.promise > freed.promise):
            more = fitted(pixels, added.model, bounds, search, False)
            if more.criterion < better.criterion and stands_out(more.model, search):
                better, needed = more, search.evidence
        if not better.criterion < fit.criterion - needed:
            break
        fit = better
    return fit


@compiled
def weakest(model: Model) -> int:
    """The component of least amplitude, the first of equals."""
    weak = 0
    for k in range(len(model.free)):
        if model.parameters[k, 0] < model.parameters[weak, 0]:
            weak = k
    return weak


@compiled
def pruned(pixels: Pixels, start: Fit, bounds: Bounds, search: Search) -> Fit:
    """Take out the weakest component as long as the criterion does not miss it, or it is lost in the noise."""
    fit = start
    while len(fit.model.free) > 1:
        weak = weakest(fit.model)
        fewer = fitted(pixels, changed(fit.model, weak, 0), bounds, search, False)
        missed = fewer.criterion > fit.criterion + search.evidence
        if missed and fit.model.parameters[weak, 0] >= search.kept:
            break
        fit = fewer
    return fit


@compiled
def polished(pixels: Pixels, fit: Fit, bounds: Bounds, search: Search) -> Fit:
    """The chosen model brought to its minimum, with the weights of `profile_emphasis` where there is no plane.

    A plane needs the pixels around. The sum of squares is that of all pixels at their full weights.
    """
    weight = pixels.weight.copy()
    if len(fit.model.plane) == 0:
        emphasis = profile_emphasis(pixels, fit.model, search.beam)
        for i in range(len(weight)):
            weight[i] *= math.sqrt(emphasis[i])
    best = fitted(Pixels(pixels.x, pixels.y, pixels.value, weight), fit.model, bounds, search, True)
    squares = 0.0
    left = residuals(pixels, best.model)
    for i in range(len(left)):
        squares += (left[i] * pixels.weight[i]) ** 2
    return Fit(best.model, squares, best.ended, fit.criterion)


@compiled
def searched(pixels: Pixels, inside: BoolArray, start: Model, bounds: Bounds, search: Search) -> Fit:
    """The model that the criterion prefers, from the components of ``start`` on; in large islands none are added."""
    small = is_small(inside, search)
    fit = fitted(pixels, start, bounds, search, False)
    fit = grown(pixels, inside, fit, bounds, search)
    while True:
        if small:
            fit = pruned(pixels, fit, bounds, search)
        best = polished(pixels, fit, bounds, search)
        weak = weakest(best.model)
        if not small or len(best.model.free) == 1 or best.model.parameters[weak, 0] >= search.kept:
            return best
        fit = fitted(pixels, changed(best.model, weak, 0), bounds, search, False)
