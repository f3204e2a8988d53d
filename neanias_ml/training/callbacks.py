"""Callbacks: learning rate over a budget of time or steps, and averaged weights."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Timer, WeightAveraging
from torch import Tensor


def schedule_factor(progress: float, *, step: int, warmup_steps: int, final: float = 0.01) -> float:
    """Factor on the peak learning rate: linear warm-up times a cosine from 1 to ``final``.

    Parameters
    ----------
    progress
        Share of the budget that is used, 0 to 1.
    step
        Steps done.
    warmup_steps
        Steps until the warm-up has reached 1.
    final
        Factor when the budget is used up.
    """
    warm = min(1.0, (step + 1) / max(warmup_steps, 1))
    cosine = final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return warm * cosine


class BudgetSchedule(Callback):
    """Warm-up and cosine over the run's budget, whichever of steps and minutes is used up first.

    With a budget of time the cosine follows the clock, so that it ends when the time does, however fast or busy the
    machine is.

    Parameters
    ----------
    timer
        The trainer's `Timer`; its time goes on over a resumed run.
    max_minutes, max_steps
        Budgets; at least one is needed.
    warmup_steps
        Steps of linear warm-up.
    """

    def __init__(self, timer: Timer, *, max_minutes: float | None, max_steps: int | None, warmup_steps: int) -> None:
        if max_minutes is None and max_steps is None:
            raise ValueError("a schedule needs max_minutes or max_steps")
        self.timer = timer
        self.max_minutes = max_minutes
        self.max_steps = max_steps
        self.warmup_steps = warmup_steps
        self._peaks: list[float] = []

    def progress(self, step: int) -> float:
        """Share of the budget that is used."""
        by_time = self.timer.time_elapsed() / (60.0 * self.max_minutes) if self.max_minutes else 0.0
        return max(by_time, step / self.max_steps if self.max_steps else 0.0)

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Set the rate of every parameter group."""
        (optimizer,) = trainer.optimizers
        # clocks differ between processes, and different rates would let their weights drift apart
        progress = trainer.strategy.broadcast(self.progress(trainer.global_step))
        factor = schedule_factor(progress, step=trainer.global_step, warmup_steps=self.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = module.learning_rate * factor


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and buffers, used for validation and kept at the end.

    The decay grows with the number of updates, so that the random start is forgotten early.

    Parameters
    ----------
    decay
        Largest decay, in [0, 1); 0 keeps the last weights.
    """

    def __init__(self, *, decay: float = 0.998) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the decay must lie in [0, 1), not {decay}")
        super().__init__(use_buffers=True, multi_avg_fn=self._average)
        self.decay = decay

    def take_average(self, module: lightning.LightningModule) -> None:
        """Put the averaged weights into a module.

        Lightning does so at the end of a training, but not where a resumed run had nothing left to do.
        """
        if self._average_model is not None:
            module.load_state_dict(self._average_model.module.state_dict())

    def decay_after(self, updates: int) -> float:
        """Decay of the update that follows ``updates`` others."""
        return min(self.decay, (1.0 + updates) / (10.0 + updates))

    @torch.no_grad()
    def _average(self, averaged: Any, current: Any, updates: Tensor | int) -> None:
        weight = 1.0 - self.decay_after(int(updates))
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, current, weight)
        else:
            for mean, value in zip(averaged, current, strict=True):
                mean.copy_(value)
