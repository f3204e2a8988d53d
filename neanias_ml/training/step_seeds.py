"""`StepSeeds`: random numbers of a training step that depend on the number of the step alone."""

from __future__ import annotations

import random
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback


class StepSeeds(Callback):
    """Seeds all generators of the process at the start of each training batch.

    What is drawn in a batch (dropout, sampling of regions) follows from the seed, the number of the batch over all
    epochs and the rank. A resumed run therefore draws what the run would have drawn without interruption, and no state
    of a generator needs to be kept. Put it before callbacks that draw.

    Batches are made earlier, by loaders that have seeds of their own.

    Parameters
    ----------
    seed
        0 or larger.
    """

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"the seed must be 0 or larger, not {seed}")
        self.seed = seed
        self.batches = 0

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Seed, and count the batch."""
        seed_generators(self.seed, batch=self.batches, rank=trainer.global_rank)
        self.batches += 1

    def state_dict(self) -> dict[str, Any]:
        """Batches begun so far."""
        return {"batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.batches = state["batches"]


def seed_generators(seed: int, *, batch: int, rank: int) -> None:
    """Seed torch (the CPU and all its other devices), numpy's global generator and Python's from three numbers."""
    words = np.random.SeedSequence([seed, batch, rank]).generate_state(4, dtype=np.uint64)
    torch.manual_seed(int(words[0] >> np.uint64(1)))
    np.random.seed(int(words[1] >> np.uint64(32)))  # noqa: NPY002 - other libraries draw from the global one
    random.seed(int(words[2]))
