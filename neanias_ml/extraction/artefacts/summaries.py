"""What the samples of the map around islands say, in a few numbers each."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.artefacts.samples import (
    AROUND,
    AROUND_START,
    N_CORE,
    N_ECHOES,
    N_RING,
    RING_START,
    Samples,
    Sites,
    sample_map,
)
from neanias_ml.extraction.bands import in_order
from neanias_ml.extraction.shapes.medians import median_of
from neanias_ml.maps import RadioMap

FloatArray = NDArray[np.float64]

BATCH = 8192
"""Islands whose samples are held at a time (about 2 kB each)."""
PIECE = 1024
"""Islands that a thread summarises at a time."""
DEEP_SIGMA = 2.5
"""Samples beyond this many sigma count as excursions."""
ISLAND_RADIUS = 1.25
"""Radius in beam widths around the peak that belongs to the island itself."""
HOLE_RADII = 1.5, 3.0
"""Radii in beam widths within which holes beside the peak are looked for."""
ECHO_SCATTER = 0.35
"""Relative scatter of the twins of a sidelobe, from errors that differ between sources and from their neighbours."""
SAMPLE_COLUMNS = (
    "mirror_ratio", "echo_evidence", "ring_rms", "around_rms", "negative_share", "skewness", "deepest", "near_hole",
    "hole", "opposite_holes", "plateau",
)  # fmt: skip
_APART = AROUND[:, 0] ** 2 + AROUND[:, 1] ** 2


def sample_statistics(
    radio_map: RadioMap,
    sites: Sites,
    *,
    size: FloatArray,
    background: FloatArray,
    far_noise: FloatArray,
    workers: int = 1,
) -> FloatArray:
    """`SAMPLE_COLUMNS` of N islands, (N, 11).

    Parameters
    ----------
    radio_map
        The map, read band by band.
    sites
        Positions of the islands and their culprits.
    size
        (N,) full widths of the islands, pixels; samples within three quarters of one count for holes only.
    background
        (N, 9) background at the island, at its culprit and at the twins, Jy/beam.
    far_noise
        (N,) noise away from bright sources, Jy/beam.
    workers
        Threads; the result does not depend on them.
    """
    tables = [np.empty((0, len(SAMPLE_COLUMNS)))]
    size = size / radio_map.beam_fwhm
    for start in range(0, len(sites), BATCH):
        samples = sample_map(radio_map, sites.select(slice(start, start + BATCH)), workers=workers)

        def summarised(first: int, start: int = start, samples: Samples = samples) -> FloatArray:
            part, rows = samples[first : first + PIECE], slice(start + first, min(start + first + PIECE, start + BATCH))
            return summarise(part, size[rows], background[rows], far_noise[rows], sites.echo_scale[rows])

        tables += in_order(summarised, range(0, len(samples), PIECE), workers=workers)
    return np.concatenate(tables)


@njit(cache=True, nogil=True)
def summarise(
    samples: Samples, size: FloatArray, background: FloatArray, far_noise: FloatArray, echo_scale: FloatArray
) -> FloatArray:
    """`SAMPLE_COLUMNS` from the samples of N islands whose size is in beam widths.

    All but the ratios, the share and the skewness is in units of the far noise; ``ring_rms`` and ``around_rms`` are
    never below one half.
    """
    result = np.zeros((len(size), 11))
    scratch = np.empty(N_RING, dtype=np.float32)
    for row in range(len(size)):
        part = samples[row]
        peak = _mean(part[:N_CORE]) - background[row, 0]
        result[row, 0] = np.nan
        if peak > 0.0:
            result[row, 0] = (_mean(part[N_CORE : 2 * N_CORE]) - background[row, 2]) / peak
            echoes = part[N_CORE:RING_START]
            result[row, 1] = _echo_evidence(echoes, background[row, 2:], echo_scale[row], peak, far_noise[row])
        result[row, 2] = _ring_rms(part[RING_START:AROUND_START], background[row, 1], far_noise[row], scratch)
        around, nearest = part[AROUND_START:], max(0.75 * size[row], ISLAND_RADIUS) ** 2
        _surroundings_statistics(around, background[row, 0], nearest, far_noise[row], result[row, 3:6])
        _holes(around, background[row, 0], far_noise[row], result[row, 6:11])
    return result


@njit(cache=True, nogil=True)
def _echo_evidence(
    values: NDArray[np.float32], background: FloatArray, scale: FloatArray, peak: float, noise: float
) -> float:
    """Log likelihood ratio of twins as bright as the island against nothing there, from all twins in the map.

    Other sources, and culprits of a different error, spoil single twins; so each counts within [-2, 2] at most.
    """
    evidence = 0.0
    for echo in range(N_ECHOES):
        ratio = (_mean(values[echo * N_CORE : (echo + 1) * N_CORE]) - background[echo]) / peak * scale[echo]
        if math.isfinite(ratio):
            error = math.hypot(noise / peak * scale[echo], ECHO_SCATTER)
            distance_from_nothing, distance_from_twin = ratio**2, (ratio - 1.0) ** 2
            gain = 0.5 * (distance_from_nothing - distance_from_twin) / error**2
            evidence += min(max(gain if ratio < 1.5 else 0.0, -2.0), 2.0)
    return evidence


@njit(cache=True, nogil=True)
def _mean(values: NDArray[np.float32]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


@njit(cache=True, nogil=True)
def _ring_rms(
    values: NDArray[np.float32], background: float, noise: float, scratch: NDArray[np.float32]
) -> float:
    """Spread of the ring about zero, from the median of the absolute values, so that sources on it do not count."""
    count = 0
    for value in values:
        scratch[count] = abs(value - np.float32(background))
        count += math.isfinite(value)
    if count < 8:
        return 1.0
    return max(median_of(scratch[:count]) / 0.6745 / noise, 0.5)


@njit(cache=True, nogil=True)
def _surroundings_statistics(
    values: NDArray[np.float32], background: float, nearest: float, noise: float, out: FloatArray
) -> None:
    """Rms of the negative samples, share of negative excursions, clipped skewness.

    Samples whose squared distance is less than ``nearest`` do not count.
    """
    out[0], out[1] = 1.0, 0.0
    count, negative, square, cube, below, deep, high = 0, 0, 0.0, 0.0, 0.0, 0, 0
    for place in range(len(values)):
        value = (values[place] - np.float32(background)) / noise
        if not math.isfinite(value) or _APART[place] < nearest:
            continue
        clipped = min(max(value, -10.0), 10.0)
        count += 1
        square += clipped * clipped
        cube += clipped * clipped * clipped
        depth = min(value, 0.0)  # either sign is as frequent as the other, and a branch would be guessed wrong
        negative += value < 0.0
        below += depth * depth
        deep += value < -DEEP_SIGMA
        high += value > DEEP_SIGMA
    if negative >= 8:
        out[0] = max(math.sqrt(below / negative), 0.5)
    if count >= 8 and square > 0.0:
        out[1] = (deep + 0.5) / (deep + high + 1.0)
        out[2] = cube / count / (square / count) ** 1.5


@njit(cache=True, nogil=True)
def _holes(values: NDArray[np.float32], background: float, noise: float, out: FloatArray) -> None:
    """Depth of the lowest sample of all, within each of `HOLE_RADII`, on both sides of the peak; mean of the nearer.

    A source has a hole beside it only by chance, a crest of a sidelobe has troughs at its sides. On both sides means
    the shallower one of two samples opposite to each other within the second radius, at the pair where it is deepest.
    The mean is of the samples from `ISLAND_RADIUS` to that radius, each within 10 sigma.
    """
    near, far, island = HOLE_RADII[0] ** 2, HOLE_RADII[1] ** 2, ISLAND_RADIUS**2
    low, low_near, low_far, low_pair, total, count = 0.0, 0.0, 0.0, 0.0, 0.0, 0
    for place in range(len(values)):
        value = (values[place] - np.float32(background)) / noise
        if not math.isfinite(value):
            continue
        low = min(low, value)
        if _APART[place] > far:
            continue
        low_far = min(low_far, value)
        if _APART[place] <= near:
            low_near = min(low_near, value)
        if value < low_pair:
            opposite = (values[len(values) - 1 - place] - np.float32(background)) / noise
            if math.isfinite(opposite):
                low_pair = min(low_pair, max(value, opposite))
        if _APART[place] >= island:
            total += min(max(value, -10.0), 10.0)
            count += 1
    out[0], out[1], out[2], out[3] = -low, -low_near, -low_far, -low_pair
    out[4] = total / count if count > 0 else 0.0
