"""A detector scored on prepared tiles: predictions as instances, calibration, thresholds, metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neanias_ml.datasets.tiles import IGNORED, PreparedTile
from neanias_ml.evaluation import (
    FieldPair,
    Instances,
    Interval,
    bootstrap_interval,
    caesar_scores,
    confusion_matrix,
    count_by_class,
    expected_calibration_error,
    match_by_score,
)
from neanias_ml.models.calibration import (
    OperatingPoint,
    best_f1_threshold,
    fit_binary_temperature,
    fit_class_temperature,
)
from neanias_ml.models.classes import CLASS_LABELS, CLASS_NAMES
from neanias_ml.models.masks import paste_masks
from neanias_ml.models.predictions import WindowPrediction
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.regions import match_regions
from neanias_ml.training.detector.batches import TileView
from neanias_ml.training.detector.ranked import average_precision_by_class

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
IOU_THRESHOLD = 0.5
IGNORED_SHARE = 0.5
"""Detections with at least this part of their pixels on ignored ones do not count."""
UNDECIDED = -1
"""Label of an island box that is neither an object nor clearly none."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TileOutcome:
    """What a detector says of one tile, beside the truth.

    Attributes
    ----------
    pair
        True and predicted instances; ignored ones left out.
    probabilities
        (I, 6) of each learnable island, read at its own box.
    labels
        (I,) class label of the object whose box is that of the island, 0 for none, `UNDECIDED`.
    spurious, is_spurious
        (I,) P(spurious), and whether the island's object is spurious.
    field
        Name of the sky field.
    """

    pair: FieldPair
    probabilities: FloatArray
    labels: IntArray
    spurious: FloatArray
    is_spurious: NDArray[np.bool_]
    field: str


def score_tiles(
    model: IslandRCNN,
    tiles: Sequence[PreparedTile],
    *,
    view: TileView,
    batch_size: int = 8,
    precision: torch.dtype | None = None,
    progress: Progress | None = None,
) -> list[TileOutcome]:
    """Run a detector over tiles, all islands as proposals, as at inference.

    Parameters
    ----------
    model
        In evaluation mode; its operating point applies.
    view
        What of a tile the network is given.
    precision
        Autocast type, for example ``torch.bfloat16``; None for float32.
    progress
        Called with the tiles done and all.
    """
    outcomes: list[TileOutcome] = []
    for tile, prediction in _predictions(model, tiles, view, batch_size, precision):
        outcomes.append(_outcome(tile, prediction, model))
        if progress is not None:
            progress(len(outcomes), len(tiles))
    return outcomes


def _predictions(
    model: IslandRCNN,
    tiles: Sequence[PreparedTile],
    view: TileView,
    batch_size: int,
    precision: torch.dtype | None,
) -> Iterator[tuple[PreparedTile, WindowPrediction]]:
    device = next(model.parameters()).device
    for start in range(0, len(tiles), batch_size):
        part = tiles[start : start + batch_size]
        images = torch.stack([view.image(tile) for tile in part]).contiguous(memory_format=torch.channels_last)
        proposals = [view.proposals(tile).boxes for tile in part]
        boxes = [torch.from_numpy(array).to(device) for array in proposals]
        with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
            predictions = model.predict(images.to(device), boxes)
        yield from zip(part, predictions, strict=True)


def _outcome(tile: PreparedTile, prediction: WindowPrediction, model: IslandRCNN) -> TileOutcome:
    learnable = np.flatnonzero(tile.learnable_islands)
    labels, is_spurious = island_labels(tile, model)
    return TileOutcome(
        pair=FieldPair.of(true_instances(tile), predicted_instances(tile, prediction)),
        probabilities=prediction.readout_probabilities.double().cpu().numpy()[learnable],
        labels=labels[learnable],
        spurious=prediction.readout_spurious.double().cpu().numpy()[learnable],
        is_spurious=is_spurious[learnable],
        field=tile.field,
    )


def true_instances(tile: PreparedTile) -> Instances:
    """Truth of a tile."""
    return Instances.from_label_map(tile.instances, ids=np.arange(1, len(tile.labels) + 1), labels=tile.labels)


