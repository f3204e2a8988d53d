"""`GraphDataModule`: loaders of prepared island graphs for Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning
import numpy as np
import torch

from neanias_ml.datasets.graph_store import GraphStore
from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.errors import InputError
from neanias_ml.models.association.features import Features
from neanias_ml.models.association.network import FeatureScale
from neanias_ml.training.association.batches import STILL, GraphDataset, collate, feature_scale
from neanias_ml.training.association.feed import GraphFeedConfig
from neanias_ml.training.loader import DrawLoader, draw_loader
from neanias_ml.training.sampling import ProcessPlace, TileSampler

SCALE_GRAPHS = 500
"""Training fields whose features say what is usual."""


class GraphDataModule(lightning.LightningDataModule):
    """Training, validation and test graphs of a prepared folder.

    What is drawn, in which order and how it is varied follows from the seed, the epoch and the number of training
    processes; the number of loader processes changes nothing. Training fields without a known pair are left out.

    Parameters
    ----------
    directory
        Folder of prepared data.
    features
        What the network is told.
    feed
        How training graphs are varied.
    batch_size
        Fields per step and training process.
    workers
        Loader processes of each training process; 0 loads in the training process. They end with `teardown`.
    seed
        Seed of draws and variation.
    most_graphs
        At most so many graphs of each split, those with most objects of several islands first; None for all.
    place
        This process among those that train together; None to ask Lightning, ``torch.distributed`` or Horovod's
        environment when a loader is made.
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
        super().__init__()
        self.directory = Path(directory)
        self.features: Features = features
        self.feed = feed or GraphFeedConfig()
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.most_graphs = most_graphs
        self._place = place
        self._stores: dict[str, Sequence[IslandGraph]] = {}
        self._loaders: list[DrawLoader] = []

    @property
    def place(self) -> ProcessPlace:
        """Where this process stands among those that train together."""
        return self._place or ProcessPlace.current(self.trainer)

    def graphs(self, split: str) -> Sequence[IslandGraph]:
        """All graphs of ``train``, ``validation`` or ``test``; for training, those with a known pair.

        Raises
        ------
        InputError
            ``NoGraphs`` or ``GraphsDamaged``.
        """
        if split not in self._stores:
            graphs = list(GraphStore(self.directory / split))
            if split == "train":
                graphs = [graph for graph in graphs if graph.known_pairs.any()]
            if self.most_graphs is not None:
                graphs = sorted(graphs, key=lambda graph: -graph.n_grouped)[: self.most_graphs]
            if not graphs:
                raise InputError("NoGraphs", f"{self.directory / split} holds no pair of islands; prepare more fields")
            self._stores[split] = graphs
        return self._stores[split]

    def scale(self) -> FeatureScale:
        """Normalisation of features by evenly spaced training graphs."""
        graphs = self.graphs("train")
        rows = np.unique(np.linspace(0, len(graphs) - 1, min(SCALE_GRAPHS, len(graphs))).round().astype(np.int64))
        return feature_scale([graphs[row] for row in rows], features=self.features)

    def train_dataloader(self) -> DrawLoader:
        """An epoch of graphs in random order, each draw varied anew."""
        graphs = self.graphs("train")
        dataset = GraphDataset(graphs, features=self.features, feed=self.feed, seed=self.seed)
        sampler = TileSampler(len(graphs), factors=np.ones(len(graphs)), place=self.place, seed=self.seed)
        return self._loader(dataset, sampler)

    def val_dataloader(self) -> DrawLoader:
        """All validation graphs, as they are."""
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> DrawLoader:
        """All test graphs, as they are."""
        return self._evaluation_loader("test")

    def teardown(self, stage: str | None = None) -> None:
        """End all loader processes."""
        while self._loaders:
            self._loaders.pop().close()

    def _evaluation_loader(self, split: str) -> DrawLoader:
        graphs = self.graphs(split)
        dataset = GraphDataset(graphs, features=self.features, feed=STILL)
        return self._loader(dataset, TileSampler(len(graphs), place=self.place))

    def _loader(self, dataset: GraphDataset, sampler: TileSampler) -> DrawLoader:
        loader = draw_loader(
            dataset,
            sampler,
            batch_size=self.batch_size,
            workers=self.workers,
            pin_memory=self._on_cuda(),
            collate=collate,
        )
        self._loaders.append(loader)
        return loader

    def _on_cuda(self) -> bool:
        """Whether batches go to a CUDA device."""
        if self.trainer is not None:
            return bool(self.trainer.strategy.root_device.type == "cuda")
        return torch.cuda.is_available()
