"""`SkyConfig`: everything that a simulated field depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neanias_ml.errors import UsageError
from neanias_ml.simulation.imaging.antennas import antenna_layout
from neanias_ml.simulation.imaging.config import ImagingConfig
from neanias_ml.simulation.ranges import require_ranges
from neanias_ml.simulation.sources.config import MOST_CROWDED, PopulationConfig
from neanias_ml.simulation.sources.counts import crowding


@dataclass(frozen=True)
class SkyConfig:
    """A simulated field: its geometry, its sources, and how it was observed.

    Raises
    ------
    UsageError
        If a value is outside its meaningful range.
    """

    size: int = 1024
    """rows and columns of the map, pixels"""
    pixel_scale: float = 2.2
    """pixel size, arcsec"""
    beam_major: float = 12.0
    """major FWHM of the restoring beam, arcsec (at most a third of the map's side)"""
    beam_minor: float = 10.0
    """minor FWHM of the restoring beam, arcsec (at least 2.5 pixels)"""
    beam_pa: float = 30.0
    """position angle of the restoring beam, degrees east of north"""
    rms: float = 2e-5
    """typical (median) noise, Jy/beam"""
    right_ascension: float = 180.0
    """right ascension of the map's centre, degrees"""
    declination: float = -30.0
    """declination of the map's centre, degrees; also shapes the uv tracks"""
    frequency: float = 943.5e6
    """reference frequency, Hz"""
    population: PopulationConfig = field(default_factory=PopulationConfig)
    """kinds, numbers, fluxes and sizes of the sources"""
    imaging: ImagingConfig = field(default_factory=ImagingConfig)
    """noise, array, observation and imaging faults"""

    def __post_init__(self) -> None:
        require_ranges(self, _RANGES)
        if self.beam_minor > self.beam_major:
            raise UsageError("BadSkyConfig", "simulation: beam_minor exceeds beam_major; swap them")
        if self.beam_minor < 2.5 * self.pixel_scale:
            raise UsageError("BadSkyConfig", "simulation: the beam needs 2.5 pixels; lower pixel_scale or widen it")
        if self.beam_major > self.size * self.pixel_scale / 3.0:
            raise UsageError("BadSkyConfig", "simulation: the map must measure 3 beams; raise size or lower beam_major")
        if self.size * self.pixel_scale > _WIDEST * 3600.0:
            raise UsageError(
                "BadSkyConfig", f"simulation: size times pixel_scale exceeds {_WIDEST:g} deg; lower one of them"
            )
        self._require_visible()
        self._require_resolved_counts()

    def _require_visible(self) -> None:
        """Refuse fields that never rise, and tracks that sample a line only."""
        latitude = antenna_layout(self.imaging.layout).latitude
        if abs(self.declination - latitude) >= 90.0:
            raise UsageError(
                "BadSkyConfig",
                f"simulation: declination {self.declination:g} never rises at the site of {self.imaging.layout} "
                f"(latitude {latitude:g}); choose another declination or layout",
            )
        if self.imaging.layout == "atca" and (self.imaging.hour_angle_span < 3 or abs(self.declination) < 15):
            raise UsageError(
                "BadSkyConfig",
                "simulation: an east-west array (atca) needs hour_angle_span >= 3 h and a declination "
                "at least 15 deg off the equator to sample two dimensions",
            )

    def _require_resolved_counts(self) -> None:
        """Refuse published counts that make nothing but a blur."""
        if self.population.counts != "published":
            return
        density = crowding(self.rms, beam=self.beam_major * self.beam_minor, frequency=self.frequency)
        if density > MOST_CROWDED:
            raise UsageError(
                "BadSkyConfig",
                f"simulation: published counts give {density:.3g} sources above 5 rms per 1000 beams, and more than "
                f"{MOST_CROWDED:g} cannot be told apart; raise rms or sharpen the beam",
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SkyConfig:
        """The configuration that `dataclasses.asdict` turned into nested dictionaries (``config`` of truth.json).

        Raises
        ------
        UsageError
            ``BadSkyConfig`` if an option is unknown, or as the constructor.
        """
        try:
            parts = {"population": PopulationConfig, "imaging": ImagingConfig}
            built = {name: part(**values[name]) for name, part in parts.items() if name in values}
            return cls(**{**values, **built})
        except TypeError as error:
            raise UsageError(
                "BadSkyConfig", f"simulation: the stored configuration does not fit this version ({error})"
            ) from error

    @property
    def beam_fwhm(self) -> float:
        """Geometric-mean FWHM of the beam, pixels."""
        return math.sqrt(self.beam_major * self.beam_minor) / self.pixel_scale

    @property
    def n_beams(self) -> float:
        """Number of beam areas in the field."""
        return self.size**2 / (math.pi * self.beam_fwhm**2 / (4.0 * math.log(2.0)))


_WIDEST = 45.0
"""Widest map, degrees: beyond, sources outside of it leave the hemisphere that the projection shows."""
_RANGES = (
    ("size", 64, 16384),
    ("pixel_scale", 1e-3, 3600.0),
    ("beam_major", 1e-3, 36000.0),
    ("beam_minor", 1e-3, 36000.0),
    ("rms", 1e-12, 1e3),
    ("right_ascension", -360.0, 360.0),
    ("declination", -89.0, 89.0),
    ("frequency", 1e6, 1e12),
)
