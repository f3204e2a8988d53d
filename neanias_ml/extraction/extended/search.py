"""`find_extended`: regions of extended emission in a residual significance map."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from neanias_ml.errors import UsageError
from neanias_ml.extraction.extended.blocks import Block, BlockGrid, ReadWindow
from neanias_ml.extraction.extended.clustering import clustering_odds
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.contours import contour_odds
from neanias_ml.extraction.extended.evidence import log_odds, plane_significance
from neanias_ml.extraction.extended.fusion import fused_odds, log_odds_at
from neanias_ml.extraction.extended.regions import ExtendedRegions, FoundBins, join_regions
from neanias_ml.extraction.extended.saliency import saliency_odds
from neanias_ml.extraction.extended.starlet import starlet_transform
from neanias_ml.maps import Window

Progress = Callable[[int, int], None]
"""Called with the blocks done and the blocks in all."""
OddsOfBlock = Callable[[Block, ExtendedConfig], NDArray[np.float32]]


def starlet_odds(block: Block, config: ExtendedConfig) -> NDArray[np.float32]:
    """Log-odds of emission from the significance in the wavelet planes alone."""
    starlet = starlet_transform(block.values, scales=config.max_scale)
    return log_odds(plane_significance(block, starlet, config=config))


METHOD_ODDS: dict[str, OddsOfBlock] = {
    "fused": fused_odds,
    "starlet": starlet_odds,
    "saliency": saliency_odds,
    "clustering": clustering_odds,
    "active-contour": contour_odds,
}


def find_extended(
    read: ReadWindow,
    *,
    shape: tuple[int, int],
    beam_fwhm: float,
    config: ExtendedConfig | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> ExtendedRegions:
    """Find extended emission in a map of residual significance.

    Parameters
    ----------
    read
        Gives the residual significance of a window: the map without its compact sources, minus the background,
        over the local noise; float32, NaN where blank. Called from several threads if ``workers`` is above 1.
    shape
        Rows and columns of the map.
    beam_fwhm
        Geometric-mean width of the beam in pixels.
    config
        Method and settings.
    workers
        Threads; the result does not depend on them.
    progress
        Called after each block.

    Returns
    -------
    ExtendedRegions
        Sorted by first pixel.

    Raises
    ------
    UsageError
        If the beam or the number of workers makes no sense.
    """
    config = config or ExtendedConfig()
    if not (math.isfinite(beam_fwhm) and beam_fwhm > 0):
        raise UsageError("ExtendedBeam", f"the beam must be a positive number of pixels wide, not {beam_fwhm}")
    if workers < 1:
        raise UsageError("Workers", f"at least one worker is needed, not {workers}")
    grid = BlockGrid.of_map(shape, beam_fwhm=beam_fwhm, config=config)
    cores = grid.cores()

    def search(core: Window) -> FoundBins:
        return _search_block(grid.read(core, read, clip=config.clip_sigma), config)

    parts = []
    with ThreadPoolExecutor(workers) as threads:
        for done, found in enumerate(map(search, cores) if workers == 1 else threads.map(search, cores), start=1):
            parts.append(found)
            if progress is not None:
                progress(done, len(cores))
    return join_regions(
        parts,
        shape=shape,
        factor=grid.factor,
        seed_odds=log_odds_at(config.seed_evidence),
        min_bins=config.min_beams * beam_area(grid.beam),
    )


def beam_area(beam: float) -> float:
    """Area of a Gaussian beam of this width (FWHM), in the square of its unit."""
    return math.pi * beam**2 / (4 * math.log(2))


def _search_block(block: Block, config: ExtendedConfig) -> FoundBins:
    """Bins of the core above the merge threshold."""
    if not np.isfinite(block.values[block.core_slices]).any():
        return FoundBins.none()
    odds = METHOD_ODDS[config.method](block, config)[block.core_slices]
    row, col = np.nonzero((odds >= log_odds_at(config.merge_evidence)) & np.isfinite(block.values[block.core_slices]))
    index = (row + block.core.y0) * block.grid.binned_shape[1] + col + block.core.x0
    return FoundBins(index.astype(np.int64), odds[row, col], block.blank_pixels)
