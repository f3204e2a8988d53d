"""Groups of islands from the network: log-odds of the pairs of a graph, and the objects that follow."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.models.association.bundle import GraphBundle, GraphSettings
from neanias_ml.models.association.clustering import calibrated_log_odds, correlation_clusters
from neanias_ml.models.association.features import graph_features
from neanias_ml.models.association.network import IslandGraphNetwork

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@torch.no_grad()
def pair_logits(model: IslandGraphNetwork, graph: IslandGraph) -> FloatArray:
    """(E,) log-odds of the pairs of a graph as the network gives them, not calibrated."""
    device = model.node_mean.device
    made = graph_features(graph, features=model.config.features)
    nodes, edges = (torch.from_numpy(part).to(device) for part in made)
    logits = model(nodes, edges, torch.from_numpy(graph.pairs).to(device))
    return np.asarray(logits.double().cpu().numpy(), dtype=np.float64)


def groups_of(n_islands: int, pairs: IntArray, logits: FloatArray, *, settings: GraphSettings) -> IntArray:
    """Object (I,) of each island, numbered 0, 1, ... by their first islands, from the network's log-odds."""
    log_odds = calibrated_log_odds(logits, temperature=settings.temperature, threshold=settings.threshold)
    return correlation_clusters(n_islands, pairs, log_odds, absent=settings.absent_log_odds)


def group_islands(bundle: GraphBundle, graph: IslandGraph) -> IntArray:
    """Object (I,) of each island of a graph, numbered 0, 1, ... by their first islands."""
    return groups_of(len(graph), graph.pairs, pair_logits(bundle.model, graph), settings=bundle.settings)
