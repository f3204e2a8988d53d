"""`DetectorKind`: the detector as training sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.errors import InputError, UsageError
from neanias_ml.models.bundle import load_bundle
from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.losses import effective_number_weights
from neanias_ml.models.settings import NETWORK
from neanias_ml.training.detector.batches import class_counts
from neanias_ml.training.detector.data_module import TileDataModule
from neanias_ml.training.detector.finish import finish_detector
from neanias_ml.training.detector.recipe import DetectorRecipe
from neanias_ml.training.detector.task import DetectorTask
from neanias_ml.training.network_kind import FinishedFit, FittedNetwork, NetworkKind, take_weights
from neanias_ml.training.task import NetworkTask

DEV_TILES, DEV_BATCH = 16, 8
"""Most tiles of each split that ``fast_dev_run`` looks at, and of a batch; it has no loader processes: a recipe for a
GPU can be tried out anywhere."""
_SHAPELESS = (
    "class_weights", "label_smoothing", "artefact_gamma", "weight_", "nms_iou", "detections_", "rpn_", "regions_",
    "unions_",
)  # fmt: skip
"""How settings begin that change no weight."""


class DetectorKind(NetworkKind):
    """IslandRCNN on prepared tiles."""

    name = "detector"
    network = NETWORK
    recipe_type = DetectorRecipe

    def check(self, manifest: Mapping[str, Any], recipe: DetectorRecipe, *, data: Path | str) -> None:
        """Channels, classes and beam of the data are those of the network; see `NetworkKind.check`."""
        if tuple(manifest["channels"]) != CHANNEL_NAMES:
            raise InputError(
                "ChannelsDiffer",
                f"{data} was prepared with the channels {', '.join(manifest['channels'])}, this version makes "
                f"{', '.join(CHANNEL_NAMES)}; prepare the data again",
            )
        if manifest["class_labels"] != CLASS_LABELS:
            raise InputError("ClassesDiffer", f"{data} was prepared with other classes; prepare the data again")
        self.check_recipe(recipe, preparation=manifest["configuration"])

    def check_recipe(self, recipe: DetectorRecipe, *, preparation: Mapping[str, Any]) -> None:
        """Network and data agree on channels, and count the beam in the same pixels; see `NetworkKind.check_recipe`."""
        channels = recipe.feed.channels
        if recipe.model.in_channels != len(channels):
            raise UsageError(
                "ChannelCount",
                f"model.in_channels is {recipe.model.in_channels}, and feed.channels names {len(channels)} "
                f"({', '.join(channels)}); set it to {len(channels)}, or name as many channels",
            )
        pixels_per_beam = preparation.get("pixels_per_beam", recipe.model.box_reference)
        if recipe.model.box_reference != pixels_per_beam:
            raise UsageError(
                "BeamReference",
                f"model.box_reference ({recipe.model.box_reference:g}) must equal preparation.pixels_per_beam "
                f"({pixels_per_beam:g}): both are the beam in pixels",
            )

    def data_module(self, data: Path | str, recipe: DetectorRecipe) -> TileDataModule:
        """Tiles; see `NetworkKind.data_module`."""
        dev = recipe.fit.fast_dev_run
        return TileDataModule(
            data,
            batch_size=min(recipe.fit.batch_size, DEV_BATCH) if dev else recipe.fit.batch_size,
            workers=0 if dev else recipe.fit.workers,
            augment=recipe.feed.augment,
            channels=recipe.feed.channels,
            unions_per_tile=recipe.model.unions_per_tile,
            repeat_threshold=recipe.feed.repeat_threshold,
            validation_tiles=recipe.feed.validation_tiles,
            seed=recipe.fit.seed,
            most_tiles=DEV_TILES if dev else None,
        )

    def task(self, recipe: DetectorRecipe, module: TileDataModule) -> NetworkTask:
        """IslandRCNN with the class weights of the training tiles; see `NetworkKind.task`."""
        architecture = balanced(recipe.model, class_counts(module.tiles("train")), beta=recipe.feed.balance_beta)
        fit = recipe.fit
        return DetectorTask(architecture, learning_rate=fit.learning_rate, weight_decay=fit.weight_decay)

    def initial_weights(self, bundle: Path, task: NetworkTask) -> str:
        """Weights of another detector; see `NetworkKind.initial_weights`."""
        return take_weights(load_bundle(bundle), task, where=bundle, shapeless=_SHAPELESS)

    def finish(self, fit: FinishedFit) -> FittedNetwork:
        """See `NetworkKind.finish`."""
        return finish_detector(fit)


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
