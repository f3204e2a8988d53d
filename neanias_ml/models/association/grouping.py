"""From the network's outputs to objects: which islands belong together, what they are, and what is an artefact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.models.association.bundle import GraphBundle, GraphSettings
from neanias_ml.models.association.clustering import calibrated_log_odds, correlation_clusters
from neanias_ml.models.association.features import graph_features
from neanias_ml.models.association.network import GraphOutputs, IslandGraphNetwork
from neanias_ml.models.classes import CLASS_NAMES

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Grouping:
    """The objects of a field.

    Attributes
    ----------
    object_of
        (I,) object 0, 1, ... of each island, numbered by their first islands.
    p_spurious
        (I,) probability that an island is an artefact; NaN where the network does not look at the map.
    class_probabilities
        (K, 5) of the objects, in the order of ``CLASS_NAMES``; NaN where the network does not look at the map.
    joined_probability
        (K,) least probability with which an island is joined to the rest of its object; NaN for single islands.
    """

    object_of: IntArray
    p_spurious: FloatArray
    class_probabilities: FloatArray
    joined_probability: FloatArray

    @property
    def n_objects(self) -> int:
        """Number of objects."""
        return len(self.class_probabilities)


@torch.no_grad()
def graph_outputs(model: IslandGraphNetwork, graph: IslandGraph) -> GraphOutputs:
    """What the network says of a graph, not calibrated, as double precision on the CPU but for the states."""
    device = model.node_mean.device
    made = graph_features(graph, features=model.config.features)
    nodes, edges = (torch.from_numpy(part).to(device) for part in made)
    crops = torch.from_numpy(np.array(graph.crops)) if model.config.sees_map else None
    found: GraphOutputs = model(nodes, edges, torch.from_numpy(graph.pairs).to(device), crops)
    return GraphOutputs(found.pairs.double().cpu(), found.spurious.double().cpu(), found.states)


def groups_of(n_islands: int, pairs: IntArray, logits: FloatArray, *, settings: GraphSettings) -> IntArray:
    """Object (I,) of each island, numbered 0, 1, ... by their first islands, from the network's log-odds."""
    log_odds = calibrated_log_odds(logits, temperature=settings.temperature, threshold=settings.threshold)
    return correlation_clusters(n_islands, pairs, log_odds, absent=settings.absent_log_odds)


@torch.no_grad()
def object_classes(
    model: IslandGraphNetwork, states: Tensor, object_of: IntArray, *, temperature: float = 1.0
) -> FloatArray:
    """Class probabilities (K, 5) of objects from the states of their islands."""
    n_objects = int(object_of.max(initial=-1)) + 1
    if n_objects == 0:
        return np.empty((0, len(CLASS_NAMES)))
    logits = model.classify(states, torch.from_numpy(object_of).to(states.device), n_objects)
    return np.asarray(torch.softmax(logits.double().cpu() / temperature, dim=1).numpy(), dtype=np.float64)


def group_islands(bundle: GraphBundle, graph: IslandGraph) -> Grouping:
    """The objects of a graph with their classes and probabilities, calibrated."""
    settings, n_islands = bundle.settings, len(graph)
    outputs = graph_outputs(bundle.model, graph)
    logits = np.asarray(outputs.pairs.numpy())
    object_of = groups_of(n_islands, graph.pairs, logits, settings=settings)
    joined = joined_probabilities(object_of, graph.pairs, logits / settings.temperature)
    if bundle.model.config.features == "catalogue":
        unknown = np.full((len(joined), len(CLASS_NAMES)), np.nan)
        return Grouping(object_of, np.full(n_islands, np.nan), unknown, joined)
    classes = object_classes(bundle.model, outputs.states, object_of, temperature=settings.class_temperature)
    spurious = spurious_probabilities(np.asarray(outputs.spurious.numpy()), settings=settings)
    return Grouping(object_of, spurious, classes, joined)


def spurious_probabilities(logits: FloatArray, *, settings: GraphSettings) -> FloatArray:
    """Calibrated probabilities (I,) of artefacts."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits / settings.spurious_temperature + settings.spurious_shift, -50.0, 50.0)))


def joined_probabilities(object_of: IntArray, pairs: IntArray, log_odds: FloatArray) -> FloatArray:
    """Least probability (K,) with which an island is joined to the rest of its object; NaN for single islands.

    An island is joined by the most probable of its pairs within the object.
    """
    n_objects = int(object_of.max(initial=-1)) + 1
    within = object_of[pairs[:, 0]] == object_of[pairs[:, 1]]
    strongest = np.full(len(object_of), -np.inf)
    for end in (0, 1):
        np.maximum.at(strongest, pairs[within, end], log_odds[within])
    weakest = np.full(n_objects, np.inf)
    np.minimum.at(weakest, object_of, strongest)
    several = np.bincount(object_of, minlength=n_objects) >= 2
    probability = 1.0 / (1.0 + np.exp(-np.clip(weakest, -50.0, 50.0)))
    return np.where(several, probability, np.nan)
