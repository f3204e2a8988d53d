"""`AssociationKind`: the network for grouping islands as training sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neanias_ml.datasets.graph_store import graph_settings
from neanias_ml.errors import InputError, ModelError
from neanias_ml.models.association.bundle import NETWORK, load_graph_bundle
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.training.association.data_module import GraphDataModule
from neanias_ml.training.association.finish import finish_association
from neanias_ml.training.association.recipe import AssociationRecipe
from neanias_ml.training.association.task import AssociationTask
from neanias_ml.training.network_kind import FinishedFit, FittedNetwork, NetworkKind
from neanias_ml.training.task import NetworkTask

DEV_GRAPHS = 16
"""Fields of each split that ``fast_dev_run`` looks at."""
_SHAPES = ("features", "hidden", "rounds")
"""Settings without which weights do not fit."""


class AssociationKind(NetworkKind):
    """`IslandGraphNetwork` on prepared graphs of islands."""

    name = "association"
    network = NETWORK
    recipe_type = AssociationRecipe

    def check(self, manifest: Mapping[str, Any], recipe: AssociationRecipe, *, data: Path | str) -> None:
        """The data hold graphs as this version makes them, and objects to learn from; see `NetworkKind.check`."""
        held = manifest.get("graphs")
        if held != graph_settings():
            said = "without graphs of islands" if held is None else f"with other graphs ({held})"
            raise InputError("GraphsDiffer", f"{data} was prepared {said}; prepare the data again")
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
        return AssociationTask(
            model, learning_rate=recipe.fit.learning_rate, weight_decay=recipe.fit.weight_decay
        )

    def initial_weights(self, bundle: Path, task: NetworkTask) -> str:
        """Weights and normalisation of another network; see `NetworkKind.initial_weights`."""
        given = load_graph_bundle(bundle)
        require_same_shapes(given.settings.architecture, task.config, where=str(bundle))
        task.model.load_state_dict(given.model.state_dict())
        return given.digest

    def finish(self, fit: FinishedFit) -> FittedNetwork:
        """See `NetworkKind.finish`."""
        return finish_association(fit)


def require_same_shapes(given: IslandGraphConfig, wanted: IslandGraphConfig, *, where: str) -> None:
    """Make sure that weights of one network fit into another.

    Raises
    ------
    ModelError
        ``OtherArchitecture`` with the settings that differ.
    """
    differences = [
        f"model.{name} is {getattr(given, name)} there and {getattr(wanted, name)} here"
        for name in _SHAPES
        if getattr(given, name) != getattr(wanted, name)
    ]
    if differences:
        raise ModelError(
            "OtherArchitecture",
            f"the weights of {where} belong to another architecture ({'; '.join(differences)}); take its settings over "
            "into the recipe, or start from random weights",
        )
