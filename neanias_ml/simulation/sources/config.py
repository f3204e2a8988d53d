"""`PopulationConfig`: which sources a simulated field holds, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from neanias_ml.errors import UsageError
from neanias_ml.simulation.ranges import require_ranges

CountsName = Literal["crowded", "published"]
COUNTS: tuple[CountsName, ...] = get_args(CountsName)
"""How the number of extragalactic sources is set."""
MOST_CROWDED = 60.0
"""Largest density of sources of S/N >= 5, per 1000 beams."""


@dataclass(frozen=True)
class PopulationConfig:
    """The sources of a simulated field.

    Densities are counted per 1000 beam areas, so that a field looks equally crowded at any resolution.

    Raises
    ------
    UsageError
        If a value is outside its meaningful range.
    """

    counts: CountsName = "crowded"
    """crowded: points, Gaussians and radio galaxies at the densities below, as training needs them; published: as many
    as the source counts give for the field's area, rms and frequency, with published sizes (then compact_density,
    pair_fraction, double_density, jet_density, tail_density and galaxy_density have no effect, and resolved_fraction
    and flux_break only on the company of the extra bright sources)"""
    compact_density: float = 6.0
    """point-like and slightly resolved sources of S/N >= 5 per 1000 beams, 0 to 60"""
    resolved_fraction: float = 0.25
    """share of those with a resolved Gaussian shape"""
    pair_fraction: float = 0.08
    """share of those with an unrelated neighbour within 2.5 beams"""
    clustered_fraction: float = 0.15
    """share of sources that lie in groups of some 10 beams across instead of anywhere"""
    flux_break: float = 60.0
    """S/N at which the source counts steepen"""
    maximum_snr: float = 2000.0
    """S/N of the brightest compact source that crowded counts can draw, and scale of the extra bright sources"""
    double_density: float = 0.7
    """edge-brightened radio galaxies per 1000 beams: FR-II, double-doubles, X-shaped ones, remnants"""
    jet_density: float = 0.12
    """straight FR-I radio galaxies per 1000 beams"""
    tail_density: float = 0.13
    """bent radio galaxies outside clusters per 1000 beams: wide- and narrow-angle tails, head-tails"""
    galaxy_density: float = 0.05
    """nearby spiral galaxies per 1000 beams"""
    nebula_density: float = 0.05
    """supernova remnants, HII regions and planetary nebulae per 1000 beams"""
    diffuse_density: float = 0.08
    """relics, halos, odd circles and filaments outside clusters per 1000 beams"""
    cluster_density: float = 0.01
    """clusters of galaxies per 1000 beams, with tails, members, halo and relics of their own"""
    largest_size: float = 25.0
    """largest extent of an extended object, beams (drawn log-uniformly); clusters and nebulae reach twice it"""
    bright_sources: float = 1.0
    """expected number of extra sources of 0.3 to 1 times maximum_snr in the field"""
    outside_sources: float = 0.3
    """expected number of bright sources beyond the edge whose sidelobes reach into the map"""
    cirrus_amplitude: float = 0.0
    """standard deviation of the Galactic background, in units of the rms"""
    cirrus_slope: float = 2.8
    """exponent of its power spectrum k^-slope; the Galactic plane has 2.6 to 3"""
    cirrus_scale: float = 40.0
    """largest scale (FWHM) of it that the array sees, beams"""

    def __post_init__(self) -> None:
        require_ranges(self, _RANGES)
        if self.counts not in COUNTS:
            raise UsageError("BadSkyConfig", f"simulation: counts '{self.counts}' is not one of {', '.join(COUNTS)}")


_RANGES = (
    ("compact_density", 0.0, MOST_CROWDED),
    ("resolved_fraction", 0.0, 1.0),
    ("pair_fraction", 0.0, 1.0),
    ("clustered_fraction", 0.0, 1.0),
    ("flux_break", 5.0, 1e4),
    ("maximum_snr", 20.0, 1e6),
    ("double_density", 0.0, 20.0),
    ("jet_density", 0.0, 20.0),
    ("tail_density", 0.0, 20.0),
    ("galaxy_density", 0.0, 20.0),
    ("nebula_density", 0.0, 20.0),
    ("diffuse_density", 0.0, 20.0),
    ("cluster_density", 0.0, 5.0),
    ("largest_size", 2.0, 200.0),
    ("bright_sources", 0.0, 50.0),
    ("outside_sources", 0.0, 50.0),
    ("cirrus_amplitude", 0.0, 20.0),
    ("cirrus_slope", 1.0, 5.0),
    ("cirrus_scale", 2.0, 1000.0),
)
