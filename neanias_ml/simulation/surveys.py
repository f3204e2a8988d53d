"""Fields as known surveys have them: beam, pixels, frequency, depth, array and observing mode of each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from neanias_ml.errors import UsageError
from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.imaging.antennas import antenna_layout
from neanias_ml.simulation.imaging.config import ImagingConfig, LayoutName, MosaicName
from neanias_ml.simulation.random_config import random_config
from neanias_ml.simulation.sources.config import PopulationConfig
from neanias_ml.simulation.sources.draws import log_uniform

Range = tuple[float, float]
_GRIDDING = (0.85, 1.0)
"""The power spectra of real maps show the sampled uv plane, and next to nothing between its samples."""

_BACKGROUND = (0.03, 0.3)
"""Arrays do not see scales as large as that of the smooth background; little of it is left."""


@dataclass(frozen=True)
class Survey:
    """What the maps of a survey have in common; ranges are drawn from anew for every field."""

    layout: LayoutName
    frequency: float
    """Hz"""
    pixel_scale: float
    """arcsec"""
    beam_minor: Range
    """arcsec"""
    axis_ratio: Range
    """major over minor axis of the beam"""
    rms: Range
    """Jy/beam"""
    declination: Range
    """degrees"""
    hours: Range
    """hour angle span"""
    bandwidth: float
    """fractional"""
    robust: float
    confusion: Range = (0.0, 0.4)
    """share of the gridded noise that is from sources too faint to be cleaned"""
    clean_depth: Range = (0.002, 0.02)
    """sidelobes left around bright sources, relative to the dirty beam"""
    scans: int = 1
    duty: float = 1.0
    mosaic: MosaicName = "none"
    """hexagonal where the maps end with their pointings; cut-outs of wide surveys show no edges"""
    galactic: bool = False
    """fields in the Galactic plane, with nebulae and diffuse emission"""


SURVEYS = {
    "emu": Survey("askap", 944e6, 2.0, (11.0, 13.0), (1.0, 1.3), (2e-5, 3.5e-5), (-70.0, -17.0), (5.0, 10.0), 0.3, 0.0),
    "racs": Survey("askap", 888e6, 2.5, (12.0, 18.0), (1.0, 1.6), (2e-4, 4e-4), (-75.0, -17.0), (0.2, 0.3), 0.32, 0.0),
    "smgps": Survey("meerkat", 1.28e9, 1.5, (7.5, 8.5), (1.0, 1.1), (1e-5, 2.5e-5), (-65.0, -17.0), (8.0, 10.0), 0.5,
                    0.0, scans=10, duty=0.1, galactic=True),
    "first": Survey("vla", 1.4e9, 1.8, (5.4, 5.4), (1.0, 1.02), (1.2e-4, 1.7e-4), (15.0, 60.0), (0.03, 0.1), 0.03, 1.0,
                    confusion=(0.1, 0.7)),
    "nvss": Survey("vla", 1.4e9, 15.0, (45.0, 45.0), (1.0, 1.02), (4e-4, 5e-4), (15.0, 70.0), (0.02, 0.05), 0.06, 1.0,
                   confusion=(0.1, 0.7)),
    "vlass": Survey("vla", 3e9, 1.0, (2.5, 2.8), (1.0, 1.8), (1.1e-4, 1.8e-4), (15.0, 60.0), (0.02, 0.1), 0.6, 1.0,
                    confusion=(0.0, 0.2)),
    "lotss": Survey("lofar", 144e6, 1.5, (6.0, 6.0), (1.0, 1.02), (6e-5, 1.1e-4), (40.0, 65.0), (7.0, 9.0), 0.33, 0.0,
                    confusion=(0.2, 0.6)),
    "scorpio": Survey("atca", 2.1e9, 1.5, (5.8, 6.6), (1.0, 1.3), (2.5e-5, 5e-5), (-45.0, -35.0), (9.0, 11.0), 0.7, 2.0,
                      confusion=(0.3, 0.8), scans=40, duty=0.6, mosaic="hexagonal", galactic=True),
}  # fmt: skip
"""Surveys by name. Numbers are those of the published maps.

