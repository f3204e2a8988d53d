"""Between which values a pixel is sky for certain: a first look that spares most pixels the noise model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.noise.model import MeshNoise
from neanias_ml.maps import Window

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]
Pixels = NDArray[np.int32]

ROUNDING = 1e-4
"""Part of the noise by which limits are wider than the values of the mesh say, so that rounding loses no pixel."""
STRETCH = 64
"""Pixels of a row that are looked at together: a number known beforehand, so that the look is a few instructions."""


@dataclass(frozen=True)
class SkyLimits:
    """Values in Jy/beam that no significant pixel lies between.

    Attributes
    ----------
    low, high
        (my, S) float32, for each row of mesh cells and each stretch of `STRETCH` columns.
    cell
        Rows of a row of cells; the last takes the remainder of the map.
    """

    low: FloatMap
    high: FloatMap
    cell: int

    @classmethod
    def of(cls, noise: MeshNoise, *, merge: float) -> SkyLimits:
        """Limits for pixels beyond ``merge`` sigma of either sign.

        Within a cell a quadratic spline stays between the values of its Bezier points, and sidelobes only raise the
        noise.
        """
        level, rms = (_bezier_points(mesh) for mesh in noise.padded_meshes)
        rounding = ROUNDING * rms + 4.0 * np.finfo(np.float32).eps * np.abs(level)
        excess = merge * rms - rounding
        low, high = (level - excess).max(axis=0), (level + excess).min(axis=0)
        starts = np.arange(0, noise.shape[1], STRETCH)
        first, last = (np.minimum(column // noise.cell, low.shape[1] - 1) for column in (starts, starts + STRETCH - 1))
        cells = [np.minimum(first + step, last) for step in range(STRETCH // noise.cell + 2)]
        low = np.max([low[:, cell] for cell in cells], axis=0)
        high = np.min([high[:, cell] for cell in cells], axis=0)
        return cls(low.astype(np.float32), high.astype(np.float32), noise.cell)

    def outside(self, pixels: FloatMap, *, window: Window) -> tuple[Pixels, Pixels]:
        """Rows and columns (P,) in the map of the pixels of a window of full width that are not sky for certain."""
        room = max(1024, pixels.size // 8)
        while True:
            y, x = np.empty(room, np.int32), np.empty(room, np.int32)
            count = _find_outside(pixels, window.y0, self.cell, self.low, self.high, y, x)
            if count <= room:
                return y[:count], x[:count]
            room = count


def _bezier_points(padded: FloatMesh) -> FloatMesh:
    """(9, my, mx) Bezier points of the quadratic B-spline in each cell of a mesh with a ring of nodes around it."""
    lines = (0.5 * (padded[:-2] + padded[1:-1]), padded[1:-1], 0.5 * (padded[1:-1] + padded[2:]))
    return np.stack(
        [
            part
            for line in lines
            for part in (0.5 * (line[:, :-2] + line[:, 1:-1]), line[:, 1:-1], 0.5 * (line[:, 1:-1] + line[:, 2:]))
        ]
    )


@njit(cache=True, nogil=True)
def _find_outside(
    pixels: FloatMap, y0: int, cell: int, low: FloatMap, high: FloatMap, found_y: Pixels, found_x: Pixels
) -> int:
    """Fill in the pixels outside the limits as far as there is room, row by row; their number.

    Most stretches of a row hold none and are passed over at the first look.
    """
    height, width = pixels.shape
    count = 0
    for y in range(y0, y0 + height):
        line = pixels[y - y0]
        row = min(y // cell, low.shape[0] - 1)
        for k in range(low.shape[1]):
            least, most = low[row, k], high[row, k]
            start, stop = k * STRETCH, min((k + 1) * STRETCH, width)
            if stop - start == STRETCH:
                beyond = np.int32(0)
                for i in range(STRETCH):
                    beyond |= np.int32(line[start + i] >= most) | np.int32(line[start + i] <= least)
                if beyond == 0:
                    continue
            for x in range(start, stop):
                if line[x] >= most or line[x] <= least:
                    if count < found_y.size:
                        found_y[count], found_x[count] = y, x
                    count += 1
    return count
