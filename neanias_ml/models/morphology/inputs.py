"""From a cutout to what the network sees: three images and a handful of numbers, the same in training and use.

All lies within the circle inscribed in the frame, so that a turned cutout holds what the upright one does.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.circles import enclosing_circle, outer_corners
from neanias_ml.datasets.cutout_store import MARGIN, MorphologyCutout
from neanias_ml.models.morphology.shape_numbers import SHAPE_NAMES, shape_numbers

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]

CHANNEL_NAMES = ("asinh_snr", "islands", "asinh_snr_of_islands")
"""Asinh of the map's signal to noise (0 where blank), the object's own islands, and the first on the second."""
SCALAR_NAMES = (
    "size", "peak", "flux", "islands", "axis_ratio", "filled", "concentration", "largest_share", *SHAPE_NAMES,
)  # fmt: skip
"""What a frame of fixed size does not show, or not well; the last are those of
`neanias_ml.models.morphology.shape_numbers`.

Size: log2 of the diameter in beams, minus 3; peak: log10 of the largest signal to noise, minus 1.5; flux: log10 of the
total flux in units of the noise, minus 2; islands: log2 of their number; axis ratio of the islands' pixels from second
moments; share of the circle around the object that islands fill; concentration: log10 of peak over mean; share of the
flux in the island that holds most.
"""

LARGEST_NUMBER = 6.0
"""Numbers are cut off there, so that no strange object leaves the range that a network was trained on far behind."""


class CutoutInputs(NamedTuple):
    """What the network sees of one object."""

    image: FloatMap
    """(3, F, F) float32, in the order of ``CHANNEL_NAMES``"""
    scalars: FloatMap
    """(23,) float32, in the order of ``SCALAR_NAMES``; of order one, finite, at most `LARGEST_NUMBER` in size"""


def cutout_inputs(cutout: MorphologyCutout) -> CutoutInputs:
    """Image and numbers of a cutout."""
    visible = aperture(cutout.size)
    asinh = np.asarray(cutout.asinh_snr, dtype=np.float32)
    asinh = np.where(visible & np.isfinite(asinh), asinh, np.float32(0))
    own = (cutout.islands > 0) & visible
    image = np.stack([asinh, own.astype(np.float32), np.where(own, asinh, np.float32(0))])
    return CutoutInputs(image, _scalars(cutout, own))


@functools.lru_cache(maxsize=4)
def aperture(size: int) -> Mask:
    """(size, size) True within the inscribed circle."""
    offsets = np.arange(size) - (size - 1) / 2
    inside: Mask = np.hypot(offsets[:, None], offsets[None, :]) <= size / 2
    inside.flags.writeable = False
    return inside


def _scalars(cutout: MorphologyCutout, own: Mask) -> FloatMap:
    rows, cols = np.nonzero(own)
    if rows.size == 0:
        return np.zeros(len(SCALAR_NAMES), dtype=np.float32)
    snr = np.maximum(np.nan_to_num(cutout.significance[rows, cols].astype(np.float64)), 0.0)
    numbers = cutout.islands[rows, cols]
    points = np.stack([rows, cols], axis=1).astype(np.float64)
    diameter = 2 * enclosing_circle(outer_corners(own))[1]
    peak, total = max(float(snr.max()), 1e-3), max(float(snr.sum()), 1e-3)
    beam_area = math.pi / (4 * math.log(2)) * cutout.beam**2
    shares = np.bincount(numbers, weights=snr)[1:] / total
    values = (
        math.log2(diameter / cutout.beam) - 3.0,
        math.log10(peak) - 1.5,
        math.log10(total / beam_area) - 2.0,
        math.log2(len(np.unique(numbers))),
        _axis_ratio(points),
        rows.size / (0.25 * math.pi * diameter**2),
        math.log10(peak * rows.size / total),
        float(shares.max()),
        *shape_numbers(own, cutout.significance, radius=cutout.size / (2 * MARGIN)),
    )
    return np.clip(np.array(values, dtype=np.float32), -LARGEST_NUMBER, LARGEST_NUMBER)


def _axis_ratio(points: NDArray[np.float64]) -> float:
    """Minor over major axis of pixels (P, 2), each a unit square."""
    offsets = points - points.mean(axis=0)
    moments = offsets.T @ offsets / len(points) + np.eye(2) / 12
    minor, major = np.linalg.eigvalsh(moments)
    return float(math.sqrt(minor / major))
