"""What a map shows between two islands: faint emission that joins lobes, or empty sky, or other islands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.columns import Columns

FloatArray = NDArray[np.float64]
FloatMap = NDArray[np.float32]
IntArray = NDArray[np.int64]

STEP_BEAMS = 0.5
"""Distance of samples along a segment, and of the three lines of a strip from each other."""
PAIRS_AT_A_TIME = 4096


@dataclass(frozen=True)
class Bridges(Columns):
    """The straight way between the centroids of two islands; lengths in beam widths, values in the local noise."""

    line_min: FloatArray
    """lowest signal to noise on the segment"""
    line_mean: FloatArray
    strip_min: FloatArray
    """lowest mean across a beam-wide strip along the segment"""
    strip_mean: FloatArray
    gap: FloatArray
    """length of the part outside both islands"""
    gap_mean: FloatArray
    """mean over the strip of that part; of the whole strip where there is no such part"""
    blocked: FloatArray
    """part of the segment within other islands, 0 to 1"""

    @classmethod
    def unknown(cls, count: int) -> Bridges:
        """Pairs of islands without a map: all values NaN."""
        return cls(*(np.full(count, np.nan) for _ in range(7)))


def measure_bridges(
    positions: FloatArray,
    pairs: IntArray,
    *,
    significance: FloatMap,
    labels: NDArray[np.integer],
    beam_fwhm: float,
) -> Bridges:
    """Follow the segment between the islands of each pair on the map.

    Parameters
    ----------
    positions
        (I, 2) x and y of the islands in pixels of the arrays.
    pairs
        (E, 2) rows of ``positions``.
    significance
        (ny, nx) signal to noise; blank pixels (NaN) count as 0.
    labels
        (ny, nx) row + 1 of the island in each pixel, 0 for none.
    beam_fwhm
        Beam width in pixels.
    """
    filled = np.nan_to_num(significance).astype(np.float32, copy=False)
    starts = range(0, len(pairs), PAIRS_AT_A_TIME)
    parts = [
        _measured(positions, pairs[start : start + PAIRS_AT_A_TIME], filled, labels, beam_fwhm) for start in starts
    ]
    return Bridges.joined(parts) if parts else Bridges.empty()


def _measured(
    positions: FloatArray, pairs: IntArray, significance: FloatMap, labels: NDArray[np.integer], beam_fwhm: float
) -> Bridges:
    start, way = positions[pairs[:, 0]], positions[pairs[:, 1]] - positions[pairs[:, 0]]
    length = np.hypot(way[:, 0], way[:, 1])
    counts = np.maximum(np.ceil(length / (STEP_BEAMS * beam_fwhm)).astype(np.int64), 1) + 1
    first = np.cumsum(counts) - counts
    pair = np.repeat(np.arange(len(pairs)), counts)
    share = (np.arange(counts.sum()) - first[pair]) / (counts - 1)[pair]
    points = start[pair] + share[:, None] * way[pair]
    across = np.stack([-way[:, 1], way[:, 0]], axis=1) / np.maximum(length, 1e-12)[:, None] * STEP_BEAMS * beam_fwhm
    lines = np.stack([_sampled(significance, points + side * across[pair]) for side in (-1.0, 0.0, 1.0)])
    strip = lines.mean(axis=0)
    island = _label_at(labels, points)
    own = (island == pairs[pair, 0] + 1) | (island == pairs[pair, 1] + 1)
    n_outside = np.add.reduceat(~own, first, dtype=np.int64)
    outside = np.add.reduceat(np.where(own, 0.0, strip), first) / np.maximum(n_outside, 1)
    strip_mean = np.add.reduceat(strip, first) / counts
    return Bridges(
        line_min=np.minimum.reduceat(lines[1], first),
        line_mean=np.add.reduceat(lines[1], first) / counts,
        strip_min=np.minimum.reduceat(strip, first),
        strip_mean=strip_mean,
        gap=n_outside / counts * length / beam_fwhm,
        gap_mean=np.where(n_outside > 0, outside, strip_mean),
        blocked=np.add.reduceat(~own & (island > 0), first, dtype=np.int64) / counts,
    )


def _sampled(significance: FloatMap, points: FloatArray) -> FloatArray:
    """Values at points (P, 2) x and y, linear between pixels; beyond the map those of its edge."""
    values = ndimage.map_coordinates(significance, points.T[::-1], order=1, mode="nearest", output=np.float64)
    return np.asarray(values, dtype=np.float64)


def _label_at(labels: NDArray[np.integer], points: FloatArray) -> IntArray:
    """Label of the pixel nearest to each point."""
    x, y = (np.clip(np.rint(points[:, axis]).astype(np.int64), 0, labels.shape[1 - axis] - 1) for axis in (0, 1))
    return labels[y, x].astype(np.int64)
