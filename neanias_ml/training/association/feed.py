"""`GraphFeedConfig`: how island graphs are varied while a network is trained on them."""

from __future__ import annotations

from dataclasses import dataclass

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

    def __post_init__(self) -> None:
        if not self.flux_jitter >= 0:
            raise UsageError("FeedConfig", f"feed.flux_jitter must not be negative, as {self.flux_jitter} is")
        for name in ("drop_islands", "drop_pairs"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError("FeedConfig", f"feed.{name} must lie in [0, 1), not be {getattr(self, name)}")

    @property
    def is_still(self) -> bool:
        """Whether nothing is varied."""
        return self.flux_jitter == self.drop_islands == self.drop_pairs == 0
