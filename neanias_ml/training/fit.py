"""Training of IslandRCNN on prepared data, up to a bundle: fit, calibrate, choose thresholds, score, save."""

from __future__ import annotations

import datetime
import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.manifest import read_manifest
from neanias_ml.errors import InputError, UsageError
from neanias_ml.models.bundle import save_bundle
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.losses import effective_number_weights
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.settings import BundleSettings
from neanias_ml.training.batches import class_counts
from neanias_ml.training.callbacks import AveragedWeights, BudgetSchedule, ProgressLines
from neanias_ml.training.card import metrics_table, model_card
from neanias_ml.training.data_module import TileDataModule
from neanias_ml.training.detector_task import DetectorTask
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.tile_scores import choose_thresholds, fit_temperatures, score_tiles, tile_metrics


@dataclass(frozen=True)
class FittedDetector:
    """What a training run leaves.

    Attributes
    ----------
    bundle
        Folder of the model bundle.
    digest
        Its digest.
    metrics
        Scores on the test tiles (plain JSON values).
    """

    bundle: Path
    digest: str
    metrics: dict[str, Any] = field(repr=False)


def train_detector(
    data: Path | str,
    output: Path | str,
    *,
    model: IslandRCNNConfig,
    fit: FitConfig,
    resume: bool = False,
    overwrite: bool = False,
    loggers: Sequence[Logger] = (),
    name: str = "island-rcnn",
) -> FittedDetector | None:
    """Train, calibrate and score a detector on prepared data; leaves a bundle, checkpoints and metrics.

    With several devices every process calls this; all but the first return None when the optimisation is done.

    Parameters
    ----------
    data
        Folder with ``manifest.json``.
    output
        Folder of the run.
    resume
        Go on from the last checkpoint in ``output``.
    overwrite
        Replace the bundle and the checkpoints of another run in ``output``.
    loggers
        Loggers of Lightning besides the CSV file.
    name
        Name in the model card.

    Raises
    ------
    UsageError
        If ``output`` holds another run and neither ``resume`` nor ``overwrite`` is set, or the machine cannot do what
        ``fit`` asks for.
    InputError
        If data or checkpoint are missing, or the data do not fit the network.
    ModelError
        If the loss is not finite.
    """
    folder, manifest = RunFolder(Path(output)), read_manifest(data)
    folder.require_usable(resume=resume, overwrite=overwrite)
    _check_data(manifest, model, data)
    require_beam_reference(model, pixels_per_beam=manifest["configuration"]["pixels_per_beam"])
    if fit.threads:
        torch.set_num_threads(fit.threads)
    _quieten_lightning()
    lightning.seed_everything(fit.seed, workers=True, verbose=False)
    trainer = build_trainer(folder, fit, loggers=loggers)
    module = _data_module(data, fit)
    architecture = balanced(model, class_counts(module.tiles("train")), beta=fit.balance_beta)
    task = DetectorTask(architecture, learning_rate=fit.learning_rate, weight_decay=fit.weight_decay)
    folder.prepare(overwrite=overwrite)
    trainer.fit(task, module, ckpt_path=str(folder.last_checkpoint) if resume else None, weights_only=False)
    trainer.save_checkpoint(folder.last_checkpoint, weights_only=False)
    if not trainer.is_global_zero:
        return None
    return finish(task.model, module, folder, fit=fit, manifest=manifest, steps=trainer.global_step, name=name)


def balanced(model: IslandRCNNConfig, counts: Sequence[int], *, beta: float) -> IslandRCNNConfig:
    """The configuration with class-balanced weights; background keeps the weight of the commonest class."""
    if beta == 0:
        return model
    weights = effective_number_weights(counts, beta=beta)
    present = [weight for weight, count in zip(weights, counts, strict=True) if count]
    floor = min(present) if present else 1.0
    # classes that never occur would take the largest weight and are never used: they get that of background
    rescaled = tuple(round(weight / floor, 4) if count else 1.0 for weight, count in zip(weights, counts, strict=True))
    return replace(model, class_weights=(1.0, *rescaled))


