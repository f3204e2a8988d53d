"""`DetectorRecipe`: network, feeding and training of a detector, the YAML file of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.training.detector.feed import TileFeedConfig
from neanias_ml.training.fit_config import FitConfig


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe:
    """Network, feeding and training of a detector."""

    name: str = "island-rcnn"
    """name in the model card"""
    model: IslandRCNNConfig = field(default_factory=IslandRCNNConfig)
    """network"""
    feed: TileFeedConfig = field(default_factory=TileFeedConfig)
    """tiles"""
    fit: FitConfig = field(default_factory=lambda: FitConfig(max_minutes=60.0))
    """training"""
