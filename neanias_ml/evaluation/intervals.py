"""Confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson_interval(
    successes: ArrayLike, totals: ArrayLike, *, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Wilson score interval of binomial fractions; NaN where ``totals`` is 0 (Wilson 1927, JASA 22, 209)."""
    hits, number = np.asarray(successes, dtype=np.float64), np.asarray(totals, dtype=np.float64)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    z = float(ndtri(0.5 + confidence / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hits / number
        centre = (share + z**2 / (2 * number)) / (1 + z**2 / number)
        half = z * np.sqrt(share * (1 - share) / number + z**2 / (4 * number**2)) / (1 + z**2 / number)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: ArrayLike,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of ``statistic(*samples)``; all samples are resampled by the same rows.

    Parameters
    ----------
    statistic
        Function of arrays with the shapes of ``samples``.
    samples
        Arrays of one common first length; their rows (usually fields of sky) are the independent units.

    Notes
    -----
    Resamples whose statistic is NaN (a class that was not drawn) are left out.
    """
    arrays = [np.asarray(sample) for sample in samples]
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"a bootstrap needs samples of one common length above 0, not {sorted(lengths)}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    number, rng = lengths.pop(), np.random.default_rng(seed)
    draws = [rng.integers(number, size=number) for _ in range(n_resamples)]
    values = np.array([statistic(*(array[draw] for array in arrays)) for draw in draws], dtype=np.float64)
    values = values[np.isfinite(values)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail]) if len(values) else (np.nan, np.nan)
    return Interval(value=float(statistic(*arrays)), low=float(low), high=float(high))