def build_trainer(folder: RunFolder, fit: FitConfig, *, loggers: Sequence[Logger] = ()) -> lightning.Trainer:
    """Lightning's trainer with the callbacks of this package.

    Raises
    ------
    UsageError
        ``FitConfig`` if Lightning refuses the device, strategy or precision, or this machine lacks them.
    """
    duration = datetime.timedelta(minutes=fit.max_minutes) if fit.max_minutes is not None else None
    timer = Timer(duration=duration, verbose=False)
    schedule = BudgetSchedule(
        timer, max_minutes=fit.max_minutes, max_steps=fit.max_steps, warmup_steps=fit.warmup_steps
    )
    checkpoint = ModelCheckpoint(
        dirpath=folder.checkpoints,
        filename="periodic",
        train_time_interval=datetime.timedelta(minutes=fit.checkpoint_minutes),
        save_last=True,
        enable_version_counter=False,
    )
    average = AveragedWeights(decay=fit.average_decay)
    callbacks: list[Callback] = [timer, schedule, average, ProgressLines(schedule), checkpoint]
    try:
        return lightning.Trainer(
            accelerator=fit.accelerator,
            devices=fit.devices,
            strategy=fit.strategy,
            sync_batchnorm=fit.devices > 1 and fit.accelerator != "cpu",  # there is none for CPUs
            precision=fit.precision,
            max_steps=fit.max_steps if fit.max_steps is not None else -1,
            max_epochs=-1,
            gradient_clip_val=fit.clip_norm,
            callbacks=callbacks,
            logger=[CSVLogger(folder.path, name="log", version=""), *loggers],
            log_every_n_steps=10,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder.path,
        )
    except (ValueError, MisconfigurationException) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(
            "FitConfig",
            f"fit.accelerator {fit.accelerator}, fit.devices {fit.devices}, fit.strategy {fit.strategy} and "
            f"fit.precision {fit.precision} cannot be used here ({reason}); choose others",
        ) from error


def finish(
    model: IslandRCNN,
    module: TileDataModule,
    folder: RunFolder,
    *,
    fit: FitConfig,
    manifest: dict[str, Any],
    steps: int,
    name: str,
) -> FittedDetector:
    """Calibrate on the validation tiles, score the test tiles, and save the bundle."""
    model.eval()
    calibrate(model, module, fit=fit)
    print("scoring the test tiles", flush=True)
    metrics = tile_metrics(_score(model, module, "test", fit))
    print(metrics_table(metrics), flush=True)
    metadata = {
        "name": name,
        "steps": steps,
        "training": asdict(fit),
        "data_digest": manifest["digest"],
        "data": {split: {**content, "shards": len(content["shards"])} for split, content in manifest["splits"].items()},
        "metrics": metrics,
    }
    configuration = manifest["configuration"]
    settings = BundleSettings(
        architecture=model.config,
        pixels_per_beam=module.pixels_per_beam,
        channels=tuple(manifest["channels"]),
        window_size=fit.window_size,
        operating_point=model.operating_point,
        extractor={"finder": configuration["finder"], "seed_jitter": configuration["seed_jitter"]},
        metadata=metadata,
    )
    digest = save_bundle(model, folder.bundle, settings=settings, card=model_card(settings), overwrite=True)
    folder.metrics.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {folder.bundle}", flush=True)
    return FittedDetector(bundle=folder.bundle, digest=digest, metrics=metrics)


def calibrate(model: IslandRCNN, module: TileDataModule, *, fit: FitConfig) -> OperatingPoint:
    """Set temperatures, then thresholds, of a model from the validation tiles."""
    print("calibrating on the validation tiles", flush=True)
    model.operating_point = OperatingPoint()
    model.operating_point = fit_temperatures(_score(model, module, "validation", fit))
    model.operating_point = choose_thresholds(_score(model, module, "validation", fit), point=model.operating_point)
    print(f"operating point: {model.operating_point}", flush=True)
    return model.operating_point


def _score(model: IslandRCNN, module: TileDataModule, split: str, fit: FitConfig) -> Any:
    precision = torch.bfloat16 if fit.precision.startswith("bf16") else None
    return score_tiles(
        model,
        module.tiles(split),
        pixels_per_beam=module.pixels_per_beam,
        batch_size=fit.batch_size,
        precision=precision,
    )


def _data_module(data: Path | str, fit: FitConfig) -> TileDataModule:
    return TileDataModule(
        data,
        batch_size=fit.batch_size,
        workers=fit.workers,
        augment=fit.augment,
        repeat_threshold=fit.repeat_threshold,
        validation_tiles=fit.validation_tiles,
        seed=fit.seed,
    )


def _check_data(manifest: dict[str, Any], model: IslandRCNNConfig, data: Path | str) -> None:
    """Channels and class numbers of the data are those of this version."""
    if tuple(manifest["channels"]) != CHANNEL_NAMES or model.in_channels != len(CHANNEL_NAMES):
        raise InputError(
            "ChannelsDiffer",
            f"{data} was prepared with the channels {', '.join(manifest['channels'])}, this version makes "
            f"{', '.join(CHANNEL_NAMES)} for {model.in_channels} inputs; prepare the data again",
        )
    if manifest["class_labels"] != CLASS_LABELS:
        raise InputError("ClassesDiffer", f"{data} was prepared with other classes; prepare the data again")


def require_beam_reference(model: IslandRCNNConfig, *, pixels_per_beam: float) -> None:
    """Make sure that network and data count the beam in the same pixels.

    Raises
    ------
    UsageError
        ``BeamReference``.
    """
    if model.box_reference != pixels_per_beam:
        raise UsageError(
            "BeamReference",
            f"model.box_reference ({model.box_reference:g}) must equal preparation.pixels_per_beam "
            f"({pixels_per_beam:g}): both are the beam in pixels",
        )


def _quieten_lightning() -> None:
    """Its notes on hardware and its tips would drown the lines of progress."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
