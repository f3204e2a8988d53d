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
    crops: bool = True
    """whether the network also looks at the map around each island; only with features of the map"""
    hidden: int = 64
    """width of all layers, >= 1"""
    rounds: int = 3
    """rounds of messages between islands, >= 1; each lets an island hear of those one pair farther away"""
    positive_weight: float = 1.0
    """weight of pairs of one object against the others, > 0; 1 keeps the log-odds honest"""
    label_smoothing: float = 0.02
    """truth is taken as this much less certain, in [0, 0.5): labels of pairs are sometimes wrong"""
    crop_widths: tuple[int, int, int] = (16, 32, 48)
    """channels of the three convolutions that look at a crop"""
    weight_pairs: float = 1.0
    weight_artefact: float = 0.3
    weight_class: float = 0.3
    """weights of the losses: pairs of one object, artefacts among islands, classes of objects; >= 0"""

    def __post_init__(self) -> None:
        if self.features not in ("map", "catalogue"):
            raise ValueError(f"features must be 'map' or 'catalogue', not {self.features!r}")
        if self.hidden < 1 or self.rounds < 1 or min(self.crop_widths) < 1:
            raise ValueError("hidden, rounds and crop_widths must be at least 1")
        if min(self.weight_pairs, self.weight_artefact, self.weight_class) < 0:
            raise ValueError("weights of losses must not be negative")
        if not self.positive_weight > 0:
            raise ValueError(f"positive_weight must be positive, not {self.positive_weight}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must lie in [0, 0.5), not be {self.label_smoothing}")

    @property
    def sees_map(self) -> bool:
        """Whether crops of the map are looked at."""
        return self.crops and self.features == "map"
