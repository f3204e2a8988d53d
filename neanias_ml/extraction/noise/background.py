"""Background and noise of a map on a mesh counted in beams.

The mesh is anchored to the map's own pixel (0, 0), so that a window of the map sees the values that the whole map
sees. Noise is correlated over the beam, so every second or third pixel says as much as all: the estimate works on such
a thinned map. Cells are estimated, pixels of sources and of diffuse emission found with that estimate are masked, and
both are repeated until the mask settles, so that neither bright nor extended emission swells the noise. Around bright
sources the noise follows the sidelobes (`sidelobe_noise`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neanias_ml.errors import InputError
from neanias_ml.extraction.bands import band_windows, in_order
from neanias_ml.extraction.islands.runs import Runs, ScannedRows, join_scanned, scan_rows
from neanias_ml.extraction.noise.config import ESTIMATORS, BackgroundConfig
from neanias_ml.extraction.noise.mesh_kernels import (
    HISTOGRAM_BINS,
    MAD_TO_SIGMA,
    block_significance,
    cell_statistics,
    fill_ring,
    mark_blocks,
    mark_differing,
    neighbourhood_quantile,
    statistics,
)
from neanias_ml.extraction.noise.model import MeshNoise, SidelobeNoise
from neanias_ml.extraction.noise.sidelobes import measure_sidelobes
from neanias_ml.maps import RadioMap, Window

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_CELL_FRACTION = 0.2
"""A mesh cell with fewer unmasked pixels than this takes its value from its neighbours."""
NEIGHBOURHOOD_CELLS = 3
"""Cells on each side that say what level and noise are usual."""
EMISSION_SIGMA = 1.0
DIFFUSE_MERGE = 0.5
"""Averages above this part of the threshold are masked too where they join one above it: the background follows faint
emission before it is masked."""
DIFFUSE_PASSES = 2
"""Iterations that look for diffuse emission; later ones keep what these have found."""
SIDELOBE_PASSES = 4
"""Most repetitions of profiles and mesh: a mesh that holds sidelobes hides a part of them from the profiles."""
BAND_ROWS = 256
"""Rows that are read at a time."""
LEAST_PIXELS = 16
RAISED = 1.2
"""Pixels whose noise sidelobes raise by this factor tell the mesh nothing."""
FIRST_STRIDE_SIDE = 16
"""Cells of at least this side (in thinned pixels) are first estimated from every second row and column of them."""


@dataclass(frozen=True)
class ThinnedMap:
    """Every ``step``-th row and column of a map from pixel (0, 0) on.

    Attributes
    ----------
    pixels
        (ty, tx) float32, Jy/beam.
    step
        Spacing in pixels: about half a beam width.
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
        step = max(1, int(radio_map.beam_fwhm / 2.0))
        while step > 1 and min(ny, nx) < 64 * step:
            step -= 1
        rows = step * max(1, BAND_ROWS // step)
        thinned = np.empty((-(-ny // step), -(-nx // step)), np.float32)
        for y0 in range(0, ny, rows):
            band = radio_map.read(Window(y0, min(ny, y0 + rows), 0, nx))
            thinned[y0 // step : y0 // step + -(-band.shape[0] // step)] = band[::step, ::step]
        return cls(thinned, step, radio_map.shape, radio_map.beam_area, radio_map.beam_fwhm)

    @property
    def extent(self) -> Window:
        """The whole map."""
        return Window(0, self.shape[0], 0, self.shape[1])

    def bands(self, multiple: int = 1) -> Iterator[tuple[slice, Window]]:
        """Thinned rows, a multiple of some number at a time, with the window of the map that they sample."""
        height = multiple * max(1, BAND_ROWS // multiple)
        for row in range(0, len(self.pixels), height):
            last = min(row + height, len(self.pixels))
            yield slice(row, last), Window(row * self.step, min(last * self.step, self.shape[0]), 0, self.shape[1])

    def significance(self, model: MeshNoise) -> FloatMap:
        """Signal to noise of the thinned pixels."""
        result = np.empty_like(self.pixels)
        for rows, window in self.bands():
            background, noise = model.sampled(window, step=self.step)
            np.divide(self.pixels[rows] - background, noise, out=result[rows])
        return result


def estimate_noise(radio_map: RadioMap, *, config: BackgroundConfig | None = None, workers: int = 1) -> MeshNoise:
    """Estimate background and noise of a map.

    Parameters
    ----------
    radio_map
        The map; NaN pixels are left out. It is read in bands of rows.
    config
        Mesh and masking settings.
    workers
        Threads; the result does not depend on them.

    Raises
    ------
    InputError
        ``NoNoise`` if no part of the map has a spread from which a noise could be taken.
    """
    config = config or BackgroundConfig()
    thinned = ThinnedMap.of(radio_map)
    return estimate_thinned(thinned, config=config, workers=workers)


def estimate_without(
    radio_map: RadioMap, islands: Runs, *, config: BackgroundConfig, workers: int = 1
) -> MeshNoise:
    """The same with the pixels of known islands left out from the start."""
    thinned = ThinnedMap.of(radio_map)
    known = np.zeros(thinned.pixels.shape, dtype=bool)
    for window in band_windows(radio_map.shape, rows=thinned.step * BAND_ROWS):
        rows = slice(window.y0 // thinned.step, -(-window.y1 // thinned.step))
        known[rows] = islands.paint(window)[:: thinned.step, :: thinned.step] > 0
    return estimate_thinned(thinned, config=config, workers=workers, known_sources=known)


def estimate_thinned(
    thinned: ThinnedMap, *, config: BackgroundConfig, workers: int = 1, known_sources: Mask | None = None
) -> MeshNoise:
    """The same from a thinned map; ``known_sources`` (ty, tx) are masked from the start."""
    thinned = replace(thinned, pixels=without_padding(thinned.pixels))
    blank = ~np.isfinite(thinned.pixels)
    masked = blank if known_sources is None else blank | known_sources
    always_masked = masked
    mesh = _CellMesh(thinned, config, workers)
    model = mesh.estimate(masked, stride=mesh.first_stride)
    diffuse = np.zeros_like(blank)
    for iteration in range(config.max_iterations):
        previous = masked
        look_for_diffuse = config.mask_diffuse > 0.0 and iteration < DIFFUSE_PASSES
        sources, found = _emission_masks(thinned, model, config, look_for_diffuse=look_for_diffuse, workers=workers)
        diffuse = diffuse if found is None else found
        masked = always_masked | sources | diffuse
        model = mesh.estimate(masked)
        if np.count_nonzero(masked != previous) < config.converged_fraction * masked.size:
            break
    if config.max_iterations == 0:
        model = mesh.estimate(masked)
    if config.bright_snr == 0.0:
        return model
    return _with_sidelobes(thinned, model, mesh, masked, config)


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


def _with_sidelobes(
    thinned: ThinnedMap, model: MeshNoise, mesh: _CellMesh, masked: Mask, config: BackgroundConfig
) -> MeshNoise:
    """Take the sidelobes of bright sources out of the mesh and into profiles around them."""
    sidelobes: SidelobeNoise | None = None
    previous: SidelobeNoise | None = None
    for _ in range(SIDELOBE_PASSES):
        sidelobes = measure_sidelobes(
            thinned.significance(model),
            model=model,
            step=thinned.step,
            beam_fwhm=thinned.beam_fwhm,
            beam_area=thinned.beam_area,
            bright_snr=config.bright_snr,
            largest_radius=config.bright_beams * thinned.beam_fwhm,
        )
        if sidelobes is None:
            return model
        if previous is not None and np.array_equal(previous.sources.radius, sidelobes.sources.radius):
            break
        previous = sidelobes
        model = mesh.estimate(masked | _raised_by(sidelobes, thinned))
    return MeshNoise(model.background_mesh, model.noise_mesh, model.cell, model.shape, sidelobes)


def _raised_by(sidelobes: SidelobeNoise, thinned: ThinnedMap) -> Mask:
    """Pixels at which sidelobes raise the noise by a fifth or more."""
    raised = np.zeros(thinned.pixels.shape, dtype=bool)
    for rows, window in thinned.bands():
        factor = np.ones(thinned.pixels[rows].shape, np.float32)
        sidelobes.raise_noise(factor, window=window, step=thinned.step)
        raised[rows] = factor > RAISED
    return raised


def _emission_masks(
    thinned: ThinnedMap, model: MeshNoise, config: BackgroundConfig, *, look_for_diffuse: bool, workers: int
) -> tuple[Mask, Mask | None]:
    """Pixels of sources (``mask_seed``, ``mask_merge``) and those beside them; those of diffuse emission, if wanted."""
    half = max(1, round(0.5 * config.diffuse_beams * thinned.beam_fwhm / thinned.step))

    def look(band: tuple[slice, Window]) -> tuple[ScannedRows, FloatMesh | None]:
        rows, window = band
        pixels = thinned.pixels[rows]
        background, noise = model.sampled(window, step=thinned.step)
        blocks = block_significance(pixels, background, noise, half) if look_for_diffuse else None
        return scan_rows(pixels, background, noise, merge=config.mask_merge, y0=rows.start), blocks

    looks = list(in_order(look, list(thinned.bands(half)), workers=workers))
    regions = join_scanned([scanned for scanned, _ in looks], connectivity=8)
    sources = regions.keep(regions.region_peak > config.mask_seed)
    margin = max(1, round(0.4 * thinned.beam_fwhm / thinned.step))
    whole = Window(0, thinned.pixels.shape[0], 0, thinned.pixels.shape[1])
    if not look_for_diffuse:
        return sources.mask(whole, margin=margin), None
    diffuse = np.zeros(thinned.pixels.shape, dtype=bool)
    blocks = np.concatenate([blocks for _, blocks in looks if blocks is not None])
    mark_blocks(diffuse, _diffuse_blocks(blocks, config.mask_diffuse), half)
    return sources.mask(whole, margin=margin), diffuse


def _diffuse_blocks(blocks: FloatMesh, threshold: float) -> Mask:
    """Blocks whose average with their neighbours, two by two, stands out of the spread of such averages.

    The spread is taken from the averages below their median, where no emission is.
    """
    rows, cols = blocks.shape
    marked = np.zeros((rows, cols), dtype=bool)
    if min(rows, cols) < 2:
        return marked
    pairs = 0.25 * (blocks[:-1, :-1] + blocks[1:, :-1] + blocks[:-1, 1:] + blocks[1:, 1:])
    known = pairs[np.isfinite(pairs)]
    if known.size < LEAST_PIXELS:
        return marked
    middle = float(np.median(known))
    spread = MAD_TO_SIGMA * float(np.median(middle - known[known <= middle]))
    if spread == 0.0:
        return marked
    height = ((pairs - middle) / spread).astype(np.float32)
    scanned = scan_rows(height, np.zeros_like(height), np.ones_like(height), merge=DIFFUSE_MERGE * threshold)
    regions = join_scanned([scanned], connectivity=8)
    bright = regions.keep(regions.region_peak > threshold).paint(Window(0, rows - 1, 0, cols - 1)) > 0
    for window in (np.s_[:-1, :-1], np.s_[1:, :-1], np.s_[:-1, 1:], np.s_[1:, 1:]):
        marked[window] |= bright
    return marked


class _CellMesh:
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
            mark_differing(masked, self.seen, self.side, wanted)
        level = np.where(wanted, self.level, self.measured[0])
        spread = np.where(wanted, self.spread, self.measured[1])

        def fill(row: int) -> None:
            cell_statistics(
                self.thinned.pixels,
                masked,
                self.side,
                self.estimator,
                MIN_CELL_FRACTION,
                stride,
                wanted,
                row,
                level,
                spread,
            )

        list(in_order(fill, range(len(level)), workers=self.workers))
        if stride == 1:
            self.seen, self.measured = masked, (level.copy(), spread.copy())
        on_emission = _cells_on_emission(level, spread)
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
    sums = np.empty((3, HISTOGRAM_BINS + 1))
    level, spread = statistics(flat, np.empty_like(flat), flat.size, estimator, sums, (0.0, 0.0))
    return float(level), float(spread)


def _cells_on_emission(level: FloatMesh, spread: FloatMesh) -> Mask:
    """Cells that lie on extended emission: their level stands out of the cells around by more than the noise.

    Such a cell takes emission for background and its structure for noise. A cell full of sidelobes has more noise
    at the usual level and is kept.
    """
    usual_level = neighbourhood_quantile(level, NEIGHBOURHOOD_CELLS, 0.5)
    usual_spread = neighbourhood_quantile(spread, NEIGHBOURHOOD_CELLS, 0.5)
    with np.errstate(invalid="ignore"):
        return np.greater(level - usual_level, EMISSION_SIGMA * usual_spread)


def fill_from_neighbours(mesh: FloatMesh) -> FloatMesh:
    """Replace NaN nodes by the mean of the known ones beside them, ring by ring from the known region outwards."""
    filled = mesh.copy()
    while np.isnan(filled).any() and np.isfinite(filled).any():
        fill_ring(filled)
    return filled
