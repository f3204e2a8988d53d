"""Settings of the search for nested islands."""

from __future__ import annotations

from dataclasses import dataclass

from neanias_ml.errors import UsageError
from neanias_ml.extraction.config_checks import require_finite


@dataclass(frozen=True)
class NestedConfig:
    """Settings of the search for sources inside islands."""

    min_beams: float = 10.0
    """islands smaller than this many beam areas are not searched: one or two beams are a matter of the fit"""
    min_scale: float = 0.7
    """finest smoothing in units of the beam's sigma; 1 matches a point source, somewhat less tells it better from
    the emission around it, much less meets noise that the beam does not explain"""
    max_scale: float = 3.0
    """largest blob in units of the beam's sigma; larger structures are the island's own shape"""
    peak_threshold: float = 5.0
    """least signal to noise of a blob, both of its Laplacian response and of its peak above its surroundings"""
    merge_threshold: float = 2.5
    """a nested island reaches down to this many sigma above its surroundings"""
    min_curvature: float = 3.5
    """least signal to noise of a blob's curvature in its flattest direction: ridges and edges have none"""
    min_roundness: float = 0.4
    """least curvature in a wide blob's flattest direction over that in its steepest: 1 is round, an arc of a shell's
    limb has 0.1 to 0.4; compact blobs need not be round, as they may lie on a ridge"""
    min_prominence: float = 4.0
    """least height of a peak above the level at which it merges with others or dissolves in the island, in units of the
    noise of that difference (two pixels of noise correlated over the beam)"""
    min_beam_fraction: float = 0.25
    """nested islands smaller than this part of the beam area are dropped"""

    def __post_init__(self) -> None:
        require_finite(self)
        if not 0 < self.min_scale <= self.max_scale:
            raise UsageError(
                "NestedConfig",
                f"the smallest scale ({self.min_scale}) must be positive and not above the largest "
                f"({self.max_scale}); both are in units of the beam's sigma",
            )
        if not 0 < self.merge_threshold <= self.peak_threshold:
            raise UsageError(
                "NestedConfig",
                f"the merge threshold of nested islands ({self.merge_threshold}) must be positive and not above their "
                f"peak threshold ({self.peak_threshold}); lower it or raise the peak threshold",
            )
        for name in ("min_beams", "min_curvature", "min_roundness", "min_prominence", "min_beam_fraction"):
            if not getattr(self, name) >= 0:
                raise UsageError("NestedConfig", f"{name} must not be negative, but is {getattr(self, name)}")
