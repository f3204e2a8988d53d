"""`SkyConfig`: everything that a simulated field depends on, and wide random draws of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from neanias_ml.errors import UsageError

LayoutName = Literal["askap", "meerkat", "vla", "atca", "lofar"]
LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)
"""Antenna layouts that can be simulated (see `neanias_ml.simulation.interferometer`)."""
_N_ANTENNAS = {"askap": 36, "meerkat": 64, "vla": 27, "atca": 6, "lofar": 38}


@dataclass(frozen=True)
class SkyConfig:
    """A simulated field: geometry, sources, noise, array and imaging faults.

    Densities are counted per 1000 beam areas, so that a field looks equally crowded at any resolution.

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
    """major FWHM of the restoring beam, arcsec (at least 2.5 pixels)"""
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
    compact_density: float = 6.0
    """point-like and slightly resolved sources of S/N >= 5 per 1000 beams"""
    resolved_fraction: float = 0.25
    """share of those with a resolved Gaussian shape"""
    pair_fraction: float = 0.08
    """share of those with an unrelated neighbour within 2.5 beams"""
    flux_break: float = 60.0
    """S/N at which the source counts steepen"""
    maximum_snr: float = 2000.0
    """S/N of the brightest source that the counts can draw"""
    double_density: float = 0.5
    """double-lobed radio galaxies (FR-II, remnants) per 1000 beams"""
    triple_density: float = 0.2
    """core and two detached lobes per 1000 beams"""
    jet_density: float = 0.25
    """FR-I jets and bent tails per 1000 beams"""
    diffuse_density: float = 0.25
    """irregular blobs, disks, shells, rings and filaments per 1000 beams"""
    largest_size: float = 25.0
    """largest extent of an extended object, beams (drawn log-uniformly from 1.5)"""
    bright_sources: float = 1.0
    """expected number of extra sources of 0.3 to 1 times maximum_snr in the field"""
    noise_ratio: float = 1.5
    """largest over smallest rms in the field"""
    noise_gridding: float = 0.5
    """share of the noise power shaped by the sampled uv grid; the rest by a smooth Gaussian"""
    background_amplitude: float = 0.3
    """standard deviation of the smooth background, in units of the rms"""
    outside_sources: float = 0.3
    """expected number of bright sources beyond the edge whose sidelobes reach into the map"""
    layout: LayoutName = "askap"
    """antenna layout: askap, meerkat, vla, atca or lofar"""
    hour_angle_span: float = 8.0
    """hours of Earth rotation, centred on transit"""
    scans: int = 1
    """number of scans into which the span is divided"""
    scan_duty: float = 1.0
    """fraction of the span that is observed; below 1 there are gaps between the scans"""
    bandwidth: float = 0.2
    """fractional bandwidth over which the samples spread radially in the uv plane"""
    robust: float = 0.0
    """Briggs robustness of the visibility weights (-2 uniform, 2 natural)"""
    clean_depth: float = 0.02
    """fraction of the dirty beam's sidelobes left around bright sources"""
    gain_amplitude_error: float = 0.02
    """antenna-based relative amplitude errors, standard deviation"""
    gain_phase_error: float = 3.0
    """antenna-based phase errors, degrees, standard deviation"""
    gain_interval: float = 30.0
    """minutes over which a gain error is constant"""
    bowl_fraction: float = 0.15
    """fraction of the flux on scales beyond ``bowl_scale`` that missing short spacings remove"""
    bowl_scale: float = 15.0
    """FWHM of the scale beyond which flux is missing, beams"""
    blank_edge: float = 0.0
    """depth of the blank (NaN) area cut off at a corner or edge, fraction of the map's size"""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError("BadSkyConfig", f"simulation: {name} must lie in [{low:g}, {high:g}], not {value}")
        if self.layout not in LAYOUTS:
            raise UsageError("BadSkyConfig", f"simulation: layout '{self.layout}' is not one of {', '.join(LAYOUTS)}")
        if self.beam_minor > self.beam_major:
            raise UsageError("BadSkyConfig", "simulation: beam_minor exceeds beam_major; swap them")
        if self.beam_minor < 2.5 * self.pixel_scale:
            raise UsageError("BadSkyConfig", "simulation: the beam needs 2.5 pixels; lower pixel_scale or widen it")
        if self.layout == "atca" and (self.hour_angle_span < 3 or abs(self.declination) < 15):
            raise UsageError(
                "BadSkyConfig",
                "simulation: an east-west array (atca) needs hour_angle_span >= 3 h and a declination "
                "at least 15 deg off the equator to sample two dimensions",
            )

    @property
    def beam_fwhm(self) -> float:
        """Geometric-mean FWHM of the beam, pixels."""
        return math.sqrt(self.beam_major * self.beam_minor) / self.pixel_scale

    @property
    def n_beams(self) -> float:
        """Number of beam areas in the field."""
        return self.size**2 / (math.pi * self.beam_fwhm**2 / (4.0 * math.log(2.0)))


