"""The map around islands, on the ring around their culprits, and where their twins would be.

Pixels are fetched band by band: whatever is needed of a band by any island is taken from one read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.artefacts.geometry import ECHOES
from neanias_ml.extraction.bands import in_order
from neanias_ml.maps import RadioMap, Window

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Samples = NDArray[np.float32]
"""(N, `N_SAMPLES`) Jy/beam, NaN outside the map, in this order for each island: its peak, the peaks of its twins, the
ring from the island onwards, the surroundings."""

BAND_PIXELS = 2**22
"""Pixels that are read at a time (16 MB)."""
SURROUNDINGS_RADIUS = 5.0
"""Radius of the surroundings, beam widths; sampled twice per beam width."""
CORE_RADIUS = 0.75
"""Radius in beam widths around the peak within which no hole beside a source could show."""
N_RING = 64
"""Positions on the ring through the island around its culprit."""
_CORE_STEP = 0.35
"""Spacing in beam widths of the 3 x 3 samples of a peak."""


def _surroundings() -> FloatArray:
    steps = np.arange(-2 * SURROUNDINGS_RADIUS, 2 * SURROUNDINGS_RADIUS + 1) / 2.0
    points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    distance = np.hypot(points[:, 0], points[:, 1])
    return points[(distance <= SURROUNDINGS_RADIUS) & (distance >= CORE_RADIUS)]


AROUND = _surroundings()
"""(K, 2) offsets (x, y) of the samples of the surroundings, beam widths, the opposite of each as far
from the end as it is from the beginning."""
_CORE = np.array([(_CORE_STEP * column, _CORE_STEP * row) for row in (-1, 0, 1) for column in (-1, 0, 1)])
_TURN = np.array([2.0 * math.pi * place / N_RING for place in range(N_RING)])
N_CORE = len(_CORE)
N_ECHOES = 1 + 2 * ECHOES
RING_START = (1 + N_ECHOES) * N_CORE
AROUND_START = RING_START + N_RING
N_SAMPLES = AROUND_START + len(AROUND)


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


def sample_map(radio_map: RadioMap, sites: Sites, *, workers: int = 1) -> Samples:
    """Take the samples of N islands from a map, (N, `N_SAMPLES`); see `Samples` for their order.

    Parameters
    ----------
    radio_map
        The map; bands that no sample falls in are not read.
    sites
        Positions of the islands, their culprits and their twins.
    workers
        Threads; the result does not depend on them.
    """
    beam, (ny, nx) = radio_map.beam_fwhm, radio_map.shape
    height = max(1, BAND_PIXELS // nx)
    samples = np.full((len(sites), N_SAMPLES), np.nan, dtype=np.float32)
    peaks = np.concatenate([np.stack([sites.x, sites.y], axis=1)[:, None], _pairs(sites.echo_x, sites.echo_y)], axis=1)
    culprits = _pairs(sites.culprit_x, sites.culprit_y)
    core, around = (np.floor(beam * offsets + 0.5).astype(np.int64) for offsets in (_CORE, AROUND))

    def fill(band: int) -> None:
        window = Window(band * height, min((band + 1) * height, ny), 0, nx)
        pixels = np.ascontiguousarray(radio_map.read(window)).view()
        pixels.flags.writeable = False  # of one type, whatever the reader returns
        fill_from_band(pixels, window.y0, peaks, culprits, (core, around), samples)

    list(in_order(fill, _bands_needed(sites, beam, height, -(-ny // height)), workers=workers))
    return samples


def _bands_needed(sites: Sites, beam: float, height: int, count: int) -> list[int]:
    """Those of the bands of ``height`` rows that samples may fall in."""
    ring = np.hypot(sites.x - sites.culprit_x, sites.y - sites.culprit_y) + 1.0
    middle = np.concatenate([sites.y, sites.culprit_y, sites.echo_y.ravel()])
    reach = np.concatenate(
        [np.full(len(sites), SURROUNDINGS_RADIUS * beam + 1.0), ring, np.full(sites.echo_y.size, beam + 1.0)]
    )
    known = np.isfinite(middle)
    first, last = (
        np.clip((middle[known] + sign * reach[known]) // height, low, high).astype(np.int64)
        for sign, low, high in ((-1.0, 0, count), (1.0, -1, count - 1))
    )
    covers = np.zeros(count + 1, dtype=np.int64)
    inside = first <= last
    np.add.at(covers, first[inside], 1)
    np.add.at(covers, last[inside] + 1, -1)
    return np.flatnonzero(np.cumsum(covers[:count])).tolist()


def _pairs(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.stack([x, y], axis=-1)


@njit(cache=True, nogil=True)
def fill_from_band(
    pixels: Samples,
    y0: int,
    peaks: FloatArray,
    culprits: FloatArray,
    offsets: tuple[IntArray, IntArray],
    samples: Samples,
) -> None:
    """Fill in those samples that fall in a band of the map that begins with the row ``y0``.

    Parameters
    ----------
    peaks
        (N, 8, 2) positions (x, y) of the islands and of their twins, pixels, NaN where there is none.
    culprits
        (N, 2) positions of their culprits.
    offsets
        Columns and rows of the samples of a peak and of the surroundings, from the peak.
    """
    core, around = offsets
    height, nx = pixels.shape
    cosine, sine = np.cos(_TURN), np.sin(_TURN)
    for row in range(len(peaks)):
        for which in range(1 + N_ECHOES):
            x, y = peaks[row, which]
            if math.isfinite(x):
                column, line = math.floor(x + 0.5), math.floor(y + 0.5) - y0
                _take(pixels, column, line, core, samples[row, which * N_CORE : (which + 1) * N_CORE])
                if which == 0:
                    _take(pixels, column, line, around, samples[row, AROUND_START:])
        middle_x, middle_y = culprits[row, 0], culprits[row, 1] - y0
        dx, dy = peaks[row, 0, 0] - middle_x, peaks[row, 0, 1] - y0 - middle_y
        reach = math.sqrt(dx * dx + dy * dy) + 1.0
        if middle_y + reach > 0.0 and middle_y - reach < height:  # NaN fails
            for place in range(N_RING):
                column = math.floor(middle_x + dx * cosine[place] - dy * sine[place] + 0.5)
                line = math.floor(middle_y + dx * sine[place] + dy * cosine[place] + 0.5)
                if 0 <= line < height and 0 <= column < nx:
                    samples[row, RING_START + place] = pixels[line, column]


@njit(cache=True, nogil=True)
def _take(
    pixels: Samples, column: int, line: int, offsets: IntArray, values: Samples
) -> None:
    """Take the pixels at offsets (columns, rows) from a place, as far as they lie in a band.

    The first and the last offset are the outermost ones, of rows as of columns.
    """
    height, nx = pixels.shape
    reach = max(-offsets[0, 1], offsets[-1, 1])
    if line + reach < 0 or line - reach >= height:
        return
    if line >= reach and line + reach < height and column >= reach and column + reach < nx:
        for place in range(len(values)):
            values[place] = pixels[line + offsets[place, 1], column + offsets[place, 0]]
        return
    for place in range(len(values)):
        row, col = line + offsets[place, 1], column + offsets[place, 0]
        if 0 <= row < height and 0 <= col < nx:
            values[place] = pixels[row, col]
