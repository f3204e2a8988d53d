"""Active contours: the boundary between two levels of the smoothed map, started from what the starlet sees.

Chan & Vese 2001, IEEE Trans. Image Processing 10, 266.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.extraction.extended.blocks import Block, mean_of_bins
from neanias_ml.extraction.extended.coarse import REBIN, CoarseBlock
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.evidence import log_odds, plane_significance
from neanias_ml.extraction.extended.starlet import starlet_transform

FloatMap = NDArray[np.float32]

START_SIGMA = 2.5
"""The contour starts around what the starlet sees above this."""
BRIGHTEST = 3.0
"""Levels are cut here (in sigma of the map) so that faint regions are not on the dark side of bright ones."""


def contour_odds(block: Block, config: ExtendedConfig) -> FloatMap:
    """Log-odds of emission inside the contours, float32 (ny, nx)."""
    starlet = starlet_transform(block.values, scales=config.max_scale)
    coarse = CoarseBlock.of_block(block, starlet, config=config)
    start = mean_of_bins(plane_significance(block, starlet, config=config), factor=REBIN) > START_SIGMA
    inside = grow_contours(coarse, start, config=config)
    labels, number = ndimage.label(inside & coarse.valid, structure=np.ones((3, 3)))
    index = np.arange(1, number + 1)
    count = np.bincount(labels.ravel(), minlength=number + 1)[1:]
    level = ndimage.mean(coarse.values, labels, index) / coarse.error_of_mean(count) if number else np.zeros(0)
    return coarse.spread(log_odds(np.concatenate([[0.0], level]))[labels], block.values.shape)


def grow_contours(coarse: CoarseBlock, start: NDArray[np.bool_], *, config: ExtendedConfig) -> NDArray[np.bool_]:
    """Inside of the contours after their evolution from the border of ``start``, (ny, nx) of the coarse grid."""
    from skimage.segmentation import chan_vese

    if not start.any() or start.all():
        return start
    smooth = ndimage.gaussian_filter(coarse.values, coarse.beam)
    image = np.clip(smooth, -BRIGHTEST, BRIGHTEST).astype(np.float64)
    distance = ndimage.distance_transform_edt(start) - ndimage.distance_transform_edt(~start)
    inside = chan_vese(
        image,
        mu=config.contour_smoothness,
        lambda1=1.0,
        lambda2=1.0,
        max_num_iter=config.contour_steps,
        init_level_set=np.clip(distance, -3, 3),
    )
    return _brighter_side(inside, image)


def _brighter_side(inside: NDArray[np.bool_], image: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The side of the contour that is brighter: the method itself does not tell emission from sky."""
    if not inside.any() or inside.all():
        return np.zeros_like(inside)
    return inside if image[inside].mean() > image[~inside].mean() else ~inside