_RANGES = (
    ("size", 64, 16384),
    ("pixel_scale", 1e-3, 3600.0),
    ("beam_major", 1e-3, 36000.0),
    ("beam_minor", 1e-3, 36000.0),
    ("rms", 1e-12, 1e3),
    ("right_ascension", -360.0, 360.0),
    ("declination", -89.0, 89.0),
    ("frequency", 1e6, 1e12),
    ("compact_density", 0.0, 60.0),
    ("resolved_fraction", 0.0, 1.0),
    ("pair_fraction", 0.0, 1.0),
    ("flux_break", 5.0, 1e4),
    ("maximum_snr", 20.0, 1e6),
    ("double_density", 0.0, 20.0),
    ("triple_density", 0.0, 20.0),
    ("jet_density", 0.0, 20.0),
    ("diffuse_density", 0.0, 20.0),
    ("largest_size", 2.0, 60.0),
    ("bright_sources", 0.0, 50.0),
    ("outside_sources", 0.0, 50.0),
    ("noise_ratio", 1.0, 20.0),
    ("noise_gridding", 0.0, 1.0),
    ("background_amplitude", 0.0, 20.0),
    ("hour_angle_span", 0.02, 12.0),
    ("scans", 1, 1000),
    ("scan_duty", 0.001, 1.0),
    ("bandwidth", 0.0, 1.0),
    ("robust", -2.0, 2.0),
    ("clean_depth", 0.0, 1.0),
    ("gain_amplitude_error", 0.0, 1.0),
    ("gain_phase_error", 0.0, 90.0),
    ("gain_interval", 0.1, 720.0),
    ("bowl_fraction", 0.0, 1.0),
    ("bowl_scale", 2.0, 200.0),
    ("blank_edge", 0.0, 0.5),
)


def random_config(rng: np.random.Generator, *, size: int) -> SkyConfig:
    """A wide random draw for training data.

    Beams of 3.5 to 8 pixels with axis ratios 1 to 1.8, every layout, fields from sparse to
    crowded, imaging faults from none to severe.

    Parameters
    ----------
    rng
        Source of randomness; the same state gives the same configuration.
    size
        Rows and columns of the map, pixels.
    """
    fwhm, ratio = rng.uniform(3.5, 8.0), rng.uniform(1.0, 1.8)
    pixel_scale = _log_uniform(rng, 0.8, 8.0)
    minor = max(fwhm / math.sqrt(ratio), 2.6)
    crowding = _log_uniform(rng, 0.4, 1.8)
    config = SkyConfig(
        size=size,
        pixel_scale=pixel_scale,
        beam_major=minor * ratio * pixel_scale,
        beam_minor=minor * pixel_scale,
        beam_pa=rng.uniform(0.0, 180.0),
        rms=_log_uniform(rng, 5e-6, 5e-4),
        right_ascension=rng.uniform(0.0, 360.0),
        frequency=_log_uniform(rng, 144e6, 3e9),
        compact_density=4.5 * crowding * _log_uniform(rng, 0.6, 1.6),
        resolved_fraction=rng.uniform(0.1, 0.4),
        pair_fraction=rng.uniform(0.0, 0.15),
        flux_break=_log_uniform(rng, 20.0, 200.0),
        double_density=1.1 * crowding * _log_uniform(rng, 0.5, 2.0),
        triple_density=0.5 * crowding * _log_uniform(rng, 0.5, 2.0),
        jet_density=0.35 * crowding * _log_uniform(rng, 0.5, 2.0),
        diffuse_density=0.3 * crowding * _log_uniform(rng, 0.3, 3.0),
        noise_ratio=_log_uniform(rng, 1.0, 4.0),
        noise_gridding=rng.uniform(0.0, 1.0),
        background_amplitude=_log_uniform(rng, 0.1, 1.5) if rng.uniform() < 0.5 else 0.0,
        bowl_fraction=rng.uniform(0.05, 0.4) if rng.uniform() < 0.5 else 0.0,
        bowl_scale=rng.uniform(8.0, 25.0),
        blank_edge=rng.uniform(0.05, 0.4) if rng.uniform() < 0.25 else 0.0,
    )
    return dataclasses.replace(config, **_random_imaging(rng))


