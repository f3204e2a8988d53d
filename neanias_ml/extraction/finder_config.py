"""Settings of the whole classical extraction."""

from __future__ import annotations

from dataclasses import dataclass, field

from neanias_ml.errors import UsageError
from neanias_ml.extraction.components.fit_config import FitConfig
from neanias_ml.extraction.config_checks import require_finite
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.nested.find import NestedConfig
from neanias_ml.extraction.noise.config import BackgroundConfig


@dataclass(frozen=True)
class FinderConfig:
    """Settings of the classical extraction."""

    seed_threshold: float = 5.0
    """an island holds a pixel of at least this signal to noise, merge_threshold to 1000; 5 is CAESAR's, and lets about
    one beam in 300 000 of Gaussian noise pass"""
    merge_threshold: float = 2.6
    """an island reaches down to this signal to noise, above 0; CAESAR's"""
    connectivity: int = 8
    """neighbours that join pixels into an island: 4 or 8; 8, as a beam drawn obliquely has diagonal pixels"""
    min_beam_fraction: float = 0.25
    """islands smaller than this part of the beam area are dropped, 0 to 100; a point source of 5 sigma covers 0.6"""
    seed_iterations: int = 1
    """passes with a lower seed each, 1 to 10; before each the noise is estimated again without the islands found"""
    seed_step: float = 0.5
    """by how much each of these passes lowers the seed, in sigma; it stays above the merge threshold"""
    target_purity: float | None = None
    """if given, the seed threshold is the lowest at which at least this part (0 to 1) of the islands is real, by the
    number of islands of the inverted map; seed_threshold is then not used"""
    extended_flux_excess: float = 0.4
    """islands whose total over peak flux exceeds a point source's by more than this are extended, above 0"""
    search_nested: bool = True
    """look for sources inside islands"""
    search_extended: bool = False
    """look on the residual map for extended emission that no pixel shows"""
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    """background and noise"""
    nested: NestedConfig = field(default_factory=NestedConfig)
    """sources inside islands"""
    fit: FitConfig = field(default_factory=FitConfig)
    """Gaussian components"""
    extended: ExtendedConfig = field(default_factory=ExtendedConfig)
    """extended emission"""

    def __post_init__(self) -> None:
        require_finite(self)
        if not 0 < self.merge_threshold <= self.seed_threshold:
            raise UsageError(
                "Thresholds",
                f"the merge threshold ({self.merge_threshold}) must be positive and not above the seed "
                f"threshold ({self.seed_threshold}); lower it or raise the seed",
            )
        if self.connectivity not in (4, 8):
            raise UsageError("Connectivity", f"connectivity must be 4 or 8, not {self.connectivity}")
        if not self.min_beam_fraction >= 0 or not self.extended_flux_excess > 0:
            raise UsageError(
                "FinderConfig", "min_beam_fraction must not be negative and extended_flux_excess must be positive"
            )
        if not 1 <= self.seed_iterations <= 10 or not self.seed_step > 0:
            raise UsageError("FinderConfig", "seed_iterations must be 1 to 10 and seed_step positive")
        if self.target_purity is not None and not 0 < self.target_purity < 1:
            raise UsageError("FinderConfig", f"target_purity must lie between 0 and 1, not {self.target_purity}")
