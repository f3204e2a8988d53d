"""Saliency: how far a superpixel stands out of those around it, over several sizes of superpixels.

After Goferman, Zelnik-Manor & Tal 2012 (IEEE Trans. PAMI 34, 1915) as used on radio maps by Riggi et al. 2016
(MNRAS 460, 1486), with neighbourhoods of bounded size, levels in standard errors, and only brighter counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neanias_ml.extraction.extended.blocks import Block
from neanias_ml.extraction.extended.coarse import CoarseBlock
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.evidence import log_odds, negative_spread
from neanias_ml.extraction.extended.starlet import starlet_transform
from neanias_ml.extraction.extended.superpixels import Superpixels

FloatMap = NDArray[np.float32]

NEIGHBOURS = 32
"""Superpixels a superpixel is compared with: about three rings around it."""
FALL_OFF = 3.0
"""Difference in standard errors at which the likeness of two superpixels has fallen to 1/e."""
SIGMA_PER_SALIENCY = 1.9
"""The most salient superpixels of maps without emission reach about 2.5, where a Gaussian map would reach 4.8."""
DISTANCE_WEIGHT = 0.1
"""Loss of a difference's weight per superpixel of distance."""


def saliency_odds(block: Block, config: ExtendedConfig) -> FloatMap:
    """Log-odds of emission from the saliency alone, float32 (ny, nx)."""
    starlet = starlet_transform(block.values, scales=config.min_scale)
    coarse = CoarseBlock.of_block(block, starlet, config=config)
    significance = SIGMA_PER_SALIENCY * salient_significance(coarse, config=config)
    return coarse.spread(log_odds(significance), block.values.shape)


def salient_significance(coarse: CoarseBlock, *, config: ExtendedConfig) -> FloatMap:
    """Saliency in sigma on the coarse grid, float32: the median over the sizes of superpixels; NaN where blank."""
    maps = []
    for side in config.superpixel_beams:
        superpixels = Superpixels.of_block(coarse, side=side * coarse.beam, compactness=config.superpixel_compactness)
        maps.append(saliency_of(superpixels, coarse)[superpixels.labels])
    combined = np.median(np.stack(maps), axis=0) if len(maps) > 1 else maps[0]
    return np.where(coarse.valid, combined, np.nan).astype(np.float32)


def saliency_of(superpixels: Superpixels, coarse: CoarseBlock) -> NDArray[np.float32]:
    """(N,) saliency of superpixels in sigma.

    The saliency S = 1 - mean exp(-d / a), with d how many standard errors the superpixel is brighter than a
    neighbour, is given as -a log(1 - S): the difference that would, against every neighbour alike, give S.
    """
    error = coarse.error_of_mean(superpixels.count)
    level = superpixels.mean / error
    level /= max(1.0, negative_spread(level, default=1.0))
    known = np.flatnonzero(superpixels.count > 0)
    out = np.zeros(len(level), dtype=np.float32)
    if len(known) < 2:
        return out
    place = np.stack([superpixels.y, superpixels.x], axis=1)[known]
    distance, neighbour = cKDTree(place).query(place, k=min(NEIGHBOURS + 1, len(known)))
    unit = np.sqrt(superpixels.labels.size / len(level))
    brighter = np.maximum(level[known][:, None] - level[known][neighbour[:, 1:]], 0)
    difference = brighter / (1 + DISTANCE_WEIGHT * distance[:, 1:] / unit)
    out[known] = -FALL_OFF * np.log(np.exp(-difference / FALL_OFF).mean(axis=1))
    return out
