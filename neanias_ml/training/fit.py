"""Training of a network on prepared data, whatever its kind: optimise, keep checkpoints, hand over to be judged."""

from __future__ import annotations

import dataclasses
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from neanias_ml.datasets.manifest import read_manifest
from neanias_ml.errors import ResourceError, UsageError
from neanias_ml.training.batch_norm import plain_batch_norm
from neanias_ml.training.callbacks import AveragedWeights
from neanias_ml.training.checkpoint_files import read_checkpoint, read_description
from neanias_ml.training.checkpoints import check_architecture, checkpoint_description, require_checkpoint
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.memory import BatchTooLargeError, StepsOfThisPiece, release_memory, smaller_batches
from neanias_ml.training.network_kind import FinishedFit, FittedNetwork, NetworkKind
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.run_record import RunWatch
from neanias_ml.training.strategy import ProcessLayout, process_layout
from neanias_ml.training.task import NetworkTask
from neanias_ml.training.termination import EXIT_TERMINATED, sigterm_ends_the_program
from neanias_ml.training.trainer import build_trainer

_LOST_PROCESS = re.compile("HorovodInternalError|DistBackendError|DistNetworkError|gloo/transport")
"""How Horovod, NCCL and Gloo tell that a process does not answer any more; Gloo's errors have no type of their own."""


def train_network(
    kind: NetworkKind,
    data: Path | str,
    output: Path | str,
    *,
    recipe: Any,
    initial: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    loggers: Sequence[Logger] = (),
    watch: RunWatch | None = None,
) -> FittedNetwork | None:
    """Train, calibrate and score a network; leaves a bundle, checkpoints, metrics and pictures.

    With several processes all of them call this; all but the first return None when the optimisation is done.

    Parameters
    ----------
    kind
        Kind of network.
    data
        Folder with ``manifest.json``.
    output
        Folder of the run.
    recipe
        An instance of ``kind.recipe_type``.
    initial
        Bundle whose weights the run begins with; random ones by default.
    resume
        Go on from the last checkpoint in ``output``.
    overwrite
        Replace the bundle and the checkpoints of another run in ``output``.
    loggers
        Loggers of Lightning besides the CSV file.
    watch
        Told what is known of the run when it begins and when it ends.

    Raises
    ------
    UsageError
        If ``output`` holds another run and neither ``resume`` nor ``overwrite`` is set, or the machine cannot do what
        ``recipe.fit`` asks for.
    InputError
        If data or checkpoint are missing, or the data do not fit the network.
    ModelError
        If the loss is not finite, or a checkpoint or ``initial`` is damaged or of another architecture.
    ResourceError
        If a checkpoint cannot be written, another process of the run is lost, or the memory of the GPU does not
        suffice, other than in the first steps of a single process: those are taken again in smaller batches.
    """
    folder, watch = RunFolder(Path(output)), watch or RunWatch()
    manifest, layout = read_manifest(data), process_layout(recipe.fit)
    folder.require_usable(resume=resume, overwrite=overwrite)
    kind.check(manifest, recipe, data=data)
    checkpoint = require_checkpoint(folder.checkpoints) if resume else None
    if recipe.fit.threads:
        torch.set_num_threads(recipe.fit.threads)
    _quieten_lightning()
    places = (Path(data), folder, manifest, layout, initial, checkpoint)
    job = _Job(kind, *places, overwrite=overwrite, loggers=loggers, watch=watch)
    while True:
        try:
            return _train(job, recipe)
        except BatchTooLargeError as error:
            steps = error.steps
        # outside of the handler: an error holds on to what fills the memory
        release_memory()
        recipe = smaller_batches(recipe, steps=steps, alone=layout.strategy == "single")
        watch.notes(batch_size=recipe.fit.batch_size, accumulate=recipe.fit.accumulate)


