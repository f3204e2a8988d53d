"""`ImagingConfig`: noise, array, observation and imaging faults of a simulated field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from neanias_ml.errors import UsageError
from neanias_ml.simulation.ranges import require_ranges

LayoutName = Literal["askap", "meerkat", "vla", "atca", "lofar"]
LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)
"""Antenna layouts that can be simulated (see `neanias_ml.simulation.imaging.antennas`)."""
MosaicName = Literal["none", "single", "square", "hexagonal"]
MOSAICS: tuple[MosaicName, ...] = get_args(MosaicName)
"""Patterns of pointings (see `neanias_ml.simulation.imaging.mosaic`)."""
MOST_ALONG_A_SIDE = 40
"""Pointings along a side of a mosaic, at most: some 1600 in all."""


@dataclass(frozen=True)
class ImagingConfig:
    """How a field was observed and imaged: noise, array, tracks, calibration, deconvolution.

    Raises
    ------
    UsageError
        If a value is outside its meaningful range.
    """

    noise_ratio: float = 1.5
    """largest over smallest rms in the field"""
    noise_gridding: float = 0.5
    """share of the noise power shaped by the sampled uv grid; the rest by a smooth Gaussian"""
    confusion_share: float = 0.2
    """share of the gridded noise power that is from sources too faint to be cleaned, with their sidelobes; it makes
    the weave of snapshots and the coarse ripple of crowded fields"""
    background_amplitude: float = 0.3
    """standard deviation of the smooth background, in units of the rms"""
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
    mosaic: MosaicName = "none"
    """pointings: none (no primary beam: a cut-out of a wide survey), single (one pointing at the centre),
    square or hexagonal (a mosaic of many)"""
    primary_beam: float = 1.5
    """FWHM of the primary beam, in units of the map's side; pointing errors grow over this length"""
    pointing_spacing: float = 0.6
    """distance of neighbouring pointings of a mosaic, primary beam FWHM (0.7 and less give even noise)"""
    mosaic_extent: float = 1.5
    """side of the square with the pointings, in units of the map's side; below 1 the mosaic ends inside the map"""
    mosaic_cutoff: float = 0.3
    """primary beam response below which a pointing is not used; where no pointing is used the map is blank"""
    pointing_scatter: float = 0.0
    """standard deviation of the natural logarithm of the noise of the pointings"""
    missing_pointings: float = 0.0
    """fraction of the pointings of a mosaic that were not observed"""
    clean_depth: float = 0.02
    """fraction of the dirty beam's sidelobes left around bright sources"""
    extended_clean_depth: float = 0.04
    """the same for bright extended emission, of which CLEAN leaves more; 0 leaves extended sources without
    any artefacts"""
    gain_amplitude_error: float = 0.02
    """antenna-based relative amplitude errors, standard deviation"""
    gain_phase_error: float = 3.0
    """antenna-based phase errors, degrees, standard deviation"""
    gain_interval: float = 30.0
    """minutes over which a gain error is constant"""
    gain_sharing: float = 0.5
    """share of the variance of the gain errors that all sources have in common; the rest differs from source to
    source, as the ionosphere and the primary beams do"""
    pointing_error: float = 0.01
    """pointing errors of the antennas along either axis, primary beam FWHM, standard deviation"""
    bad_baselines: float = 0.0
    """expected number of baselines that are wrong for a while; each leaves stripes across bright sources"""
    ghost_fraction: float = 0.0
    """share of the flux of the brightest source's neighbours that its calibration model lacks: each leaves a
    ghost mirrored about the brightest source"""
    alias_fraction: float = 0.0
    """brightness of the aliases of bright sources beyond the edge, folded back into the map by gridding"""
    rfi_stripes: float = 0.0
    """expected number of interfered baselines, each of which lays a fringe pattern over the map"""
    rfi_strength: float = 2.0
    """amplitude of such a pattern where it is strongest, in units of the rms"""
    bowl_fraction: float = 0.15
    """fraction of the flux on scales beyond ``bowl_scale`` that missing short spacings remove"""
    bowl_scale: float = 15.0
    """FWHM of the scale beyond which flux is missing, beams"""
    blank_edge: float = 0.0
    """depth of the blank (NaN) area cut off at a corner or edge, fraction of the map's size"""
    blank_holes: float = 0.0
    """expected number of the field's brightest sources that are blanked out with their surroundings"""

    def __post_init__(self) -> None:
        require_ranges(self, _RANGES)
        if self.layout not in LAYOUTS:
            raise UsageError("BadSkyConfig", f"simulation: layout '{self.layout}' is not one of {', '.join(LAYOUTS)}")
        if self.mosaic not in MOSAICS:
            raise UsageError("BadSkyConfig", f"simulation: mosaic '{self.mosaic}' is not one of {', '.join(MOSAICS)}")
        many = self.mosaic in ("square", "hexagonal")
        if many and self.mosaic_extent > MOST_ALONG_A_SIDE * self.pointing_spacing * self.primary_beam:
            raise UsageError(
                "BadSkyConfig",
                f"simulation: mosaic_extent holds more than {MOST_ALONG_A_SIDE} pointings along a side; "
                "raise primary_beam or pointing_spacing, or lower mosaic_extent",
            )


_RANGES = (
    ("noise_ratio", 1.0, 20.0),
    ("noise_gridding", 0.0, 1.0),
    ("confusion_share", 0.0, 1.0),
    ("background_amplitude", 0.0, 20.0),
    ("hour_angle_span", 0.02, 12.0),
    ("scans", 1, 1000),
    ("scan_duty", 0.001, 1.0),
    ("bandwidth", 0.0, 1.0),
    ("robust", -2.0, 2.0),
    ("primary_beam", 0.02, 100.0),
    ("pointing_spacing", 0.2, 2.0),
    ("mosaic_extent", 0.1, 3.0),
    ("mosaic_cutoff", 0.02, 0.9),
    ("pointing_scatter", 0.0, 1.0),
    ("missing_pointings", 0.0, 0.9),
    ("clean_depth", 0.0, 1.0),
    ("extended_clean_depth", 0.0, 1.0),
    ("gain_amplitude_error", 0.0, 1.0),
    ("gain_phase_error", 0.0, 90.0),
    ("gain_interval", 0.1, 720.0),
    ("gain_sharing", 0.0, 1.0),
    ("pointing_error", 0.0, 0.2),
    ("bad_baselines", 0.0, 100.0),
    ("ghost_fraction", 0.0, 1.0),
    ("alias_fraction", 0.0, 1.0),
    ("rfi_stripes", 0.0, 100.0),
    ("rfi_strength", 0.0, 100.0),
    ("bowl_fraction", 0.0, 1.0),
    ("bowl_scale", 2.0, 200.0),
    ("blank_edge", 0.0, 0.5),
    ("blank_holes", 0.0, 20.0),
)
