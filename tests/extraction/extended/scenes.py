"""Residual significance maps with known extended emission: noise, remnants of compact sources, sidelobes, shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

FWHM_TO_SIGMA = 1 / 2.3548
SHAPES = ("shell", "disk", "filament")


@dataclass(frozen=True)
class Scene:
    """A map and the shapes in it.

    Attributes
    ----------
    significance
        (n, n) float32.
    footprints
        (n, n) int32, 0 or the number (from 1) of the shape that is brighter than a third of its peak there.
    emission
        (n, n) float32 the shapes alone, in sigma.
    kinds
        The kind of each shape.
    """

    significance: np.ndarray
    footprints: np.ndarray
    emission: np.ndarray
    kinds: tuple[str, ...] = ()


def correlated_noise(rng, *, size, beam):
    """Unit noise with the correlation of the beam."""
    sigma = beam * FWHM_TO_SIGMA
    pad = int(4 * sigma) + 1
    white = rng.normal(size=(size + 2 * pad, size + 2 * pad)).astype(np.float32)
    smooth = ndimage.gaussian_filter(white, sigma)[pad:-pad, pad:-pad]
    return smooth * np.float32(2 * np.sqrt(np.pi) * sigma)


def compact_residuals(rng, *, size, beam, per_megapixel=2400.0):
    """What is left of point sources: those below 5 sigma entirely, brighter ones within their errors.

    Counts fall as the power -1.35 of the signal to noise above 0.7, as in the deep fields of current surveys.
    """
    count = rng.poisson(per_megapixel * size**2 / 1024**2)
    snr = 0.7 * rng.uniform(size=count) ** (-1 / 1.35)
    y, x = rng.uniform(0, size, (2, count))
    out = np.zeros((size, size), dtype=np.float32)
    sigma = beam * FWHM_TO_SIGMA
    for peak, cy, cx in zip(snr, y, x, strict=True):
        _add_gaussian(out, peak, cy, cx, sigma)
        if peak >= 5:
            error = sigma / peak
            left = peak + rng.normal() * np.hypot(1.0, 0.01 * peak)
            _add_gaussian(out, -left, cy + rng.normal() * error, cx + rng.normal() * error, sigma)
    return out - np.median(out)


def sidelobes(rng, *, size, beam, sources=1, peak=6.0):
    """Rays and rings around bright sources: alternating in sign, weaker outwards."""
    rows, cols = np.mgrid[:size, :size].astype(np.float32)
    out = np.zeros((size, size), dtype=np.float32)
    for _ in range(sources):
        cy, cx = rng.uniform(0.1 * size, 0.9 * size, 2)
        distance = np.hypot(rows - cy, cols - cx) + beam
        angle = np.arctan2(rows - cy, cols - cx)
        rays = np.cos(12 * angle + rng.uniform(0, 6)) ** 5
        rings = np.cos(2 * np.pi * distance / (5 * beam))
        out += peak * (0.5 * rays + 0.5 * rings) * np.exp(-distance / (20 * beam))
    return out


def with_shapes(rng, *, size, beam, brightness, kinds, background=None):
    """A scene with one shape in each cell of a lattice, all of the same surface brightness in sigma."""
    emission = np.zeros((size, size), dtype=np.float32)
    footprints = np.zeros((size, size), dtype=np.int32)
    side = int(np.ceil(np.sqrt(len(kinds))))
    cell = size / side
    for number, kind in enumerate(kinds, start=1):
        cy, cx = ((np.array(divmod(number - 1, side)) + 0.5) * cell + rng.uniform(-0.1, 0.1, 2) * cell).tolist()
        shape = brightness * shape_profile(rng, kind, size=size, beam=beam, centre=(cy, cx))
        emission += shape
        footprints[shape > brightness / 3] = number
    if background is None:
        background = correlated_noise(rng, size=size, beam=beam)
    return Scene((background + emission).astype(np.float32), footprints, emission, tuple(kinds))


def shape_profile(rng, kind, *, size, beam, centre, extent=None):
    """A shape of unit surface brightness (the rim of a shell, the plateau of a disk, the ridge of a filament)."""
    extent = extent or rng.uniform(8, 30) * beam
    rows, cols = np.mgrid[:size, :size].astype(np.float32)
    dy, dx = rows - centre[0], cols - centre[1]
    distance = np.hypot(dy, dx)
    if kind == "shell":
        inner = 0.8 * extent / 2
        profile = np.sqrt(np.maximum((extent / 2) ** 2 - distance**2, 0)) - np.sqrt(
            np.maximum(inner**2 - distance**2, 0)
        )
    elif kind == "ring":
        profile = np.exp(-((distance - extent / 2) ** 2) / (2 * (0.7 * beam) ** 2))
    elif kind == "disk":
        profile = (distance < extent / 2).astype(np.float32)
    elif kind == "filament":
        profile = _filament(rng, dy, dx, beam=beam, length=extent)
    else:
        raise ValueError(kind)
    blurred = ndimage.gaussian_filter(profile, beam * FWHM_TO_SIGMA)
    return (blurred / blurred.max()).astype(np.float32)


def _filament(rng, dy, dx, *, beam, length):
    """An arc of a circle, two beams wide."""
    radius = length * rng.uniform(0.6, 2.0)
    turn = rng.uniform(0, 2 * np.pi)
    along = dx * np.cos(turn) + dy * np.sin(turn)
    across = -dx * np.sin(turn) + dy * np.cos(turn) + radius
    arc = np.abs(np.arctan2(along, across)) * radius < length / 2
    off = np.hypot(along, across) - radius
    return arc * np.exp(-(off**2) / (2 * (2 * beam * FWHM_TO_SIGMA) ** 2))


def _add_gaussian(image, peak, cy, cx, sigma):
    reach = int(4 * sigma) + 1
    y0, y1 = max(0, int(cy) - reach), min(image.shape[0], int(cy) + reach + 1)
    x0, x1 = max(0, int(cx) - reach), min(image.shape[1], int(cx) + reach + 1)
    if y0 >= y1 or x0 >= x1:
        return
    rows = np.exp(-((np.arange(y0, y1) - cy) ** 2) / (2 * sigma**2))
    cols = np.exp(-((np.arange(x0, x1) - cx) ** 2) / (2 * sigma**2))
    image[y0:y1, x0:x1] += (peak * rows[:, None] * cols).astype(np.float32)
