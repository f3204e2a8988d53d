"""What becomes of a trained morphology network: temperature and limit, scores, pictures, bundle, evaluation report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.manifest import SPLITS
from neanias_ml.models.morphology.bundle import cutout_logits, save_morphology_bundle
from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES
from neanias_ml.models.morphology.network import MorphologyNetwork
from neanias_ml.models.morphology.settings import NETWORK, MorphologySettings
from neanias_ml.training.morphology.calibrate import ClassCalibration, fit_calibration
from neanias_ml.training.morphology.card import metrics_table, model_card
from neanias_ml.training.morphology.data_module import CutoutDataModule
from neanias_ml.training.morphology.scores import (
    MorphologyOutcome,
    morphology_details,
    morphology_metrics,
    source_details,
    sure_limit,
)
from neanias_ml.training.network_kind import FinishedFit, FittedNetwork
from neanias_ml.training.pictures.confusion import draw_confusion
from neanias_ml.training.pictures.loss_curves import draw_loss_curves
from neanias_ml.training.pictures.metric_log import read_metric_log
from neanias_ml.training.pictures.reliability import StatedProbabilities, draw_reliability
from neanias_ml.training.pictures.style import can_draw, write_pictures
from neanias_ml.training.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRIMARY = "balanced_accuracy"
PICTURES = ("confusion.png", "reliability.png", "loss.png")


def finish_morphology(fit: FinishedFit) -> FittedNetwork:
    """Calibrate on the validation objects, score the test objects, draw, and save the bundle."""
    model, module = fit.model, fit.module
    assert isinstance(model, MorphologyNetwork) and isinstance(module, CutoutDataModule)
    model.eval()
    print("calibrating on the validation objects", flush=True)
    calibration, validation = calibrated(model, module)
    unsure_below = sure_limit(validation.confidence, validation.right, accuracy=module.feed.sure_accuracy)
    said = f"temperature {calibration.temperature:.3f}, unsure below {unsure_below:.3f}"
    print(f"{said}; scoring the test objects", flush=True)
    outcome = scored(model, module, "test", calibration=calibration)
    metrics = morphology_metrics(outcome, unsure_below=unsure_below)
    details = {
        **morphology_details(outcome, train_labels=module.labels("train"), unsure_below=unsure_below),
        "validation_sources": source_details(validation, unsure_below=unsure_below),
    }
    settings = MorphologySettings(
        architecture=model.config,
        orientations=module.feed.orientations,
        temperature=calibration.temperature,
        offsets=calibration.offsets,
        unsure_below=unsure_below,
        metadata=fit.metadata(
            data=_data(fit.manifest, module),
            metrics={name: asdict(metric) for name, metric in metrics.items()},
            details=details,
        ),
    )
    print(metrics_table(settings.metadata["metrics"], details), flush=True)
    folder = fit.folder
    digest = save_morphology_bundle(model, folder.bundle, settings=settings, card=model_card(settings), overwrite=True)
    fitted = fit.concluded(digest, network=NETWORK, primary=PRIMARY, metrics=metrics, details=details)
    if can_draw():
        write_pictures(folder.pictures, morphology_pictures(outcome, folder), names=PICTURES)
    print(f"wrote {folder.bundle}", flush=True)
    return fitted


def calibrated(model: MorphologyNetwork, module: CutoutDataModule) -> tuple[ClassCalibration, MorphologyOutcome]:
    """Calibration by the validation objects, and what it makes of them."""
    logits = _logits(model, module, "validation")
    calibration = fit_calibration(logits, module.labels("validation"), module.untold("validation"))
    return calibration, _outcome(calibration.of(logits), module, "validation")


def scored(
    model: MorphologyNetwork, module: CutoutDataModule, split: str, *, calibration: ClassCalibration
) -> MorphologyOutcome:
    """What a network says of the objects of a split."""
    return _outcome(calibration.of(_logits(model, module, split)), module, split)


def _logits(model: MorphologyNetwork, module: CutoutDataModule, split: str) -> NDArray[np.float64]:
    cutouts = module.cutouts(split)
    return cutout_logits(model, cutouts, batch_size=module.batch_size, orientations=module.feed.orientations)


def _outcome(probabilities: NDArray[np.float64], module: CutoutDataModule, split: str) -> MorphologyOutcome:
    cutouts = module.cutouts(split)
    certainty = np.asarray(cutouts.confidence, dtype=np.float64)
    return MorphologyOutcome(probabilities, module.labels(split), cutouts.fields, certainty)


def morphology_pictures(outcome: MorphologyOutcome, folder: RunFolder) -> dict[str, Callable[[], Figure]]:
    """How each of the `PICTURES` of a run is drawn."""
    stated = StatedProbabilities("morphology", outcome.confidence, outcome.right)
    drawings = (
        lambda: draw_confusion(outcome.confusion, MORPHOLOGY_NAMES, title="morphology of test objects"),
        lambda: draw_reliability([stated]),
        lambda: draw_loss_curves(read_metric_log(folder.log)),
    )
    return dict(zip(PICTURES, drawings, strict=True))


def _data(manifest: Mapping[str, Any], module: CutoutDataModule) -> dict[str, Any]:
    """What came of each split, with the number of cutouts whose class is known."""
    kept = {split: {name: manifest["splits"][split][name] for name in ("fields", "sources")} for split in SPLITS}
    return {split: {**said, "cutouts": len(module.cutouts(split))} for split, said in kept.items()}
