"""`TileFeedConfig`: which tiles the detector sees how often, and how they are varied."""

from __future__ import annotations

from dataclasses import dataclass, field

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.variation.augmentation import AugmentConfig
from neanias_ml.errors import UsageError
from neanias_ml.models.config import WINDOW_STRIDE
from neanias_ml.models.settings import channel_rows


@dataclass(frozen=True, kw_only=True)
class TileFeedConfig:
    """How the tiles of the detector are drawn and varied.

    Raises
    ------
    UsageError
        ``FeedConfig`` for a value outside its range.
    """

    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(noise_jitter=0.1, fade=0.5, paste_objects=0.3, paste_artefacts=0.3)
    )
    """how tiles are varied"""
    channels: tuple[str, ...] = CHANNEL_NAMES
    """channels that the network is given, some of those of the data or all; model.in_channels is their number"""
    repeat_threshold: float = 0.3
    """classes in fewer than this share of the tiles are drawn more often; 0 for none"""
    balance_beta: float = 0.999
    """class-balanced weights by effective numbers; 0 weighs all classes alike"""
    validation_tiles: int = 64
    """tiles of the validation loss while training"""
    window_size: int = 512
    """side in grid pixels of the windows in which the bundle looks at maps; larger than the tiles: more fits in;
    a multiple of 32"""

    def __post_init__(self) -> None:
        try:
            channel_rows(self.channels)
        except ValueError as error:
            raise UsageError("FeedConfig", f"feed.{error}") from error
        if not self.repeat_threshold >= 0:
            raise UsageError("FeedConfig", f"feed.repeat_threshold must not be negative, as {self.repeat_threshold} is")
        if not 0 <= self.balance_beta < 1:
            raise UsageError("FeedConfig", f"feed.balance_beta must lie in [0, 1), not be {self.balance_beta}")
        if not self.validation_tiles > 0:
            raise UsageError("FeedConfig", f"feed.validation_tiles must be positive, not {self.validation_tiles}")
        if self.window_size <= 0 or self.window_size % WINDOW_STRIDE:
            raise UsageError(
                "FeedConfig", f"feed.window_size must be a positive multiple of {WINDOW_STRIDE}, not {self.window_size}"
            )
