"""Statistics of a map's noise: its power spectrum and how much that depends on direction."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neanias_ml.maps import FWHM_PER_SIGMA

SPECTRUM_EDGES = np.linspace(0.05, 1.25, 13)
"""Bins of the noise spectrum, cycles per beam FWHM."""
RING = (0.3, 0.8)
"""Cycles per beam between which directions are compared: most of the weight of a map lies there."""
SECTORS = 18
FloatArray = NDArray[np.float64]


def noise_power(
    significance: NDArray[np.floating], *, usable: NDArray[np.bool_], beam: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Power of a map's noise on its cells of the uv plane.

    The map is weighted with a Hann window and zero where it is not usable, which blurs the spectrum a little. Spatial
    frequencies are taken in the frame in which the beam is round.

    Parameters
    ----------
    significance
        Noise (ny, nx), any unit.
    usable
        (ny, nx) pixels with noise alone: neither blank nor near sources.
    beam
        Pixel covariance (2, 2) of the beam.

    Returns
    -------
    tuple
        Spatial frequencies (ny, nx, 2) along two axes in cycles per beam FWHM, and power (ny, nx) of noise of unit
        variance, in beam areas: 2 exp(-pi^2 k^2 / (2 ln 2)) for white noise seen through a Gaussian beam.

    Raises
    ------
    ValueError
        If no pixel is usable or the noise is zero.
    """
    shape = significance.shape
    window = np.outer(np.hanning(shape[0]), np.hanning(shape[1])) * usable
    weight = float((window**2).sum())
    if weight == 0.0:
        raise ValueError("no pixel of the map is noise alone")
    values = np.where(usable, significance, 0.0).astype(np.float64)
    values -= float((values * window**2).sum() / weight)
    variance = float((values**2 * window**2).sum() / weight)
    if variance == 0.0:
        raise ValueError("the map has no noise")
    beam_area = 2.0 * math.pi * math.sqrt(float(np.linalg.det(beam)))
    power = np.abs(fft.fft2(values * window, workers=1)) ** 2 / (weight * variance * beam_area)
    sizes, axes = np.linalg.eigh(beam)
    to_round = axes @ np.diag(np.sqrt(sizes)) @ axes.T * FWHM_PER_SIGMA
    ky, kx = np.meshgrid(fft.fftfreq(shape[0]), fft.fftfreq(shape[1]), indexing="ij")
    return np.stack([kx, ky], -1) @ to_round, power


def noise_spectrum(frequency: FloatArray, power: FloatArray, *, edges: FloatArray = SPECTRUM_EDGES) -> FloatArray:
    """Mean power (len(edges) - 1,) in rings of spatial frequency; NaN in rings beyond the pixels' Nyquist limit."""
    radius = np.hypot(frequency[..., 0], frequency[..., 1])
    ring = np.digitize(radius.ravel(), edges) - 1
    inside = (ring >= 0) & (ring < len(edges) - 1)
    sums = np.bincount(ring[inside], power.ravel()[inside], minlength=len(edges) - 1)
    counts = np.bincount(ring[inside], minlength=len(edges) - 1)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


def directional_contrast(frequency: FloatArray, power: FloatArray) -> float:
    """Scatter of the power among directions: standard deviation over mean of sectors between the radii `RING`.

    Near zero for noise without a preferred direction; the arms of an array's snapshot raise it.
    """
    radius = np.hypot(frequency[..., 0], frequency[..., 1])
    inside = (radius > RING[0]) & (radius < RING[1])
    angle = np.arctan2(frequency[..., 1], frequency[..., 0])[inside] % math.pi
    sector = np.minimum((angle / math.pi * SECTORS).astype(np.intp), SECTORS - 1)
    counts = np.bincount(sector, minlength=SECTORS)
    means = np.bincount(sector, power[inside], minlength=SECTORS)[counts > 0] / counts[counts > 0]
    return float(means.std() / means.mean())
