"""How a run gets on: lines for people, and how fast it is and what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from neanias_ml.training.callbacks import BudgetSchedule


class StepClock(Callback):
    """Counts samples and seconds of the training steps, and the seconds in which they waited for data.

    The first steps are left out: they compile, allocate and start loader processes.

    Parameters
    ----------
    warm_up
        Batches that are not counted.
    clock
        Seconds.
    """

    def __init__(self, *, warm_up: int = 3, clock: Callable[[], float] = time.perf_counter) -> None:
        self.warm_up = warm_up
        self.samples = 0
        self.computing = 0.0
        self.waiting = 0.0
        self._clock = clock
        self._batches = 0
        self._began: float | None = None
        self._ended: float | None = None

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """A batch has arrived."""
        now = self._clock()
        if self._ended is not None and self._batches >= self.warm_up:
            self.waiting += now - self._ended
        self._began = now

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step is done."""
        # a GPU may still be busy here, but no more than a step behind: the check of the loss waits for it
        self._ended = self._clock()
        if self._batches >= self.warm_up and self._began is not None:
            self.samples += module.batch_size_of(batch) * trainer.world_size
            self.computing += self._ended - self._began
        self._batches += 1

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """What comes between epochs, validation above all, is no waiting for data."""
        self._ended = None

    @property
    def samples_per_second(self) -> float | None:
        """Samples of all processes by the second, waiting included; None before the first counted step."""
        seconds = self.computing + self.waiting
        return self.samples / seconds if seconds > 0 else None

    @property
    def input_wait(self) -> float | None:
        """Share of the time in which steps waited for data."""
        seconds = self.computing + self.waiting
        return self.waiting / seconds if seconds > 0 else None


class ProgressLines(Callback):
    """One line of text every so many seconds: epoch, step, losses, rate, samples per second, memory, time left.

    The first process alone writes them, and keeps what they are made of.

    Parameters
    ----------
    schedule
        Says which share of the budget is used.
    seconds
        Time between two lines.
    """

    def __init__(self, schedule: BudgetSchedule, *, seconds: float = 20.0) -> None:
        self.schedule = schedule
        self.seconds = seconds
        self._since, self._samples = 0.0, 0
        self._losses: list[Tensor] = []
        self._began, self._share = 0.0, 0.0

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Start the clock."""
        self._restart()
        self._began, self._share = time.monotonic(), self.schedule.progress(trainer.global_step)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and write a line when it is time."""
        if not trainer.is_global_zero:
            return
        self._samples += module.batch_size_of(batch) * trainer.world_size
        self._losses.append(outputs["loss"].detach())  # not yet a number: that would make a GPU wait
        elapsed = time.monotonic() - self._since
        if elapsed >= self.seconds:
            print(self._line(trainer, module, elapsed), flush=True)
            self._restart()

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Write the validation loss."""
        loss = trainer.callback_metrics.get("validation/loss")
        if loss is not None and trainer.is_global_zero and not trainer.sanity_checking:
            print(f"step {trainer.global_step}: validation loss {float(loss):.4f}", flush=True)

    def _line(self, trainer: lightning.Trainer, module: Any, elapsed: float) -> str:
        metrics = trainer.callback_metrics
        loss = float(torch.stack(self._losses).mean()) * trainer.accumulate_grad_batches
        parts = " ".join(
            f"{name.removeprefix('train/loss_')} {float(metrics[name]):.3f}"
            for name in sorted(metrics)
            if name.startswith("train/loss_")
        )
        progress = self.schedule.progress(trainer.global_step)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        return (
            f"epoch {trainer.current_epoch}, step {trainer.global_step} ({100 * progress:.0f} %): "
            f"loss {loss:.4f} ({parts}), lr {rate:.1e}, "
            f"{self._samples / elapsed:.1f} samples/s{_gpu_memory(module.device)}{self._time_left(progress)}"
        )

    def _time_left(self, progress: float) -> str:
        done = progress - self._share
        if done <= 0:
            return ""
        seconds = (time.monotonic() - self._began) / done * max(1.0 - progress, 0.0)
        return f", about {seconds / 60:.0f} min left" if seconds >= 60 else f", about {seconds:.0f} s left"

    def _restart(self) -> None:
        self._since, self._samples, self._losses = time.monotonic(), 0, []


def _gpu_memory(device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    used, whole = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_properties(device).total_memory
    return f", {used / 2**30:.1f} of {whole / 2**30:.0f} GiB of GPU memory"