def predicted_instances(tile: PreparedTile, prediction: WindowPrediction) -> Instances:
    """Detections of a tile; those mostly on ignored pixels, and empty ones, are left out."""
    masks = paste_masks(prediction.boxes, prediction.masks, (tile.size, tile.size)).cpu().numpy()
    areas = masks.sum(axis=(1, 2))
    ignored = (masks & (tile.instances == IGNORED)).sum(axis=(1, 2))
    keep = (areas > 0) & (ignored < IGNORED_SHARE * areas)
    labels, scores = prediction.labels.cpu().numpy(), prediction.scores.double().cpu().numpy()
    return Instances.from_masks(masks[keep], labels=labels[keep], scores=scores[keep])


def island_labels(tile: PreparedTile, model: IslandRCNN) -> tuple[IntArray, NDArray[np.bool_]]:
    """Class label of each island's own box by the rule of training, and whether its object is spurious."""
    proposals = TileView(pixels_per_beam=model.config.box_reference, unions_per_tile=0).proposals(tile)
    own = torch.from_numpy(proposals.boxes[: proposals.n_islands])
    matched, _, _ = match_regions(
        own,
        torch.from_numpy(tile.true_boxes),
        foreground_iou=model.config.foreground_iou,
        background_iou=model.config.background_iou,
    )
    rows = matched.numpy()
    padded = np.append(tile.labels, 0)
    labels = np.where(rows >= 0, padded[np.maximum(rows, -1)], np.where(rows == -1, 0, UNDECIDED))
    owner = np.where(tile.island_instance > 0, tile.island_instance - 1, len(tile.labels))
    return labels.astype(np.int64), padded[owner] == CLASS_LABELS["spurious"]


def fit_temperatures(outcomes: Sequence[TileOutcome]) -> OperatingPoint:
    """Temperatures of the class and artefact heads from uncalibrated outcomes (temperatures of 1)."""
    probabilities, labels, spurious, is_spurious = _island_columns(outcomes)
    logits = np.log(np.clip(probabilities, 1e-12, 1.0))
    bounded = np.clip(spurious, 1e-12, 1 - 1e-12)
    return OperatingPoint(
        class_temperature=fit_class_temperature(logits, labels),
        spurious_temperature=fit_binary_temperature(np.log(bounded / (1 - bounded)), is_spurious),
    )


def choose_thresholds(outcomes: Sequence[TileOutcome], *, point: OperatingPoint) -> OperatingPoint:
    """Score threshold of the best F1 of every class; classes without a single hit keep theirs."""
    pairs = [outcome.pair for outcome in outcomes]
    scores = np.concatenate([pair.predicted.scores for pair in pairs])
    labels = np.concatenate([pair.predicted.labels for pair in pairs])
    hits = np.concatenate([match_by_score(pair, threshold=IOU_THRESHOLD) for pair in pairs])
    true = np.concatenate([pair.true.labels for pair in pairs])
    thresholds = list(point.score_thresholds)
    for index in range(len(CLASS_NAMES)):
        own = labels == index + 1
        if hits[own].any():
            thresholds[index] = best_f1_threshold(scores[own], hits[own], n_true=int((true == index + 1).sum()))
    return dataclasses.replace(point, score_thresholds=tuple(thresholds))


