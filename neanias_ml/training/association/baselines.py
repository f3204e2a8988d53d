"""What can be done without a network: leave all islands alone, or join those that are near each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.models.association.clustering import linked_groups
from neanias_ml.training.association.scores import GroupedField, exact_set_multi, grouping_counts

IntArray = NDArray[np.int64]
LENGTHS = np.geomspace(0.5, 60.0, 80)
"""Linking lengths that are tried, beam widths."""


def without_association(graph: IslandGraph) -> IntArray:
    """Every island on its own."""
    return np.arange(len(graph))


def linked(graph: IslandGraph, *, length: float) -> IntArray:
    """Friends of friends: islands whose centroids are at most ``length`` beam widths apart."""
    one, other = graph.islands.positions[graph.pairs].transpose(1, 0, 2)
    return linked_groups(len(graph), graph.pairs[np.hypot(*(one - other).T) <= length])


def best_linking_length(graphs: Sequence[IslandGraph]) -> float:
    """The length of `LENGTHS` that finds most objects of several islands exactly; the shortest of equals."""

    def found(length: float) -> float:
        fields = [GroupedField.of(graph, linked(graph, length=length)) for graph in graphs]
        return float(np.nan_to_num(exact_set_multi(grouping_counts(fields))))

    return float(LENGTHS[int(np.argmax([found(float(length)) for length in LENGTHS]))])
