"""Settings of the search for extended emission."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neanias_ml.errors import UsageError

METHODS = ("fused", "starlet", "saliency", "clustering", "active-contour")


@dataclass(frozen=True)
class ExtendedConfig:
    """Settings of `find_extended`.

    Lengths in beams are counted in geometric-mean widths (FWHM).
    """

    method: str = "fused"
    """which search: fused (all evidence together), starlet, saliency, clustering or active-contour"""
    seed_evidence: float = 0.9
    """a region holds a pixel of at least this evidence (0 to 1): on noise alone, fewer than one region in ten maps of
    1024 x 1024 pixels reaches it"""
    merge_evidence: float = 0.05
    """a region reaches down to this evidence (0 to 1)"""
    min_beams: float = 6.0
    """regions smaller than this many beam areas are dropped: they are not wider than what a point source leaves"""
    bins_per_beam: float = 2.5
    """pixels per beam of the grid that is searched; extended emission is wider than the beam, finer is only slower"""
    block: int = 2048
    """side in pixels of the fixed blocks, anchored to pixel (0, 0), into which the map is cut; sets the memory"""
    min_scale: int = 2
    """finest smoothing, in dyadic steps of the searched grid: 2 is about twice the beam"""
    max_scale: int = 5
    """coarsest smoothing: each step doubles the width, 5 is about 17 beams"""
    clip_sigma: float = 2.5
    """values of the searched grid are cut at plus and minus this many sigma, so that what is left of a compact source
    does not outweigh the faint emission around it"""
    background_error: float = 0.1
    """error of the background in units of the local noise: a smoothed level below it means nothing"""
    shell_min_beams: float = 6.0
    """smallest diameter of the rings that shells are matched with"""
    shell_max_beams: float = 30.0
    """largest diameter of those rings; 0 leaves the matched rings out"""
    superpixel_beams: tuple[float, ...] = (4.0, 6.0, 9.0)
    """sides of the superpixels of the saliency, one per resolution"""
    superpixel_compactness: float = 0.3
    """weight of distance against brightness (in sigma) when pixels choose their superpixel"""
    dissimilarity: float = 3.5
    """superpixels merge while their levels differ by less than this many standard errors (clustering)"""
    edge_weight: float = 0.5
    """share of the edge strength along the common border in that dissimilarity, 0 to 1 (clustering)"""
    contour_smoothness: float = 0.3
    """weight of the length of the contour against the fit of the levels (active-contour)"""
    contour_steps: int = 60
    """most steps of the contour (active-contour)"""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(
                "ExtendedMethod", f"there is no extended search {self.method!r}; choose one of {', '.join(METHODS)}"
            )
        if not 0 < self.merge_evidence <= self.seed_evidence < 1:
            raise UsageError(
                "ExtendedConfig",
                f"merge_evidence ({self.merge_evidence}) must be positive and not above seed_evidence "
                f"({self.seed_evidence}), which must be below 1",
            )
        if not 1 <= self.min_scale < self.max_scale <= 8:
            raise UsageError(
                "ExtendedConfig",
                f"min_scale and max_scale must rise between 1 and 8, not from {self.min_scale} to {self.max_scale}",
            )
        if self.block < 64:
            raise UsageError("ExtendedConfig", f"a block must have at least 64 pixels on a side, not {self.block}")
        self._check_lengths()
        self._check_weights()

    def _check_lengths(self) -> None:
        positive = ("min_beams", "bins_per_beam", "clip_sigma", "shell_min_beams", "dissimilarity")
        for name in positive:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError("ExtendedConfig", f"{name} must be a positive number, not {value}")
        if self.shell_max_beams != 0 and not self.shell_min_beams <= self.shell_max_beams < math.inf:
            raise UsageError(
                "ExtendedConfig",
                f"shell_max_beams ({self.shell_max_beams}) must be 0 (no matched rings) or at least shell_min_beams "
                f"({self.shell_min_beams})",
            )
        if not self.superpixel_beams or not all(math.isfinite(side) and side >= 2 for side in self.superpixel_beams):
            raise UsageError(
                "ExtendedConfig",
                f"superpixel_beams needs one or more sides of at least 2 beams, not {self.superpixel_beams}",
            )

    def _check_weights(self) -> None:
        not_negative = ("background_error", "superpixel_compactness", "contour_smoothness")
        for name in not_negative:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError("ExtendedConfig", f"{name} must not be negative, but is {value}")
        if not 0 <= self.edge_weight <= 1:
            raise UsageError("ExtendedConfig", f"edge_weight must lie between 0 and 1, not {self.edge_weight}")
        if self.contour_steps < 1:
            raise UsageError("ExtendedConfig", f"contour_steps must be at least 1, not {self.contour_steps}")
