"""The five input channels of the network, from signal to noise on the resampled grid, and back.

Intensities are counted in the map's own noise, never stretched by the content of a tile, and the negative side
survives: negative bowls are the signature of artefacts. The asinh channels are not clipped, so that signal to noise
can be taken from them again: whoever changes a tile changes that, and makes all channels anew.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatMap = NDArray[np.float32]

CHANNEL_NAMES = ("snr", "asinh_snr", "smoothed_snr", "island", "valid")
"""Signal to noise in [-5, 30] / 30; its asinh; the asinh of the smoothed one; island support; not blank."""

SNR_CLIP = (-5.0, 30.0)
ASINH_SOFTENING = 3.0
ASINH_UNIT = math.asinh(100.0)
"""asinh channels reach 1 at 300 sigma and go on from there."""

SMOOTHING_BEAMS = 4.0
"""FWHM of the smoothing Gaussian in beam widths: diffuse emission and the surroundings of bright sources."""
KERNEL_SIGMAS = 3.0
"""The smoothing kernel ends at this many standard deviations."""
FWHM_PER_SIGMA = math.sqrt(8.0 * math.log(2.0))


def smoothing_radius(beam_fwhm_pixels: float) -> int:
    """Half-width of the smoothing kernel in pixels: the halo that a window needs to see what the whole map sees."""
    return int(KERNEL_SIGMAS * SMOOTHING_BEAMS * beam_fwhm_pixels / FWHM_PER_SIGMA + 0.5)


def significance(pixels: FloatMap, background: FloatMap, noise: FloatMap) -> FloatMap:
    """Signal to noise (ny, nx) of pixels in Jy/beam; NaN where blank or without noise."""
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = (pixels - background) / noise
    return np.where(np.isfinite(snr) & (noise > 0), snr, np.float32(np.nan)).astype(np.float32, copy=False)


def smooth_significance(snr: FloatMap, *, beam_fwhm_pixels: float, zero_beyond: bool = False) -> FloatMap:
    """Signal to noise of the map smoothed by a Gaussian of `SMOOTHING_BEAMS` beams, in its own noise.

    Blank pixels carry no weight. Noise that is correlated over the beam falls by sqrt(1 + SMOOTHING_BEAMS^2) when
    smoothed; the result is scaled by that, so that empty sky has unit rms.

    Parameters
    ----------
    snr
        (ny, nx), NaN where blank; beyond its edges counts as blank.
    beam_fwhm_pixels
        Beam width in pixels of this grid.
    zero_beyond
        Beyond the edges lie pixels of value 0 instead: for changes of a map that are made within a window of it.
    """
    sigma, radius = SMOOTHING_BEAMS * beam_fwhm_pixels / FWHM_PER_SIGMA, smoothing_radius(beam_fwhm_pixels)
    valid = np.isfinite(snr)
    total = ndimage.gaussian_filter(np.where(valid, snr, np.float32(0)), sigma, mode="constant", radius=radius)
    scale = math.sqrt(1.0 + SMOOTHING_BEAMS**2)
    if zero_beyond and valid.all():
        return (scale * total).astype(np.float32, copy=False)
    beyond = 1.0 if zero_beyond else 0.0
    weight = ndimage.gaussian_filter(valid.astype(np.float32), sigma, mode="constant", cval=beyond, radius=radius)
    smoothed = np.divide(scale * total, weight, out=np.zeros_like(total), where=weight > 1e-3)
    return smoothed.astype(np.float32, copy=False)


def channels_from_significance(
    snr: FloatMap, island_support: NDArray[np.bool_], *, beam_fwhm_pixels: float
) -> FloatMap:
    """The channels (5, ny, nx) float32 of a window of signal to noise (NaN where blank), all finite.

    The smoothed channel is exact at `smoothing_radius` pixels or more from edges that are not the map's own: give a
    window with that halo and cut it afterwards.
    """
    return assemble_channels(snr, smooth_significance(snr, beam_fwhm_pixels=beam_fwhm_pixels), island_support)


def assemble_channels(snr: FloatMap, smoothed: FloatMap, island_support: NDArray[np.bool_]) -> FloatMap:
    """The channels (5, ny, nx) float32, all finite.

    Parameters
    ----------
    snr
        (ny, nx) signal to noise, NaN where blank.
    smoothed
        (ny, nx) what `smooth_significance` says of it; not used where blank.
    island_support
        (ny, nx) True on islands.
    """
    valid = np.isfinite(snr)
    channels = np.zeros((len(CHANNEL_NAMES), *snr.shape), dtype=np.float32)
    filled = np.where(valid, snr, np.float32(0))
    np.divide(np.clip(filled, *SNR_CLIP), np.float32(SNR_CLIP[1]), out=channels[0])
    channels[1] = asinh_scale(filled)
    channels[2] = np.where(valid, asinh_scale(smoothed), np.float32(0))
    channels[3] = np.asarray(island_support, dtype=bool) & valid
    channels[4] = valid
    return channels


def asinh_scale(snr: FloatMap) -> FloatMap:
    """Signal to noise compressed to asinh(snr / 3) / asinh(100)."""
    return (np.arcsinh(snr / np.float32(ASINH_SOFTENING)) / np.float32(ASINH_UNIT)).astype(np.float32, copy=False)


def significance_of_asinh(channel: NDArray[np.floating]) -> FloatMap:
    """Signal to noise float32 from an asinh channel: undoes `asinh_scale`.

    A channel kept as float16 gives it to 0.01 around zero and to half a per cent up to a thousand sigma.
    """
    compressed = np.asarray(channel, dtype=np.float32)
    return np.sinh(compressed * np.float32(ASINH_UNIT)) * np.float32(ASINH_SOFTENING)
