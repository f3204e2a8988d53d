"""Simulated radio fields with complete truth: sources, noise, interferometer, imaging faults."""

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.files import read_truth, write_simulation
from neanias_ml.simulation.imaging.config import LAYOUTS, ImagingConfig
from neanias_ml.simulation.random_config import random_config
from neanias_ml.simulation.sky import SimulatedSky, simulate_sky
from neanias_ml.simulation.sources.config import PopulationConfig
from neanias_ml.simulation.surveys import SURVEYS, survey_config
from neanias_ml.simulation.truth import ComponentTruth, IslandTruth, ObjectTruth, Truth

__all__ = [
    "LAYOUTS",
    "SURVEYS",
    "ComponentTruth",
    "ImagingConfig",
    "IslandTruth",
    "ObjectTruth",
    "PopulationConfig",
    "SimulatedSky",
    "SkyConfig",
    "Truth",
    "random_config",
    "read_truth",
    "simulate_sky",
    "survey_config",
    "write_simulation",
]
