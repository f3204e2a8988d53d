"""Calibration errors as visibilities: gains, pointing, bad baselines, and ghosts of self-calibration.

Sources: Perley (1999, ASP Conf. 180, 275) on the error patterns of gains; Cornwell & Uson's pointing errors in
Bhatnagar & Cornwell (2017, AJ 154, 197); Grobler et al. (2014, MNRAS 439, 4030) on ghosts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.imaging.config import ImagingConfig
from neanias_ml.simulation.imaging.interferometer import Coverage

_BAD_SHARE = (0.02, 1.0)
"""Share of the observation for which a baseline is bad."""
_FARTHEST_POINTING = 1.5
"""Primary beam widths beyond which pointing errors grow no further: the beam's slope is that of its sidelobes."""


@dataclass(frozen=True)
class Calibration:
    """What went wrong in a whole observation, whatever the source.

    Attributes
    ----------
    quality
        (n_intervals, n_antennas) size of the gain errors relative to the typical one.
    amplitude, phase
        (n_intervals, n_antennas) unit deviates of the gain errors that all sources share.
    pointing
        (n_intervals, n_antennas, 2) pointing offsets x, y, primary beam FWHM.
    baseline_errors
        (M,) complex relative errors of single baselines, 0 for good visibilities.
    """

    quality: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    phase: NDArray[np.float64]
    pointing: NDArray[np.float64]
    baseline_errors: NDArray[np.complex128]


def draw_calibration(config: ImagingConfig, rng: np.random.Generator, coverage: Coverage) -> Calibration:
    """Errors that a whole observation shares.

    Antennas and intervals differ in quality (log-normal of mean square 1), so that a few of them dominate:
    one bad antenna leaves rings or arcs, one bad interval spokes and stripes. Half of the variance of a pointing
    error stays the whole observation, the rest changes with every interval.
    """
    shape = max(1, round(60.0 * config.hour_angle_span / config.gain_interval)), coverage.n_antennas
    quality = np.exp(rng.normal(0.0, 0.8, shape[1]) + rng.normal(0.0, 0.8, (shape[0], 1)) - 2 * 0.8**2)
    amplitude, phase = rng.standard_normal((2, *shape))
    steady, changing = rng.standard_normal((shape[1], 2)), rng.standard_normal((*shape, 2))
    pointing = config.pointing_error * math.sqrt(0.5) * (steady + changing)
    return Calibration(quality, amplitude, phase, pointing, _baseline_errors(config, rng, coverage))


def _baseline_errors(
    config: ImagingConfig, rng: np.random.Generator, coverage: Coverage
) -> NDArray[np.complex128]:
    """Errors (M,) of the order of the visibility itself on a few baselines, each for a while."""
    errors = np.zeros(len(coverage.weight), dtype=np.complex128)
    for _ in range(rng.poisson(config.bad_baselines)):
        pair = rng.choice(coverage.n_antennas, 2, replace=False)
        hours = math.exp(rng.uniform(*np.log(_BAD_SHARE))) * config.hour_angle_span
        begin = rng.uniform(0.0, config.hour_angle_span - hours)
        bad = (coverage.first == pair.min()) & (coverage.second == pair.max())
        bad &= (coverage.hour >= begin) & (coverage.hour <= begin + hours)
        errors[bad] = rng.uniform(0.3, 1.5) * np.exp(2j * math.pi * rng.uniform())
    return errors


def source_gains(
    config: ImagingConfig, rng: np.random.Generator, calibration: Calibration, *, offset: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Complex gains (n_intervals, n_antennas) towards one source; 1 for a perfect antenna.

    The share ``config.gain_sharing`` of the variance of the gain errors is that of the whole field, the rest is
    the source's own (direction dependent).

    Parameters
    ----------
    config, rng
        Sizes of the errors, and randomness.
    calibration
        Errors of the field.
    offset
        (2,) x and y of the source from the pointing centre, primary beam FWHM.
    """
    common, own = math.sqrt(config.gain_sharing), math.sqrt(1.0 - config.gain_sharing)
    amplitude, phase = rng.standard_normal((2, *calibration.quality.shape))
    amplitude = calibration.quality * (common * calibration.amplitude + own * amplitude)
    phase = calibration.quality * (common * calibration.phase + own * phase)
    gains: NDArray[np.complex128] = (1.0 + config.gain_amplitude_error * amplitude) * np.exp(
        1j * math.radians(config.gain_phase_error) * phase
    )
    return gains * pointing_gains(calibration.pointing, offset=offset)


def pointing_gains(pointing: NDArray[np.float64], *, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative voltage (n_intervals, n_antennas) that mispointed antennas see of a source.

    For a Gaussian primary beam of power FWHM 1, exp(-2 ln 2 (|r + d|^2 - |r|^2)) = exp(-4 ln 2 r.d) but for a
    factor that is the same in all directions, which calibration takes away: 1 at the centre, growing outwards.

    Parameters
    ----------
    pointing
        (n_intervals, n_antennas, 2) pointing offsets d, primary beam FWHM.
    offset
        (2,) place r of the source from the pointing centre, primary beam FWHM.
    """
    distance = float(np.hypot(*offset))
    place = offset * min(1.0, _FARTHEST_POINTING / max(distance, 1e-12))
    gains: NDArray[np.float64] = np.exp(np.clip(-4.0 * math.log(2.0) * pointing @ place, -2.0, 1.0))
    return gains


def visibility_errors(
    config: ImagingConfig, coverage: Coverage, gains: NDArray[np.complex128], calibration: Calibration
) -> NDArray[np.complex128]:
    """Relative error (M,) of the visibilities of a source: g_i g_j* (1 + baseline error) - 1."""
    place = coverage.hour / config.hour_angle_span * len(gains)
    interval = np.minimum(place.astype(np.intp), len(gains) - 1)
    product = gains[interval, coverage.first] * np.conj(gains[interval, coverage.second])
    return product * (1.0 + calibration.baseline_errors) - 1.0


def ghost_errors(
    coverage: Coverage, *, x: NDArray[np.float64], y: NDArray[np.float64], flux: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Relative error (M,) of a calibrator's visibilities after phase self-calibration without its neighbours.

    Antenna p's phase takes up the mean over its baselines of what the missing sources put there,
    psi_p = Im <V_pq>_q. The corrected visibilities of the calibrator are off by -i (psi_p - psi_q), of which
    the part that belongs to the baseline itself is a copy of each missing source: a negative one of flux / n at
    its place and a positive one, its ghost, mirrored about the calibrator.

    Parameters
    ----------
    coverage
        Sampled uv plane.
    x, y
        (K,) pixels from the calibrator to the sources that its model lacks.
    flux
        (K,) their fluxes relative to the calibrator's.
    """
    missing = np.zeros(len(coverage.weight), dtype=np.complex128)
    for dx, dy, part in zip(x, y, flux, strict=True):
        missing += part * np.exp(-2j * math.pi * (coverage.kx * dx + coverage.ky * dy))
    cells = (int(coverage.sample.max(initial=0)) + 1) * coverage.n_antennas
    one, two = (coverage.sample * coverage.n_antennas + number for number in (coverage.first, coverage.second))
    total = np.bincount(one, missing.imag, minlength=cells) - np.bincount(two, missing.imag, minlength=cells)
    count = np.bincount(one, minlength=cells) + np.bincount(two, minlength=cells)
    phase = total / np.maximum(count + 1, 1)
    return -1j * (phase[one] - phase[two])
