"""Classical source extraction: background and noise, islands, Gaussian components."""

from neanias_ml.extraction.background import estimate_noise
from neanias_ml.extraction.background_config import BackgroundConfig
from neanias_ml.extraction.finder import SourceFinder
from neanias_ml.extraction.finder_config import FinderConfig
from neanias_ml.extraction.islands import label_islands
from neanias_ml.extraction.noise_model import MeshNoise, NoiseModel, SuppliedNoise
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
