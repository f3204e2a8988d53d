"""`MorphologyRecipe`: network, feeding and training of a morphology network, the YAML file of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from neanias_ml.models.morphology.config import MorphologyConfig
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.morphology.feed import CutoutFeedConfig


@dataclass(frozen=True, kw_only=True)
class MorphologyRecipe:
    """Network, feeding and training of a morphology network."""

    name: str = "morphology"
    """name in the model card"""
    model: MorphologyConfig = field(default_factory=MorphologyConfig)
    """network"""
    feed: CutoutFeedConfig = field(default_factory=CutoutFeedConfig)
    """cutouts"""
    fit: FitConfig = field(default_factory=lambda: FitConfig(max_minutes=60.0, batch_size=64))
    """training"""
