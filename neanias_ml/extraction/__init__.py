"""Classical source extraction: background and noise, islands, Gaussian components."""

from neanias_ml.extraction.finder import SourceFinder
from neanias_ml.extraction.finder_config import FinderConfig
from neanias_ml.extraction.islands.search import label_islands
from neanias_ml.extraction.noise.background import estimate_noise
from neanias_ml.extraction.noise.config import BackgroundConfig
from neanias_ml.extraction.noise.model import MeshNoise, NoiseModel, SuppliedNoise
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
    "MeshNoise",
    "NoiseModel",
    "SourceFinder",
    "SourceFlag",
    "SuppliedNoise",
    "estimate_noise",
    "flag_text",
    "label_islands",
]
