"""One class from two networks: what the graph of islands says of a set of them, and what the detector sees there.

The two are combined by a logarithmic opinion pool (Genest & Zidek 1986, Stat. Sci. 1, 114): a weighted geometric mean
of probabilities, which does not let two sure and wrong tails outvote each other as a product would.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.models.classes import CLASS_LABELS

FloatArray = NDArray[np.float64]

SPURIOUS_COLUMN = CLASS_LABELS["spurious"] - 1
MULTI_COLUMN = CLASS_LABELS["extended-multisland"] - 1
ONE_ISLAND_COLUMNS = (CLASS_LABELS["compact"] - 1, CLASS_LABELS["extended"] - 1)
"""Classes of objects on one island."""
LEAST_PROBABILITY = 1e-6
"""No opinion is surer than this of a class that it excludes: else it would be a veto."""


def fused_probabilities(
    graph_probabilities: FloatArray, detector_probabilities: FloatArray, *, weight: float
) -> FloatArray:
    """Logarithmic pool of the class probabilities of two networks, rows summing to one.

    Parameters
    ----------
    graph_probabilities
        (N, 5) in the order of ``CLASS_NAMES``; rows of NaN where the graph network has no opinion.
    detector_probabilities
        (N, 5) as well.
    weight
        Of the graph's opinion, 0 to 1; the detector has the rest.

    Raises
    ------
    ValueError
        If the weight is out of range.
    """
    if not 0.0 <= weight <= 1.0:
        raise ValueError(f"the weight must lie in [0, 1], not be {weight}")
    known = np.isfinite(graph_probabilities).all(axis=1, keepdims=True)
    graph = np.where(known, graph_probabilities, detector_probabilities)
    logarithm = weight * _log(graph) + (1.0 - weight) * _log(detector_probabilities)
    pooled = np.exp(logarithm - logarithm.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(pooled / pooled.sum(axis=1, keepdims=True))


def possible_classes(probabilities: FloatArray, n_islands: NDArray[np.int64]) -> FloatArray:
    """Probabilities (N, 5) without what the number of islands excludes, rows summing to one.

    One island cannot be ``extended-multisland``; what lies on several is neither ``compact`` nor ``extended``: the
    probability of these goes to ``extended-multisland``.
    """
    possible = np.array(probabilities, dtype=np.float64)
    single, several = n_islands < 2, n_islands >= 2
    possible[single, MULTI_COLUMN] = 0.0
    for column in ONE_ISLAND_COLUMNS:
        possible[several, MULTI_COLUMN] += possible[several, column]
        possible[several, column] = 0.0
    possible += 1e-12
    return np.asarray(possible / possible.sum(axis=1, keepdims=True))


def with_abstention(detector_probabilities: FloatArray, graph_probabilities: FloatArray) -> FloatArray:
    """The detector's probabilities (N, 5) of sets of islands, with the graph's where the detector cannot speak.

    The detector reads ``compact`` and ``extended`` at one box each, so it knows nothing of several islands that are one
    such object after all; of these classes the graph's word is taken, and the others share the rest as they did.
    """
    columns = list(ONE_ISLAND_COLUMNS)
    completed = np.array(detector_probabilities, dtype=np.float64)
    completed[:, columns] = 0.0
    completed /= np.maximum(completed.sum(axis=1, keepdims=True), 1e-12)
    word = np.where(np.isfinite(graph_probabilities[:, columns]), graph_probabilities[:, columns], 0.0)
    completed *= 1.0 - word.sum(axis=1, keepdims=True)
    completed[:, columns] = word
    return completed


def _log(probabilities: FloatArray) -> FloatArray:
    return np.log(np.maximum(probabilities, LEAST_PROBABILITY))

