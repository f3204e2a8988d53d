"""An interferometer's sampling of the uv plane: antennas, Earth-rotation tracks, weights, dirty beam.

Theory: Thompson, Moran & Swenson, *Interferometry and Synthesis in Radio Astronomy*, chapters 4 and 10;
robust weights after Briggs (1995).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.imaging.antennas import antenna_layout
from neanias_ml.simulation.imaging.config import ImagingConfig
from neanias_ml.simulation.imaging.gridding import image_of_visibilities
from neanias_ml.simulation.sources.models import Covariance

HOUR_ANGLE_RATE = 2.0 * math.pi / 24.0
"""Radians of hour angle per (sidereal) hour."""
_MAX_VISIBILITIES = 300_000
_SAMPLES_PER_HOUR = 60
_FEWEST_SAMPLES = 128
"""Per baseline: enough that a snapshot's band is a line in the uv plane, not a row of dots."""


@dataclass(frozen=True)
class Coverage:
    """Sampled visibilities, scaled so that the dirty beam's main lobe fits the restoring beam.

    Attributes
    ----------
    kx, ky
        (M,) spatial frequencies in cycles per pixel along the map's x and y.
    weight
        (M,) weights that sum to 1.
    first, second
        (M,) antenna numbers of the baseline.
    hour
        (M,) hours since the start of the observation.
    sample
        (M,) number of the sample in time.
    n_antennas
        Number of antennas.
    """

    kx: NDArray[np.float64]
    ky: NDArray[np.float64]
    weight: NDArray[np.float64]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    hour: NDArray[np.float64]
    sample: NDArray[np.intp]
    n_antennas: int


def observe(config: SkyConfig, *, beam: Covariance) -> Coverage:
    """Earth-rotation synthesis of a field with the configured array.

    The array is stretched (a linear map of the uv plane) until the curvature of the weighted dirty
    beam at its peak equals that of the restoring beam: 4 pi^2 <k k^T> = inverse beam covariance.

    Parameters
    ----------
    config
        Layout, declination, hour-angle span, bandwidth and robustness.
    beam
        Pixel covariance (2, 2) of the restoring beam.
    """
    layout = antenna_layout(config.imaging.layout)
    east, north = layout.positions.T
    first, second = np.triu_indices(len(east), 1)
    samples = max(int(config.imaging.hour_angle_span * config.imaging.scan_duty * _SAMPLES_PER_HOUR), _FEWEST_SAMPLES)
    samples = min(samples, max(2, _MAX_VISIBILITIES // len(first)))
    hours = _sample_hours(config.imaging, samples)
    u, v = _tracks(
        east[second] - east[first],
        north[second] - north[first],
        latitude=math.radians(layout.latitude),
        declination=math.radians(config.declination),
        hour_angle=HOUR_ANGLE_RATE * (hours - 0.5 * config.imaging.hour_angle_span),
    )
    stretch = 1.0 + config.imaging.bandwidth * (_band_places(*u.shape) - 0.5)
    k = np.stack([-(u * stretch).ravel(), (v * stretch).ravel()])  # right ascension grows towards -x
    weight = np.full(k.shape[1], 1.0 / k.shape[1])
    for _ in range(3):  # weights depend on the density of the stretched plane, the stretch on the weights
        k = _fit_main_lobe(k, weight, beam=beam)
        weight = _briggs_weights(k, robust=config.imaging.robust)
        radius = np.sqrt(np.einsum("im,ij,jm->m", k, beam, k))
        weight *= np.exp(-0.5 * (2.0 * math.pi * radius / 3.0) ** 2) * (np.abs(k).max(0) < 0.49)
        weight /= weight.sum()
    k = _fit_main_lobe(k, weight, beam=beam)
    used = (weight > 0.0) & (np.abs(k).max(0) < 0.49)
    antennas = np.tile(first, samples)[used], np.tile(second, samples)[used]
    sample = np.repeat(np.arange(samples), len(first))[used]
    weight = weight[used] / weight[used].sum()
    return Coverage(k[0, used], k[1, used], weight, *antennas, hours[sample], sample, len(east))


def _sample_hours(config: ImagingConfig, samples: int) -> NDArray[np.float64]:
    """Hours (samples,) since the start: ``scans`` equal scans with gaps between them."""
    place = (np.arange(samples) + 0.5) / samples * config.scans
    scan = np.floor(place)
    return (scan + 0.5 + config.scan_duty * (place - scan - 0.5)) * config.hour_angle_span / config.scans


def _band_places(samples: int, baselines: int) -> NDArray[np.float64]:
    """Places in the band in [0, 1) (samples, baselines), spread evenly along each track.

    One frequency per sample stands for the whole band: neighbouring samples of a track complement each
    other (golden-ratio sequences), which smears far sidelobes as multi-frequency synthesis does.
    """
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    return np.mod(np.arange(samples)[:, None] * golden + np.arange(baselines) * math.sqrt(2.0), 1.0)


def _tracks(
    east: NDArray[np.float64],
    north: NDArray[np.float64],
    *,
    latitude: float,
    declination: float,
    hour_angle: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """u and v (n_times, n_baselines) in the unit of the baselines."""
    x, y, z = -math.sin(latitude) * north, east, math.cos(latitude) * north
    sine, cosine = np.sin(hour_angle)[:, None], np.cos(hour_angle)[:, None]
    u = sine * x + cosine * y
    v = math.sin(declination) * (sine * y - cosine * x) + math.cos(declination) * z
    return u, v


def _fit_main_lobe(
    k: NDArray[np.float64], weight: NDArray[np.float64], *, beam: Covariance
) -> NDArray[np.float64]:
    """Stretch spatial frequencies (2, M) so that their weighted second moment matches the beam."""
    moment: NDArray[np.float64] = np.einsum("im,jm,m->ij", k, k, weight) / weight.sum()
    wanted = np.asarray(np.linalg.inv(beam) / (4.0 * math.pi**2), dtype=np.float64)
    return _matrix_power(wanted, 0.5) @ _matrix_power(moment, -0.5) @ k


def _matrix_power(matrix: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**power) @ vectors.T


def _briggs_weights(k: NDArray[np.float64], *, robust: float, cells: int = 512) -> NDArray[np.float64]:
    """Weights (M,) between natural and uniform from the density of samples in uv cells."""
    row, column = np.rint(k[1] * cells).astype(int) % cells, np.rint(k[0] * cells).astype(int) % cells
    cell = row * cells + column
    mirrored = (-row % cells) * cells + (-column % cells)
    count = np.bincount(cell, minlength=cells**2) + np.bincount(mirrored, minlength=cells**2)
    mean_density = float((count.astype(float) ** 2).sum() / count.sum())
    weights: NDArray[np.float64] = 1.0 / (1.0 + count[cell] * (5.0 * 10.0**-robust) ** 2 / mean_density)
    return weights


def dirty_beam(coverage: Coverage, *, extent: int) -> NDArray[np.float32]:
    """Point response (extent, extent) of unit peak, centred on pixel (extent // 2, extent // 2)."""
    return image_of_visibilities(coverage.kx, coverage.ky, coverage.weight, extent=extent)
