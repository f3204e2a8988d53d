"""From runs to pixels: reads the map again where islands are, band by band."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.bands import BAND_PIXELS, in_order, readable_pixels
from neanias_ml.extraction.islands.kernels import WindowRuns, gather_islands
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.noise.model import NoiseModel
from neanias_ml.maps import RadioMap, Window

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class GatheredIslands:
    """Islands with their pixels, a margin around each, and what the margin met.

    Attributes
    ----------
    pixels
        Of N islands, margin included.
    background
        (P,) float32 background of each pixel, Jy/beam.
    boxes
        (N, 4) first and past-the-last row and column.
    touches_blank
        (N,) whether a blank pixel is among the neighbours.
    """

    pixels: IslandPixels
    background: NDArray[np.float32]
    boxes: IntArray
    touches_blank: NDArray[np.bool_]

    def inverted(self) -> GatheredIslands:
        """The same pixels of the inverted map."""
        pixels = replace(self.pixels, flux=-self.pixels.flux)
        return replace(self, pixels=pixels, background=-self.background)


def disc_half_widths(radius: float) -> IntArray:
    """Half width in columns of a disc at row offsets 0, 1, ... up to its radius (pixels)."""
    offsets = np.arange(int(radius) + 1)
    return np.floor(np.sqrt(radius**2 - offsets**2)).astype(np.int64)


def gather(
    radio_map: RadioMap,
    noise_model: NoiseModel,
    runs: Runs,
    *,
    margin: float,
    only: IntArray | None = None,
    rows: int | None = None,
    workers: int = 1,
) -> GatheredIslands:
    """Read the pixels of all islands.

    Parameters
    ----------
    runs
        The islands.
    margin
        Radius in pixels of the disc around each island's pixels that is read too.
    only
        Numbers of the islands that are wanted, ascending; all by default. The pixels of the others bound the margins.
    rows
        Rows held in memory at a time, except where an island is taller.
    workers
        Threads; the result does not depend on them.
    """
    wanted = np.arange(runs.count) if only is None else only
    boxes = runs.region_boxes[wanted]
    half_width = disc_half_widths(margin)

    def one(batch: _Batch) -> _Gathered:
        own = slice(batch.first, batch.last)
        return _gather_batch(radio_map, noise_model, runs, wanted[own], batch.window, half_width)

    batches = list(_batches(boxes, radio_map.shape, reach=len(half_width) - 1, rows=rows))
    parts = list(in_order(one, batches, workers=workers))
    counts = np.concatenate([part.grown.counts for part in parts] or [np.empty(0, np.int64)])
    pixels = IslandPixels(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        y=np.concatenate([part.grown.y for part in parts] or [np.empty(0, np.int32)]),
        x=np.concatenate([part.grown.x for part in parts] or [np.empty(0, np.int32)]),
        flux=np.concatenate([part.flux for part in parts] or [np.empty(0, np.float32)]),
        noise=np.concatenate([part.noise for part in parts] or [np.empty(0, np.float32)]),
        inside=np.concatenate([part.grown.inside for part in parts] or [np.empty(0, bool)]),
    )
    background = np.concatenate([part.background for part in parts] or [np.empty(0, np.float32)])
    blank = np.concatenate([part.grown.touches_blank for part in parts] or [np.empty(0, bool)])
    return GatheredIslands(pixels, background, boxes, blank)


@dataclass(frozen=True)
class _Batch:
    """Consecutive islands and the window that holds them with their margins."""

    first: int
    last: int
    window: Window


@dataclass(frozen=True)
class _Gathered:
    """Pixels of one batch with their values."""

    grown: GrownRegions
    flux: NDArray[np.float32]
    noise: NDArray[np.float32]
    background: NDArray[np.float32]


def _batches(boxes: IntArray, shape: tuple[int, int], *, reach: int, rows: int | None) -> Iterator[_Batch]:
    """Islands in their order, cut where the window of a batch would grow taller than a band.

    An island that is taller by itself has a batch, and a window no wider than itself, of its own.
    """
    height = rows or max(1, BAND_PIXELS // shape[1])
    first = 0
    while first < len(boxes):
        tall = boxes[first, 1] - boxes[first, 0] > height
        limit = boxes[first, 0] + height
        last = first + 1
        bottom, top = boxes[first, 0], boxes[first, 1]
        while not tall and last < len(boxes) and boxes[last, 1] <= limit:
            top = max(top, boxes[last, 1])
            last += 1
        left, right = (boxes[first, 2], boxes[first, 3]) if tall else (0, shape[1])
        window = Window(int(bottom), int(top), int(left), int(right)).expanded(reach, shape=shape)
        yield _Batch(first, last, window)
        first = last


@dataclass(frozen=True)
class GrownRegions:
    """Pixels of K regions grown by a disc, one region after another, row by row within each.

    ``counts``: (K,) pixels; ``y``, ``x``: (P,) int32 rows and columns in the map; ``inside``: (P,) not margin;
    ``touches_blank``: (K,) whether a blank pixel is beside the region.
    """

    counts: IntArray
    y: NDArray[np.int32]
    x: NDArray[np.int32]
    inside: NDArray[np.bool_]
    touches_blank: NDArray[np.bool_]


def grown_regions(
    runs: Runs, wanted: IntArray, *, values: NDArray[np.float32], window: Window, half_width: IntArray
) -> GrownRegions:
    """Grow regions by a disc (`disc_half_widths`) into the known pixels of a window that no other region owns.

    ``values`` are the window's pixels, NaN where blank; ``wanted`` the numbers of the regions, all within it.
    """
    boxes = runs.region_boxes[wanted]
    reach = 2 * (len(half_width) - 1)
    room = int(((boxes[:, 1] - boxes[:, 0] + reach) * (boxes[:, 3] - boxes[:, 2] + reach)).sum())
    y, x, inside = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, bool)
    counts, blank = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
    own, starts = runs.of_regions(wanted)
    islands = WindowRuns(own, starts, wanted + 1, (window.y0, window.x0))
    total = gather_islands(islands, runs.paint(window), values, half_width, y, x, inside, counts, blank)
    return GrownRegions(counts, y[:total].copy(), x[:total].copy(), inside[:total].copy(), blank > 0)


def _gather_batch(
    radio_map: RadioMap,
    noise_model: NoiseModel,
    runs: Runs,
    wanted: IntArray,
    window: Window,
    half_width: IntArray,
) -> _Gathered:
    values = readable_pixels(radio_map, noise_model, window)
    grown = grown_regions(runs, wanted, values=values, window=window, half_width=half_width)
    row, col = grown.y - np.int32(window.y0), grown.x - np.int32(window.x0)
    background, noise = noise_model.at(grown.y, grown.x)
    return _Gathered(grown, flux=values[row, col] - background, noise=noise, background=background)
