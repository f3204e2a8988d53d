"""`AssociationRecipe`: network, feeding and training for grouping islands, the YAML file of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.training.association.feed import GraphFeedConfig
from neanias_ml.training.fit_config import FitConfig


@dataclass(frozen=True, kw_only=True)
class AssociationRecipe:
    """Network, feeding and training of a network that groups islands."""

    name: str = "island-graph"
    """name in the model card"""
    model: IslandGraphConfig = field(default_factory=IslandGraphConfig)
    """network"""
    feed: GraphFeedConfig = field(default_factory=GraphFeedConfig)
    """graphs"""
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(max_minutes=20.0, batch_size=32, learning_rate=2e-3, precision="32-true")
    )
    """training"""