def _random_imaging(rng: np.random.Generator) -> dict[str, Any]:
    """Array, observation and imaging faults, from none to severe.

    The faults are scaled to the brightest source that the field may hold: a map with a source of S/N
    2000 and a poor calibration would be nothing but sidelobes.
    """
    layout = LAYOUTS[int(rng.integers(len(LAYOUTS)))]
    north = layout in ("vla", "lofar")
    maximum_snr = _log_uniform(rng, 300.0, 2000.0)
    severity = float(rng.choice([0.0, 0.5, 1.0], p=[0.1, 0.1, 0.8]))
    tracking = _random_tracking(rng, layout=layout)
    intervals = max(1.0, 60.0 * tracking["hour_angle_span"] / tracking["gain_interval"])
    return {
        "layout": layout,
        "declination": rng.uniform(15.0, 70.0) if north else rng.uniform(-75.0, -17.0),
        "robust": rng.uniform(-1.0, 1.0),
        "maximum_snr": maximum_snr,
        "bright_sources": 0.3 + severity * rng.uniform(1.5, 3.5),
        "outside_sources": severity * rng.uniform(0.0, 0.8),
        "clean_depth": min(severity * _log_uniform(rng, 60.0, 500.0) / maximum_snr, 0.5),
        **tracking,
        **_random_gain_errors(
            rng,
            layout=layout,
            intervals=intervals,
            relative_rms=severity * _log_uniform(rng, 0.3, 3.0) / maximum_snr,
        ),
    }


def _random_tracking(rng: np.random.Generator, *, layout: str) -> dict[str, Any]:
    """Snapshot, short scans over a wide span, or a long track; an east-west array takes no snapshots.

    Short scans and a wide band sample lines of the uv plane and leave rays, long tracks leave rings.
    """
    mode = rng.choice(["snapshot", "scans", "track"], p=[0.6, 0.25, 0.15])
    if mode == "snapshot" and layout != "atca":
        span, scans, duty = _log_uniform(rng, 0.03, 0.3), 1, 1.0
    elif mode == "track":
        span, scans, duty = rng.uniform(5.0, 12.0) if layout == "atca" else _log_uniform(rng, 0.5, 10.0), 1, 1.0
    else:
        span, scans, duty = rng.uniform(5.0, 12.0), int(rng.integers(3, 16)), _log_uniform(rng, 0.01, 0.2)
    return {
        "hour_angle_span": span,
        "scans": scans,
        "scan_duty": duty,
        "gain_interval": _log_uniform(rng, 3.0, 120.0),
        "bandwidth": _log_uniform(rng, 0.02, 0.3) if mode == "track" else _log_uniform(rng, 0.02, 0.7),
    }


def _random_gain_errors(
    rng: np.random.Generator, *, layout: str, intervals: float, relative_rms: float
) -> dict[str, Any]:
    """Amplitude and phase errors whose error beam has a given rms, relative to the source.

    An error of standard deviation e per antenna and interval leaves a rms of about
    sqrt(2) e / (n_antennas sqrt(n_intervals)) (Perley 1999, ASP Conf. 180, 275).
    """
    error = relative_rms * _N_ANTENNAS[layout] * intervals**0.35 / math.sqrt(2.0)
    phase_share = rng.uniform(0.2, 1.0)
    return {
        "gain_amplitude_error": min(error * math.sqrt(1.0 - phase_share**2), 0.3),
        "gain_phase_error": min(math.degrees(error) * phase_share, 40.0),
    }


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(10.0 ** rng.uniform(math.log10(low), math.log10(high)))