def tile_metrics(outcomes: Sequence[TileOutcome], *, ranked: Sequence[TileOutcome] | None = None) -> dict[str, Any]:
    """All metrics of a set of tiles as plain JSON values; intervals are bootstrapped over sky fields.

    Parameters
    ----------
    outcomes
        At the operating point.
    ranked
        The same tiles with detections of all scores, for the average precision; ``outcomes`` by default.
    """
    pairs = [outcome.pair for outcome in outcomes]
    n_classes = len(CLASS_NAMES)
    counts = count_by_class(pairs, n_classes=n_classes, iou_threshold=IOU_THRESHOLD)
    fields = [outcome.field for outcome in outcomes]
    _, field = np.unique(fields, return_inverse=True)
    by_field = [_sum_by(part, field) for part in (counts.hits, counts.true, counts.predicted)]
    everything = pairs if ranked is None else [outcome.pair for outcome in ranked]
    total = counts.total()
    ap50 = average_precision_by_class(everything, fields, n_classes=n_classes, iou_threshold=IOU_THRESHOLD)
    caesar = caesar_scores(pairs, n_classes=n_classes)
    classes = {
        name: {
            "true": int(total.true[k]),
            "predicted": int(total.predicted[k]),
            "precision": _number(total.precision[k]),
            "recall": _number(total.recall[k]),
            "f1": _f1_interval([part[:, k] for part in by_field]),
            "ap50": _interval(ap50[k]),
            "caesar_completeness": _number(caesar.completeness[k]),
            "caesar_reliability": _number(caesar.reliability[k]),
        }
        for k, name in enumerate(CLASS_NAMES)
    }
    return {
        "tiles": len(outcomes),
        "fields": int(field.max(initial=-1)) + 1,
        "iou": IOU_THRESHOLD,
        "classes": classes,
        "all": _f1_interval([part.sum(axis=1) for part in by_field]),
        "confusion": confusion_matrix(pairs, n_classes=n_classes).tolist(),
        "caesar": {
            "completeness": _number(caesar.overall_completeness),
            "reliability": _number(caesar.overall_reliability),
        },
        "islands": _island_metrics(outcomes),
    }


def _island_metrics(outcomes: Sequence[TileOutcome]) -> dict[str, Any]:
    """Classification of single islands: accuracy, calibration, and the artefact head as a yes-or-no question."""
    probabilities, labels, spurious, is_spurious = _island_columns(outcomes)
    right = probabilities.argmax(axis=1) == labels
    called, hits = spurious >= 0.5, is_spurious & (spurious >= 0.5)
    return {
        "islands": len(spurious),
        "decided": len(labels),
        "accuracy": _number(right.mean() if len(right) else np.nan),
        "class_calibration_error": _number(expected_calibration_error(probabilities.max(axis=1), right)),
        "spurious_calibration_error": _number(expected_calibration_error(spurious, is_spurious)),
        "spurious_true": int(is_spurious.sum()),
        "spurious_precision": _number(hits.sum() / called.sum() if called.any() else np.nan),
        "spurious_recall": _number(hits.sum() / is_spurious.sum() if is_spurious.any() else np.nan),
    }


def _island_columns(
    outcomes: Sequence[TileOutcome],
) -> tuple[FloatArray, IntArray, FloatArray, NDArray[np.bool_]]:
    """Decided probabilities and labels, then P(spurious) and its truth of all islands."""
    probabilities = np.concatenate([outcome.probabilities for outcome in outcomes])
    labels = np.concatenate([outcome.labels for outcome in outcomes])
    decided = labels != UNDECIDED
    spurious = np.concatenate([outcome.spurious for outcome in outcomes])
    return probabilities[decided], labels[decided], spurious, np.concatenate([o.is_spurious for o in outcomes])


def _sum_by(values: IntArray, group: IntArray) -> IntArray:
    total = np.zeros((int(group.max(initial=-1)) + 1, values.shape[1]), dtype=np.int64)
    np.add.at(total, group, values)
    return total


def _f1_interval(columns: list[IntArray]) -> dict[str, float | None]:
    """F1 from (fields,) hits, true and predicted counts, with its 95 % interval."""

    def f1(hits: IntArray, true: IntArray, predicted: IntArray) -> float:
        either = int(true.sum() + predicted.sum())
        return 2.0 * float(hits.sum()) / either if either else float("nan")

    return _interval(bootstrap_interval(f1, *columns, n_resamples=500))


def _interval(interval: Interval) -> dict[str, float | None]:
    return {"value": _number(interval.value), "low": _number(interval.low), "high": _number(interval.high)}


def _number(value: float) -> float | None:
    """A JSON number, or None where there is none."""
    return round(float(value), 4) if np.isfinite(value) else None
