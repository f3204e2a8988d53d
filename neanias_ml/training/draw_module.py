"""`DrawModule`: what the loaders of prepared data have in common, whatever the network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightning
import torch

from neanias_ml.training.draw_dataset import DrawDataset
from neanias_ml.training.loader import DrawLoader, draw_loader
from neanias_ml.training.sampling import FloatArray, ProcessPlace, TileSampler

RowsT = TypeVar("RowsT", bound=Sequence[Any])


class DrawModule(lightning.LightningDataModule, Generic[RowsT]):
    """Loaders of the training, validation and test data of a prepared folder.

    What is drawn, in which order and how it is varied follows from the seed, the epoch and the number of training
    processes; the number of loader processes changes nothing.

    Parameters
    ----------
    directory
        Folder of prepared data.
    collate
        Makes a batch of samples; a function of a module, so that loader processes find it.
    batch_size
        Samples per step and training process.
    workers
        Loader processes of each training process; 0 loads in the training process. They end with `teardown`.
    seed
        Seed of draws and variation.
    place
        This process among those that train together; None to ask Lightning, ``torch.distributed`` or Horovod's
        environment when a loader is made.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        collate: Callable[[list[Any]], Any],
        batch_size: int,
        workers: int,
        seed: int,
        place: ProcessPlace | None,
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self._collate = collate
        self._place = place
        self._splits: dict[str, RowsT] = {}
        self._loaders: list[DrawLoader] = []

    @property
    def place(self) -> ProcessPlace:
        """Where this process stands among those that train together."""
        return self._place or ProcessPlace.current(self.trainer)

    def rows(self, split: str) -> RowsT:
        """What is drawn of ``train``, ``validation`` or ``test``, looked up once."""
        if split not in self._splits:
            self._splits[split] = self.read_split(split)
        return self._splits[split]

    @abstractmethod
    def read_split(self, split: str) -> RowsT:
        """What is to be drawn of a split."""

    def draws(self, dataset: DrawDataset[Any], factors: FloatArray | None = None) -> DrawLoader:
        """A loader of random draws, each row as often as its factor says; without factors, of each row once, in order.

        See `neanias_ml.training.sampling.TileSampler`.
        """
        loader = draw_loader(
            dataset,
            TileSampler(len(dataset), factors=factors, place=self.place, seed=self.seed),
            batch_size=self.batch_size,
            workers=self.workers,
            pin_memory=self._on_cuda(),
            collate=self._collate,
        )
        self._loaders.append(loader)
        return loader

    def teardown(self, stage: str | None = None) -> None:
        """End all loader processes."""
        while self._loaders:
            self._loaders.pop().close()

    def _on_cuda(self) -> bool:
        """Whether batches go to a CUDA device."""
        if self.trainer is not None:
            return bool(self.trainer.strategy.root_device.type == "cuda")
        return torch.cuda.is_available()


def stride(count: int, most: int | None) -> int:
    """The step with which at most so many of some rows are taken, evenly spaced; 1 where ``most`` is None."""
    return 1 if most is None else max(1, -(-count // most))
