"""Distances between distributions measured on two sets of maps, with the scatter within one set for a yardstick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
Distance = Callable[[FloatArray, FloatArray], float]


def ks_distance(first: FloatArray, second: FloatArray) -> float:
    """Two-sample Kolmogorov-Smirnov distance, 0 to 1: the largest difference of the cumulative distributions."""
    return float(stats.ks_2samp(first, second, method="asymp").statistic)


def energy_distance(first: FloatArray, second: FloatArray) -> float:
    """Energy distance (Szekely & Rizzo 2004): sqrt(2 integral of (F - G)^2), in the root of the values' unit."""
    return float(stats.energy_distance(first, second))


@dataclass(frozen=True)
class SplitDistance:
    """How far apart two sets of maps are, and how far apart two halves of the first set.

    Attributes
    ----------
    between
        Median distance of a random half of the first set and as many maps of the second.
    within
        Median distance of the two halves of the first set; NaN where there are not two maps.
    """

    between: float
    within: float


def split_distance(
    first: Sequence[FloatArray],
    second: Sequence[FloatArray],
    *,
    distance: Distance,
    rng: np.random.Generator,
    rounds: int = 200,
) -> SplitDistance:
    """Compare two sets of maps by samples of some quantity, with whole maps as the units that are drawn.

    Objects of one map are alike, so maps are split, not objects. Both distances come from samples of about the same
    size: they would agree if the two sets were of one kind.

    Parameters
    ----------
    first, second
        Values of the quantity in each map of either set.
    distance
        `ks_distance` or `energy_distance`.
    rng, rounds
        Randomness and number of the splits.
    """
    half = max(1, len(first) // 2)
    between: list[float] = []
    within: list[float] = []
    for _ in range(rounds):
        order, other = rng.permutation(len(first)), rng.permutation(len(second))[:half]
        one = _joined(first, order[:half])
        samples = ((between, _joined(second, other)), (within, _joined(first, order[half : 2 * half])))
        for kept, sample in samples:
            if len(one) and len(sample):
                kept.append(distance(one, sample))
    return SplitDistance(*(float(np.median(kept)) if kept else float("nan") for kept in (between, within)))


def _joined(samples: Sequence[FloatArray], numbers: NDArray[np.intp]) -> FloatArray:
    parts = [samples[number] for number in numbers]
    return np.concatenate(parts) if parts else np.zeros(0)
