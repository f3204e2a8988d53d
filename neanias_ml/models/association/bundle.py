"""`GraphBundle`: a network for grouping islands with everything that its use needs, as a bundle folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from neanias_ml.datasets.graphs import MAX_SEPARATION, NEIGHBOURS
from neanias_ml.errors import ModelError
from neanias_ml.models.association.clustering import ABSENT_LOG_ODDS
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.features import edge_features, node_features
from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.models.bundle_folder import read_bundle_settings, save_network, with_weights_of
from neanias_ml.models.weights import Storage

NETWORK = "island-graph"
"""Kind of network in ``config.json``."""


@dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """How the network of a bundle is built and fed, and how its outputs are read.

    Raises
    ------
    ValueError
        If a value is outside its range.
    """

    architecture: IslandGraphConfig
    node_features: tuple[str, ...]
    """names of the features of islands in their order; their normalisation is among the weights"""
    edge_features: tuple[str, ...]
    """names of the features of pairs in their order"""
    neighbours: int = NEIGHBOURS
    """two islands are a pair when one is among this many nearest of the other ..."""
    max_separation: float = MAX_SEPARATION
    """... and this many beam widths apart at most"""
    temperature: float = 1.0
    """log-odds are divided by this"""
    threshold: float = 0.5
    """probability in (0, 1) above which a pair alone would be joined"""
    spurious_temperature: float = 1.0
    """log-odds of artefacts are divided by this ..."""
    spurious_shift: float = 0.0
    """... and this is added"""
    class_temperature: float = 1.0
    """logits of classes are divided by this"""
    absent_log_odds: float = ABSENT_LOG_ODDS
    """log-odds of islands that are no pair, not positive"""
    extractor: Mapping[str, Any] = field(default_factory=dict)
    """settings of the extraction with which the network was trained (plain JSON values)"""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """where the model comes from: version, data, metrics (plain JSON values)"""

    def __post_init__(self) -> None:
        if (self.neighbours, self.max_separation) != (NEIGHBOURS, MAX_SEPARATION):
            raise ValueError(  # graphs of other pairs than it was trained on would be answered without any error
                f"pairs are {self.neighbours} neighbours up to {self.max_separation:g} beams there, this version makes "
                f"{NEIGHBOURS} up to {MAX_SEPARATION:g}"
            )
        temperatures = (self.temperature, self.spurious_temperature, self.class_temperature)
        if not min(temperatures) > 0:
            raise ValueError(f"temperatures must be positive, not {temperatures}")
        if not 0 < self.threshold < 1 or not self.absent_log_odds <= 0:
            raise ValueError("threshold must lie in (0, 1) and absent_log_odds must not be positive")

    @classmethod
    def of(cls, architecture: IslandGraphConfig, **settings: Any) -> GraphSettings:
        """Settings with the features of this version."""
        return cls(
            architecture=architecture,
            node_features=node_features(architecture.features),
            edge_features=edge_features(architecture.features),
            **settings,
        )


@dataclass(frozen=True)
class GraphBundle:
    """A network for grouping islands ready for use, in evaluation mode.

    Attributes
    ----------
    model
        With the weights and the normalisation of the bundle.
    settings
        How islands are to be prepared for it and its log-odds are to be read.
    digest
        sha256 that stands for every file of the bundle; see `neanias_ml.models.bundle_folder.bundle_digest`.
    """

    model: IslandGraphNetwork
    settings: GraphSettings
    digest: str


def save_graph_bundle(
    model: IslandGraphNetwork, directory: Path | str, *, settings: GraphSettings, card: str, overwrite: bool = False
) -> str:
    """Write the bundle of a network; see `neanias_ml.models.bundle_folder.save_network`."""
    storage: Storage = "float32"  # the whole network is half a megabyte
    return save_network(
        model, directory, settings=settings, network=NETWORK, card=card, storage=storage, overwrite=overwrite
    )


def load_graph_bundle(directory: Path | str, *, device: torch.device | str = "cpu") -> GraphBundle:
    """Check every file against ``DIGESTS`` and build the network of a bundle folder.

    Raises
    ------
    ModelError
        ``BundleMissing``, ``BundleIncomplete``, ``PickleRefused``, ``WeightsDamaged``, ``WeightsNotFinite``,
        ``WeightsMismatch``, ``ConfigInvalid``, ``OtherNetwork``, ``ConfigVersion``, ``ConfigUnknownKey`` or
        ``FeaturesDiffer``.
    """
    settings, digest = read_bundle_settings(directory, GraphSettings, network=NETWORK)
    _require_known_features(settings, directory)
    model = with_weights_of(directory, IslandGraphNetwork(settings.architecture), device=device)
    return GraphBundle(model, settings, digest)


def _require_known_features(settings: GraphSettings, folder: Path | str) -> None:
    """A network fed with other numbers than it was trained on would answer nonsense without any error."""
    features = settings.architecture.features
    for kind, named, made in (
        ("islands", settings.node_features, node_features(features)),
        ("pairs", settings.edge_features, edge_features(features)),
    ):
        if named != made:
            raise ModelError(
                "FeaturesDiffer",
                f"{folder} was trained on other features of {kind} ({', '.join(named)}) than this version makes; "
                "install the version of neanias_ml that wrote the model, or train it again",
            )
