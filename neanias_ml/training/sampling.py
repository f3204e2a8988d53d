"""Which tile is drawn when: the same epochs for any number of loader processes, each tile on one rank only."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler

from neanias_ml.errors import UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_REPEAT = 8.0
"""A tile is drawn at most this many times as often as a common one: a handful of tiles cannot stand for a class."""


class Draw(NamedTuple):
    """One draw of an epoch: everything that decides what a sample looks like, whichever process makes it."""

    row: int
    """row of the tile"""
    epoch: int = 0
    position: int = 0
    """place in the epoch, counted over all ranks"""


class ProcessPlace(NamedTuple):
    """The number of a process among those that train together, from 0, and how many they are."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def current(cls, trainer: Any = None) -> ProcessPlace:
        """From Lightning's trainer, else from ``torch.distributed``, else from what Horovod's launcher has set.

        Horovod is asked by its environment alone, so that nothing here needs it to be installed.

        Raises
        ------
        UsageError
            ``ProcessPlace`` if the environment contradicts itself.
        """
        if trainer is not None and trainer.world_size > 1:
            return cls(int(trainer.global_rank), int(trainer.world_size))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())
        if "HOROVOD_SIZE" in os.environ:
            return cls._of_text(os.environ.get("HOROVOD_RANK", ""), os.environ["HOROVOD_SIZE"])
        return cls()

    @classmethod
    def _of_text(cls, rank: str, size: str) -> ProcessPlace:
        if rank.isdecimal() and size.isdecimal() and int(rank) < int(size):
            return cls(int(rank), int(size))
        raise UsageError(
            "ProcessPlace",
            f"HOROVOD_RANK ({rank or 'not set'}) must be a number below HOROVOD_SIZE ({size}); start the processes "
            "with horovodrun, or unset both",
        )


class TileSampler(DistributedSampler[Draw]):
    """Draws of one rank: a random epoch with repeats for training, or every tile once and in order.

    An epoch is one list of draws that seed and epoch decide; rank r of n has its places r, r + n, r + 2n, ... While
    training all ranks have equally many, and the last few draws of an epoch go to none: other ones each time.

    It is a ``DistributedSampler``, so that Lightning leaves it as it is and tells it the epoch.

    Parameters
    ----------
    factors
        (N,) how often each tile is to be drawn, relative to the others; None for evaluation: each once, in order.
    count
        Number of tiles.
    place
        This process.
    seed
        Seed of the epochs.

    Raises
    ------
    UsageError
        ``TooFewTiles`` if a rank would have none: it would wait for the others for ever.
    """

    def __init__(
        self, count: int, *, factors: FloatArray | None = None, place: ProcessPlace | None = None, seed: int = 0
    ) -> None:
        self.place = place or ProcessPlace()
        super().__init__(
            range(count),  # type: ignore[arg-type]
            num_replicas=self.place.world_size,
            rank=self.place.rank,
            shuffle=factors is not None,
            seed=seed,
        )
        self.count = count
        self.factors = factors
        self.total = count if factors is None else max(count, round(float(factors.sum())))
        if self.total < self.place.world_size:
            raise UsageError(
                "TooFewTiles",
                f"{self.place.world_size} processes cannot share {self.total} tiles; start fewer, or prepare more data",
            )
        self._skipped = 0

    def __len__(self) -> int:
        rank, size = self.place
        return self.total // size if self.factors is not None else len(range(rank, self.total, size))

    def __iter__(self) -> Iterator[Draw]:
        order = self.order()
        rank, size = self.place
        first, self._skipped = self._skipped, 0
        for step in range(first, len(self)):
            position = rank + step * size
            yield Draw(int(order[position]), self.epoch, position)

    def order(self) -> IntArray:
        """(total,) tiles of the whole epoch, those of all ranks."""
        if self.factors is None:
            return np.arange(self.count)
        rng = np.random.default_rng([self.seed, self.epoch])
        return rng.permutation(repeated(self.factors, total=self.total, rng=rng))

    def skip(self, draws: int) -> None:
        """Leave out the first draws of the next iteration."""
        self._skipped = draws


def repeated(factors: FloatArray, *, total: int, rng: np.random.Generator) -> IntArray:
    """(total,) rows, each as often as its share of the factors says, rounded up or down at random.

    Systematic sampling: every row comes up at least the whole part of its expected number of times, which independent
    draws would not do.
    """
    rows = rng.permutation(len(factors))
    ends = np.cumsum(factors[rows])
    ticks = (np.arange(total) + rng.random()) * (ends[-1] / total)
    return rows[np.minimum(np.searchsorted(ends, ticks, side="right"), len(rows) - 1)]


def repeat_factors(
    labels: Sequence[IntArray],
    *,
    n_classes: int,
    threshold: float,
    rare: Sequence[int] = (),
    rare_share: float = 0.0,
) -> FloatArray:
    """(N,) how often each tile is to be drawn, at least 1.

    The factor of a tile is sqrt(threshold / f) of its rarest class, f being the share of tiles that hold the class:
    Gupta, Dollar and Girshick 2019 (LVIS, arXiv:1908.03195). Where the tiles that hold one of some classes would still
    be fewer than a share of all draws, their factors are raised until they are not.

    Parameters
    ----------
    labels
        Class labels 1 ... n_classes of each tile.
    threshold
        Classes in fewer than this share of the tiles are drawn more often; 0 for none.
    rare, rare_share
        Labels, and the share of draws that tiles with one of them are to have. No factor exceeds `MAX_REPEAT`.
    """
    holds = np.zeros((len(labels), n_classes), dtype=bool)
    for row, present in enumerate(labels):
        holds[row, present - 1] = True
    share = np.maximum(holds.mean(axis=0), 1e-9) if len(labels) else np.ones(n_classes)
    by_class = np.array([max(1.0, math.sqrt(threshold / part)) for part in share])
    factors = np.minimum(np.where(holds, by_class, 1.0).max(axis=1, initial=1.0), MAX_REPEAT)
    wanted = holds[:, [label - 1 for label in rare]].any(axis=1)
    held, others = float(factors[wanted].sum()), float(factors[~wanted].sum())
    if held > 0 and held < rare_share * (held + others):
        factors[wanted] = np.minimum(factors[wanted] * rare_share * others / ((1 - rare_share) * held), MAX_REPEAT)
    return factors
