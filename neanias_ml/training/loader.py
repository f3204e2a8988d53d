"""`DrawLoader`: a loader of batches that knows where it stopped, and ends its processes when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from neanias_ml.training.sampling import TileSampler


class DrawLoader(DataLoader[Any]):
    """Batches of the samples that a sampler draws; made by `draw_loader`.

    Lightning keeps its state in checkpoints: training that is interrupted within an epoch goes on with the samples
    that were not yet seen in it.
    """

    _yielded = 0
    _resumed: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        epoch, done = self._resumed or (self._sampler.epoch, 0)
        self._yielded = done if epoch == self._sampler.epoch and done < len(self) else 0
        self._resumed = None
        self._sampler.skip(self._yielded * int(self.batch_size or 1))
        for batch in super().__iter__():
            self._yielded += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Epoch and number of batches handed out in it; those that workers hold ready do not count."""
        return {"epoch": self._sampler.epoch, "batches": self._yielded}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next iteration, if it is one of that epoch, after that many batches."""
        self._resumed = (state["epoch"], state["batches"])

    def close(self) -> None:
        """End the loader processes, if any are kept; the next iteration starts new ones."""
        iterator: Any = self._iterator
        if iterator is not None and hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()  # Lightning ends them the same way; torch has no public one
        self._iterator = None

    @property
    def _sampler(self) -> TileSampler:
        assert isinstance(self.sampler, TileSampler)
        return self.sampler


def draw_loader(
    dataset: Dataset[Any],
    sampler: TileSampler,
    *,
    batch_size: int,
    workers: int,
    pin_memory: bool,
    collate: Callable[[list[Any]], Any],
) -> DrawLoader:
    """A loader of the draws of a sampler.

    Parameters
    ----------
    dataset
        Gives a sample for each `neanias_ml.training.sampling.Draw`.
    batch_size
        Samples per batch. The last one of a training epoch is dropped where it is not full, unless it is the only one.
    workers
        Processes; 0 loads in this one.
    pin_memory
        Copy batches into page-locked memory, from which a GPU fetches them.
    collate
        Makes a batch of samples; a function of a module, so that workers find it.
    """
    return DrawLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        drop_last=sampler.factors is not None and len(sampler) >= batch_size,
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(0),  # or each iteration would advance the program's own generator
    )


def _one_thread(worker: int) -> None:
    """Workers are as many as there are cores for them: threads of their own would only contend."""
    torch.set_num_threads(1)
