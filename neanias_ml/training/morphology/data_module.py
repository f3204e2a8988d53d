"""`CutoutDataModule`: loaders of prepared cutouts for Lightning."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import torch
from numpy.typing import NDArray

from neanias_ml.datasets.cutout_store import CutoutStore
from neanias_ml.errors import InputError
from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES, UNKNOWN, labels_of_words
from neanias_ml.training.loader import DrawLoader, draw_loader
from neanias_ml.training.morphology.batches import CutoutDataset, collate
from neanias_ml.training.morphology.feed import CutoutFeedConfig
from neanias_ml.training.sampling import FloatArray, ProcessPlace, TileSampler, repeat_factors

IntArray = NDArray[np.int64]


class CutoutDataModule(lightning.LightningDataModule):
    """Training, validation and test cutouts of a prepared folder, read from disk as they are needed.

    What is drawn, in which order and how it is varied follows from the seed, the epoch and the number of training
    processes; the number of loader processes changes nothing. Cutouts whose word means no class are left out.

    Parameters
    ----------
    directory
        Folder of prepared data.
    feed
        How cutouts are drawn and varied.
    batch_size
        Cutouts per step and training process.
    workers
        Loader processes of each training process; 0 loads in the training process. They end with `teardown`.
    seed
        Seed of draws and variation.
    most_cutouts
        At most so many cutouts of each split, evenly spaced; None for all.
    place
        This process among those that train together; None to ask Lightning, ``torch.distributed`` or Horovod's
        environment when a loader is made.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        feed: CutoutFeedConfig | None = None,
        batch_size: int = 64,
        workers: int = 0,
        seed: int = 0,
        most_cutouts: int | None = None,
        place: ProcessPlace | None = None,
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.feed = feed or CutoutFeedConfig()
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.most_cutouts = most_cutouts
        self._place = place
        self._stores: dict[str, CutoutStore] = {}
        self._loaders: list[DrawLoader] = []

    @property
    def place(self) -> ProcessPlace:
        """Where this process stands among those that train together."""
        return self._place or ProcessPlace.current(self.trainer)

    def cutouts(self, split: str) -> CutoutStore:
        """All cutouts of ``train``, ``validation`` or ``test`` whose class is known; for training, surely enough.

        Raises
        ------
        InputError
            ``NoCutouts`` if there is none.
        """
        if split not in self._stores:
            store = CutoutStore(self.directory / split)
            usable = labels_of_words(store.words) != UNKNOWN
            if split == "train":
                usable &= store.confidence >= np.float32(self.feed.least_confidence)
            rows = np.flatnonzero(usable)
            if len(rows) == 0:
                raise InputError(
                    "NoCutouts",
                    f"{self.directory / split} holds no extended object of known morphology; prepare more fields",
                )
            self._stores[split] = store.rows(_evenly(rows, self.most_cutouts))
        return self._stores[split]

    def labels(self, split: str) -> IntArray:
        """(N,) index in ``MORPHOLOGY_NAMES`` of each cutout of a split."""
        return labels_of_words(self.cutouts(split).words)

    def draw_factors(self) -> FloatArray:
        """(N,) how often each training cutout is drawn: rare classes more often, doubtful objects less."""
        one_each = [np.array([label + 1]) for label in self.labels("train")]
        factors = repeat_factors(one_each, n_classes=len(MORPHOLOGY_NAMES), threshold=self.feed.repeat_threshold)
        confidence = np.asarray(self.cutouts("train").confidence, dtype=np.float64)
        return factors * np.maximum(confidence, 1e-3)

    def train_dataloader(self) -> DrawLoader:
        """An epoch of cutouts in random order, each draw varied anew."""
        cutouts = self.cutouts("train")
        dataset = CutoutDataset(cutouts, self.labels("train"), feed=self.feed, seed=self.seed)
        sampler = TileSampler(len(cutouts), factors=self.draw_factors(), place=self.place, seed=self.seed)
        return self._loader(dataset, sampler)

    def val_dataloader(self) -> DrawLoader:
        """Evenly spaced validation cutouts, as they are."""
        cutouts = self.cutouts("validation")
        chosen = _evenly(np.arange(len(cutouts)), self.feed.validation_cutouts)
        return self._evaluation_loader(cutouts.rows(chosen), self.labels("validation")[chosen])

    def test_dataloader(self) -> DrawLoader:
        """All test cutouts, as they are."""
        return self._evaluation_loader(self.cutouts("test"), self.labels("test"))

    def teardown(self, stage: str | None = None) -> None:
        """End all loader processes."""
        while self._loaders:
            self._loaders.pop().close()

    def _evaluation_loader(self, cutouts: CutoutStore, labels: IntArray) -> DrawLoader:
        return self._loader(CutoutDataset(cutouts, labels), TileSampler(len(cutouts), place=self.place))

    def _loader(self, dataset: CutoutDataset, sampler: TileSampler) -> DrawLoader:
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


def _evenly(rows: IntArray, most: int | None) -> IntArray:
    """At most so many of some rows, evenly spaced."""
    return rows if most is None else rows[:: max(1, -(-len(rows) // most))]
