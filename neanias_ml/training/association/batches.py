"""Graphs of prepared fields as batches of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.models.association.features import Features, graph_features
from neanias_ml.models.association.network import FeatureScale
from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.training.association.feed import GraphFeedConfig
from neanias_ml.training.draw_dataset import DrawDataset

SPURIOUS = CLASS_LABELS["spurious"]
STILL = GraphFeedConfig(flux_jitter=0.0, drop_islands=0.0, drop_pairs=0.0)
"""Graphs as they are."""


class GraphSample(NamedTuple):
    """One field ready for the network."""

    nodes: Tensor
    """(I, F) float32"""
    edges: Tensor
    """(E, G) float32"""
    pairs: Tensor
    """(E, 2) int64 rows of islands"""
    targets: Tensor
    """(E,) float32, 1 where both islands are of one object"""
    known: Tensor
    """(E,) bool, False where that is not known"""
    crops: Tensor
    """(I, C, S, S) int8"""
    spurious: Tensor
    """(I,) float32, 1 for artefacts, 0 for others, -1 where that is not known"""
    group: Tensor
    """(I,) int64 object 0 ... K - 1 of known class, or -1"""
    classes: Tensor
    """(K,) int64 class of those objects, index in ``CLASS_NAMES``"""


class GraphBatch(NamedTuple):
    """Several fields side by side as one graph without pairs between them; see `GraphSample`."""

    nodes: Tensor
    edges: Tensor
    pairs: Tensor
    targets: Tensor
    known: Tensor
    crops: Tensor
    spurious: Tensor
    group: Tensor
    classes: Tensor
    owner: Tensor
    """(E,) int64 number of the field of each pair"""
    weights: Tensor
    """(B,) float32 reciprocal of each field's number of known pairs; 0 where there is none"""


class GraphDataset(DrawDataset[GraphSample]):
    """Graphs as samples of the network, varied at random when training.

    Parameters
    ----------
    graphs
        Fields with truth.
    features
        What the network is told.
    feed
        How graphs are varied.
    seed
        Seed of the variation.
    """

    def __init__(
        self, graphs: Sequence[IslandGraph], *, features: Features, feed: GraphFeedConfig = STILL, seed: int = 0
    ) -> None:
        super().__init__(graphs, is_varied=not feed.is_still, seed=seed)
        self.graphs = graphs
        self.features: Features = features
        self.feed = feed
        self._made: dict[int, GraphSample] = {}

    def sample(self, row: int, rng: np.random.Generator | None) -> GraphSample:
        """See `DrawDataset.sample`; graphs as they are are made into tensors once."""
        if rng is not None:
            made = graph_sample(varied(self.graphs[row], self.feed, rng), features=self.features)
            return made._replace(crops=turned(made.crops, int(rng.integers(8))))
        if row not in self._made:
            self._made[row] = graph_sample(self.graphs[row], features=self.features)
        return self._made[row]


def graph_sample(graph: IslandGraph, *, features: Features) -> GraphSample:
    """A graph with its truth as tensors."""
    made = graph_features(graph, features=features)
    spurious = np.where(graph.object_class > 0, graph.object_class == SPURIOUS, -1).astype(np.float32)
    objects, group = np.unique(np.where(graph.object_class > 0, graph.instance, IGNORED), return_inverse=True)
    first_known = int((objects <= 0).sum())  # what is of no object, or of no known class, comes first
    group = np.maximum(group.reshape(-1) - first_known, -1)
    classes = np.zeros(len(objects) - first_known, dtype=np.int64)
    classes[group[group >= 0]] = graph.object_class[group >= 0] - 1
    return GraphSample(
        nodes=torch.from_numpy(made.nodes),
        edges=torch.from_numpy(made.edges),
        pairs=torch.from_numpy(graph.pairs),
        targets=torch.from_numpy(graph.joined_pairs.astype(np.float32)),
        known=torch.from_numpy(graph.known_pairs),
        crops=torch.from_numpy(np.array(graph.crops)),
        spurious=torch.from_numpy(spurious),
        group=torch.from_numpy(group.astype(np.int64)),
        classes=torch.from_numpy(classes),
    )


