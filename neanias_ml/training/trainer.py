"""Lightning's trainer as this package sets it up."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, EarlyStopping, Timer
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from neanias_ml.errors import UsageError
from neanias_ml.training.callbacks import AveragedWeights, BudgetSchedule
from neanias_ml.training.checkpoint_callback import KeepCheckpoints
from neanias_ml.training.checkpoints import SafeCheckpointIO
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.progress import ProgressLines, StepClock
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.step_seeds import StepSeeds
from neanias_ml.training.strategy import ProcessLayout, trainer_devices, trainer_strategy

DEV_STEPS = 2
"""Steps of ``fast_dev_run``."""
MONITOR = "validation/loss"


def build_trainer(
    folder: RunFolder, fit: FitConfig, *, layout: ProcessLayout, loggers: Sequence[Logger] = ()
) -> lightning.Trainer:
    """Lightning's trainer with the callbacks of this package.

    Raises
    ------
    UsageError
        ``FitConfig`` if Lightning refuses device, strategy or precision, or this machine lacks them;
        ``HorovodMissing``.
    """
    strategy = trainer_strategy(layout, fit)
    dev: dict[str, Any] = {}
    if fit.fast_dev_run:
        # Lightning's own flag leaves neither log nor checkpoint, which are to be tried out as well
        dev = {"limit_train_batches": DEV_STEPS * fit.accumulate, "limit_val_batches": DEV_STEPS, "max_epochs": 1}
    try:
        return lightning.Trainer(
            accelerator=fit.accelerator,
            devices=trainer_devices(layout, accelerator=fit.accelerator),
            num_nodes=layout.nodes,
            strategy=strategy,
            precision=fit.precision,
            max_steps=DEV_STEPS if fit.fast_dev_run else fit.max_steps if fit.max_steps is not None else -1,
            accumulate_grad_batches=fit.accumulate,
            gradient_clip_val=fit.clip_norm or None,
            check_val_every_n_epoch=fit.validate_every,
            deterministic=fit.deterministic,
            callbacks=_callbacks(folder, fit),
            plugins=[SafeCheckpointIO(), *_environment(layout)],
            logger=[CSVLogger(folder.path, name=folder.log.name, version=""), *loggers],
            log_every_n_steps=1 if fit.fast_dev_run else 10,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=True,
            default_root_dir=folder.path,
            **({"max_epochs": -1} | dev),
        )
    except (ValueError, MisconfigurationException) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(
            "FitConfig",
            f"fit.accelerator {fit.accelerator}, fit.devices {fit.devices}, fit.strategy {fit.strategy} and "
            f"fit.precision {fit.precision} cannot be used here ({reason}); choose others",
        ) from error


def _environment(layout: ProcessLayout) -> list[Any]:
    """Without a launcher, Lightning starts the processes itself, even where it finds the variables of a Slurm job."""
    return [LightningEnvironment()] if layout.launcher == "none" and layout.strategy != "horovod" else []


def _callbacks(folder: RunFolder, fit: FitConfig) -> list[Callback]:
    duration = datetime.timedelta(minutes=fit.max_minutes) if fit.max_minutes is not None else None
    timer = Timer(duration=duration, verbose=False)
    schedule = BudgetSchedule(
        timer, max_minutes=fit.max_minutes, max_steps=fit.max_steps, warmup_steps=fit.warmup_steps
    )
    callbacks: list[Callback] = [
        StepSeeds(fit.seed),
        timer,
        schedule,
        AveragedWeights(decay=fit.average_decay),
        ProgressLines(schedule),
        StepClock(),
        KeepCheckpoints(folder.checkpoints, minutes=fit.checkpoint_minutes, monitor=MONITOR),
    ]
    if fit.patience:
        callbacks.append(EarlyStopping(MONITOR, patience=fit.patience, check_finite=False))
    return callbacks
