"""Fractions by bins of signal to noise: completeness of true objects, reliability of detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neanias_ml.evaluation.intervals import wilson_interval

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class BinnedFraction:
    """Share of successes by bin.

    Attributes
    ----------
    edges
        (n + 1,) edges of the bins; each bin holds its lower edge and the last one its upper edge too.
    successes, totals
        (n,) counts.
    fraction, low, high
        (n,) share with its Wilson interval; NaN in empty bins.
    """

    edges: FloatArray
    successes: NDArray[np.int64]
    totals: NDArray[np.int64]
    fraction: FloatArray
    low: FloatArray
    high: FloatArray


def fraction_by_bin(
    values: ArrayLike, success: ArrayLike, *, edges: ArrayLike, confidence: float = 0.95
) -> BinnedFraction:
    """Share of ``success`` (N,) in bins of ``values`` (N,).

    With the signal to noise of the true objects and whether they were found this is the completeness; with
    that of the detections and whether they are real it is the reliability. Values outside the edges and
    NaN do not count.
    """
    bounds = np.asarray(edges, dtype=np.float64)
    if bounds.ndim != 1 or len(bounds) < 2 or not (np.diff(bounds) > 0).all():
        raise ValueError(f"bin edges must be increasing and at least two, not {bounds.tolist()}")
    where, hit = np.asarray(values, dtype=np.float64), np.asarray(success, dtype=bool)
    if where.shape != hit.shape or where.ndim != 1:
        raise ValueError(f"values and success differ in shape: {where.shape} and {hit.shape}")
    totals = np.histogram(where, bins=bounds)[0].astype(np.int64)
    successes = np.histogram(where[hit], bins=bounds)[0].astype(np.int64)
    fraction = np.divide(successes, totals, out=np.full(len(totals), np.nan), where=totals > 0)
    low, high = wilson_interval(successes, totals, confidence=confidence)
    return BinnedFraction(bounds, successes, totals, fraction, low, high)
