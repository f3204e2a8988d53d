"""`GraphDataModule`: loaders of prepared island graphs for Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neanias_ml.datasets.field_names import source_of_field
from neanias_ml.datasets.graph_store import GraphStore
from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.errors import InputError
from neanias_ml.models.association.features import Features
from neanias_ml.models.association.network import FeatureScale
from neanias_ml.training.association.batches import GraphDataset, collate, feature_scale
from neanias_ml.training.association.feed import GraphFeedConfig
from neanias_ml.training.draw_module import DrawModule
from neanias_ml.training.loader import DrawLoader
from neanias_ml.training.sampling import ProcessPlace

SCALE_GRAPHS = 500
"""Training fields whose features say what is usual."""


class GraphDataModule(DrawModule[Sequence[IslandGraph]]):
    """Training, validation and test graphs of a prepared folder.

    Training fields without a known pair are left out.

    Parameters
    ----------
    features
        What the network is told.
    feed
        How training graphs are varied.
    most_graphs
        At most so many graphs of each split, those with most objects of several islands first; None for all.
    directory, batch_size, workers, seed, place
        See `neanias_ml.training.draw_module.DrawModule`.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        features: Features = "map",
        feed: GraphFeedConfig | None = None,
        batch_size: int = 32,
        workers: int = 0,
        seed: int = 0,
        most_graphs: int | None = None,
        place: ProcessPlace | None = None,
    ) -> None:
        super().__init__(directory, collate=collate, batch_size=batch_size, workers=workers, seed=seed, place=place)
        self.features: Features = features
        self.feed = feed or GraphFeedConfig()
        self.most_graphs = most_graphs

    def graphs(self, split: str) -> Sequence[IslandGraph]:
        """All graphs of ``train``, ``validation`` or ``test``; for training, those with a known pair.

        Raises
        ------
        InputError
            ``NoGraphs`` or ``GraphsDamaged``.
        """
        return self.rows(split)

    def read_split(self, split: str) -> Sequence[IslandGraph]:
        """See `DrawModule.read_split`."""
        graphs = list(GraphStore(self.directory / split))
        if split == "train":
            graphs = [graph for graph in graphs if graph.known_pairs.any()]
        if self.most_graphs is not None:
            graphs = sorted(graphs, key=lambda graph: -graph.n_grouped)[: self.most_graphs]
        if not graphs:
            raise InputError("NoGraphs", f"{self.directory / split} holds no pair of islands; prepare more fields")
        return graphs

    def scale(self) -> FeatureScale:
        """Normalisation of features by evenly spaced training graphs."""
        graphs = self.graphs("train")
        rows = np.unique(np.linspace(0, len(graphs) - 1, min(SCALE_GRAPHS, len(graphs))).round().astype(np.int64))
        return feature_scale([graphs[row] for row in rows], features=self.features)

    def train_dataloader(self) -> DrawLoader:
        """An epoch of graphs in random order, those of each source as often as the feed says, each varied anew."""
        graphs = self.graphs("train")
        dataset = GraphDataset(graphs, features=self.features, feed=self.feed, seed=self.seed)
        factors = [self.feed.repeat.get(source_of_field(graph.field), 1.0) for graph in graphs]
        return self.draws(dataset, np.array(factors))

    def val_dataloader(self) -> DrawLoader:
        """All validation graphs, as they are."""
        return self.draws(GraphDataset(self.graphs("validation"), features=self.features))

    def test_dataloader(self) -> DrawLoader:
        """All test graphs, as they are."""
        return self.draws(GraphDataset(self.graphs("test"), features=self.features))
