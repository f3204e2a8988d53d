"""`AssociationKind`: the network for grouping islands as training sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neanias_ml.datasets.graph_store import graph_settings
from neanias_ml.errors import InputError
from neanias_ml.models.association.bundle import NETWORK, load_graph_bundle
from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.training.association.data_module import GraphDataModule
from neanias_ml.training.association.finish import finish_association
from neanias_ml.training.association.recipe import AssociationRecipe
from neanias_ml.training.association.task import AssociationTask
from neanias_ml.training.network_kind import (
    FinishedFit,
    FittedNetwork,
    NetworkKind,
    require_prepared,
    take_weights,
)
from neanias_ml.training.task import NetworkTask

DEV_GRAPHS = 16
"""Fields of each split that ``fast_dev_run`` looks at."""
_SHAPELESS = ("positive_weight", "label_smoothing")
"""Settings that change no weight."""


class AssociationKind(NetworkKind):
    """`IslandGraphNetwork` on prepared graphs of islands."""

    name = "association"
    network = NETWORK
    recipe_type = AssociationRecipe

    def check(self, manifest: Mapping[str, Any], recipe: AssociationRecipe, *, data: Path | str) -> None:
        """The data hold graphs as this version makes them, and objects to learn from; see `NetworkKind.check`."""
        require_prepared(
            manifest, "graphs", graph_settings(), code="GraphsDiffer", content="graphs of islands", data=data
        )
        for split, count, what in (
            ("train", "grouped", "object of several islands"),
            ("validation", "pairs", "pair of islands"),
            ("test", "grouped", "object of several islands"),
        ):
            if manifest["splits"][split][count] == 0:
                raise InputError("NoGroups", f"the {split} fields of {data} hold no {what}; prepare more of them")

    def data_module(self, data: Path | str, recipe: AssociationRecipe) -> GraphDataModule:
        """Graphs; see `NetworkKind.data_module`."""
        return GraphDataModule(
            data,
            features=recipe.model.features,
            feed=recipe.feed,
            batch_size=recipe.fit.batch_size,
            workers=recipe.fit.workers,
            seed=recipe.fit.seed,
            most_graphs=DEV_GRAPHS if recipe.fit.fast_dev_run else None,
        )

    def task(self, recipe: AssociationRecipe, module: GraphDataModule) -> NetworkTask:
        """A network with the normalisation of the training graphs; see `NetworkKind.task`."""
        model = IslandGraphNetwork(recipe.model)
        model.set_scale(module.scale())
        return AssociationTask(model, learning_rate=recipe.fit.learning_rate, weight_decay=recipe.fit.weight_decay)

    def initial_weights(self, bundle: Path, task: NetworkTask) -> str:
        """Weights and normalisation of another network; see `NetworkKind.initial_weights`."""
        return take_weights(load_graph_bundle(bundle), task, where=bundle, shapeless=_SHAPELESS)

    def finish(self, fit: FinishedFit) -> FittedNetwork:
        """See `NetworkKind.finish`."""
        return finish_association(fit)