EMU pilot: Norris et al. (2021, PASA 38, e046); RACS: McConnell et al. (2020, PASA 37, e048); SMGPS: Goedhart et al.
(2024, MNRAS 531, 649); FIRST: Becker et al. (1995, ApJ 450, 559); NVSS: Condon et al. (1998, AJ 115, 1693); VLASS quick
look: Lacy et al. (2020, PASP 132, 035001); LoTSS DR1: Shimwell et al. (2019, A&A 622, A1); SCORPIO: Umana et al.
(2015, MNRAS 454, 902).
"""


def survey_config(name: str, rng: np.random.Generator, *, size: int) -> SkyConfig:
    """A field of a survey: all that the survey does not fix is a wide random draw (`random_config`).

    Extragalactic sources follow the published counts; nebulae and diffuse Galactic emission are drawn in the Galactic
    plane only.

    Parameters
    ----------
    name
        One of `SURVEYS`.
    rng
        Source of randomness; the same state gives the same configuration.
    size
        Rows and columns of the map, pixels.

    Raises
    ------
    UsageError
        ``UnknownSurvey``.
    """
    if name not in SURVEYS:
        raise UsageError("UnknownSurvey", f"simulation: survey '{name}' is not one of {', '.join(SURVEYS)}")
    survey, drawn = SURVEYS[name], random_config(rng, size=size)
    minor = rng.uniform(*survey.beam_minor)
    imaging = dataclasses.replace(
        drawn.imaging,
        layout=survey.layout,
        hour_angle_span=log_uniform(rng, *survey.hours),
        scans=survey.scans,
        scan_duty=survey.duty,
        bandwidth=survey.bandwidth,
        robust=survey.robust,
        noise_gridding=rng.uniform(*_GRIDDING),
        confusion_share=rng.uniform(*survey.confusion),
        background_amplitude=log_uniform(rng, *_BACKGROUND),
        clean_depth=log_uniform(rng, *survey.clean_depth),
        mosaic=survey.mosaic,
        blank_edge=0.0,
        blank_holes=0.0,
    )
    scale = _error_scale(imaging) / _error_scale(drawn.imaging)
    imaging = dataclasses.replace(
        imaging,
        gain_amplitude_error=min(scale * imaging.gain_amplitude_error, 0.3),
        gain_phase_error=min(scale * imaging.gain_phase_error, 40.0),
    )
    return dataclasses.replace(
        drawn,
        pixel_scale=survey.pixel_scale,
        beam_major=minor * rng.uniform(*survey.axis_ratio),
        beam_minor=minor,
        rms=log_uniform(rng, *survey.rms),
        declination=rng.uniform(*survey.declination),
        frequency=survey.frequency,
        population=_population(rng, drawn.population, galactic=survey.galactic),
        imaging=imaging,
    )


def _error_scale(imaging: ImagingConfig) -> float:
    """Errors of the gains that leave error beams of equal strength, relative (as `random_imaging` has it)."""
    intervals = max(1.0, 60.0 * imaging.hour_angle_span / imaging.gain_interval)
    return float(len(antenna_layout(imaging.layout).positions) * intervals**0.35)


def _population(rng: np.random.Generator, drawn: PopulationConfig, *, galactic: bool) -> PopulationConfig:
    """Published counts without extra bright sources; nebulae crowd the Galactic plane and are found there only."""
    plain = dataclasses.replace(
        drawn, counts="published", bright_sources=0.0, outside_sources=0.05 * drawn.outside_sources
    )
    if not galactic:
        return dataclasses.replace(
            plain, nebula_density=0.0, diffuse_density=0.01, cluster_density=0.0005, cirrus_amplitude=0.0
        )
    return dataclasses.replace(
        plain,
        nebula_density=log_uniform(rng, 0.15, 0.6),
        cluster_density=0.0,
        largest_size=log_uniform(rng, 30.0, 80.0),
        cirrus_amplitude=log_uniform(rng, 0.5, 2.0),
    )
