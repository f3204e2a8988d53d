"""`GraphFeedConfig`: how island graphs are varied while a network is trained on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from neanias_ml.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class GraphFeedConfig:
    """How the graphs of fields are varied. Turns and mirrors need no variation: features do not see them.

    Raises
    ------
    UsageError
        ``FeedConfig`` for a value outside its range.
    """

    flux_jitter: float = 0.1
    """standard deviation in dex by which all signal to noise of a field is scaled, >= 0: other depths of a survey"""
    drop_islands: float = 0.1
    """largest share of islands left out at random, in [0, 1): what a higher threshold or another finder would miss"""
    drop_pairs: float = 0.1
    """largest share of pairs left out at random, in [0, 1): messages must not rely on single pairs"""
    repeat: Mapping[str, float] = field(default_factory=dict)
    """how often fields of a source (simulated, mirabest, ...) are drawn in an epoch, >= 0; once where not named"""

    def __post_init__(self) -> None:
        if not self.flux_jitter >= 0:
            raise UsageError("FeedConfig", f"feed.flux_jitter must not be negative, as {self.flux_jitter} is")
        for name in ("drop_islands", "drop_pairs"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError("FeedConfig", f"feed.{name} must lie in [0, 1), not be {getattr(self, name)}")

        for source, factor in self.repeat.items():
            if not (math.isfinite(factor) and factor >= 0):
                raise UsageError("FeedConfig", f"feed.repeat of {source} must not be negative, as {factor} is")

    @property
    def is_still(self) -> bool:
        """Whether nothing is varied."""
        return self.flux_jitter == self.drop_islands == self.drop_pairs == 0