def turned(crops: Tensor, number: int) -> Tensor:
    """Crops in one of the eight orientations of a square, 0 ... 7."""
    if number >= 4:
        crops = crops.flip(3)
    return torch.rot90(crops, number % 4, (2, 3))


def varied(graph: IslandGraph, feed: GraphFeedConfig, rng: np.random.Generator) -> IslandGraph:
    """The same field as it might have been found otherwise; the class of an object that lost an island is unknown."""
    shares = rng.uniform(size=2) * np.array([feed.drop_islands, feed.drop_pairs])
    keep = rng.uniform(size=len(graph)) >= shares[0]
    is_broken = np.isin(graph.instance, graph.instance[~keep])
    graph = replace(graph, object_class=np.where(is_broken, 0, graph.object_class)).select(keep)
    graph = graph.select_pairs(rng.uniform(size=len(graph.pairs)) >= shares[1])
    return scaled(graph, float(10 ** rng.normal(0.0, feed.flux_jitter)))


def scaled(graph: IslandGraph, factor: float) -> IslandGraph:
    """The graph with all signal to noise multiplied by a factor."""
    islands, bridges = graph.islands, graph.bridges
    heights = ("line_min", "line_mean", "strip_min", "strip_mean", "gap_mean")
    return replace(
        graph,
        islands=islands.replace(peak_snr=islands.peak_snr * factor, total_snr=islands.total_snr * factor),
        bridges=bridges.replace(**{name: getattr(bridges, name) * factor for name in heights}),
    )


def collate(samples: Sequence[GraphSample]) -> GraphBatch:
    """Put samples side by side."""
    first = np.cumsum([0, *(len(sample.nodes) for sample in samples)])
    first_group = np.cumsum([0, *(len(sample.classes) for sample in samples)])
    n_pairs = torch.tensor([len(sample.pairs) for sample in samples])
    n_known = torch.tensor([int(sample.known.sum()) for sample in samples], dtype=torch.float32)
    return GraphBatch(
        nodes=torch.cat([sample.nodes for sample in samples]),
        edges=torch.cat([sample.edges for sample in samples]),
        pairs=torch.cat([sample.pairs + int(start) for sample, start in zip(samples, first, strict=False)]),
        targets=torch.cat([sample.targets for sample in samples]),
        known=torch.cat([sample.known for sample in samples]),
        crops=torch.cat([sample.crops for sample in samples if len(sample.crops)] or [samples[0].crops]),
        spurious=torch.cat([sample.spurious for sample in samples]),
        group=torch.cat(
            [
                torch.where(sample.group >= 0, sample.group + int(start), sample.group)
                for sample, start in zip(samples, first_group, strict=False)
            ]
        ),
        classes=torch.cat([sample.classes for sample in samples]),
        owner=torch.repeat_interleave(torch.arange(len(samples)), n_pairs),
        weights=torch.where(n_known > 0, 1.0 / n_known.clamp(min=1.0), 0.0),
    )


def feature_scale(graphs: Sequence[IslandGraph], *, features: Features) -> FeatureScale:
    """Mean and deviation of every feature over some graphs; deviation 1 of features that never change."""
    made = [graph_features(graph, features=features) for graph in graphs]
    values = []
    for table in (np.concatenate([one.nodes for one in made]), np.concatenate([one.edges for one in made])):
        wide = table.astype(np.float64)
        mean = wide.mean(axis=0) if len(wide) else np.zeros(wide.shape[1])
        deviation = wide.std(axis=0) if len(wide) else np.ones(wide.shape[1])
        deviation = np.where(deviation > 1e-4, deviation, 1.0)
        values += [torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()]
    return FeatureScale(*values)
