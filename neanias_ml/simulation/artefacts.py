"""Imaging faults: sidelobes left by shallow deconvolution, gain errors, bowls of missing spacings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neanias_ml.maps import Window
from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.interferometer import Coverage, grid_visibilities
from neanias_ml.simulation.sources import Covariance, Gaussians, SourceModel, Stamp, gaussian_transfer

CULPRIT_SNR = 40.0
"""Sources fainter than this leave no sidelobes above the noise and are skipped."""
MAX_CULPRITS = 16
"""Only the brightest so many sources are treated."""
MAX_DILUTION = 4.0
"""Gaussians with more total flux per peak than this are no culprits."""
_MAX_GRID = 2048
"""Most rows and columns of a source's stamp, so that its transforms stay small in large maps."""


@dataclass(frozen=True)
class Artefacts:
    """False emission of a field.

    Attributes
    ----------
    image
        (ny, nx) float32 sum of all sidelobes and error beams, Jy/beam (without bowls).
    culprit
        (ny, nx) int32 number (1-based, in the list of sources) of the source that contributes most
        at each pixel; 0 where there is none.
    """

    image: NDArray[np.float32]
    culprit: NDArray[np.int32]


def draw_gains(config: SkyConfig, rng: np.random.Generator, coverage: Coverage) -> NDArray[np.complex128]:
    """Complex gains (n_intervals, n_antennas), 1 for a perfect antenna, constant over each interval.

    Antennas and intervals differ in quality (log-normal of mean square 1), so that a few of them dominate:
    one bad antenna leaves rings or arcs, one bad interval spokes and stripes.
    """
    shape = max(1, round(60.0 * config.hour_angle_span / config.gain_interval)), coverage.n_antennas
    quality = np.exp(rng.normal(0.0, 0.8, shape[1]) + rng.normal(0.0, 0.8, (shape[0], 1)) - 2 * 0.8**2)
    amplitude = 1.0 + config.gain_amplitude_error * quality * rng.standard_normal(shape)
    phase = math.radians(config.gain_phase_error) * quality * rng.standard_normal(shape)
    gains: NDArray[np.complex128] = amplitude * np.exp(1j * phase)
    return gains


def gain_error_visibilities(
    config: SkyConfig, coverage: Coverage, gains: NDArray[np.complex128]
) -> NDArray[np.complex128]:
    """Weighted error (M,) that gains (n_intervals, n_antennas) put on a unit point source: w (g_i g_j* - 1)."""
    place = coverage.hour / config.hour_angle_span * len(gains)
    interval = np.minimum(place.astype(np.intp), len(gains) - 1)
    error = gains[interval, coverage.first] * np.conj(gains[interval, coverage.second]) - 1.0
    return coverage.weight * error


def sidelobe_artefacts(
    config: SkyConfig,
    rng: np.random.Generator,
    sources: list[SourceModel],
    *,
    coverage: Coverage,
    beam: Covariance,
    noise: NDArray[np.float32],
) -> Artefacts:
    """Residual sidelobes and error beams around the bright sources.

    A source of flux S cleaned down to the fraction f leaves ``f S (dirty beam - restoring beam)``;
    gain errors, drawn anew for each source (direction dependent), leave S times the transform of the
    weighted errors: rings, spokes and stripes.

    Sidelobes are worked out on a stamp of twice the map's size, at most 2048 pixels, around each source. They taper
    off from 0.6 of half a stamp along either axis and end at its edge. So in maps of more than 1024 pixels they
    weaken 614 pixels from their source and end 1024 pixels from it, where real ones go on; a source more than
    1024 pixels beyond the edge leaves nothing in the map.

    Parameters
    ----------
    config, rng
        Fault amplitudes and randomness.
    sources
        All sources of the field; bright ones are picked here.
    coverage
        Sampled uv plane.
    beam
        Pixel covariance (2, 2) of the restoring beam.
    noise
        Local rms (ny, nx), Jy/beam.
    """
    image = np.zeros(noise.shape, dtype=np.float32)
    strongest = np.zeros(noise.shape, dtype=np.float32)
    culprit = np.zeros(noise.shape, dtype=np.int32)
    size = fft.next_fast_len(min(2 * config.size, _MAX_GRID), real=True)
    perfect = grid_visibilities(coverage, coverage.weight, size=size)
    area = 2.0 * math.pi * math.sqrt(float(np.linalg.det(beam)))
    missing = perfect - gaussian_transfer((size, size), beam) * np.float32(area / size**2)
    taper = _taper(size)
    for number, gaussians in _culprits(sources, beam=beam, noise=noise):
        depth = min(1.0, config.clean_depth * math.exp(rng.normal(0.0, 0.4)))
        gains = draw_gains(config, rng, coverage)
        errors = gain_error_visibilities(config, coverage, gains)
        response = grid_visibilities(coverage, errors, size=size) + np.float32(depth) * missing
        stamp, left, top = _source_response(gaussians, response, beam=beam)
        stamp *= taper
        _deposit(stamp, left, top, number + 1, image=image, strongest=strongest, culprit=culprit)
    return Artefacts(image, culprit)


