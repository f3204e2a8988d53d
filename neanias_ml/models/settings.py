"""`BundleSettings`: what a detector needs besides its weights, the content of its ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.models.config import WINDOW_STRIDE, IslandRCNNConfig

NETWORK = "island-rcnn"
"""Kind of network in ``config.json``."""


def channel_rows(names: Sequence[str]) -> list[int]:
    """Places of channels among those that are made of a map (`neanias_ml.datasets.channels.CHANNEL_NAMES`).

    Raises
    ------
    ValueError
        If a name is not known or named twice, or none is given.
    """
    unknown = [name for name in names if name not in CHANNEL_NAMES]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(f"channels must be different ones of {', '.join(CHANNEL_NAMES)}, not {', '.join(names)}")
    return [CHANNEL_NAMES.index(name) for name in names]


@dataclass(frozen=True, kw_only=True)
class BundleSettings:
    """How the network of a bundle is built and fed, and how its outputs are read."""

    architecture: IslandRCNNConfig
    pixels_per_beam: float
    """sampling to which maps are brought, pixels per beam FWHM"""
    channels: tuple[str, ...]
    """names of the input channels in their order: some of `neanias_ml.datasets.channels.CHANNEL_NAMES`, or all"""
    window_size: int
    """side in pixels of the windows that the network sees, a multiple of ``WINDOW_STRIDE``"""
    operating_point: OperatingPoint = field(default_factory=OperatingPoint)
    classes: tuple[str, ...] = CLASS_NAMES
    extractor: Mapping[str, Any] = field(default_factory=dict)
    """settings of the extraction and proposals with which the network was trained (plain JSON values)"""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """where the model comes from: version, data, metrics (plain JSON values)"""

    @property
    def channel_rows(self) -> list[int]:
        """Places of ``channels`` among those that are made of a map."""
        return channel_rows(self.channels)

    def __post_init__(self) -> None:
        if self.classes != CLASS_NAMES:
            raise ValueError(f"classes must be {CLASS_NAMES}, not {self.classes}")
        if len(self.channels) != self.architecture.in_channels:
            raise ValueError(
                f"{len(self.channels)} channels are named, the network takes {self.architecture.in_channels}"
            )
        if not self.pixels_per_beam > 0:
            raise ValueError(f"pixels_per_beam must be positive, not {self.pixels_per_beam}")
        if self.architecture.box_reference != self.pixels_per_beam:
            raise ValueError(
                f"pixels_per_beam ({self.pixels_per_beam:g}) differs from architecture.box_reference "
                f"({self.architecture.box_reference:g}): the network counts beams in other pixels than it is given"
            )
        if self.window_size <= 0 or self.window_size % WINDOW_STRIDE:
            raise ValueError(f"window_size must be a positive multiple of {WINDOW_STRIDE}, not {self.window_size}")
