"""A map thinned to what its beam lets be independent: what the estimate of background and noise works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.noise.emission_kernels import significance_rows
from neanias_ml.extraction.noise.model import MeshNoise
from neanias_ml.maps import RadioMap, Window

FloatMap = NDArray[np.float32]

PIXELS_PER_BEAM = 1.45
"""Thinned pixels along a beam width, at least: noise is correlated over the beam, and more of them say little more."""
READ_ROWS = 256
"""Rows of a map that are read at a time."""
BAND_ROWS = 64
"""Thinned rows that are searched at a time."""


@dataclass(frozen=True)
class ThinnedMap:
    """Every ``step``-th row and column of a map from pixel (0, 0) on.

    Attributes
    ----------
    pixels
        (ty, tx) float32, Jy/beam.
    step
        Spacing in pixels: up to 0.7 of a beam width.
    shape
        Rows and columns of the whole map.
    beam_area, beam_fwhm
        Of the beam, in pixels of the whole map.
    """

    pixels: FloatMap
    step: int
    shape: tuple[int, int]
    beam_area: float
    beam_fwhm: float

    @classmethod
    def of(cls, radio_map: RadioMap) -> ThinnedMap:
        """Read a map band by band and keep what the estimate needs."""
        ny, nx = radio_map.shape
        step = max(1, int(radio_map.beam_fwhm / PIXELS_PER_BEAM))
        while step > 1 and min(ny, nx) < 64 * step:
            step -= 1
        rows = step * max(1, READ_ROWS // step)
        thinned = np.empty((-(-ny // step), -(-nx // step)), np.float32)
        for y0 in range(0, ny, rows):
            band = radio_map.read(Window(y0, min(ny, y0 + rows), 0, nx))
            thinned[y0 // step : y0 // step + -(-band.shape[0] // step)] = band[::step, ::step]
        return cls(thinned, step, radio_map.shape, radio_map.beam_area, radio_map.beam_fwhm)

    def bands(self, multiple: int) -> list[slice]:
        """Thinned rows, a multiple of some number at a time, so few that a processor's cache holds them."""
        height = multiple * max(1, BAND_ROWS // multiple)
        return [slice(row, min(row + height, len(self.pixels))) for row in range(0, len(self.pixels), height)]

    def significance(self, model: MeshNoise, rows: slice | None = None) -> FloatMap:
        """Signal to noise of some thinned rows (all by default); of the model the meshes alone."""
        rows = rows or slice(0, len(self.pixels))
        pixels = self.pixels[rows]
        result = np.empty_like(pixels)
        significance_rows(pixels, *model.padded_meshes, float(model.cell), self.step, rows.start, result)
        return result


def without_padding(pixels: FloatMap) -> FloatMap:
    """Pixels with blocks of 3 x 3 exact zeros blank: they are the padding of a mosaic, not sky."""
    zero = pixels == 0.0
    if min(pixels.shape) < 3 or not zero.any():
        return pixels
    lines = zero[:-2] & zero[1:-1] & zero[2:]
    blocks = lines[:, :-2] & lines[:, 1:-1] & lines[:, 2:]
    padding = np.zeros_like(zero)
    for j in range(3):
        for i in range(3):
            padding[j : j + blocks.shape[0], i : i + blocks.shape[1]] |= blocks
    return np.where(padding, np.float32(np.nan), pixels)
