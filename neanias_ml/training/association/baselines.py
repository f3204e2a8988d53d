"""What can be done without a network: leave all islands alone, or join those that are near each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.evaluation import linked_groups
from neanias_ml.training.association.scores import PRIMARY, GroupedField, total_metric

IntArray = NDArray[np.int64]
LENGTHS = np.geomspace(0.5, 60.0, 80)
"""Linking lengths that are tried, beam widths."""


def without_association(graph: IslandGraph) -> IntArray:
    """Every island on its own."""
    return np.arange(len(graph))


def linked(graph: IslandGraph, *, length: float) -> IntArray:
    """Friends of friends: islands whose centroids are at most ``length`` beam widths apart."""
    groups: IntArray = linked_groups(graph.islands.positions, [length])[0]
    return groups


def best_linking_length(graphs: Sequence[IslandGraph]) -> float:
    """The length of `LENGTHS` that finds most objects of several islands exactly; the shortest of equals."""
    by_field = [linked_groups(graph.islands.positions, LENGTHS.tolist()) for graph in graphs]
    found = [
        total_metric(PRIMARY, [GroupedField.of(graph, rows) for graph, rows in zip(graphs, of_length, strict=True)])
        for of_length in zip(*by_field, strict=True)
    ]
    return float(LENGTHS[int(np.argmax(np.nan_to_num(found)))])
