"""Architecture of `IslandGraphNetwork`."""

from __future__ import annotations

from dataclasses import dataclass

from neanias_ml.models.association.features import Features


@dataclass(frozen=True, kw_only=True)
class IslandGraphConfig:
    """Architecture of the network and weights of its loss.

    Raises
    ------
    ValueError
        For a value outside its range.
    """

    features: Features = "map"
    """map: all that was measured; catalogue: only what catalogues of other finders have too"""
    hidden: int = 64
    """width of all layers, >= 1"""
    rounds: int = 3
    """rounds of messages between islands, >= 1; each lets an island hear of those one pair farther away"""
    positive_weight: float = 1.0
    """weight of pairs of one object against the others, > 0; 1 keeps the log-odds honest"""
    label_smoothing: float = 0.02
    """truth is taken as this much less certain, in [0, 0.5): labels of pairs are sometimes wrong"""

    def __post_init__(self) -> None:
        if self.features not in ("map", "catalogue"):
            raise ValueError(f"features must be 'map' or 'catalogue', not {self.features!r}")
        if self.hidden < 1 or self.rounds < 1:
            raise ValueError(f"hidden and rounds must be at least 1, not {self.hidden} and {self.rounds}")
        if not self.positive_weight > 0:
            raise ValueError(f"positive_weight must be positive, not {self.positive_weight}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must lie in [0, 0.5), not be {self.label_smoothing}")
