"""Which of the detections are real, by the detections in the inverted map.

Noise and the sidelobes of bright sources go up and down alike, sources only go up. At any seed threshold the number of
islands of the inverted map therefore estimates the number of false ones (as for the reliability of SoFiA, Serra et al.
2012; false-discovery control by Benjamini & Hochberg 1995 has the same aim with a model of the noise instead).
"""

from __future__ import annotations

import numpy as np

from neanias_ml.extraction.islands.runs import Runs

LOWEST_SEED = 3.5
"""Thresholds below this are not considered: every noise peak would be an island."""


def seed_for_purity(positive: Runs, negative: Runs, *, target: float, min_pixels: int, merge: float) -> float:
    """The lowest seed threshold at which the purity reaches a target.

    Parameters
    ----------
    positive, negative
        Regions above the merge threshold of the map and of the inverted map.
    target
        Wanted part of real islands, between 0 and 1.
    min_pixels
        Smaller regions are no islands.
    merge
        Merge threshold, the least possible seed.

    Returns
    -------
    float
        Never below 3.5 sigma, nor below the merge threshold.
    """
    up, down = (
        np.sort(regions.region_peak[regions.region_pixels >= min_pixels])[::-1].astype(np.float64)
        for regions in (positive, negative)
    )
    lowest = max(LOWEST_SEED, merge)
    down = down[down >= lowest]
    # Between two negative peaks the purity only rises towards the lower one: it is highest just above each of them.
    n_up = np.append(np.searchsorted(-up, -down, side="left"), np.count_nonzero(up >= lowest))
    pure = np.arange(down.size + 1) <= (1.0 - target) * n_up + 1e-9  # one in ten is 0.9, whatever the rounding
    n_down = int(np.flatnonzero(pure)[-1])
    if n_down == down.size:
        return lowest
    return float(np.nextafter(np.float32(down[n_down]), np.float32(np.inf)))
