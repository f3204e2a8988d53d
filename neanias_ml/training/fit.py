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

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.manifest import read_manifest
from neanias_ml.errors import InputError, UsageError
from neanias_ml.models.bundle import save_bundle
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.losses import effective_number_weights
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.settings import BundleSettings
from neanias_ml.training.batches import class_counts
from neanias_ml.training.callbacks import AveragedWeights, BudgetSchedule, ProgressLines
from neanias_ml.training.card import metrics_table, model_card
from neanias_ml.training.data_module import TileDataModule
from neanias_ml.training.detector_task import DetectorTask
from neanias_ml.training.tile_scores import choose_thresholds, fit_temperatures, score_tiles, tile_metrics

LAST_CHECKPOINT = "last.ckpt"
BUNDLE_FOLDER = "bundle"
METRICS_FILE = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How the network is trained."""

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
    noise_jitter: float = 0.1
    """largest relative error of the noise estimate that is simulated"""
    rotate: bool = False
    """rotate tiles by any angle too (needs albumentations; costs loader time)"""
    window_size: int = 512
    """side in grid pixels of the windows in which the bundle looks at maps; larger than the tiles: more fits in"""
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
    """seed of initial weights, draws and augmentation"""

    def __post_init__(self) -> None:
        if self.max_minutes is None and self.max_steps is None:
            raise UsageError("NoBudget", "training needs an end: set max_minutes, max_steps or both")
        if self.batch_size < 1 or not self.learning_rate > 0:
            raise UsageError("FitConfig", "batch_size must be at least 1 and learning_rate positive")


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
    loggers
        Loggers of Lightning besides the CSV file.
    name
        Name in the model card.

    Raises
    ------
    InputError
        If data or checkpoint are missing.
    ModelError
        If the loss is not finite, or the bundle exists.
    """
    folder, manifest = Path(output), read_manifest(data)
    _check_channels(manifest, model, data)
    if fit.threads:
        torch.set_num_threads(fit.threads)
    _quieten_lightning()
    lightning.seed_everything(fit.seed, workers=True, verbose=False)
    module = _data_module(data, fit)
    architecture = balanced(model, class_counts(module.tiles("train")), beta=fit.balance_beta)
    task = DetectorTask(architecture, learning_rate=fit.learning_rate, weight_decay=fit.weight_decay)
    trainer = build_trainer(folder, fit, loggers=loggers)
    trainer.fit(task, module, ckpt_path=_checkpoint(folder) if resume else None, weights_only=False)
    trainer.save_checkpoint(folder / "checkpoints" / LAST_CHECKPOINT, weights_only=False)
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


def build_trainer(folder: Path, fit: FitConfig, *, loggers: Sequence[Logger] = ()) -> lightning.Trainer:
    """Lightning's trainer with the callbacks of this package."""
    duration = datetime.timedelta(minutes=fit.max_minutes) if fit.max_minutes is not None else None
    timer = Timer(duration=duration, verbose=False)
    schedule = BudgetSchedule(
        timer, max_minutes=fit.max_minutes, max_steps=fit.max_steps, warmup_steps=fit.warmup_steps
    )
    checkpoint = ModelCheckpoint(
        dirpath=folder / "checkpoints",
        filename="periodic",
        train_time_interval=datetime.timedelta(minutes=fit.checkpoint_minutes),
        save_last=True,
        enable_version_counter=False,
    )
    average = AveragedWeights(decay=fit.average_decay)
    callbacks: list[Callback] = [timer, schedule, average, ProgressLines(schedule), checkpoint]
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
        logger=[CSVLogger(folder, name="log", version=""), *loggers],
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def finish(
    model: IslandRCNN,
    module: TileDataModule,
    folder: Path,
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
    bundle = folder / BUNDLE_FOLDER
    digest = save_bundle(model, bundle, settings=settings, card=model_card(settings), overwrite=True)
    (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {bundle}", flush=True)
    return FittedDetector(bundle=bundle, digest=digest, metrics=metrics)


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
    transform = None
    if fit.rotate:
        from neanias_ml.datasets.augment import GeometricAugmentation

        transform = GeometricAugmentation(seed=fit.seed)
    return TileDataModule(
        data,
        batch_size=fit.batch_size,
        workers=fit.workers,
        repeat_threshold=fit.repeat_threshold,
        noise_jitter=fit.noise_jitter,
        validation_tiles=fit.validation_tiles,
        transform=transform,
    )


def _check_channels(manifest: dict[str, Any], model: IslandRCNNConfig, data: Path | str) -> None:
    if tuple(manifest["channels"]) != CHANNEL_NAMES or model.in_channels != len(CHANNEL_NAMES):
        raise InputError(
            "ChannelsDiffer",
            f"{data} was prepared with the channels {', '.join(manifest['channels'])}, this version makes "
            f"{', '.join(CHANNEL_NAMES)} for {model.in_channels} inputs; prepare the data again",
        )


def _quieten_lightning() -> None:
    """Its notes on hardware and its tips would drown the lines of progress."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")


def _checkpoint(folder: Path) -> str:
    path = folder / "checkpoints" / LAST_CHECKPOINT
    if not path.is_file():
        raise InputError("NoCheckpoint", f"there is no {path} to resume from; start without --resume")
    return str(path)
