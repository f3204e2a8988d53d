"""`NetworkKind`: what training needs to know of a kind of network, from its data to its bundle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import lightning
from torch import nn

from neanias_ml.datasets.manifest import split_summaries
from neanias_ml.errors import InputError, ModelError
from neanias_ml.evaluation.report import EvaluationReport, Metric
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.task import NetworkTask


class Recipe(Protocol):
    """Network, feeding and training: the YAML file of a run (a frozen dataclass)."""

    @property
    def name(self) -> str:
        """Name in the model card."""

    @property
    def model(self) -> Any:
        """Architecture (a frozen dataclass)."""

    @property
    def feed(self) -> Any:
        """How the data are drawn and varied (a frozen dataclass)."""

    @property
    def fit(self) -> FitConfig:
        """Optimisation."""


@dataclass(frozen=True)
class FinishedFit:
    """A network whose optimisation has ended, with all that is needed to judge and keep it.

    Attributes
    ----------
    model
        With the averaged weights, on the CPU or a GPU, in evaluation mode.
    module
        Its data.
    folder
        The run's folder.
    recipe
        The run's recipe.
    manifest
        The data's manifest.
    steps
        Steps of the optimiser.
    provenance
        Plain values for the bundle's metadata: versions, parent.
    """

    model: nn.Module
    module: lightning.LightningDataModule
    folder: RunFolder
    recipe: Any
    manifest: Mapping[str, Any]
    steps: int
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def metadata(self, *, data: Mapping[str, Any] | None = None, **measured: Any) -> dict[str, Any]:
        """Where the network comes from, for its bundle (plain JSON values).

        Parameters
        ----------
        data
            What came of each split; None for `neanias_ml.datasets.manifest.split_summaries`.
        measured
            Metrics and what else was measured.
        """
        return {
            "name": self.recipe.name,
            "steps": self.steps,
            "training": asdict(self.recipe.fit),
            "feed": asdict(self.recipe.feed),
            "data_digest": self.manifest["digest"],
            "data": split_summaries(self.manifest) if data is None else data,
            **measured,
            **self.provenance,
        }

    def concluded(
        self, digest: str, *, network: str, primary: str, metrics: Mapping[str, Metric], details: Mapping[str, Any]
    ) -> FittedNetwork:
        """Write ``evaluation.json`` beside the bundle, and say what the run leaves.

        Parameters
        ----------
        digest
            Of the bundle.
        network
            Kind of network, as in the bundle's ``config.json``.
        primary
            Name of the metric by which bundles are compared.
        metrics
            Scores on the test data by name.
        details
            What else was measured (plain JSON values).
        """
        report = EvaluationReport(
            network=network,
            bundle_digest=digest,
            data_digest=self.manifest["digest"],
            split="test",
            primary=primary,
            metrics=metrics,
            details=details,
        )
        report.write(self.folder.evaluation)
        return FittedNetwork(bundle=self.folder.bundle, digest=digest, report=report)


@dataclass(frozen=True)
class FittedNetwork:
    """What a training run leaves.

    Attributes
    ----------
    bundle
        Folder of the model bundle.
    digest
        Its digest.
    report
        Scores on the test data, also in ``evaluation.json``.
    """

    bundle: Path
    digest: str
    report: EvaluationReport = field(repr=False)


class NetworkKind(ABC):
    """One kind of network as training sees it; subclasses hold no state."""

    name: ClassVar[str]
    """word of the command line: detector, association, morphology"""
    network: ClassVar[str]
    """kind in ``config.json`` of a bundle: island-rcnn, island-graph, morphology"""
    recipe_type: ClassVar[type]
    """dataclass of its recipe"""

    @abstractmethod
    def check(self, manifest: Mapping[str, Any], recipe: Any, *, data: Path | str) -> None:
        """Refuse data that do not fit the network.

        Raises
        ------
        InputError
            If the data must be prepared again.
        UsageError
            If the recipe contradicts the data.
        """

    def check_recipe(  # noqa: B027 - most kinds have nothing to refuse
        self, recipe: Any, *, preparation: Mapping[str, Any]
    ) -> None:
        """Refuse a recipe that contradicts its own preparation, before data are prepared for it.

        Raises
        ------
        UsageError
            What contradicts what.
        """

    @abstractmethod
    def data_module(self, data: Path | str, recipe: Any) -> lightning.LightningDataModule:
        """Loaders of the data; ``train``, ``validation`` and ``test``."""

    @abstractmethod
    def task(self, recipe: Any, module: Any) -> NetworkTask:
        """A network with random weights (drawn from torch's generator), ready to be trained on the data."""

    @abstractmethod
    def initial_weights(self, bundle: Path, task: NetworkTask) -> str:
        """Fill the task's network with the weights of a bundle and return the bundle's digest.

        Raises
        ------
        ModelError
            If the bundle is damaged or holds another architecture.
        """

    @abstractmethod
    def finish(self, fit: FinishedFit) -> FittedNetwork:
        """Calibrate on the validation data, score the test data; write bundle, ``evaluation.json`` and pictures."""


class LoadedBundle(Protocol):
    """A network read from its bundle."""

    @property
    def model(self) -> nn.Module:
        """With its architecture as ``config``."""

    @property
    def digest(self) -> str:
        """Of the bundle."""


def take_weights(given: LoadedBundle, task: NetworkTask, *, where: Path, shapeless: tuple[str, ...] = ()) -> str:
    """Fill a task's network with the weights of a bundle and return the bundle's digest.

    Parameters
    ----------
    given
        The bundle.
    task
        Its network is filled.
    where
        The bundle's folder, for errors.
    shapeless
        How settings of the architecture begin that change no weight: they may differ.

    Raises
    ------
    ModelError
        ``OtherArchitecture`` with the settings that differ.
    """
    held: Any = given.model.config
    differences = [
        f"model.{name} is {getattr(held, name)} there and {value} here"
        for name, value in vars(task.config).items()
        if getattr(held, name) != value and not name.startswith(shapeless)
    ]
    if differences:
        raise ModelError(
            "OtherArchitecture",
            f"the weights of {where} belong to another architecture ({'; '.join(differences)}); "
            "take its settings over into the recipe, or start from random weights",
        )
    task.model.load_state_dict(given.model.state_dict())
    return given.digest


def require_prepared(
    manifest: Mapping[str, Any], name: str, settings: Mapping[str, Any], *, code: str, content: str, data: Path | str
) -> None:
    """Refuse data of which a part was not made, or not as this version makes it.

    Parameters
    ----------
    manifest
        Of the data.
    name
        Key of the part's settings in the manifest.
    settings
        Those of this version.
    code, content
        Of the error, and what the part is.
    data
        Folder of the data, for the error.

    Raises
    ------
    InputError
        With the code.
    """
    held = manifest.get(name)
    if held != settings:
        said = f"without {content}" if held is None else f"with other {name} ({held})"
        raise InputError(code, f"{data} was prepared {said}; prepare the data again")
