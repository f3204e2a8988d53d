"""Intervals of any metric by a bootstrap over areas of the sky, which are the independent units of a test.

Objects of one field share its noise, its calibration and its bright sources, and maps of one place show the same
objects; so whole areas are drawn with replacement, and everything in them counts as often as they were drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neanias_ml.evaluation.intervals import Interval

FloatArray = NDArray[np.float64]
N_RESAMPLES = 500
CONFIDENCE = 0.95


@dataclass(frozen=True)
class AreaResamples:
    """Draws of areas, the same for all metrics.

    Attributes
    ----------
    weights
        (R, A) how often each area counts in each draw.
    """

    weights: FloatArray

    @classmethod
    def draw(cls, n_areas: int, *, n_resamples: int = N_RESAMPLES, seed: int = 0) -> AreaResamples:
        """Draw ``n_areas`` areas with replacement, ``n_resamples`` times."""
        if n_areas < 1:
            raise ValueError(f"a bootstrap needs at least one area, not {n_areas}")
        rng = np.random.default_rng(seed)
        draws = rng.integers(n_areas, size=(n_resamples, n_areas)) + n_areas * np.arange(n_resamples)[:, None]
        counts = np.bincount(draws.ravel(), minlength=n_areas * n_resamples)
        return cls(counts.reshape(n_resamples, n_areas).astype(np.float64))

    @property
    def n_areas(self) -> int:
        """Number of areas."""
        return self.weights.shape[1]

    def of_counts(self, statistic: Callable[..., FloatArray], *counts: ArrayLike) -> Interval:
        """Interval of a statistic of summed counts.

        Parameters
        ----------
        statistic
            Function of arrays (R, ...), the sums over areas of ``counts``, that gives (R,) values.
        counts
            Arrays (A, ...), one row per area.
        """
        tables = [np.asarray(table, dtype=np.float64) for table in counts]
        value = statistic(*(table.sum(axis=0)[None] for table in tables))[0]
        return self._interval(value, statistic(*(np.tensordot(self.weights, table, axes=1) for table in tables)))

    def of_weights(self, statistic: Callable[[FloatArray], float]) -> Interval:
        """Interval of a statistic that takes how often each area counts, (A,)."""
        value = statistic(np.ones(self.n_areas))
        return self._interval(value, np.array([statistic(row) for row in self.weights]))

    def _interval(self, value: float, drawn: FloatArray) -> Interval:
        """Percentiles of the draws; draws of nothing are left out, and one area alone says nothing of its spread."""
        finite = drawn[np.isfinite(drawn)]
        if self.n_areas < 2 or len(finite) == 0 or not np.isfinite(value):
            return Interval(float(value), float("nan"), float("nan"))
        tail = (1.0 - CONFIDENCE) / 2.0
        low, high = np.quantile(finite, [tail, 1.0 - tail])
        return Interval(float(value), float(low), float(high))


def sum_by_area(values: ArrayLike, area: ArrayLike, *, n_areas: int) -> FloatArray:
    """Rows (N, ...) summed by the area (N,) of each: (n_areas, ...)."""
    rows = np.asarray(values, dtype=np.float64)
    total = np.zeros((n_areas, *rows.shape[1:]))
    np.add.at(total, np.asarray(area, dtype=np.int64), rows)
    return total


def share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """``part`` over ``whole``, NaN where there is no whole; the statistic of most counts."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)


def calibration_counts(
    confidence: ArrayLike, correct: ArrayLike, area: ArrayLike, *, n_areas: int, n_bins: int = 15
) -> FloatArray:
    """(A, n_bins, 3): answers, summed confidence and right answers by area and bin, for `calibration_error`."""
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    place = np.clip(np.ceil(sure * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    counts = np.zeros((n_areas, n_bins, 3))
    np.add.at(counts, (np.asarray(area, dtype=np.int64), place), np.stack([np.ones_like(sure), sure, right], axis=-1))
    return counts


def calibration_error(counts: FloatArray) -> FloatArray:
    """Expected calibration error (R,) of summed counts (R, n_bins, 3); NaN without answers (arXiv:1706.04599)."""
    return share(np.abs(counts[..., 1] - counts[..., 2]).sum(axis=-1), counts[..., 0].sum(axis=-1))
