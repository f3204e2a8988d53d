"""Emission regions of a map for sets whose labels are points, boxes or sizes: the pixels those labels mean."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.labels.labelled import LabelledObject
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.extraction import label_islands
from neanias_ml.maps import RadioMap

FloatMap = NDArray[np.float32]
LabelMap = NDArray[np.int32]
Mask = NDArray[np.bool_]

SEED_SNR = 5.0
"""A region holds a pixel at or above this."""
MERGE_SNR = 3.0
"""All its pixels are at or above this."""
CLIP_SNR = 3.0
"""Pixels farther than this from the median do not count as noise."""
SIGMA_PER_MAD = 1.4826
UNLABELLED = "unlabelled"
"""Class name of the object that holds all emission without a label."""


def robust_significance(pixels: FloatMap) -> FloatMap:
    """Signal to noise (ny, nx) against one median and one noise for the whole map, NaN where blank.

    Good for cut-outs of an even noise; sources are clipped away in five rounds.
    """
    good = pixels[np.isfinite(pixels)]
    centre, sigma = 0.0, 0.0
    for _ in range(5):
        if good.size == 0:
            break
        centre = float(np.median(good))
        sigma = SIGMA_PER_MAD * float(np.median(np.abs(good - centre)))
        good = good[np.abs(good - centre) <= CLIP_SNR * sigma]
    if not sigma > 0:
        return np.where(np.isfinite(pixels), np.float32(0), np.float32(np.nan))
    return ((pixels - np.float32(centre)) / np.float32(sigma)).astype(np.float32)


def emission_regions(
    significance: FloatMap, radio_map: RadioMap, *, seed: float = SEED_SNR, merge: float = MERGE_SNR
) -> LabelMap:
    """Connected regions (ny, nx) int32 of a signal-to-noise map that are no smaller than half a beam."""
    least = max(3, round(0.5 * radio_map.beam_area))
    return label_islands(significance, seed=seed, merge=merge, min_pixels=least)


def regions_at(regions: LabelMap, *, x: float, y: float, reach: float) -> int:
    """Number of the region nearest to a position within ``reach`` pixels; 0 where there is none."""
    ny, nx = regions.shape
    x0, x1 = max(0, math.floor(x - reach)), min(nx, math.ceil(x + reach) + 1)
    y0, y1 = max(0, math.floor(y - reach)), min(ny, math.ceil(y + reach) + 1)
    if x1 <= x0 or y1 <= y0:
        return 0
    window = regions[y0:y1, x0:x1]
    rows, cols = np.nonzero(window)
    if rows.size == 0:
        return 0
    distance = np.hypot(cols + x0 - x, rows + y0 - y)
    nearest = int(distance.argmin())
    return int(window[rows[nearest], cols[nearest]]) if distance[nearest] <= reach else 0


def region_extent(mask: Mask) -> float:
    """Largest distance in pixels between two pixels of a mask; 0 where it is empty."""
    rows, cols = np.nonzero(mask)
    if rows.size == 0:
        return 0.0
    angles = np.arange(0.0, math.pi, math.pi / 90)
    along = np.outer(np.cos(angles), cols) + np.outer(np.sin(angles), rows)
    return float((along.max(axis=1) - along.min(axis=1)).max())


def size_in_beams(significance: FloatMap, mask: Mask, *, beam_area: float, merge: float) -> float:
    """Intrinsic size of a source in beam widths, from its flux above a threshold.

    A Gaussian of peak p that is cut at the level t holds a part 1 - t / p of its flux, so that flux over peak gives
    its area; the beam is taken off in quadrature. 0 for a point.

    Parameters
    ----------
    significance
        (ny, nx) signal to noise.
    mask
        Pixels of the source above ``merge``.
    beam_area
        Pixels under the beam.
    merge
        Threshold of the mask.
    """
    values = significance[mask]
    if values.size == 0:
        return 0.0
    peak = float(values.max())
    kept = max(1.0 - merge / peak, 0.05) if peak > 0 else 1.0
    ratio = float(values.sum()) / (peak * beam_area * kept)
    return math.sqrt(max(ratio - 1.0, 0.0))


def unlabelled_object(emission: Mask, labelled: Mask) -> LabelledObject:
    """All emission outside the labelled pixels as one object that neither trains nor scores."""
    return LabelledObject(UNLABELLED, RunLengthMask.of(emission & ~labelled), name=UNLABELLED, ignored=True)
