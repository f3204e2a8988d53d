"""What becomes of a trained detector: temperatures and thresholds, scores, pictures, bundle and evaluation report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from neanias_ml.evaluation.report import Metric
from neanias_ml.models.bundle import save_bundle
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.settings import NETWORK, BundleSettings
from neanias_ml.training.detector.card import metrics_table, model_card
from neanias_ml.training.detector.data_module import TileDataModule
from neanias_ml.training.detector.pictures import draw_detector_pictures
from neanias_ml.training.detector.recipe import DetectorRecipe
from neanias_ml.training.detector.tile_scores import (
    TileOutcome,
    choose_thresholds,
    fit_temperatures,
    score_tiles,
    tile_metrics,
)
from neanias_ml.training.network_kind import FinishedFit, FittedNetwork

PRIMARY = "f1_all"


def finish_detector(fit: FinishedFit) -> FittedNetwork:
    """Calibrate on the validation tiles, score the test tiles, draw, and save the bundle."""
    model, module, recipe = fit.model, fit.module, fit.recipe
    assert isinstance(model, IslandRCNN) and isinstance(module, TileDataModule)
    model.eval()
    calibrate(model, module, recipe=recipe)
    print("scoring the test tiles", flush=True)
    ranked = _score_all(model, module, recipe)
    metrics = tile_metrics(_score(model, module, "test", recipe), ranked=ranked)
    print(metrics_table(metrics), flush=True)
    settings = _settings(fit, model, module, metrics)
    digest = save_bundle(model, fit.folder.bundle, settings=settings, card=model_card(settings), overwrite=True)
    fitted = fit.concluded(digest, network=NETWORK, primary=PRIMARY, metrics=report_metrics(metrics), details=metrics)
    draw_detector_pictures(
        fit.folder.pictures,
        log=fit.folder.log,
        outcomes=ranked,
        tiles=module.tiles("test"),
        class_names=CLASS_NAMES,
        point=model.operating_point,
    )
    return fitted


def _score_all(model: IslandRCNN, module: TileDataModule, recipe: DetectorRecipe) -> list[TileOutcome]:
    """The test tiles with all detections: a curve that ends at the thresholds would be half a curve."""
    point = model.operating_point
    model.operating_point = replace(point, score_thresholds=OperatingPoint().score_thresholds)
    try:
        return _score(model, module, "test", recipe)
    finally:
        model.operating_point = point


def calibrate(model: IslandRCNN, module: TileDataModule, *, recipe: DetectorRecipe) -> OperatingPoint:
    """Set temperatures, then thresholds, of a model from the validation tiles."""
    print("calibrating on the validation tiles", flush=True)
    model.operating_point = OperatingPoint()
    model.operating_point = fit_temperatures(_score(model, module, "validation", recipe))
    model.operating_point = choose_thresholds(_score(model, module, "validation", recipe), point=model.operating_point)
    print(f"operating point: {model.operating_point}", flush=True)
    return model.operating_point


def report_metrics(metrics: Mapping[str, Any]) -> dict[str, Metric]:
    """Scores of `tile_metrics` for a report; classes that the data do not hold have no metric."""
    found = {PRIMARY: metrics["all"]} | {f"f1_{name}": scores["f1"] for name, scores in metrics["classes"].items()}
    # test data without a single object say nothing of a detector
    named = {name: Metric(**value) for name, value in found.items() if value["value"] is not None}
    return {PRIMARY: Metric(value=0.0)} | named


def _settings(
    fit: FinishedFit, model: IslandRCNN, module: TileDataModule, metrics: Mapping[str, Any]
) -> BundleSettings:
    configuration = fit.manifest["configuration"]
    return BundleSettings(
        architecture=model.config,
        pixels_per_beam=module.view.pixels_per_beam,
        channels=module.view.channels,
        window_size=fit.recipe.feed.window_size,
        operating_point=model.operating_point,
        extractor={"finder": configuration["finder"], "seed_jitter": configuration["seed_jitter"]},
        metadata=fit.metadata(metrics=metrics),
    )


def _score(model: IslandRCNN, module: TileDataModule, split: str, recipe: DetectorRecipe) -> list[TileOutcome]:
    precision = torch.bfloat16 if recipe.fit.precision.startswith("bf16") else None
    return score_tiles(
        model,
        module.tiles(split),
        view=module.view,
        batch_size=module.batch_size,
        precision=precision,
    )
