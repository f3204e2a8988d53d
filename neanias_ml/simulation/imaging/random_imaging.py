"""Wide random draws of `ImagingConfig` for training data.

The middle of the ranges is what real maps show. Around sources of S/N 300 to 4000 in VLASS quick-look, FIRST and LoTSS
maps the robust rms of the sidelobes beyond the noise falls from 3e-4..4e-3 of the peak at three to five beams to
1e-4..1.5e-3 at twenty: cleaning to some 30 rms and error beams of 0.3 to 1 rms. The noise power of those maps scatters
by factors of 0.5 to 1.8 among uv cells of one length and falls outwards: gridded noise, near-natural weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neanias_ml.simulation.imaging.antennas import antenna_layout
from neanias_ml.simulation.imaging.config import LAYOUTS, ImagingConfig, LayoutName
from neanias_ml.simulation.sources.draws import log_uniform


def random_imaging(rng: np.random.Generator, *, severity: float, maximum_snr: float) -> ImagingConfig:
    """Array, observation and imaging faults, from none to severe.

    The faults are scaled to the brightest source that the field may hold: a map with a source of S/N
    2000 and a poor calibration would be nothing but sidelobes.

    Parameters
    ----------
    rng
        Source of randomness; the same state gives the same configuration.
    severity
        0 for faultless imaging to 1 for faults of full strength.
    maximum_snr
        S/N of the brightest sources of the field.
    """
    layout = LAYOUTS[int(rng.integers(len(LAYOUTS)))]
    tracking = _random_tracking(rng, layout=layout)
    intervals = max(1.0, 60.0 * tracking["hour_angle_span"] / tracking["gain_interval"])
    return ImagingConfig(
        layout=layout,
        robust=rng.uniform(-0.7, 2.0),
        **_random_noise(rng),
        **_random_pointings(rng),
        **tracking,
        **_random_gain_errors(
            rng,
            layout=layout,
            intervals=intervals,
            relative_rms=severity * log_uniform(rng, 0.3, 4.0) / maximum_snr,
        ),
        **_random_residuals(rng, severity=severity, maximum_snr=maximum_snr),
        **_random_intruders(rng, severity=severity),
        bowl_fraction=rng.uniform(0.05, 0.4) if rng.uniform() < 0.5 else 0.0,
        bowl_scale=rng.uniform(8.0, 25.0),
        blank_edge=rng.uniform(0.03, 0.4) if rng.uniform() < 0.2 else 0.0,
        blank_holes=rng.uniform(0.3, 2.0) if rng.uniform() < 0.1 else 0.0,
    )


def _random_noise(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "noise_gridding": rng.uniform(0.4, 1.0),
        "confusion_share": rng.uniform(0.0, 0.6),
        "background_amplitude": log_uniform(rng, 0.1, 1.5) if rng.uniform() < 0.5 else 0.0,
    }


def _random_pointings(rng: np.random.Generator) -> dict[str, Any]:
    """A cut-out of a wide survey, a single pointing or a mosaic, which in one case of four ends inside the map."""
    mosaic = str(rng.choice(["none", "single", "square", "hexagonal"], p=[0.4, 0.2, 0.2, 0.2]))
    many = mosaic in ("square", "hexagonal")
    return {
        "mosaic": mosaic,
        "noise_ratio": log_uniform(rng, 1.0, 4.0 if mosaic == "none" else 1.5),
        "primary_beam": log_uniform(rng, 0.3 if many else 0.6, 3.0),
        "pointing_spacing": rng.uniform(0.45, 0.75) if rng.uniform() < 0.8 else rng.uniform(0.75, 1.0),
        "mosaic_extent": rng.uniform(0.5, 1.0) if rng.uniform() < 0.25 else rng.uniform(1.3, 2.0),
        "mosaic_cutoff": log_uniform(rng, 0.1, 0.5),
        "pointing_scatter": rng.uniform(0.02, 0.25) if rng.uniform() < 0.5 else 0.0,
        "missing_pointings": rng.uniform(0.03, 0.2) if rng.uniform() < 0.2 else 0.0,
    }


def _random_tracking(rng: np.random.Generator, *, layout: LayoutName) -> dict[str, Any]:
    """Snapshot, short scans over a wide span, or a long track; an east-west array takes no snapshots.

    Short scans and a wide band sample lines of the uv plane and leave rays, long tracks leave rings.
    """
    mode = rng.choice(["snapshot", "scans", "track"], p=[0.6, 0.25, 0.15])
    if mode == "snapshot" and layout != "atca":
        span, scans, duty = log_uniform(rng, 0.03, 0.3), 1, 1.0
    elif mode == "track":
        span, scans, duty = rng.uniform(5.0, 12.0) if layout == "atca" else log_uniform(rng, 0.5, 10.0), 1, 1.0
    else:
        span, scans, duty = rng.uniform(5.0, 12.0), int(rng.integers(3, 16)), log_uniform(rng, 0.01, 0.2)
    return {
        "hour_angle_span": span,
        "scans": scans,
        "scan_duty": duty,
        "gain_interval": log_uniform(rng, 3.0, 120.0),
        "bandwidth": log_uniform(rng, 0.02, 0.3) if mode == "track" else log_uniform(rng, 0.02, 0.7),
    }


def _random_gain_errors(
    rng: np.random.Generator, *, layout: LayoutName, intervals: float, relative_rms: float
) -> dict[str, Any]:
    """Amplitude and phase errors whose error beam has a given rms, relative to the source.

    An error of standard deviation e per antenna and interval leaves a rms of about
    sqrt(2) e / (n_antennas sqrt(n_intervals)) (Perley 1999, ASP Conf. 180, 275). Here it falls more slowly with the
    number of intervals, because few of them dominate (`neanias_ml.simulation.imaging.calibration.draw_calibration`).
    """
    error = relative_rms * len(antenna_layout(layout).positions) * intervals**0.35 / math.sqrt(2.0)
    phase_share = rng.uniform(0.2, 1.0)
    return {
        "gain_amplitude_error": min(error * math.sqrt(1.0 - phase_share**2), 0.3),
        "gain_phase_error": min(math.degrees(error) * phase_share, 40.0),
        "gain_sharing": rng.uniform(0.0, 1.0),
    }


def _random_residuals(rng: np.random.Generator, *, severity: float, maximum_snr: float) -> dict[str, Any]:
    """What deconvolution leaves, errors off the pointing centre, bad baselines and ghosts."""
    return {
        "clean_depth": min(severity * log_uniform(rng, 30.0, 400.0) / maximum_snr, 0.4),
        "extended_clean_depth": severity * log_uniform(rng, 0.01, 0.12),
        "pointing_error": severity * log_uniform(rng, 0.002, 0.03),
        "bad_baselines": severity * rng.uniform(0.5, 4.0) if rng.uniform() < 0.4 else 0.0,
        "ghost_fraction": severity * rng.uniform(0.3, 1.0) if rng.uniform() < 0.4 else 0.0,
    }


def _random_intruders(rng: np.random.Generator, *, severity: float) -> dict[str, Any]:
    """Aliases and interference, each in one field of seven."""
    aliased, interfered = severity * (rng.uniform(size=2) < 0.15)
    return {
        "alias_fraction": float(aliased) * log_uniform(rng, 0.003, 0.05),
        "rfi_stripes": float(interfered) * rng.uniform(0.5, 3.0),
        "rfi_strength": log_uniform(rng, 0.5, 2.5),
    }
