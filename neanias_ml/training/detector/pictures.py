"""Pictures of a detector's training, from the tiles that were scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neanias_ml.datasets.tiles import PreparedTile
from neanias_ml.evaluation import (
    ClassCounts,
    FieldPair,
    Instances,
    confusion_matrix,
    count_by_class,
    precision_recall_by_class,
)
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.training.detector.tile_scores import IOU_THRESHOLD, UNDECIDED, TileOutcome
from neanias_ml.training.pictures.confusion import draw_confusion
from neanias_ml.training.pictures.loss_curves import draw_loss_curves
from neanias_ml.training.pictures.metric_log import read_metric_log
from neanias_ml.training.pictures.mosaic import LabelledTile, OutlinedInstance, choose_tiles, draw_mosaic
from neanias_ml.training.pictures.precision_recall import draw_precision_recall
from neanias_ml.training.pictures.reliability import StatedProbabilities, draw_reliability
from neanias_ml.training.pictures.style import BACKGROUND, can_draw, write_pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES, CURVES, CONFUSION, RELIABILITY, MOSAIC = (
    "loss_curves.png", "precision_recall.png", "confusion.png", "reliability.png", "mosaic.png",
)  # fmt: skip
PICTURES = (LOSSES, CURVES, CONFUSION, RELIABILITY, MOSAIC)


def draw_detector_pictures(
    folder: Path,
    *,
    log: Path,
    outcomes: Sequence[TileOutcome],
    tiles: Sequence[PreparedTile],
    class_names: Sequence[str],
    point: OperatingPoint,
) -> list[Path]:
    """Draw what a person looks at after a run; returns the files written, none without matplotlib.

    Parameters
    ----------
    folder
        Gets `PICTURES`, all or none of them; earlier ones are replaced.
    log
        Folder of ``metrics.csv`` or the file; without it there are no loss curves.
    outcomes
        Of the tiles, at temperatures of ``point``. Scored with thresholds below those of ``point``, they show the
        curves beyond it; all else counts what reaches ``point``.
    tiles
        In the order of the outcomes.
    class_names
        In the order of their labels.

    Raises
    ------
    ValueError
        If there are not as many tiles as outcomes.
    UsageError, ResourceError
        If the files cannot be written.
    """
    if len(tiles) != len(outcomes):
        raise ValueError(f"{len(outcomes)} outcomes belong to as many tiles, not {len(tiles)}")
    if not can_draw():
        print("no pictures of the training: matplotlib is not installed", flush=True)
        return []
    pairs = [at_point(outcome.pair, point) for outcome in outcomes]
    drawings: dict[str, Callable[[], Figure]] = {}
    if metrics := read_metric_log(log):
        drawings[LOSSES] = partial(draw_loss_curves, metrics)
    if outcomes:
        drawings[CURVES] = partial(_draw_curves, outcomes, class_names, point)
        drawings[CONFUSION] = partial(_draw_confusion, pairs, class_names)
        drawings[RELIABILITY] = partial(_draw_reliability, outcomes)
        drawings[MOSAIC] = partial(_draw_mosaic, pairs, outcomes, tiles, class_names)
    return write_pictures(folder, drawings, names=PICTURES)


def at_point(pair: FieldPair, point: OperatingPoint) -> FieldPair:
    """A field with the predictions that reach the threshold of their class."""
    predicted = pair.predicted
    return FieldPair.of(
        pair.true, predicted.select(predicted.scores >= np.asarray(point.score_thresholds)[predicted.labels - 1])
    )


def _draw_curves(outcomes: Sequence[TileOutcome], class_names: Sequence[str], point: OperatingPoint) -> Figure:
    curves = precision_recall_by_class(
        [outcome.pair for outcome in outcomes], n_classes=len(class_names), iou_threshold=IOU_THRESHOLD
    )
    title = f"precision and recall at mask IoU {IOU_THRESHOLD:g} on {len(outcomes)} tiles"
    return draw_precision_recall(curves, class_names, thresholds=point.score_thresholds, title=title)


def _draw_confusion(pairs: Sequence[FieldPair], class_names: Sequence[str]) -> Figure:
    matrix = confusion_matrix(pairs, n_classes=len(class_names), iou_threshold=IOU_THRESHOLD)
    title = f"objects of {len(pairs)} tiles at the operating point, matched at mask IoU {IOU_THRESHOLD:g}"
    return draw_confusion(matrix, [BACKGROUND, *class_names], with_background=True, title=title)


def _draw_reliability(outcomes: Sequence[TileOutcome]) -> Figure:
    probabilities = np.concatenate([outcome.probabilities for outcome in outcomes])
    labels = np.concatenate([outcome.labels for outcome in outcomes])
    decided = labels != UNDECIDED
    return draw_reliability(
        [
            StatedProbabilities(
                "class of islands",
                probabilities.max(axis=1)[decided],
                (probabilities.argmax(axis=1) == labels)[decided],
                stated="probability of the most probable class",
                observed="share of islands of that class",
            ),
            StatedProbabilities(
                "artefacts among islands",
                np.concatenate([outcome.spurious for outcome in outcomes]),
                np.concatenate([outcome.is_spurious for outcome in outcomes]),
                stated="P(spurious)",
                observed="share of islands that are spurious",
            ),
        ]
    )


def _draw_mosaic(
    pairs: Sequence[FieldPair],
    outcomes: Sequence[TileOutcome],
    tiles: Sequence[PreparedTile],
    class_names: Sequence[str],
) -> Figure:
    counts = count_by_class(pairs, n_classes=len(class_names), iou_threshold=IOU_THRESHOLD)
    total = ClassCounts(*(part.sum(axis=1) for part in (counts.hits, counts.true, counts.predicted)))
    errors = total.true + total.predicted - 2 * total.hits
    worst, typical = choose_tiles(errors.tolist(), total.f1.tolist(), groups=[outcome.field for outcome in outcomes])
    shown = []
    for row in [*worst, *typical]:
        kind = "worst" if row in worst else "typical"
        title = f"{kind}: {total.hits[row]} of {total.true[row]} found, {total.predicted[row] - total.hits[row]} false"
        size = tiles[row].size
        shown.append(
            LabelledTile(
                title=title,
                significance=tiles[row].significance,
                true=_outlined(pairs[row].true, class_names, size, scored=False),
                predicted=_outlined(pairs[row].predicted, class_names, size, scored=True),
            )
        )
    title = f"signal to noise of {len(shown)} tiles: those with most errors, then those of the median F1"
    return draw_mosaic(shown, class_names, title=title)


def _outlined(
    instances: Instances, class_names: Sequence[str], size: int, *, scored: bool
) -> tuple[OutlinedInstance, ...]:
    """Dense masks of the instances of a tile."""
    masks = instances.membership.toarray().reshape(len(instances), size, size) > 0
    return tuple(
        OutlinedInstance(mask, class_names[label - 1], float(score) if scored else None)
        for mask, label, score in zip(masks, instances.labels, instances.scores, strict=True)
    )
