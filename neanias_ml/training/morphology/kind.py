"""`MorphologyKind`: the morphology network as training sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neanias_ml.datasets.cutout_store import cutout_settings
from neanias_ml.models.morphology.bundle import load_morphology_bundle
from neanias_ml.models.morphology.settings import NETWORK
from neanias_ml.training.morphology.data_module import CutoutDataModule
from neanias_ml.training.morphology.finish import finish_morphology
from neanias_ml.training.morphology.recipe import MorphologyRecipe
from neanias_ml.training.morphology.task import MorphologyTask
from neanias_ml.training.network_kind import (
    FinishedFit,
    FittedNetwork,
    NetworkKind,
    require_prepared,
    take_weights,
)
from neanias_ml.training.task import NetworkTask

DEV_CUTOUTS = 64
"""Cutouts of each split that ``fast_dev_run`` looks at."""


class MorphologyKind(NetworkKind):
    """`MorphologyNetwork` on prepared cutouts."""

    name = "morphology"
    network = NETWORK
    recipe_type = MorphologyRecipe

    def check(self, manifest: Mapping[str, Any], recipe: MorphologyRecipe, *, data: Path | str) -> None:
        """The data hold cutouts as this version makes them; see `NetworkKind.check`."""
        require_prepared(
            manifest, "cutouts", cutout_settings(), code="CutoutsDiffer", content="cutouts of objects", data=data
        )

    def data_module(self, data: Path | str, recipe: MorphologyRecipe) -> CutoutDataModule:
        """Cutouts; see `NetworkKind.data_module`."""
        return CutoutDataModule(
            data,
            feed=recipe.feed,
            batch_size=recipe.fit.batch_size,
            workers=recipe.fit.workers,
            seed=recipe.fit.seed,
            most_cutouts=DEV_CUTOUTS if recipe.fit.fast_dev_run else None,
        )

    def task(self, recipe: MorphologyRecipe, module: CutoutDataModule) -> NetworkTask:
        """A network of the recipe's architecture; see `NetworkKind.task`."""
        fit = recipe.fit
        return MorphologyTask(recipe.model, learning_rate=fit.learning_rate, weight_decay=fit.weight_decay)

    def initial_weights(self, bundle: Path, task: NetworkTask) -> str:
        """Weights of another morphology network; see `NetworkKind.initial_weights`."""
        return take_weights(load_morphology_bundle(bundle), task, where=bundle)

    def finish(self, fit: FinishedFit) -> FittedNetwork:
        """See `NetworkKind.finish`."""
        return finish_morphology(fit)
