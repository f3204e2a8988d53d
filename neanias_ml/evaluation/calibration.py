"""How far confidences are from the share of right answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ReliabilityDiagram:
    """Mean confidence and share of right answers by equal bins of confidence (NaN in empty bins).

    Attributes
    ----------
    edges
        (n + 1,) edges of the bins from 0 to 1.
    counts
        (n,) answers in each bin.
    confidence, accuracy
        (n,) means.
    """

    edges: FloatArray
    counts: NDArray[np.int64]
    confidence: FloatArray
    accuracy: FloatArray


def reliability_diagram(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = 15) -> ReliabilityDiagram:
    """Bin answers by their confidence (N,) in [0, 1]; a bin holds its upper edge."""
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.ndim != 1 or sure.shape != right.shape:
        raise ValueError(f"confidences and answers differ in shape: {sure.shape} and {right.shape}")
    if len(sure) and not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError("confidences must lie between 0 and 1")
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    place = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, n_bins - 1)
    counts = np.bincount(place, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        mean_sure = np.bincount(place, weights=sure, minlength=n_bins) / counts
        mean_right = np.bincount(place, weights=right, minlength=n_bins) / counts
    return ReliabilityDiagram(edges, counts, mean_sure, mean_right)


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over bins, weighted by their counts; NaN without answers.

    Reference: Guo et al. 2017, arXiv:1706.04599.
    """
    diagram = reliability_diagram(confidence, correct, n_bins=n_bins)
    filled = diagram.counts > 0
    if not filled.any():
        return float("nan")
    gaps = np.abs(diagram.confidence[filled] - diagram.accuracy[filled])
    return float(np.average(gaps, weights=diagram.counts[filled]))


def brier_score(probability: ArrayLike, outcome: ArrayLike) -> float:
    """Mean squared difference of probability (N,) and outcome (N,) in {0, 1}."""
    return float(np.mean((np.asarray(probability, dtype=np.float64) - np.asarray(outcome, dtype=np.float64)) ** 2))
