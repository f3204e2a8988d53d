"""Classical source extraction: background and noise, islands, Gaussian components."""

from neanias_ml.extraction.background import BackgroundConfig, NoiseModel, estimate_noise
from neanias_ml.extraction.finder import FinderConfig, SourceFinder
from neanias_ml.extraction.islands import label_islands
from neanias_ml.extraction.tables import (
    ComponentTable,
    Extraction,
    Islands,
    IslandTable,
    SourceFlag,
    flag_text,
)

__all__ = [
    "BackgroundConfig",
    "ComponentTable",
    "Extraction",
    "FinderConfig",
    "IslandTable",
    "Islands",
    "NoiseModel",
    "SourceFinder",
    "SourceFlag",
    "estimate_noise",
    "flag_text",
    "label_islands",
]
