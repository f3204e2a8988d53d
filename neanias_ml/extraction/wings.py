"""Flux of extended islands beyond the merge threshold: rings around them as long as they hold emission."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.gather import GatheredIslands

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Int32s = NDArray[np.int32]

RING_SHARE = 0.1
"""A ring counts while its mean surface brightness is above this part of the local noise ..."""
RING_SIGMA = 1.0
"""... and above this many errors of that mean."""


def grown_sums(gathered: GatheredIslands, *, beam_area: float, ring: float) -> tuple[FloatArray, NDArray[np.int64]]:
    """Sum of each island's flux over its pixels and over the rings around it that still hold emission.

    A threshold cuts the faint wings off an extended source; a curve of growth that stops where a ring holds nothing
    puts them back without adding the noise of the sky around.

    Parameters
    ----------
    gathered
        Islands with as wide a margin as the growth may take.
    beam_area
        Pixels of a beam.
    ring
        Width of a ring in pixels.

    Returns
    -------
    tuple
        (N,) sums in Jy/beam times pixels, and (N,) pixels summed over.
    """
    pixels = gathered.pixels
    sums, counts = np.zeros(len(pixels)), np.zeros(len(pixels), np.int64)
    for row in range(len(pixels)):
        own = slice(int(pixels.offsets[row]), int(pixels.offsets[row + 1]))
        y, x, flux, inside = pixels.y[own], pixels.x[own], pixels.flux[own], pixels.inside[own]
        rms = float(pixels.noise[own][inside].mean())
        sums[row], counts[row] = _grown_sum(_ring_numbers(y, x, inside, ring), flux, rms, 2.0 * beam_area)
    return sums, counts


@njit(cache=True, nogil=True)
def _grown_sum(number: IntArray, flux: NDArray[np.float32], rms: float, noise_area: float) -> tuple[float, int]:
    """Sum over the island (ring 0) and its rings up to the first that holds nothing, and the pixels summed over."""
    rings = number.max() + 1
    total, pixels = np.zeros(rings), np.zeros(rings, np.int64)
    for i in range(number.size):
        total[number[i]] += flux[i]
        pixels[number[i]] += 1
    grown = 1
    while grown < rings and pixels[grown] > 0:
        mean = total[grown] / pixels[grown]
        error = rms * np.sqrt(min(1.0, noise_area / pixels[grown]))
        if mean < max(RING_SHARE * rms, RING_SIGMA * error):
            break
        grown += 1
    return total[:grown].sum(), pixels[:grown].sum()


@njit(cache=True, nogil=True)
def _ring_numbers(y: Int32s, x: Int32s, inside: NDArray[np.bool_], ring: float) -> IntArray:
    """(P,) the ring that each pixel lies in: 0 inside the island, k if its distance is within k widths of a ring.

    Exact Euclidean distances in two steps: along columns, then the best of the columns near by (Saito & Toriwaki 1994,
    Pattern Recognition 27), which ends as soon as the next column is farther than the best so far.
    """
    along = _distances_along_columns(y - y.min(), x - x.min(), inside)
    left, top, width = x.min(), y.min(), along.shape[1]
    number = np.zeros(y.size, np.int64)
    for i in range(y.size):
        if not inside[i]:
            line, col = along[y[i] - top], x[i] - left
            best = line[col] * line[col]
            step = 1
            while step * step < best and (step <= col or col + step < width):
                if step <= col:
                    best = min(best, step * step + line[col - step] * line[col - step])
                if col + step < width:
                    best = min(best, step * step + line[col + step] * line[col + step])
                step += 1
            number[i] = int(np.ceil(np.sqrt(float(best)) / ring))
    return number


@njit(cache=True, nogil=True)
def _distances_along_columns(y: Int32s, x: Int32s, inside: NDArray[np.bool_]) -> IntArray:
    """Distance of each pixel of a box to the island's nearest in its column, more than the sides if none is there."""
    shape = (int(y.max()) + 1, int(x.max()) + 1)
    away = np.full(shape, shape[0] + shape[1], np.int64)
    for i in range(y.size):
        if inside[i]:
            away[y[i], x[i]] = 0
    for row in range(1, shape[0]):
        _step_on(away[row - 1], away[row])
    for row in range(shape[0] - 2, -1, -1):
        _step_on(away[row + 1], away[row])
    return away


@njit(cache=True, nogil=True)
def _step_on(before: IntArray, line: IntArray) -> None:
    """Let distances of one row be at most those of the row before and one."""
    for col in range(line.size):
        line[col] = min(line[col], before[col] + 1)
