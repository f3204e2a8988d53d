"""Background and noise of a map on a mesh counted in beams.

The mesh is anchored to the map's own pixel (0, 0), so that a window of the map sees the values that the
whole map sees. Cells are sigma-clipped; pixels of sources found with the first estimate are masked and
the estimate is repeated until that mask settles, so that neither bright nor extended emission swells the noise.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.errors import InputError, UsageError
from neanias_ml.maps import RadioMap, Window

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]
Mask = NDArray[np.bool_]

CLIP_SIGMA = 3.0
CLIPPED_STD_OF_UNIT_GAUSSIAN = 0.98658
"""Standard deviation of a unit Gaussian cut at 3 sigma on both sides."""
MAD_TO_SIGMA = 1.4826
MIN_CELL_FRACTION = 0.2
"""A mesh cell with fewer unmasked pixels than this takes its value from its neighbours."""

NEIGHBOURHOOD_CELLS = 7
"""Side in cells of the neighbourhood that says what level and noise are usual."""
EMISSION_SIGMA = 1.0


@dataclass(frozen=True)
class BackgroundConfig:
    """Settings of the background and noise estimate."""

    mesh_beams: float = 12.0
    """side of a mesh cell in beam widths (geometric-mean FWHM)"""
    mask_seed: float = 4.0
    """a masked source has a pixel above this many sigma"""
    mask_merge: float = 2.0
    """a masked source reaches down to this many sigma"""
    max_iterations: int = 5
    """most repetitions of estimate and mask"""
    converged_fraction: float = 0.001
    """stop when less than this fraction of the pixels changes in the mask"""

    def __post_init__(self) -> None:
        if not self.mesh_beams > 0 or not 0 < self.mask_merge <= self.mask_seed:
            raise UsageError(
                "BackgroundConfig",
                f"mesh_beams ({self.mesh_beams}) must be positive, and mask_merge ({self.mask_merge}) positive and not "
                f"above mask_seed ({self.mask_seed})",
            )
        if self.max_iterations < 0 or not 0 <= self.converged_fraction < 1:
            raise UsageError(
                "BackgroundConfig", "max_iterations must not be negative and converged_fraction must lie in [0, 1)"
            )


@dataclass(frozen=True)
class NoiseModel:
    """Background and noise (Jy/beam), known on a mesh and evaluable on any window.

    Attributes
    ----------
    background_mesh, noise_mesh
        (my, mx) values at the cell centres.
    cell
        Side of a cell in pixels; cell (j, i) covers rows ``j * cell`` to ``(j + 1) * cell``.
    shape
        Rows and columns of the map.
    """

    background_mesh: FloatMesh
    noise_mesh: FloatMesh
    cell: int
    shape: tuple[int, int]

    def evaluate(self, window: Window | None = None) -> tuple[FloatMap, FloatMap]:
        """Background and noise in every pixel of a window (the whole map by default), float32 Jy/beam."""
        window = window or Window(0, self.shape[0], 0, self.shape[1])
        return self._interpolate(self.background_mesh, window), self._interpolate(self.noise_mesh, window)

    def _interpolate(self, mesh: FloatMesh, window: Window) -> FloatMap:
        """Bilinear between cell centres, constant beyond the outermost ones."""
        rows, row_weight = _bracket(window.y0, window.y1, self.cell, mesh.shape[0])
        cols, col_weight = _bracket(window.x0, window.x1, self.cell, mesh.shape[1])
        next_rows = np.minimum(rows + 1, mesh.shape[0] - 1)
        next_cols = np.minimum(cols + 1, mesh.shape[1] - 1)
        tall = mesh[rows] * (1 - row_weight)[:, None] + mesh[next_rows] * row_weight[:, None]
        tall = tall.astype(np.float32)
        weight = col_weight.astype(np.float32)
        return tall[:, cols] * (1 - weight) + tall[:, next_cols] * weight


def _bracket(start: int, stop: int, cell: int, n_cells: int) -> tuple[NDArray[np.int64], FloatMesh]:
    """Index of the mesh node at or below each pixel and the weight of the node above it."""
    position = np.clip((np.arange(start, stop) - (cell - 1) / 2) / cell, 0, n_cells - 1)
    lower = np.minimum(position.astype(np.int64), max(n_cells - 2, 0))
    return lower, position - lower


def estimate_noise(radio_map: RadioMap, *, config: BackgroundConfig | None = None) -> NoiseModel:
    """Estimate background and noise of a map.

    Parameters
    ----------
    radio_map
        The map; NaN pixels are left out.
    config
        Mesh and masking settings.

    Raises
    ------
    InputError
        ``NoNoise`` if no part of the map has a spread from which a noise could be taken.
    """
    config = config or BackgroundConfig()
    pixels = radio_map.data
    cell = max(8, min(round(config.mesh_beams * radio_map.beam_fwhm), max(pixels.shape)))
    masked = ~np.isfinite(pixels)
    model = _estimate_unmasked_cells(pixels, masked, cell)
    for _ in range(config.max_iterations):
        previous = masked
        masked = ~np.isfinite(pixels) | _source_mask(pixels, model, config)
        model = _estimate_unmasked_cells(pixels, masked, cell)
        if np.count_nonzero(masked != previous) < config.converged_fraction * pixels.size:
            break
    return model


def _source_mask(pixels: FloatMap, model: NoiseModel, config: BackgroundConfig) -> Mask:
    """Pixels of connected regions above ``mask_merge`` that hold one above ``mask_seed``."""
    background, noise = model.evaluate()
    significance = (pixels - background) / noise
    with np.errstate(invalid="ignore"):
        candidates = significance > config.mask_merge
        seeds = significance > config.mask_seed
    labels, count = ndimage.label(candidates, structure=np.ones((3, 3)))
    holds_seed = np.zeros(count + 1, dtype=bool)
    holds_seed[labels[seeds]] = True
    holds_seed[0] = False
    return ndimage.binary_dilation(holds_seed[labels], iterations=2)


def _estimate_unmasked_cells(pixels: FloatMap, masked: Mask, cell: int) -> NoiseModel:
    """Clipped statistics of every cell, cells without enough sky filled from their neighbours."""
    n_rows, n_cols = (max(1, round(length / cell)) for length in pixels.shape)
    background = np.full((n_rows, n_cols), np.nan)
    noise = np.full((n_rows, n_cols), np.nan)
    for row in range(n_rows):
        for col in range(n_cols):
            box = (_cell_slice(row, n_rows, cell, pixels.shape[0]), _cell_slice(col, n_cols, cell, pixels.shape[1]))
            sky = pixels[box][~masked[box]]
            if sky.size >= max(16, MIN_CELL_FRACTION * masked[box].size):
                background[row, col], noise[row, col] = clipped_statistics(sky)
    unknown = ~(noise > 0)
    background[unknown] = noise[unknown] = np.nan
    on_emission = _cells_on_emission(background, noise)
    background[on_emission] = noise[on_emission] = np.nan
    if not np.isfinite(noise).any():
        background[:], noise[:] = _whole_map_statistics(pixels, masked)
    return NoiseModel(fill_from_neighbours(background), fill_from_neighbours(noise), cell, pixels.shape)


def _cells_on_emission(background: FloatMesh, noise: FloatMesh) -> Mask:
    """Cells that lie on extended emission: their level stands out of the cells around by more than the noise.

    Such a cell takes emission for background and its structure for noise. A cell full of sidelobes has more noise
    at the usual level and is kept.
    """
    around = {"size": NEIGHBOURHOOD_CELLS, "mode": "constant", "cval": np.nan}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # neighbourhoods without any known cell give NaN
        usual_level = ndimage.generic_filter(background, np.nanmedian, **around)
        usual_noise = ndimage.generic_filter(noise, np.nanmedian, **around)
    return np.greater(background - usual_level, EMISSION_SIGMA * usual_noise)


def _cell_slice(index: int, count: int, cell: int, length: int) -> slice:
    """Pixels of a cell; the last one takes the remainder of the axis."""
    return slice(index * cell, length if index == count - 1 else (index + 1) * cell)


def _whole_map_statistics(pixels: FloatMap, masked: Mask) -> tuple[float, float]:
    """One value for maps in which no single cell has enough free sky."""
    for sky in (pixels[~masked], pixels[np.isfinite(pixels)]):
        if sky.size >= 16:
            background, noise = clipped_statistics(sky)
            if noise > 0:
                return background, noise
    raise InputError(
        "NoNoise",
        "no noise can be measured: the map has no spread of values outside its sources; "
        "pass a map with more of the sky around it",
    )


def clipped_statistics(values: NDArray[np.floating]) -> tuple[float, float]:
    """Median and standard deviation of values within 3 sigma, the deviation corrected for the cut.

    Parameters
    ----------
    values
        Finite pixels, any shape, Jy/beam.
    """
    kept = np.sort(values, axis=None).astype(np.float64)
    median = kept[kept.size // 2]
    spread = MAD_TO_SIGMA * float(np.median(np.abs(kept - median)))
    if spread == 0.0:
        spread = float(kept.std())
    for _ in range(20):
        low, high = np.searchsorted(kept, (median - CLIP_SIGMA * spread, median + CLIP_SIGMA * spread))
        if high - low < 8:
            break
        inside = kept[low:high]
        median = inside[inside.size // 2]
        updated = float(inside.std()) / CLIPPED_STD_OF_UNIT_GAUSSIAN
        if abs(updated - spread) <= 1e-3 * spread:
            spread = updated
            break
        spread = updated
    return float(median), spread


def fill_from_neighbours(mesh: FloatMesh) -> FloatMesh:
    """Replace NaN nodes by the mean of the known ones beside them, ring by ring from the known region outwards."""
    filled = mesh.copy()
    while np.isnan(filled).any():
        known = np.isfinite(filled)
        weight = ndimage.uniform_filter(known.astype(np.float64), size=3, mode="constant")
        total = ndimage.uniform_filter(np.where(known, filled, 0.0), size=3, mode="constant")
        grow = ~known & (weight > 1e-9)
        filled[grow] = total[grow] / weight[grow]
    return filled
