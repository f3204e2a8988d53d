"""Flux of extended islands beyond the merge threshold: rings around them as long as they hold emission."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.islands.gather import GatheredIslands

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
        number = _ring_numbers(y, x, inside, ring)
        rings = int(number.max()) + 1
        total, area = np.zeros(rings), np.zeros(rings, np.int64)
        grown = _sum_rings(number, flux, rms, 2.0 * beam_area, total, area)
        sums[row], counts[row] = total[:grown].sum(), area[:grown].sum()
    return sums, counts


@njit(cache=True, nogil=True)
def _sum_rings(
    number: IntArray,
    flux: NDArray[np.float32],
    rms: float,
    noise_area: float,
    total: FloatArray,
    pixels: IntArray,
) -> int:
    """Sum the flux and the pixels of the island (ring 0) and of its rings; the first that holds nothing."""
    for i in range(number.size):
        total[number[i]] += flux[i]
        pixels[number[i]] += 1
    grown = 1
    while grown < total.size and pixels[grown] > 0:
        mean = total[grown] / pixels[grown]
        error = rms * math.sqrt(min(1.0, noise_area / pixels[grown]))
        if mean < max(RING_SHARE * rms, RING_SIGMA * error):
            break
        grown += 1
    return grown


def _ring_numbers(y: Int32s, x: Int32s, inside: NDArray[np.bool_], ring: float) -> IntArray:
    """(P,) the ring that each pixel lies in: 0 inside the island, k if its distance is within k widths of a ring.

    Exact Euclidean distances in two steps: along columns, then the best of the columns near by (Saito & Toriwaki 1994,
    Pattern Recognition 27), which ends as soon as the next column is farther than the best so far.
    """
    top, left = int(y.min()), int(x.min())
    shape = (int(y.max()) - top + 1, int(x.max()) - left + 1)
    along = np.full(shape, shape[0] + shape[1], np.int64)
    number = np.zeros(y.size, np.int64)
    _spread_along_columns(along, (y, x, inside), (top, left))
    _number_pixels(along, (y, x, inside), (top, left), ring, number)
    return number


@njit(cache=True, nogil=True)
def _number_pixels(
    along: IntArray,
    pixels: tuple[Int32s, Int32s, NDArray[np.bool_]],
    corner: tuple[int, int],
    ring: float,
    number: IntArray,
) -> None:
    """Set the rings of the pixels outside the island from the distances along the columns of their box."""
    y, x, inside = pixels
    width = along.shape[1]
    for i in range(y.size):
        if not inside[i]:
            line, col = along[y[i] - corner[0]], x[i] - corner[1]
            best = line[col] * line[col]
            step = 1
            while step * step < best and (step <= col or col + step < width):
                if step <= col:
                    best = min(best, step * step + line[col - step] * line[col - step])
                if col + step < width:
                    best = min(best, step * step + line[col + step] * line[col + step])
                step += 1
            number[i] = math.ceil(math.sqrt(float(best)) / ring)


@njit(cache=True, nogil=True)
def _spread_along_columns(
    away: IntArray, pixels: tuple[Int32s, Int32s, NDArray[np.bool_]], corner: tuple[int, int]
) -> None:
    """Let large distances be those to the island's nearest pixel in the column, where there is one."""
    y, x, inside = pixels
    for i in range(y.size):
        if inside[i]:
            away[y[i] - corner[0], x[i] - corner[1]] = 0
    height = away.shape[0]
    for row in range(1, height):
        _step_on(away[row - 1], away[row])
    for row in range(height - 2, -1, -1):
        _step_on(away[row + 1], away[row])


@njit(cache=True, nogil=True)
def _step_on(before: IntArray, line: IntArray) -> None:
    """Let distances of one row be at most those of the row before and one."""
    for col in range(line.size):
        line[col] = min(line[col], before[col] + 1)
