"""`FitConfig`: how a network is trained, with every value checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from neanias_ml.datasets.variation.augmentation import AugmentConfig
from neanias_ml.errors import UsageError
from neanias_ml.models.config import WINDOW_STRIDE

_BUDGETS = ("max_minutes", "max_steps")
_POSITIVE = (*_BUDGETS, "batch_size", "learning_rate", "validation_tiles", "checkpoint_minutes", "devices")
_NOT_NEGATIVE = ("weight_decay", "warmup_steps", "clip_norm", "repeat_threshold", "threads", "workers", "seed")
_BELOW_ONE = ("average_decay", "balance_beta")


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How the network is trained.

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
    """tiles per step and device"""
    learning_rate: float = 5e-4
    """peak rate of AdamW"""
    weight_decay: float = 0.05
    """decay of weights"""
    warmup_steps: int = 200
    """steps of linear warm-up"""
    clip_norm: float = 1.0
    """largest norm of the gradient"""
    average_decay: float = 0.998
    """decay of the moving average of the weights"""
    balance_beta: float = 0.999
    """class-balanced weights by effective numbers; 0 weighs all classes alike"""
    repeat_threshold: float = 0.3
    """classes in fewer than this share of the tiles are drawn more often"""
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(noise_jitter=0.1, fade=0.5, paste_objects=0.3, paste_artefacts=0.3)
    )
    """how tiles are varied"""
    window_size: int = 512
    """side in grid pixels of the windows in which the bundle looks at maps; larger than the tiles: more fits in;
    a multiple of 32"""
    validation_tiles: int = 64
    """tiles of the validation loss while training"""
    checkpoint_minutes: float = 5.0
    """minutes between checkpoints"""
    precision: str = "bf16-mixed"
    """precision of Lightning: bf16-mixed, 16-mixed, 32-true"""
    accelerator: str = "auto"
    """cpu, gpu or auto"""
    devices: int = 1
    """GPUs, or processes on a CPU (one for each core is faster than threads, above all on a busy machine)"""
    strategy: str = "auto"
    """strategy of Lightning: auto or ddp"""
    threads: int = 0
    """threads of torch on a CPU for each process; 0 leaves them as they are"""
    workers: int = 0
    """loader processes"""
    seed: int = 0
    """seed of initial weights, draws and augmentation, >= 0"""

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
        for name in _BELOW_ONE:
            if not 0 <= getattr(self, name) < 1:
                raise UsageError("FitConfig", f"fit.{name} must lie in [0, 1), not be {getattr(self, name)}")
        if self.window_size <= 0 or self.window_size % WINDOW_STRIDE:
            raise UsageError(
                "FitConfig", f"fit.window_size must be a positive multiple of {WINDOW_STRIDE}, not {self.window_size}"
            )
