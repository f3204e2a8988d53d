"""`FitConfig`: how a network is optimised, with every value checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neanias_ml.errors import UsageError

Strategy = Literal["auto", "single", "ddp", "horovod"]

_BUDGETS = ("max_minutes", "max_steps")
_POSITIVE = (
    *_BUDGETS, "batch_size", "accumulate", "learning_rate", "checkpoint_minutes", "validate_every", "devices", "nodes",
)  # fmt: skip
_NOT_NEGATIVE = ("weight_decay", "warmup_steps", "clip_norm", "threads", "workers", "seed", "patience")


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a network is optimised.

    Raises
    ------
    UsageError
        ``NoBudget`` without an end, ``FitConfig`` for a value outside its range.
    """

    max_minutes: float | None = None
    """budget of wall-clock time for the optimisation; the learning rate falls with it"""
    max_steps: int | None = None
    """budget of steps; whichever of the two is used up first ends the run"""
    batch_size: int = 8
    """samples per step and process (times accumulate)"""
    accumulate: int = 1
    """batches whose gradients are averaged for one step"""
    learning_rate: float = 5e-4
    """peak rate of AdamW"""
    weight_decay: float = 0.05
    """decay of weights"""
    warmup_steps: int = 200
    """steps of linear warm-up"""
    clip_norm: float = 1.0
    """largest norm of the gradient; 0 for no limit"""
    average_decay: float = 0.998
    """decay of the moving average of the weights, which is what the run leaves; 0 keeps the last weights"""
    validate_every: int = 1
    """epochs between validations"""
    patience: int = 0
    """end the run when so many validations in a row brought no lower loss; 0 never"""
    keep: Literal["average", "best"] = "average"
    """weights for the bundle: the average at the end, or that of the lowest validation loss"""
    checkpoint_minutes: float = 5.0
    """minutes between checkpoints; one is written after each validation too"""
    precision: str = "bf16-mixed"
    """precision of Lightning: bf16-mixed, 16-mixed, 32-true"""
    accelerator: str = "auto"
    """cpu, gpu or auto"""
    strategy: Strategy = "auto"
    """single, ddp or horovod; auto looks at what has started the process: horovodrun, mpirun, torchrun or Slurm"""
    devices: int = 1
    """GPUs, or processes on a CPU, of each node that this command starts; launchers start their own"""
    nodes: int = 1
    """nodes of a ddp run that no launcher has started"""
    compression: Literal["none", "fp16"] = "none"
    """how Horovod sends gradients; fp16 halves the traffic"""
    sync_batch_norm: bool = True
    """batch statistics over all processes, as if they had one batch"""
    deterministic: bool = False
    """only algorithms that give the same bits again, even where they are slower"""
    threads: int = 0
    """threads of torch on a CPU for each process; 0 leaves them as they are"""
    workers: int = 0
    """loader processes of each process"""
    seed: int = 0
    """seed of initial weights, draws and variation, >= 0"""
    fast_dev_run: bool = False
    """two steps of training and validation, to see that everything works; leaves a bundle that is of no use"""

    def __post_init__(self) -> None:
        if self.max_minutes is None and self.max_steps is None:
            raise UsageError("NoBudget", "training needs an end: set max_minutes, max_steps or both")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError("FitConfig", f"fit.{name} must be positive, not {value}")
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise UsageError("FitConfig", f"fit.{name} must not be negative, as {getattr(self, name)} is")
        if self.seed >= 2**32 or self.max_minutes == float("inf"):
            raise UsageError("FitConfig", "fit.seed must be below 2^32 and fit.max_minutes finite (null for no budget)")
        if not 0 <= self.average_decay < 1:
            raise UsageError("FitConfig", f"fit.average_decay must lie in [0, 1), not be {self.average_decay}")
