"""Strength of the sidelobes around the bright sources of a map, by distance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RING_EDGES = (3.0, 5.0, 8.0, 12.0, 20.0, 30.0)
"""Beams from a source between which its sidelobes are measured."""
FAR_EDGES = (30.0, 60.0)
"""Beams from a source between which the map is taken for noise alone."""
_FEWEST_PIXELS = 40
_MAD = 1.482602218505602
FloatArray = NDArray[np.float64]


def sidelobe_profiles(
    pixels: NDArray[np.floating],
    *,
    places: Sequence[tuple[float, float]],
    beam_fwhm: float,
    edges: Sequence[float] = RING_EDGES,
) -> FloatArray:
    """Robust rms of the sidelobes around sources, over the peak of each.

    In rings around a source the median absolute deviation is taken, so that other sources do not count, and the
    noise far out is subtracted in squares.

    Parameters
    ----------
    pixels
        Map (ny, nx), any unit; NaN where blank.
    places
        x and y of the sources' peaks, pixels.
    beam_fwhm
        Pixels.
    edges
        Edges of the rings, beams.

    Returns
    -------
    NDArray
        (len(places), len(edges) - 1); below 0 where the map happens to be quieter than far out, so that medians over
        many sources are not biased by noise; NaN where a ring is not in the map.
    """
    profiles = np.full((len(places), len(edges) - 1), np.nan)
    rows, columns = (np.arange(length) for length in pixels.shape)
    for number, (x, y) in enumerate(places):
        distance = np.hypot((rows - y)[:, None], columns - x) / beam_fwhm
        far = _spread(pixels[(distance >= FAR_EDGES[0]) & (distance < FAR_EDGES[1])])
        peak = float(pixels[round(y), round(x)])
        for ring, (inner, outer) in enumerate(itertools.pairwise(edges)):
            near = _spread(pixels[(distance >= inner) & (distance < outer)])
            excess = near * near - far * far
            profiles[number, ring] = math.copysign(math.sqrt(abs(excess)), excess) / peak
    return profiles


def _spread(values: NDArray[np.floating]) -> float:
    """Standard deviation of the normal bulk of some pixels; NaN for too few."""
    finite = values[np.isfinite(values)]
    if len(finite) < _FEWEST_PIXELS:
        return math.nan
    return float(_MAD * np.median(np.abs(finite - np.median(finite))))
