"""`DrawDataset`: rows of prepared data as samples of a network, the same whichever process makes them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sized
from typing import TypeVar

import numpy as np
from torch.utils.data import Dataset

from neanias_ml.training.sampling import Draw

SampleT = TypeVar("SampleT")


class DrawDataset(Dataset[SampleT]):
    """Samples of the draws of a `neanias_ml.training.sampling.TileSampler`, varied at random when training.

    What a sample looks like depends on the seed and on its `Draw` alone, never on the process that makes it.

    Parameters
    ----------
    rows
        What is drawn from.
    is_varied
        Whether draws of one row differ.
    seed
        Seed of the variation.
    """

    def __init__(self, rows: Sized, *, is_varied: bool, seed: int = 0) -> None:
        self._count = len(rows)
        self.is_varied = is_varied
        self.seed = seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, draw: int | Draw) -> SampleT:
        draw = draw if isinstance(draw, Draw) else Draw(draw)
        if not self.is_varied:
            return self.sample(draw.row, None)
        return self.sample(draw.row, np.random.default_rng([self.seed, draw.epoch, draw.position, draw.row]))

    @abstractmethod
    def sample(self, row: int, rng: np.random.Generator | None) -> SampleT:
        """The sample of a row: as it is, or varied by a generator."""
