"""The cells of a mesh: level and spread of the sky in each, and what to do where there is no sky to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

from neanias_ml.errors import InputError
from neanias_ml.extraction.bands import in_order
from neanias_ml.extraction.noise.config import ESTIMATORS, BackgroundConfig
from neanias_ml.extraction.noise.mesh_kernels import (
    HISTOGRAM_BINS,
    cell_statistics,
    fill_ring,
    standing_out,
    statistics,
)
from neanias_ml.extraction.noise.model import MeshNoise
from neanias_ml.extraction.noise.thinned import ThinnedMap

FloatMesh = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_CELL_FRACTION = 0.2
"""A mesh cell with fewer unmasked pixels than this takes its value from its neighbours."""
NEIGHBOURHOOD_CELLS = 3
"""Cells on each side that say what level and noise are usual."""
EMISSION_SIGMA = 1.0
"""A cell whose level exceeds the usual one by this many times the noise lies on extended emission."""
LEAST_PIXELS = 16
FIRST_STRIDE_SIDE = 16
"""Cells of at least this side (in thinned pixels) are first estimated from every second row and column of them."""
TASKS_PER_WORKER = 4
"""Parts into which the rows of cells are cut for each thread."""


class CellMesh:
    """The cells of one map, estimated again and again with better masks; the last values are the next first guess."""

    def __init__(self, thinned: ThinnedMap, config: BackgroundConfig, workers: int) -> None:
        self.thinned = thinned
        self.estimator = ESTIMATORS[config.estimator]
        self.workers = workers
        self.side = max(8, round(config.mesh_beams * thinned.beam_fwhm / thinned.step))
        self.side = min(self.side, max(thinned.pixels.shape))
        rows, cols = (max(1, round(length / self.side)) for length in thinned.pixels.shape)
        self.first_stride = 2 if self.side >= FIRST_STRIDE_SIDE else 1
        self.level = np.full((rows, cols), np.nan)
        self.spread = np.full((rows, cols), np.nan)
        self.seen: Mask | None = None
        self.measured = (self.level, self.spread)

    def estimate(self, masked: Mask, *, stride: int = 1) -> MeshNoise:
        """Statistics of every cell, cells without enough sky or on emission filled from their neighbours.

        With a ``stride`` from fewer pixels, for a first idea of where sources are.
        """
        wanted = np.ones(self.level.shape, dtype=bool)
        if self.seen is not None:  # cells whose mask is as before keep their values
            wanted[:] = False
            places = np.divmod(np.flatnonzero(masked != self.seen), masked.shape[1])
            row, col = (np.minimum(at // self.side, n - 1) for at, n in zip(places, wanted.shape, strict=True))
            wanted[row, col] = True
        level = np.where(wanted, self.level, self.measured[0])
        spread = np.where(wanted, self.spread, self.measured[1])

        pixels, side, estimator = self.thinned.pixels, self.side, self.estimator

        def fill(rows: tuple[int, int]) -> None:
            cell_statistics(
                pixels, masked, side, estimator, MIN_CELL_FRACTION, stride, wanted, rows, level, spread
            )

        height = max(1, -(-len(level) // (TASKS_PER_WORKER * self.workers)))
        tasks = [(row, min(row + height, len(level))) for row in range(0, len(level), height)]
        list(in_order(fill, tasks, workers=self.workers))
        if stride == 1:
            self.seen, self.measured = masked, (level.copy(), spread.copy())
        on_emission = cells_on_emission(level, spread)
        level[on_emission] = spread[on_emission] = np.nan
        if not np.isfinite(spread).any():
            level[:], spread[:] = self._whole_map(masked)
        self.level, self.spread = fill_from_neighbours(level), fill_from_neighbours(spread)
        return MeshNoise(self.level, self.spread, self.side * self.thinned.step, self.thinned.shape)

    def _whole_map(self, masked: Mask) -> tuple[float, float]:
        """One value for maps in which no single cell has enough free sky."""
        pixels = self.thinned.pixels
        for sky in (pixels[~masked], pixels[np.isfinite(pixels)]):
            if sky.size >= LEAST_PIXELS:
                level, spread = level_and_spread(sky, estimator=self.estimator)
                if spread > 0:
                    return level, spread
        raise InputError(
            "NoNoise",
            "no noise can be measured: the map has no spread of values outside its sources; "
            "pass a map with more of the sky around it",
        )


def level_and_spread(values: NDArray[np.floating], *, estimator: int) -> tuple[float, float]:
    """Level and spread (Jy/beam) of finite pixels of any shape by one of `ESTIMATORS`' codes."""
    flat = np.array(values, dtype=np.float32).ravel()
    sums = np.empty((3, HISTOGRAM_BINS + 1), np.int64)
    level, spread = statistics(flat, np.empty_like(flat), flat.size, estimator, sums, (0.0, 0.0))
    return float(level), float(spread)


def cells_on_emission(level: FloatMesh, spread: FloatMesh) -> Mask:
    """Cells that lie on extended emission: their level stands out of the cells around by more than the noise.

    Such a cell takes emission for background and its structure for noise. A cell full of sidelobes has more noise
    at the usual level and is kept.
    """
    # Medians are not below the least value: this spares most cells their search.
    lowest, quietest = (
        minimum_filter(np.where(np.isnan(mesh), np.inf, mesh).astype(np.float32), size=2 * NEIGHBOURHOOD_CELLS + 1)
        for mesh in (level, spread)
    )
    with np.errstate(invalid="ignore"):
        standing = level - lowest > EMISSION_SIGMA * quietest
    standing_out(level, spread, NEIGHBOURHOOD_CELLS, EMISSION_SIGMA, standing)
    return standing


def fill_from_neighbours(mesh: FloatMesh) -> FloatMesh:
    """Replace NaN nodes by the mean of the known ones beside them, ring by ring from the known region outwards."""
    filled = mesh.copy()
    while np.isnan(filled).any() and np.isfinite(filled).any():
        fill_ring(filled)
    return filled
