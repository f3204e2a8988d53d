"""Temperature and threshold of a network for grouping islands, from validation fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.models.association.bundle import GraphSettings
from neanias_ml.models.association.grouping import groups_of
from neanias_ml.models.calibration import fit_binary_temperature
from neanias_ml.training.association.scores import GroupedField, exact_set_f1, grouping_counts

FloatArray = NDArray[np.float64]
THRESHOLDS = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75, 0.2, 0.8, 0.15, 0.85, 0.1, 0.9)
"""Probabilities that are tried, the plain one first: it stays unless another is better."""


def known_pairs(graphs: Sequence[IslandGraph], logits: Sequence[FloatArray]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Log-odds and truth of all known pairs of some graphs."""
    known = [graph.known_pairs for graph in graphs]
    said = [values[rows] for values, rows in zip(logits, known, strict=True)]
    true = [graph.joined_pairs[rows] for graph, rows in zip(graphs, known, strict=True)]
    return np.concatenate([np.empty(0), *said]), np.concatenate([np.empty(0, dtype=bool), *true])


def fit_operating_point(
    settings: GraphSettings, graphs: Sequence[IslandGraph], logits: Sequence[FloatArray]
) -> GraphSettings:
    """The settings with the temperature of the least cross-entropy and the threshold of the best exact sets.

    Where no known pair is of one object there is nothing to choose by, and the settings stay.
    """
    said, true = known_pairs(graphs, logits)
    if not true.any():
        return settings
    settings = dataclasses.replace(settings, temperature=fit_binary_temperature(said, true))

    def found(threshold: float) -> float:
        tried = dataclasses.replace(settings, threshold=threshold)
        return float(np.nan_to_num(exact_set_f1(grouping_counts(grouped_fields(tried, graphs, logits)))))

    scores = [found(threshold) for threshold in THRESHOLDS]
    return dataclasses.replace(settings, threshold=THRESHOLDS[int(np.argmax(scores))])


def grouped_fields(
    settings: GraphSettings, graphs: Sequence[IslandGraph], logits: Sequence[FloatArray]
) -> list[GroupedField]:
    """Fields as a network groups them, beside the truth."""
    return [
        GroupedField.of(graph, groups_of(len(graph), graph.pairs, values, settings=settings))
        for graph, values in zip(graphs, logits, strict=True)
    ]
