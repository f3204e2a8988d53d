"""Fixed blocks of a map on a grid of bins somewhat finer than the beam.

Blocks are anchored to the map's pixel (0, 0) and overlap by a halo; a bin belongs to the core of exactly one block.
They depend on nothing but the map and the settings, so neither tiles nor workers change what is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.starlet import BeamNoise, smoothing_reach
from neanias_ml.maps import Window

FloatMap = NDArray[np.float32]
ReadWindow = Callable[[Window], FloatMap]


@dataclass(frozen=True)
class BlockGrid:
    """The bins and blocks of a map.

    Attributes
    ----------
    shape
        Rows and columns of the map in pixels.
    factor
        Pixels along the side of a bin.
    beam
        Geometric-mean width of the beam in bins.
    core, halo
        Side of a block's core and width of the halo around it, in bins.
    noise
        Noise of smoothed bins.
    """

    shape: tuple[int, int]
    factor: int
    beam: float
    core: int
    halo: int
    noise: BeamNoise

    @classmethod
    def of_map(cls, shape: tuple[int, int], *, beam_fwhm: float, config: ExtendedConfig) -> BlockGrid:
        """Grid for a map of ``shape`` whose beam is ``beam_fwhm`` pixels wide."""
        factor = max(1, round(beam_fwhm / config.bins_per_beam))
        beam = beam_fwhm / factor
        shell = int(np.ceil(config.shell_max_beams * beam)) if config.method == "fused" else 0
        reach = smoothing_reach(config.max_scale)
        superpixels = int(np.ceil(2 * max(config.superpixel_beams) * beam))
        return cls(
            shape=shape,
            factor=factor,
            beam=beam,
            core=max(1, config.block // factor),
            halo=max(reach, shell, superpixels),
            noise=BeamNoise(beam_fwhm, factor),
        )

    @property
    def binned_shape(self) -> tuple[int, int]:
        """Rows and columns of the map in bins; the last bin of an axis may be cut."""
        return -(-self.shape[0] // self.factor), -(-self.shape[1] // self.factor)

    def cores(self) -> list[Window]:
        """Cores of all blocks, in bins, row by row."""
        rows, cols = self.binned_shape
        return [
            Window(y, min(y + self.core, rows), x, min(x + self.core, cols))
            for y in range(0, rows, self.core)
            for x in range(0, cols, self.core)
        ]

    def read(self, core: Window, read: ReadWindow, *, clip: float) -> Block:
        """The block around a core."""
        window = core.expanded(self.halo, shape=self.binned_shape)
        pixels = Window(
            window.y0 * self.factor,
            min(window.y1 * self.factor, self.shape[0]),
            window.x0 * self.factor,
            min(window.x1 * self.factor, self.shape[1]),
        )
        significance = np.ascontiguousarray(read(pixels), dtype=np.float32)
        values = mean_of_bins(significance, factor=self.factor, clip=clip)
        blank = ~np.isfinite(significance)
        row, col = np.nonzero(blank) if blank.any() else (np.zeros(0, np.int64), np.zeros(0, np.int64))
        partly = np.isfinite(values[row // self.factor, col // self.factor])
        blank_pixels = (row[partly] + pixels.y0) * self.shape[1] + col[partly] + pixels.x0
        return Block(values, core, window, self, blank_pixels)


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes
    ----------
    values
        (ny, nx) float32 mean significance of each bin, NaN where every pixel is blank.
    core, window
        The core and all of the block, in bins of the map.
    grid
        The grid it belongs to.
    blank_pixels
        (K,) int64 flat indices in the map of the blank pixels of bins that are not wholly blank.
    """

    values: FloatMap
    core: Window
    window: Window
    grid: BlockGrid
    blank_pixels: NDArray[np.int64]

    @property
    def core_slices(self) -> tuple[slice, slice]:
        """Index of the core in `values`."""
        y, x = self.window.y0, self.window.x0
        return slice(self.core.y0 - y, self.core.y1 - y), slice(self.core.x0 - x, self.core.x1 - x)


def mean_of_bins(image: FloatMap, *, factor: int, clip: float = np.inf) -> FloatMap:
    """Mean of the finite pixels in squares of ``factor`` pixels, cut at plus and minus ``clip``; NaN without any."""
    out = np.empty((-(-image.shape[0] // factor), -(-image.shape[1] // factor)), dtype=np.float32)
    _mean_of_bins(np.ascontiguousarray(image), factor, np.float32(clip), out)
    return out


@njit("void(float32[:, ::1], int64, float32, float32[:, ::1])", cache=True, nogil=True)
def _mean_of_bins(image: FloatMap, factor: int, clip: np.float32, out: FloatMap) -> None:
    ny, nx = image.shape
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            total = np.float32(0.0)
            count = 0
            for y in range(row * factor, min((row + 1) * factor, ny)):
                for x in range(col * factor, min((col + 1) * factor, nx)):
                    value = image[y, x]
                    if np.isfinite(value):
                        total += value
                        count += 1
            if count == 0:
                out[row, col] = np.nan
            else:
                out[row, col] = np.float32(min(max(total / np.float32(count), -clip), clip))
