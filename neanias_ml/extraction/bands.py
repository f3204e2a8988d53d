"""Work on a map in bands of rows: bounded memory, any number of threads, the same result for any height."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.noise.model import NoiseModel, SuppliedNoise
from neanias_ml.maps import RadioMap, Window
from neanias_ml.maps.pixel_readers import ArrayReader

FloatMap = NDArray[np.float32]
Item = TypeVar("Item")
Result = TypeVar("Result")

BAND_PIXELS = 2**20
"""Pixels of a band unless a tile size says otherwise: its maps stay in a processor's cache and cost a few MB."""
IN_MEMORY_PIXELS = 2**26
"""Maps up to this size (256 MB) are read once; larger ones are read again by each pass over them."""


@dataclass(frozen=True)
class Band:
    """Consecutive rows of a map with their background and noise.

    Attributes
    ----------
    window
        Rows and columns in the map: its full width, or that of a tall island.
    pixels, background, noise
        (h, nx) float32, Jy/beam.
    """

    window: Window
    pixels: FloatMap
    background: FloatMap
    noise: FloatMap

    @classmethod
    def read(cls, radio_map: RadioMap, noise_model: NoiseModel, window: Window) -> Band:
        """Read the rows of a window and evaluate the noise model there; pixels without a noise are blank."""
        background, noise = noise_model.evaluate(window)
        return cls(window, _blanked(radio_map.read(window), noise_model, noise), background, noise)


def readable_pixels(radio_map: RadioMap, noise_model: NoiseModel, window: Window) -> FloatMap:
    """The pixels of a window, blank where their noise is not known."""
    pixels = radio_map.read(window)
    if isinstance(noise_model, SuppliedNoise):
        return _blanked(pixels, noise_model, noise_model.evaluate(window)[1])
    return pixels


def _blanked(pixels: FloatMap, noise_model: NoiseModel, noise: FloatMap) -> FloatMap:
    if isinstance(noise_model, SuppliedNoise):  # an estimate is known everywhere
        return np.where(np.isfinite(noise), pixels, np.float32(np.nan))
    return pixels


def band_windows(shape: tuple[int, int], *, rows: int | None = None) -> Iterator[Window]:
    """Windows of full width and ``rows`` rows (by default about a million pixels) that cover a map once."""
    height = rows or max(1, BAND_PIXELS // shape[1])
    for y0 in range(0, shape[0], height):
        yield Window(y0, min(shape[0], y0 + height), 0, shape[1])


def in_order(function: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> Iterator[Result]:
    """Results of a function for each item in the order of the items, computed by threads where there are several."""
    if workers <= 1 or len(items) <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(function, items)


def in_memory(radio_map: RadioMap, *, rows: int | None) -> RadioMap:
    """The map with its pixels in memory if they are few, so that a file is read once; else the map as it is.

    When the user has asked for a number of rows, the map is never held as a whole.
    """
    if rows is not None or radio_map.shape[0] * radio_map.shape[1] > IN_MEMORY_PIXELS:
        return radio_map
    return replace(radio_map, reader=ArrayReader(radio_map.data))
