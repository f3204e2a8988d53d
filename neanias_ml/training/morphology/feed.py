"""`CutoutFeedConfig`: which cutouts the morphology network sees how often, how they are varied, and how it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from neanias_ml.errors import UsageError
from neanias_ml.models.morphology.settings import ORIENTATIONS

_SHARES = ("fade", "least_confidence", "sure_accuracy")


@dataclass(frozen=True, kw_only=True)
class CutoutFeedConfig:
    """How the cutouts of the morphology network are drawn and varied.

    Raises
    ------
    UsageError
        ``FeedConfig`` for a value outside its range.
    """

    rotate: bool = True
    """turn by any angle and mirror: the sky has no up"""
    zoom: float = 0.1
    """factors on sizes in the frame lie in 1 -+ this, 0 to 0.2: beams and thresholds are never quite the same"""
    fade: float = 0.3
    """probability that an object fades under added noise, as if it were farther away, 0 to 1"""
    faintest: float = 8.0
    """signal to noise of the brightest pixel that fading leaves at least, above the seed threshold of 5"""
    noise_jitter: float = 0.1
    """largest relative error of the noise estimate that is simulated, 0 to below 1"""
    repeat_threshold: float = 0.3
    """classes that are fewer than this share of the cutouts are drawn more often; 0 for none"""
    repeat: Mapping[str, float] = field(default_factory=dict)
    """how often objects of a source (simulated, mirabest, ...) are drawn, >= 0; once where it is not named"""
    least_confidence: float = 0.0
    """objects whose class is less sure than this do not train, 0 to 1; those that do are drawn in proportion"""
    validation_cutouts: int = 2000
    """cutouts of the validation loss while training"""
    orientations: int = 8
    """turns and mirror images over which answers are averaged, 1, 4 or 8; each costs the network's time once"""
    sure_accuracy: float = 0.9
    """accuracy that validation objects not called unsure are to have, 0 to 1; 0 calls none unsure"""

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError("FeedConfig", f"feed.{name} must lie in [0, 1], not be {getattr(self, name)}")
        if self.orientations not in ORIENTATIONS:
            raise UsageError("FeedConfig", f"feed.orientations must be 1, 4 or 8, not {self.orientations}")
        if not 0 <= self.zoom <= 0.2:
            raise UsageError("FeedConfig", f"feed.zoom must lie in [0, 0.2], not be {self.zoom}")
        if not 0 <= self.noise_jitter < 1:
            raise UsageError("FeedConfig", f"feed.noise_jitter must lie in [0, 1), not be {self.noise_jitter}")
        if not self.faintest >= 5:
            raise UsageError("FeedConfig", f"feed.faintest must be at least 5, not {self.faintest}")
        if not self.repeat_threshold >= 0:
            raise UsageError("FeedConfig", f"feed.repeat_threshold must not be negative, as {self.repeat_threshold} is")
        if not self.validation_cutouts > 0:
            raise UsageError("FeedConfig", f"feed.validation_cutouts must be positive, not {self.validation_cutouts}")
        for source, factor in self.repeat.items():
            if not (math.isfinite(factor) and factor >= 0):
                raise UsageError("FeedConfig", f"feed.repeat of {source} must not be negative, as {factor} is")
