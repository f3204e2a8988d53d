"""Cutouts varied at random: fainter, turned, mirrored, a little larger or smaller.

A faded object loses the pixels of its islands that sink below the threshold, and what is left fills the frame again, as
if it had been found so.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.channels import FWHM_PER_SIGMA, asinh_scale
from neanias_ml.datasets.circles import enclosing_circle, outer_corners
from neanias_ml.datasets.cutout_store import MARGIN, MOST_ISLANDS, MorphologyCutout
from neanias_ml.training.morphology.feed import CutoutFeedConfig

FloatMap = NDArray[np.float32]
FloatArray = NDArray[np.float64]

SEED_SNR, MERGE_SNR = 5.0, 2.6
"""Thresholds of islands: of at least one pixel, and of all."""
EIGHT = np.ones((3, 3), dtype=bool)
RESAMPLING_VARIANCE = 1 / 6
"""Variance per axis, in pixels, of the triangle over which a frame averages a map that it shrinks."""
CUBIC, NEAREST = 3, 0
"""Orders of interpolation; linear would take a good part of the noise away."""


def vary(cutout: MorphologyCutout, rng: np.random.Generator, config: CutoutFeedConfig) -> MorphologyCutout:
    """A variation of a cutout; the same generator state gives the same one."""
    faded = fade(cutout, rng, faintest=config.faintest) if rng.random() < config.fade else cutout
    error = 1.0 + config.noise_jitter * float(rng.uniform(-1.0, 1.0))
    angle = float(rng.uniform(0.0, 2 * math.pi)) if config.rotate else 0.0
    mirrored = config.rotate and bool(rng.random() < 0.5)
    zoom = 1.0 + config.zoom * float(rng.uniform(-1.0, 1.0))
    if faded is not cutout:
        centre, radius = enclosing_circle(outer_corners(faded.islands > 0))
        centre = centre - 0.5  # from the outer edge of the first pixel to its centre
        zoom *= cutout.size / (2 * MARGIN * radius)
    else:
        centre = np.full(2, (cutout.size - 1) / 2)
    if error != 1.0:
        faded = dataclasses.replace(faded, asinh_snr=_compressed(faded.significance / np.float32(error)))
    if angle == 0 and not mirrored and zoom == 1:
        return faded
    return turned(faded, angle=angle, mirrored=mirrored, zoom=zoom, centre=centre)


def fade(cutout: MorphologyCutout, rng: np.random.Generator, *, faintest: float) -> MorphologyCutout:
    """The object at a lower signal to noise, the noise around it as strong as before.

    With noise ``n`` of unit rms, signal to noise becomes ``f * snr + sqrt(1 - f**2) * n``. Islands keep the pixels that
    stay above the merge threshold, in pieces that hold one above the seed threshold.

    Parameters
    ----------
    faintest
        Least signal to noise of the brightest pixel; fainter objects stay as they are, and so do those of which noise
        would leave no island.
    """
    snr = cutout.significance
    peak = float(np.nan_to_num(snr[cutout.islands > 0]).max(initial=0.0))
    if peak <= faintest:
        return cutout
    factor = (faintest / peak) ** float(rng.random())
    noise = frame_noise(rng, size=cutout.size, beam=cutout.beam)
    snr = np.float32(factor) * snr + np.float32(math.sqrt(1 - factor**2)) * noise
    islands = _remaining(cutout.islands, snr)
    if not islands.any():
        return cutout
    return dataclasses.replace(cutout, asinh_snr=_compressed(snr), islands=islands)


def frame_noise(rng: np.random.Generator, *, size: int, beam: float) -> FloatMap:
    """Noise (size, size) as a frame shows that of a map: of unit rms in the map's pixels, correlated over the beam.

    Parameters
    ----------
    beam
        FWHM of the beam in pixels of the frame; where it is not sampled, averaging takes noise away.
    """
    own = (beam / FWHM_PER_SIGMA) ** 2
    # a frame that enlarges its map only interpolates: then the beam is several pixels wide and this is small beside it
    sigma = math.sqrt(own + RESAMPLING_VARIANCE)
    reach = max(1, math.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= math.sqrt(float((kernel**2).sum()))
    white = rng.standard_normal((size + 2 * reach, size + 2 * reach)).astype(np.float32)
    smooth = ndimage.convolve1d(ndimage.convolve1d(white, kernel, axis=0), kernel, axis=1)
    rms = math.sqrt(own / (own + RESAMPLING_VARIANCE))
    return (np.float32(rms) * smooth[reach : reach + size, reach : reach + size]).astype(np.float32)


def turned(
    cutout: MorphologyCutout, *, angle: float, mirrored: bool, zoom: float, centre: FloatArray
) -> MorphologyCutout:
    """A cutout turned about a point that moves to the middle of the frame, and enlarged.

    Parameters
    ----------
    angle
        Radians.
    mirrored
        Mirror before turning.
    zoom
        Factor on sizes.
    centre
        (2,) row and column.
    """
    cosine, sine = math.cos(angle), math.sin(angle)
    matrix = np.array([[cosine, -sine], [sine, cosine]]) / zoom
    if mirrored:
        matrix = np.diag([1.0, -1.0]) @ matrix
    offset = centre - matrix @ np.full(2, (cutout.size - 1) / 2)

    def moved(values: NDArray[Any], *, order: int, beyond: float) -> NDArray[Any]:
        result: NDArray[Any] = ndimage.affine_transform(
            values, matrix, offset, order=order, mode="grid-constant", cval=beyond
        )
        return result

    asinh = cutout.asinh_snr.astype(np.float32)
    blank = ~np.isfinite(asinh)
    islands = moved(cutout.islands, order=NEAREST, beyond=0).astype(np.uint8)
    if not islands.any():  # a single pixel may fall between those of the new frame
        return cutout
    values = moved(np.where(blank, np.float32(0), asinh), order=CUBIC, beyond=0.0).astype(np.float32)
    hidden = moved(blank.astype(np.float32), order=NEAREST, beyond=1.0) > 0
    values[hidden] = np.nan
    return dataclasses.replace(
        cutout, asinh_snr=values.astype(np.float16), islands=islands, beam=cutout.beam * zoom
    )


def _remaining(islands: NDArray[np.uint8], snr: FloatMap) -> NDArray[np.uint8]:
    """Islands as they would be found at another signal to noise within the old ones, numbered anew."""
    result = np.zeros_like(islands)
    count = 0
    above = np.nan_to_num(snr) >= MERGE_SNR
    for number in np.unique(islands[islands > 0]):
        pieces, n_pieces = ndimage.label((islands == number) & above, structure=EIGHT)
        seeded = np.unique(pieces[(pieces > 0) & (snr >= SEED_SNR)])
        lookup = np.zeros(n_pieces + 1, dtype=np.uint8)
        lookup[seeded] = np.minimum(count + 1 + np.arange(len(seeded)), MOST_ISLANDS)
        result += lookup[pieces]
        count += len(seeded)
    return result


def _compressed(snr: FloatMap) -> NDArray[np.float16]:
    return asinh_scale(snr).astype(np.float16)