def _culprits(
    sources: list[SourceModel], *, beam: Covariance, noise: NDArray[np.float32]
) -> list[tuple[int, Gaussians]]:
    """Sources with a compact Gaussian brighter than `CULPRIT_SNR`, brightest first: index and Gaussians.

    Wider Gaussians are left out: their sidelobes are those of the short spacings (`negative_bowls`).
    """
    ranked = []
    typical = float(np.median(noise))
    for number, source in enumerate(sources):
        peaks = source.gaussians.peak_flux(beam)
        compact = source.gaussians.total_flux < MAX_DILUTION * peaks
        bright = compact & (peaks > 0.1 * peaks.max(where=compact, initial=0.0))
        snr = float(peaks.max(where=bright, initial=0.0)) / typical
        if snr >= CULPRIT_SNR:
            ranked.append((-snr, number, source.gaussians.select(bright)))
    ranked.sort(key=lambda row: row[:2])
    return [(number, gaussians) for _, number, gaussians in ranked[:MAX_CULPRITS]]


def _source_response(
    gaussians: Gaussians, response: NDArray[np.complex64], *, beam: Covariance
) -> tuple[NDArray[np.float32], int, int]:
    """Response map to some Gaussians with the map column and row of its first pixel."""
    size = response.shape[0]
    reference = int(np.argmax(gaussians.peak_flux(beam)))
    x0, y0 = round(float(gaussians.x[reference])), round(float(gaussians.y[reference]))
    kx, ky = fft.rfftfreq(size), fft.fftfreq(size)
    spectrum = np.zeros_like(response)
    for x, y, flux, width in zip(
        gaussians.x, gaussians.y, gaussians.total_flux, gaussians.covariance, strict=True
    ):
        ramp_x = np.exp(-2j * math.pi * kx * (x - x0 + size // 2)).astype(np.complex64)
        ramp_y = (flux * np.exp(-2j * math.pi * ky * (y - y0 + size // 2))).astype(np.complex64)
        part = ramp_y[:, None] * ramp_x
        if width[0, 0] + width[1, 1] > 0.02 * (beam[0, 0] + beam[1, 1]):
            part *= gaussian_transfer((size, size), width)
        spectrum += part
    stamp = fft.irfft2(spectrum * response, s=(size, size), workers=1) * np.float32(size * size)
    return stamp, x0 - size // 2, y0 - size // 2


def _taper(size: int) -> NDArray[np.float32]:
    """A window (size, size) that falls smoothly to 0 at the edge of a stamp, so that no edge shows."""
    offset = np.abs(np.arange(size) - size // 2) / (size / 2)
    profile = np.where(offset < 0.6, 1.0, np.cos(0.5 * math.pi * (offset - 0.6) / 0.4) ** 2)
    return np.outer(profile, profile).astype(np.float32)


def _deposit(
    stamp: NDArray[np.float32],
    left: int,
    top: int,
    number: int,
    *,
    image: NDArray[np.float32],
    strongest: NDArray[np.float32],
    culprit: NDArray[np.int32],
) -> None:
    """Add a stamp to the artefact image where they overlap, if they do, and keep the strongest contributor."""
    size = stamp.shape[0]
    clipped = Stamp(Window(top, top + size, left, left + size), stamp).inside((image.shape[0], image.shape[1]))
    if clipped is None:
        return
    window, part = clipped.window, clipped.data
    image[window.slices] += part
    stronger = np.abs(part) > strongest[window.slices]
    strongest[window.slices][stronger] = np.abs(part)[stronger]
    culprit[window.slices][stronger] = number


def negative_bowls(
    model: NDArray[np.float32], *, fraction: float, scale: float
) -> NDArray[np.float32]:
    """What missing short spacings take away (<= 0, Jy/beam).

    Parameters
    ----------
    model
        Noise-free model (ny, nx), Jy/beam.
    fraction
        Fraction of the large-scale flux that is lost.
    scale
        FWHM in pixels of the Gaussian that separates large scales from small ones.
    """
    if fraction == 0.0 or not model.any():
        return np.zeros_like(model)
    margin = math.ceil(1.5 * scale)
    size = fft.next_fast_len(model.shape[0] + margin, real=True), fft.next_fast_len(model.shape[1] + margin, real=True)
    spectrum = fft.rfft2(model, s=size, workers=1)
    spectrum *= gaussian_transfer(size, np.eye(2) * scale**2 / (8.0 * math.log(2.0)))
    smooth = fft.irfft2(spectrum, s=size, workers=1)[: model.shape[0], : model.shape[1]]
    return (-fraction * np.clip(smooth, 0.0, None)).astype(np.float32)
