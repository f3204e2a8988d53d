"""The map around islands, on the ring around their culprits, and where their twins would be.

Pixels are fetched by tiles: whatever is needed of a tile by any island is taken from one read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.artefacts.geometry import ECHOES
from neanias_ml.maps import RadioMap, Window

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
PixelArray = NDArray[np.int32]

TILE = 1024
"""Side in pixels of the windows that are read."""
BATCH = 8192
"""Islands whose samples are held at a time (about 6 kB each)."""
SURROUNDINGS_RADIUS = 5.0
"""Radius of the surroundings, beam widths; sampled twice per beam width."""
CORE_RADIUS = 1.25
"""Radius in beam widths around the peak that belongs to the island itself."""
DEEP_SIGMA = 2.5
"""Samples beyond this many sigma count as excursions."""
N_RING = 64
"""Positions on the ring through the island around its culprit."""
_CORE_STEP = 0.35
"""Spacing in beam widths of the 3 x 3 samples of a peak."""
SAMPLE_COLUMNS = (
    "mirror_ratio", "echo_evidence", "ring_rms", "around_rms", "deepest", "negative_share", "skewness",
)  # fmt: skip


def _surroundings() -> FloatArray:
    steps = np.arange(-2 * SURROUNDINGS_RADIUS, 2 * SURROUNDINGS_RADIUS + 1) / 2.0
    points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    distance = np.hypot(points[:, 0], points[:, 1])
    return points[(distance <= SURROUNDINGS_RADIUS) & (distance >= CORE_RADIUS)]


AROUND = _surroundings()
"""(K, 2) offsets (x, y) of the samples of the surroundings, beam widths."""
_CORE = np.array([(_CORE_STEP * column, _CORE_STEP * row) for row in (-1, 0, 1) for column in (-1, 0, 1)])
N_CORE = len(_CORE)
N_ECHOES = 1 + 2 * ECHOES
_RING_START = (1 + N_ECHOES) * N_CORE
_AROUND_START = _RING_START + N_RING
N_SAMPLES = _AROUND_START + len(AROUND)
ECHO_SCATTER = 0.35
"""Relative scatter of the twins of a sidelobe, from errors that differ between sources and from their neighbours."""


@dataclass(frozen=True)
class Sites:
    """Where the map is sampled for N islands.

    Attributes
    ----------
    x, y
        (N,) peaks, pixels.
    culprit_x, culprit_y
        (N,) peaks of their culprits, pixels; NaN where there is none.
    echo_x, echo_y, echo_scale
        (N, 7) positions of twins, pixels, and the factor that makes them as bright as the island
        (see `echo_positions`); NaN where there are none.
    """

    x: FloatArray
    y: FloatArray
    culprit_x: FloatArray
    culprit_y: FloatArray
    echo_x: FloatArray
    echo_y: FloatArray
    echo_scale: FloatArray

    def __len__(self) -> int:
        return len(self.x)

    def select(self, rows: slice) -> Sites:
        """Some of the islands."""
        return Sites(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def sample_statistics(
    radio_map: RadioMap,
    sites: Sites,
    *,
    size: FloatArray,
    background: FloatArray,
    far_noise: FloatArray,
) -> FloatArray:
    """`SAMPLE_COLUMNS` of N islands, (N, 7).

    Parameters
    ----------
    radio_map
        The map, read tile by tile.
    sites
        Positions of the islands and their culprits.
    size
        (N,) full widths of the islands, pixels; samples within three quarters of one are left out.
    background
        (N, 9) background at the island, at its culprit and at the twins, Jy/beam.
    far_noise
        (N,) noise away from bright sources, Jy/beam.
    """
    result = np.empty((len(sites), len(SAMPLE_COLUMNS)))
    beam = radio_map.beam_fwhm
    for start in range(0, len(sites), BATCH):
        rows = slice(start, start + BATCH)
        part = sites.select(rows)
        culprits, echoes = (part.culprit_x, part.culprit_y), (part.echo_x, part.echo_y)
        py, px = sample_positions((part.x, part.y), culprits, echoes, beam, radio_map.shape)
        values = _gather(radio_map, py, px)
        result[rows] = summarise(values, size[rows] / beam, background[rows], far_noise[rows], part.echo_scale)
    return result


def _gather(radio_map: RadioMap, py: PixelArray, px: PixelArray) -> NDArray[np.float32]:
    """Pixels at positions (M,), NaN where a position is outside the map (row -1)."""
    across = -(-radio_map.shape[1] // TILE)
    down = -(-radio_map.shape[0] // TILE)
    order, offsets = _by_tile(py, px, across, across * down)
    values = np.full(len(py), np.nan, dtype=np.float32)
    for tile in np.flatnonzero(np.diff(offsets)).tolist():
        y0, x0 = TILE * (tile // across), TILE * (tile % across)
        window = Window(y0, min(y0 + TILE, radio_map.shape[0]), x0, min(x0 + TILE, radio_map.shape[1]))
        index = order[offsets[tile] : offsets[tile + 1]]
        values[index] = radio_map.read(window)[py[index] - y0, px[index] - x0]
    return values


@njit(cache=True, nogil=True)
def _by_tile(
    py: PixelArray, px: PixelArray, across: int, count: int
) -> tuple[IntArray, IntArray]:  # pragma: no cover (compiled)
    """Indices of the positions inside the map sorted by tile, and the (count + 1,) offsets of the tiles."""
    offsets = np.zeros(count + 1, dtype=np.int64)
    for place in range(len(py)):
        if py[place] >= 0:
            offsets[(py[place] // TILE) * across + px[place] // TILE + 1] += 1
    offsets = np.cumsum(offsets)
    order = np.empty(offsets[count], dtype=np.int64)
    filled = offsets[:-1].copy()
    for place in range(len(py)):
        if py[place] >= 0:
            tile = (py[place] // TILE) * across + px[place] // TILE
            order[filled[tile]] = place
            filled[tile] += 1
    return order, offsets


@njit(cache=True, nogil=True)
def sample_positions(
    centres: tuple[FloatArray, FloatArray],
    culprits: tuple[FloatArray, FloatArray],
    echoes: tuple[FloatArray, FloatArray],
    beam: float,
    shape: tuple[int, int],
) -> tuple[PixelArray, PixelArray]:  # pragma: no cover (compiled)
    """Rows and columns (N * N_SAMPLES,) of the samples of N islands; row -1 outside the map.

    In this order for each island: its peak, the peaks of its twins, the ring from the island onwards, the surroundings.
    """
    (x, y), (culprit_x, culprit_y), (echo_x, echo_y), (ny, nx) = centres, culprits, echoes, shape
    py = np.full(len(x) * N_SAMPLES, -1, dtype=np.int32)
    px = np.full(len(x) * N_SAMPLES, -1, dtype=np.int32)
    for row in range(len(x)):
        base = row * N_SAMPLES
        dx, dy = x[row] - culprit_x[row], y[row] - culprit_y[row]
        for sample in range(N_SAMPLES):
            if sample < _RING_START:
                which, offset = sample // N_CORE - 1, _CORE[sample % N_CORE]
                sx = (x[row] if which < 0 else echo_x[row, which]) + beam * offset[0]
                sy = (y[row] if which < 0 else echo_y[row, which]) + beam * offset[1]
            elif sample < _AROUND_START:
                turn = 2.0 * math.pi * (sample - _RING_START) / N_RING
                sx = culprit_x[row] + dx * math.cos(turn) - dy * math.sin(turn)
                sy = culprit_y[row] + dx * math.sin(turn) + dy * math.cos(turn)
            else:
                sx = x[row] + beam * AROUND[sample - _AROUND_START, 0]
                sy = y[row] + beam * AROUND[sample - _AROUND_START, 1]
            if -0.5 < sx < nx - 0.5 and -0.5 < sy < ny - 0.5:  # NaN fails
                py[base + sample], px[base + sample] = int(sy + 0.5), int(sx + 0.5)
    return py, px


@njit(cache=True, nogil=True)
def summarise(
    values: NDArray[np.float32],
    size: FloatArray,
    background: FloatArray,
    far_noise: FloatArray,
    echo_scale: FloatArray,
) -> FloatArray:  # pragma: no cover (compiled)
    """`SAMPLE_COLUMNS` from the samples of N islands, in the order of `sample_positions`.

    ``ring_rms`` and ``around_rms`` are in units of the far noise and never below one half; ``deepest`` is the depth of
    the lowest value around in units of the peak.
    """
    result = np.zeros((len(size), 7))
    for row in range(len(size)):
        part = values[row * N_SAMPLES : (row + 1) * N_SAMPLES]
        peak = _mean(part[:N_CORE]) - background[row, 0]
        result[row, 0] = np.nan
        if peak > 0.0:
            result[row, 0] = (_mean(part[N_CORE : 2 * N_CORE]) - background[row, 2]) / peak
            echoes = part[N_CORE:_RING_START]
            result[row, 1] = _echo_evidence(echoes, background[row, 2:], echo_scale[row], peak, far_noise[row])
        ring = part[_RING_START:_AROUND_START] - np.float32(background[row, 1])
        result[row, 2] = _ring_rms(ring, far_noise[row])
        around = part[_AROUND_START:] - np.float32(background[row, 0])
        _surroundings_statistics(around, size[row], peak, far_noise[row], result[row, 3:7])
    return result


@njit(cache=True, nogil=True)
def _echo_evidence(
    values: NDArray[np.float32], background: FloatArray, scale: FloatArray, peak: float, noise: float
) -> float:  # pragma: no cover (compiled)
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
def _mean(values: NDArray[np.float32]) -> float:  # pragma: no cover (compiled)
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


@njit(cache=True, nogil=True)
def _ring_rms(values: NDArray[np.float32], noise: float) -> float:  # pragma: no cover (compiled)
    """Spread of the ring about zero, from the median of the absolute values, so that sources on it do not count."""
    known = np.abs(values[np.isfinite(values)])
    if len(known) < 8:
        return 1.0
    return max(np.median(known) / 0.6745 / noise, 0.5)


@njit(cache=True, nogil=True)
def _surroundings_statistics(
    values: NDArray[np.float32], size: float, peak: float, noise: float, out: FloatArray
) -> None:  # pragma: no cover (compiled)
    """Rms of the negative samples, depth of the lowest one, share of negative excursions, clipped skewness."""
    out[0], out[2] = 1.0, 0.0
    count, negative, square, cube, below, low, deep, high = 0, 0, 0.0, 0.0, 0.0, 0.0, 0, 0
    for place in range(len(values)):
        value = values[place] / noise
        apart = AROUND[place, 0] ** 2 + AROUND[place, 1] ** 2
        if not math.isfinite(value) or apart < (0.75 * size) ** 2:
            continue
        clipped = min(max(value, -10.0), 10.0)
        count += 1
        square += clipped**2
        cube += clipped**3
        if value < 0.0:
            negative += 1
            below += value * value
            low = min(low, value)
        deep += value < -DEEP_SIGMA
        high += value > DEEP_SIGMA
    if negative >= 8:
        out[0] = max(math.sqrt(below / negative), 0.5)
    if count >= 8 and square > 0.0:
        out[1] = -low * noise / peak if peak > 0.0 else 0.0
        out[2] = (deep + 0.5) / (deep + high + 1.0)
        out[3] = cube / count / (square / count) ** 1.5
