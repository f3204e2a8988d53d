"""Islands of images with known sources, as the fits take them."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage
from skimage.segmentation import expand_labels

from neanias_ml.extraction.islands.pixels import IslandPixels
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, round_covariance

BEAM = round_covariance(BEAM_PIXELS)


def islands_of(image, *, merge=2.6, seed=5.0, margin=2.5, noise=1.0):
    """Islands of an image in Jy/beam with one noise level, each with a margin."""
    labels, count = ndimage.label(image >= merge * noise, structure=np.ones((3, 3)))
    peaks = ndimage.maximum(image, labels, np.arange(count + 1))
    keep = np.concatenate([[False], peaks[1:] >= seed * noise])
    numbers = np.where(keep, np.cumsum(keep), 0)
    labels = numbers[labels].astype(np.int32)
    wide = expand_labels(labels, margin).astype(np.int32)
    pixels = IslandPixels.from_labels(
        wide, flux=image.astype(np.float32), noise=np.full(image.shape, noise, dtype=np.float32)
    )
    return dataclasses.replace(pixels, inside=labels[pixels.y, pixels.x] > 0)


def injected(rng, *, peaks, shape=BEAM, spacing=40, side=12):
    """Sources on a jittered lattice over correlated noise of unit rms: image and (N, 3) x, y, peak."""
    size = spacing * side
    image = correlated_noise((size, size), rng)
    rows, columns = np.divmod(np.arange(side * side), side)
    x = (columns + 0.5) * spacing + rng.uniform(-2, 2, side * side)
    y = (rows + 0.5) * spacing + rng.uniform(-2, 2, side * side)
    peak = rng.uniform(*peaks, side * side)
    half = spacing // 2
    for source in range(side * side):
        x0, y0 = round(x[source]) - half, round(y[source]) - half
        x0, y0 = max(0, x0), max(0, y0)
        stamp = image[y0 : y0 + 2 * half, x0 : x0 + 2 * half]
        stamp += peak[source] * gaussian(stamp.shape, x[source] - x0, y[source] - y0, shape)
    return image, np.stack([x, y, peak], axis=1)


def whole_stamp(image, *, noise=1.0):
    """One island that owns every pixel of a small image."""
    ones = np.ones(image.shape, dtype=np.int32)
    return IslandPixels.from_labels(
        ones, flux=image.astype(np.float32), noise=np.full(image.shape, noise, dtype=np.float32)
    )