@dataclasses.dataclass(frozen=True)
class _Job:
    """What a run is about, whatever the size of its batches."""

    kind: NetworkKind
    data: Path
    folder: RunFolder
    manifest: dict[str, Any]
    layout: ProcessLayout
    initial: Path | None
    checkpoint: Path | None
    overwrite: bool
    loggers: Sequence[Logger]
    watch: RunWatch


def _train(job: _Job, recipe: Any) -> FittedNetwork | None:
    """One attempt: from random or given weights to the judged network."""
    lightning.seed_everything(recipe.fit.seed, workers=True, verbose=False)
    trainer = build_trainer(job.folder, recipe.fit, layout=job.layout, loggers=job.loggers)
    with job.watch.ending_with(trainer):
        module = job.kind.data_module(job.data, recipe)
        task, parent = _begun_task(job, recipe, module)
        trainer.strategy.barrier()  # where the processes know each other by now (Horovod)
        if trainer.is_global_zero:
            job.folder.prepare(overwrite=job.overwrite)
        job.watch.begins(layout=job.layout, trainer=trainer, manifest=job.manifest, parent=parent)
        _optimise(trainer, task, module, checkpoint=job.checkpoint)
        if not trainer.is_global_zero:
            return None
        finished = FinishedFit(
            model=plain_batch_norm(_chosen_weights(trainer, task, job.folder, recipe.fit)),
            module=module,
            folder=job.folder,
            recipe=recipe,
            manifest=job.manifest,
            steps=trainer.global_step,
            provenance={"parent_digest": parent, **job.watch.provenance},
        )
        with sigterm_ends_the_program():
            fitted = job.kind.finish(finished)
        job.watch.finished(fitted)
    return fitted


def _begun_task(job: _Job, recipe: Any, module: Any) -> tuple[NetworkTask, str | None]:
    """The task with the weights that the run begins with, and the digest of the bundle that they are from."""
    task = job.kind.task(recipe, module)
    parent = job.kind.initial_weights(job.initial, task) if job.initial is not None else None
    task.identity = checkpoint_description(
        network=job.kind.network, architecture=dataclasses.asdict(task.config), step=0
    )
    if job.checkpoint is not None:
        check_architecture(read_description(job.checkpoint), task.identity, where=job.checkpoint)
    return task, parent


def _optimise(trainer: lightning.Trainer, task: NetworkTask, module: Any, *, checkpoint: Path | None) -> None:
    """Train; an interrupt leaves as what it was: Lightning turns it into the end of the program."""
    watched = StepsOfThisPiece()
    trainer.callbacks.append(watched)
    too_large = False
    try:
        trainer.fit(task, module, ckpt_path=checkpoint, weights_only=True)
    except torch.OutOfMemoryError:
        too_large = True
    except SIGTERMException as stop:
        raise SystemExit(EXIT_TERMINATED) from stop
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stop
        raise
    except RuntimeError as error:
        if trainer.world_size > 1 and _LOST_PROCESS.search(f"{type(error).__name__} {error}"):
            raise ResourceError(
                "ProcessLost",
                f"another process of this run has ended or is out of reach (noticed after step {trainer.global_step}); "
                "see what it printed, and go on from the last checkpoint with --resume",
            ) from error
        raise
    if too_large:
        module.teardown("fit")
        raise BatchTooLargeError(watched.steps)


def _chosen_weights(trainer: lightning.Trainer, task: NetworkTask, folder: RunFolder, fit: FitConfig) -> nn.Module:
    """The network with the weights that the run is to leave, in evaluation mode."""
    model = task.model
    for callback in trainer.callbacks:
        if isinstance(callback, AveragedWeights):
            callback.take_average(task)
    if fit.keep == "best":
        if not folder.best_checkpoint.is_file():
            raise UsageError(
                "NoBestCheckpoint",
                "fit.keep best needs a validation before the end of the run; raise the budget, lower "
                "fit.validate_every, or keep the average",
            )
        state = read_checkpoint(folder.best_checkpoint, map_location="cpu")["state_dict"]
        model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
    return model.eval()


def _quieten_lightning() -> None:
    """Its notes on hardware and its tips would drown the lines of progress."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
