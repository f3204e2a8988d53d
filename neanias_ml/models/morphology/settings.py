"""`MorphologySettings`: what the morphology network needs besides its weights, as its bundle's ``config.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neanias_ml.datasets.cutout_store import FRAME, MARGIN
from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES
from neanias_ml.models.morphology.config import MorphologyConfig
from neanias_ml.models.morphology.inputs import CHANNEL_NAMES, SCALAR_NAMES

NETWORK = "morphology"
"""Kind of network in ``config.json``."""
ORIENTATIONS = (1, 4, 8)
"""As it is; by quarter turns; these mirrored too."""


@dataclass(frozen=True, kw_only=True)
class MorphologySettings:
    """How the network of a bundle is built and fed, and how its outputs are read.

    Raises
    ------
    ValueError
        If cutouts, inputs or classes are not those of this version, or a number is out of range.
    """

    architecture: MorphologyConfig
    frame: int = FRAME
    """side of a cutout in pixels"""
    margin: float = MARGIN
    """side of a cutout over the diameter of the circle around the object"""
    channels: tuple[str, ...] = CHANNEL_NAMES
    scalars: tuple[str, ...] = SCALAR_NAMES
    classes: tuple[str, ...] = MORPHOLOGY_NAMES
    orientations: int = 8
    """turns by quarters, each mirrored or not, over which answers are averaged: 1, 4 or 8"""
    temperature: float = 1.0
    """logits are divided by it; chosen on validation data"""
    offsets: tuple[float, ...] = (0.0,) * len(MORPHOLOGY_NAMES)
    """added to the logits of each class after that, since training draws rare classes more often than they are; chosen
    on validation data"""
    unsure_below: float = 0.0
    """objects of which no class has at least this probability are called unsure, 0 to 1; chosen on validation data"""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """where the model comes from: version, data, metrics (plain JSON values)"""

    def __post_init__(self) -> None:
        known = {
            "frame": FRAME, "margin": MARGIN, "channels": CHANNEL_NAMES, "scalars": SCALAR_NAMES,
            "classes": MORPHOLOGY_NAMES,
        }  # fmt: skip
        for name, value in known.items():
            # a network fed otherwise than it was trained would answer nonsense without any error
            if getattr(self, name) != value:
                raise ValueError(f"{name} must be {value} in this version, not {getattr(self, name)}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be positive, not {self.temperature}")
        if self.orientations not in ORIENTATIONS:
            raise ValueError(f"orientations must be one of {ORIENTATIONS}, not {self.orientations}")
        if len(self.offsets) != len(MORPHOLOGY_NAMES) or not all(math.isfinite(offset) for offset in self.offsets):
            raise ValueError(f"offsets must be {len(MORPHOLOGY_NAMES)} finite numbers, not {self.offsets}")
        if not 0 <= self.unsure_below <= 1:
            raise ValueError(f"unsure_below must lie in [0, 1], not be {self.unsure_below}")
