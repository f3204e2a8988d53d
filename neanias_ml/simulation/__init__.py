"""Simulated radio fields with complete truth: sources, noise, interferometer, imaging faults."""

from neanias_ml.simulation.config import LAYOUTS, SkyConfig, random_config
from neanias_ml.simulation.files import read_truth, write_simulation
from neanias_ml.simulation.sky import SimulatedSky, simulate_sky
from neanias_ml.simulation.truth import ComponentTruth, IslandTruth, ObjectTruth, Truth

__all__ = [
    "LAYOUTS",
    "ComponentTruth",
    "IslandTruth",
    "ObjectTruth",
    "SimulatedSky",
    "SkyConfig",
    "Truth",
    "random_config",
    "read_truth",
    "simulate_sky",
    "write_simulation",
]
