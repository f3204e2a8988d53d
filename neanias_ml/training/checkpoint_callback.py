"""`KeepCheckpoints`: the last state of a run and its best one, as files."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from neanias_ml.errors import ResourceError, UsageError
from neanias_ml.training.checkpoints import BEST_CHECKPOINT, LAST_CHECKPOINT


class KeepCheckpoints(Checkpoint):
    """Keeps ``last.safetensors`` and ``best.safetensors``.

    ``last`` is written every so many minutes, after each validation, when the process is told to end (SIGTERM), and
    when the budget is used up - before other callbacks put averaged weights in the place of the current ones, so that
    a run with a larger budget goes on from it as if it had never stopped. It is only written between optimizer steps:
    half accumulated gradients are not kept, and would be missing after a resume. ``best`` is written after a validation
    with a smaller loss than all before.

    The first process decides when, for all: clocks differ, and a checkpoint is an act of all processes. If it cannot
    write, all of them end with the same error. SIGTERM, whichever process it reaches first, ends all of them after the
    same step: Lightning's own handler talks to the other processes in the middle of whatever they do, and waits forever
    where they do not listen.

    Parameters
    ----------
    folder
        Folder of the two files.
    minutes
        Time between two writings of ``last``; 0 for every step.
    monitor
        Logged value that is smallest for the best state.
    clock
        Seconds.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        minutes: float,
        monitor: str = "validation/loss",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        if not minutes >= 0:
            raise ValueError(f"minutes between checkpoints must be 0 or more, not {minutes}")
        self.last, self.best = Path(folder) / LAST_CHECKPOINT, Path(folder) / BEST_CHECKPOINT
        self.minutes = minutes
        self.monitor = monitor
        self.best_value = math.inf
        self._clock = clock
        self._written_at = clock()
        self._steps = 0
        self._between_steps = True
        self._told_to_end = False

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Start the clock, and take SIGTERM over from Lightning, which restores the handler when it is done."""
        self._written_at, self._steps, self._between_steps = self._clock(), trainer.global_step, True
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._note_sigterm)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write ``last`` if it is time, or the last opportunity."""
        self._between_steps = trainer.global_step != self._steps
        self._steps = trainer.global_step
        if not self._between_steps or trainer.fast_dev_run:
            return
        due = trainer.is_global_zero and (
            self._clock() - self._written_at >= 60.0 * self.minutes or _at_its_end(trainer)
        )
        wishes = torch.tensor([float(due), float(self._told_to_end)], device=trainer.strategy.root_device)
        write, end = (count > 0 for count in trainer.strategy.reduce(wishes, reduce_op="sum").tolist())
        if write or end:
            self._write(trainer, self.last)
        if end:
            raise SIGTERMException

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Write ``best`` if it is, then ``last``."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking or trainer.fast_dev_run:
            return
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            raise UsageError(
                "MonitorMissing",
                f"validation has given no {self.monitor}, by which the best checkpoint is chosen; log it in the "
                "validation_step, and see that there are validation data",
            )
        better = float(value) < self.best_value
        self.best_value, better = trainer.strategy.broadcast((float(value) if better else self.best_value, better))
        if better:  # the value is set by now: both files are to know it
            self._write(trainer, self.best)
        if self._between_steps:
            self._write(trainer, self.last)
        else:
            self._written_at = -math.inf  # as soon as the step is complete

    def _note_sigterm(self, number: int, frame: Any) -> None:
        self._told_to_end = True

    def state_dict(self) -> dict[str, Any]:
        """The smallest value so far."""
        return {"best_value": self.best_value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the smallest value of the run; it counts only where its file still is."""
        self.best_value = state["best_value"] if self.best.is_file() else math.inf

    def _write(self, trainer: lightning.Trainer, path: Path) -> None:
        """Write a file, and let all processes know whether that went well: others would wait for the first forever."""
        failure: Exception | None = None
        try:
            trainer.save_checkpoint(path, weights_only=False)
        except Exception as error:
            failure = error
            trainer.strategy.barrier("Trainer.save_checkpoint")  # the one in which the other processes wait
        told = (type(failure).__name__, str(failure)) if failure else None
        first = trainer.strategy.broadcast(told)
        if failure is not None:
            raise failure
        if first is not None:
            raise ResourceError("CheckpointNotWritten", f"the first process could not write {path}: {first[1]}")
        if path == self.last:
            self._written_at = self._clock()


def _at_its_end(trainer: lightning.Trainer) -> bool:
    steps_done = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
    epochs_done = epochs != -1 and trainer.is_last_batch and trainer.current_epoch + 1 >= epochs
    return bool(trainer.should_stop or steps_done or epochs_done)
