"""Lightning's way of giving metrics to a tracked run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger

if TYPE_CHECKING:
    from neanias_ml.registry.tracking import TrackedRun

FLUSH_SECONDS = 10.0


class TrackedRunLogger(Logger):
    """Passes the metrics of a trainer on to a run; parameters are not its business, the run has the whole recipe.

    Parameters
    ----------
    run
        The run; it outlives the trainer, which only flushes it.
    """

    def __init__(self, run: TrackedRun) -> None:
        super().__init__()
        self._run = run

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self._run.experiment

    @property
    def version(self) -> str:
        """Id of the run."""
        return self._run.run_id

    @property
    def experiment(self) -> TrackedRun:
        """The run."""
        return self._run

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Take metrics of a step; returns at once."""
        self._run.log_metrics(metrics, step=step or 0)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: the run was given its parameters when it began."""

    def finalize(self, status: str) -> None:
        """Send what is still waiting; the run ends later, with its evaluation."""
        self._run.flush(FLUSH_SECONDS)
