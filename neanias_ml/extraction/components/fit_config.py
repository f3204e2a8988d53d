"""Settings of the component stage."""

from __future__ import annotations

from dataclasses import dataclass

from neanias_ml.errors import UsageError
from neanias_ml.extraction.config_checks import require_finite

SHAPES = ("auto", "free", "beam")


@dataclass(frozen=True)
class FitConfig:
    """How islands are taken apart into Gaussian components."""

    min_prominence: float = 3.0
    """a peak rises this many sigma above the saddle to a higher one (>= 0); Gaussian noise alone seldom does"""
    max_components: int = 8
    """most Gaussians fitted to one island (1 to 32); the cost grows with its square"""
    min_added_snr: float = 5.0
    """least signal to noise (> 0) of a component that has no peak of its own, found in the residual of the others;
    the usual seed of islands"""
    min_kept_snr: float = 4.8
    """least fitted signal to noise (> 0) of a component beside others: fainter ones are taken out again"""
    evidence: float = 4.0
    """by how much another component must lower the Bayesian information criterion (>= 0); Kass and Raftery (1995)
    call 2 to 6 positive, 6 to 10 strong"""
    shape: str = "auto"
    """shapes of components: auto (the beam's unless a free one is better), free (as most finders; total fluxes of
    faint sources come out high) or beam (for surveys of point sources)"""
    shape_evidence: float = 2.0
    """the same for a shape other than the beam's (>= 0); less, as it makes no new source, and the beam's shape for a
    resolved source takes flux from it"""
    max_search_beams: float = 20.0
    """islands of more beam areas (> 0) keep the components of their peaks, none are added: a search is slow there
    and Gaussians seldom describe them anyway"""
    max_fit_beams: float = 40.0
    """larger islands, in beam areas (> 0), are not fitted as they are but measured by their pixels and taken apart"""
    max_fit_pixels: int = 1000
    """islands with more pixels are fitted on a regular lattice of them (>= 100): time, not accuracy, is at stake"""
    max_iterations: int = 40
    """passes over the pixels after which a fit ends as it is (>= 5): no island may hold up the others"""

    @property
    def evidence_for_shape(self) -> float:
        """What a free shape must win of the criterion, by ``shape`` and ``shape_evidence``."""
        return {"auto": self.shape_evidence, "free": -1e30, "beam": 1e30}[self.shape]

    def __post_init__(self) -> None:
        require_finite(self)
        thresholds = (self.min_added_snr, self.min_kept_snr)
        if not all(value > 0 for value in (*thresholds, self.max_search_beams, self.max_fit_beams)):
            raise UsageError("FitConfig", "thresholds and largest areas must be positive")
        if not self.min_prominence >= 0 or not min(self.evidence, self.shape_evidence) >= 0:
            raise UsageError("FitConfig", "min_prominence, evidence and shape_evidence must not be negative")
        if self.shape not in SHAPES:
            raise UsageError("FitConfig", f"shape is one of {', '.join(SHAPES)}, not {self.shape!r}")
        if not 1 <= self.max_components <= 32:
            raise UsageError("FitConfig", f"max_components must be 1 to 32, not {self.max_components}")
        if self.max_fit_pixels < 100 or self.max_iterations < 5:
            raise UsageError("FitConfig", "max_fit_pixels must be 100 or more and max_iterations 5 or more")
