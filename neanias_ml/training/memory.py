"""When the memory of a GPU does not suffice: the same training in smaller batches."""

from __future__ import annotations

import dataclasses
import gc
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from neanias_ml.errors import ResourceError
from neanias_ml.training.fit_config import FitConfig

FIRST_STEPS = 20
"""Steps of a run, or of its piece since a resume, after which it is not begun anew."""


class BatchTooLargeError(Exception):
    """The memory of the GPU did not suffice for a batch.

    Attributes
    ----------
    steps
        Steps that were taken before, in this run or since its resume.
    """

    def __init__(self, steps: int) -> None:
        super().__init__(f"the memory of the GPU did not suffice after {steps} steps")
        self.steps = steps


class StepsOfThisPiece(Callback):
    """Counts the steps since the start of a run or its resume."""

    def __init__(self) -> None:
        self.steps = 0
        self._begun_at = 0

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Steps of earlier pieces do not count."""
        self._begun_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count."""
        self.steps = trainer.global_step - self._begun_at


def smaller_batches(recipe: Any, *, steps: int, alone: bool) -> Any:
    """The recipe with batches of half the size and twice as many of them for a step; says so.

    Parameters
    ----------
    recipe
        Its ``fit`` is what changes.
    steps
        Steps that were taken before the memory did not suffice.
    alone
        Whether no other process takes part.

    Raises
    ------
    ResourceError
        ``OutOfMemory`` if batches cannot be smaller, the run is past its first steps and would lose them, or other
        processes take part, which do not know of it.
    """
    fit: FitConfig = recipe.fit
    size, accumulate = fit.batch_size // 2, 2 * fit.accumulate
    if size == 0:
        raise ResourceError(
            "OutOfMemory",
            "the memory of the GPU does not suffice for a single sample; end what else runs on it, or train a smaller "
            "network (model.fpn_channels, model.blocks) or on a CPU (--fit.accelerator cpu)",
        )
    options = f"--fit.batch_size {size} --fit.accumulate {accumulate}"
    if steps >= FIRST_STEPS or not alone:
        raise ResourceError(
            "OutOfMemory",
            f"the memory of the GPU did not suffice for a batch of {fit.batch_size} after {steps} steps; "
            f"go on from the last checkpoint with --resume auto {options}",
        )
    print(
        f"the memory of the GPU does not suffice for batches of {fit.batch_size}: "
        f"beginning anew with {size}, {accumulate} of them for a step",
        flush=True,
    )
    return dataclasses.replace(recipe, fit=dataclasses.replace(fit, batch_size=size, accumulate=accumulate))


def release_memory() -> None:
    """Let go of what a failed attempt held on the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
