"""Pixels of a thinned map that hold emission: sources, and what is too faint and wide for single pixels to show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.bands import in_order
from neanias_ml.extraction.islands.runs import ScannedRows, join_scanned, runs_above
from neanias_ml.extraction.noise.config import BackgroundConfig
from neanias_ml.extraction.noise.emission_kernels import block_means, mark_blocks
from neanias_ml.extraction.noise.mesh_kernels import MAD_TO_SIGMA
from neanias_ml.extraction.noise.model import MeshNoise
from neanias_ml.extraction.noise.thinned import ThinnedMap
from neanias_ml.maps import Window

FloatMap = NDArray[np.float32]
FloatMesh = NDArray[np.float64]
Mask = NDArray[np.bool_]

SEEN_OF_PEAK = 0.9
"""Thinned pixels miss the peaks of sources: they are masked from this part of the threshold on."""
DIFFUSE_MERGE = 0.5
"""Averages above this part of the threshold are masked too where they join one above it: the background follows faint
emission before it is masked."""
LEAST_PAIRS = 16
ENOUGH_PAIRS = 40_000
"""Of more averages than twice this, every second, third, ... tells their spread."""


def emission_masks(
    thinned: ThinnedMap, model: MeshNoise, config: BackgroundConfig, *, look_for_diffuse: bool, workers: int
) -> tuple[Mask, Mask | None]:
    """Pixels of sources (``mask_seed``, ``mask_merge``) and those beside them; those of diffuse emission, if wanted."""
    half = max(1, round(0.5 * config.diffuse_beams * thinned.beam_fwhm / thinned.step))

    def look(rows: slice) -> tuple[ScannedRows, FloatMesh | None]:
        significance = thinned.significance(model, rows)
        blocks = block_means(significance, half) if look_for_diffuse else None
        return runs_above(significance, merge=config.mask_merge, y0=rows.start), blocks

    looks = list(in_order(look, thinned.bands(half), workers=workers))
    regions = join_scanned([scanned for scanned, _ in looks], connectivity=8)
    seed = config.mask_seed * (SEEN_OF_PEAK if thinned.step > 1 else 1.0)
    sources = regions.keep(regions.region_peak > seed)
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
    known = known[:: max(1, known.size // ENOUGH_PAIRS)]
    if known.size < LEAST_PAIRS:
        return marked
    middle = float(np.median(known))
    spread = MAD_TO_SIGMA * float(np.median(middle - known[known <= middle]))
    if spread == 0.0:
        return marked
    height = ((pairs - middle) / spread).astype(np.float32)
    scanned = runs_above(height, merge=DIFFUSE_MERGE * threshold)
    regions = join_scanned([scanned], connectivity=8)
    bright = regions.keep(regions.region_peak > threshold).paint(Window(0, rows - 1, 0, cols - 1)) > 0
    for window in (np.s_[:-1, :-1], np.s_[1:, :-1], np.s_[:-1, 1:], np.s_[1:, 1:]):
        marked[window] |= bright
    return marked
