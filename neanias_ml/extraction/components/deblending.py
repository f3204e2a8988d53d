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

from neanias_ml.extraction.components.compilation import compiled_part
from neanias_ml.extraction.components.fit_kernels import (
    Workspace,
    dot,
    evaluate,
    normal_equations,
    profile_emphasis,
    subtract_component,
)
from neanias_ml.extraction.components.fit_model import (
    FIXED_PARAMETERS,
    SHAPE_PARAMETERS,
    Bounds,
    FloatArray,
    Model,
    Pixels,
    copied,
    extended,
    parameter_count,
    without,
)
from neanias_ml.extraction.components.least_squares import expected_gain, minimise
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
    """A fitted model, its sum of squares, how the fit ended (see `least_squares`) and its criterion."""

    model: Model
    squares: float
    ended: int
    criterion: float


@compiled_part
def fitted(pixels: Pixels, model: Model, bounds: Bounds, search: Search, tolerance: float, work: Workspace) -> Fit:
    """Fit one model; its criterion is infinite where there are fewer data than parameters.

    Its ``tolerance`` is that of a trial or the final one.
    """
    count = parameter_count(model)
    independent = max(len(pixels.x) / search.correlated, math.e)
    most = search.iterations if tolerance < TRIAL_TOLERANCE else min(TRIAL_ITERATIONS, search.iterations)
    best, squares, ended = minimise(pixels, model, bounds, tolerance * search.correlated, most, work)
    criterion = squares / search.correlated + count * math.log(independent)
    if count > len(pixels.x) or not math.isfinite(criterion):
        criterion = math.inf
    return Fit(best, squares, ended, criterion)


class Change(NamedTuple):
    """A model to try and by how much it promises to lower the criterion; without promise it is not tried."""

    model: Model
    promise: float


@compiled_part
def promised(gain: float, evidence: float, pixels: Pixels, search: Search) -> float:
    """Fall of the criterion beyond ``evidence`` when three more parameters lower the sum of squares by ``gain``.

    The gain is a score test's: it may be twice as large in the end.
    """
    independent = max(len(pixels.x) / search.correlated, math.e)
    return gain / search.correlated / SCREEN - FIXED_PARAMETERS * math.log(independent) - evidence


@compiled_part
def freed_shape(pixels: Pixels, fit: Fit, search: Search, work: Workspace) -> Change:
    """The model with that shape freed which promises most; ``work`` holds the evaluated model."""
    model = fit.model
    everything = Model(model.parameters, np.ones(len(model.free), dtype=np.bool_), model.plane)
    count = normal_equations(pixels, everything, work)
    best, largest = -1, 0.0
    for k in range(len(model.free)):
        if model.free[k]:
            continue
        active = 0
        for a in range(count):
            other, place = a // SHAPE_PARAMETERS, a % SHAPE_PARAMETERS
            if other == k or other >= len(model.free) or model.free[other] or place < FIXED_PARAMETERS:
                work.chosen[active] = a
                active += 1
        gain = expected_gain(work, active)
        if gain > largest:
            best, largest = k, gain
    freed = copied(model)
    if best < 0:
        return Change(freed, -math.inf)
    freed.free[best] = True
    return Change(freed, promised(largest, search.shape_evidence, pixels, search))


@compiled_part
def added_component(pixels: Pixels, inside: BoolArray, fit: Fit, search: Search, work: Workspace) -> Change:
    """The model with a component of the beam's shape where the residual is largest; ``work`` as in `freed_shape`."""
    count = len(fit.model.free)
    residual = work.residual[: len(pixels.x)]
    at, largest = -1, LEAST_RESIDUAL
    for i in range(len(residual)):
        if inside[i] and residual[i] > largest:
            at, largest = i, residual[i]
    if at < 0 or count >= search.most:
        return Change(fit.model, -math.inf)
    more = extended(fit.model)
    more.parameters[count, 0] = math.log(residual[at] / pixels.weight[at])
    more.parameters[count, 1], more.parameters[count, 2] = pixels.x[at], pixels.y[at]
    for j in range(3):
        more.parameters[count, 3 + j] = search.beam[j]
    subtract_component(pixels, more, count, work)
    total = normal_equations(pixels, more, work)
    for a in range(total):
        work.chosen[a] = a
    gain = fit.squares - dot(residual, residual) + expected_gain(work, total)
    return Change(more, promised(gain, search.evidence, pixels, search))


@compiled_part
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


@compiled_part
def is_small(inside: BoolArray, search: Search) -> bool:
    """Whether components may be added to and taken from an island."""
    count = 0
    for one in inside:
        count += one
    return count <= search.largest * search.correlated


@compiled_part
def grown(
    pixels: Pixels, inside: BoolArray, start: Fit, bounds: Bounds, search: Search, work: Workspace
) -> Fit:
    """Free shapes and add components (to islands that are not too large) as long as the criterion falls.

    In islands of few components both changes are tried: two points and one resolved source are much alike. In others
    the more promising one must do.
    """
    fit = start
    small = is_small(inside, search)
    for _ in range(2 * search.most):
        better, needed = fit, search.shape_evidence
        evaluate(pixels, fit.model, work)
        freed = freed_shape(pixels, fit, search, work)
        added = added_component(pixels, inside, fit, search, work) if small else Change(fit.model, -math.inf)
        few = len(fit.model.free) <= FEW_COMPONENTS
        if freed.promise > 0.0 and (few or freed.promise >= added.promise):
            better = fitted(pixels, freed.model, bounds, search, TRIAL_TOLERANCE, work)
        if added.promise > 0.0 and (few or added.promise > freed.promise):
            more = fitted(pixels, added.model, bounds, search, TRIAL_TOLERANCE, work)
            if more.criterion < better.criterion and stands_out(more.model, search):
                better, needed = more, search.evidence
        if not better.criterion < fit.criterion - needed:
            break
        fit = better
    return fit


@compiled_part
def weakest(model: Model) -> int:
    """The component of least amplitude, the first of equals."""
    weak = 0
    for k in range(len(model.free)):
        if model.parameters[k, 0] < model.parameters[weak, 0]:
            weak = k
    return weak


@compiled_part
def pruned(pixels: Pixels, start: Fit, bounds: Bounds, search: Search, work: Workspace) -> Fit:
    """Take out the weakest component as long as the criterion does not miss it, or it is lost in the noise."""
    fit = start
    while len(fit.model.free) > 1:
        weak = weakest(fit.model)
        fewer = fitted(pixels, without(fit.model, weak), bounds, search, TRIAL_TOLERANCE, work)
        missed = fewer.criterion > fit.criterion + search.evidence
        if missed and fit.model.parameters[weak, 0] >= search.kept:
            break
        fit = fewer
    return fit


@compiled_part
def polished(pixels: Pixels, fit: Fit, bounds: Bounds, search: Search, work: Workspace) -> Fit:
    """The chosen model brought to its minimum, with the weights of `profile_emphasis` where there is no plane.

    A plane needs the pixels around. The sum of squares is that of all pixels at their full weights.
    """
    emphasised = pixels
    if len(fit.model.plane) == 0:
        emphasised = profile_emphasis(pixels, fit.model, search.beam, work)
    best = fitted(emphasised, fit.model, bounds, search, FINAL_TOLERANCE, work)
    return Fit(best.model, evaluate(pixels, best.model, work), best.ended, fit.criterion)


@compiled_part
def searched(
    pixels: Pixels, inside: BoolArray, start: Model, bounds: Bounds, search: Search, work: Workspace
) -> Fit:
    """The model that the criterion prefers, from the components of ``start`` on; in large islands none are added."""
    small = is_small(inside, search)
    fit = fitted(pixels, start, bounds, search, TRIAL_TOLERANCE, work)
    fit = grown(pixels, inside, fit, bounds, search, work)
    while True:
        if small:
            fit = pruned(pixels, fit, bounds, search, work)
        best = polished(pixels, fit, bounds, search, work)
        weak = weakest(best.model)
        if not small or len(best.model.free) == 1 or best.model.parameters[weak, 0] >= search.kept:
            return best
        fit = fitted(pixels, without(best.model, weak), bounds, search, TRIAL_TOLERANCE, work)
