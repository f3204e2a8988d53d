"""Rejection of spurious detections: how many go when nearly all real ones stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
KEPT_SHARE = 0.95
"""Part of the real detections that has to stay."""


def rejection_at_kept(
    score: ArrayLike, is_spurious: ArrayLike, *, kept: float = KEPT_SHARE, weights: ArrayLike | None = None
) -> float:
    """Share of spurious detections above the lowest threshold that keeps a share ``kept`` of the real ones.

    Parameters
    ----------
    score
        (N,) how likely each detection is spurious, in any unit; those at the threshold stay.
    is_spurious
        (N,) which of them are.
    weights
        (N,) how often each counts; once when omitted.

    Returns
    -------
    float
        NaN without any real or any spurious detection.
    """
    values, fake = np.asarray(score, dtype=np.float64), np.asarray(is_spurious, dtype=bool)
    counted = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    real_total, fake_total = counted[~fake].sum(), counted[fake].sum()
    if real_total <= 0 or fake_total <= 0:
        return float("nan")
    order = np.argsort(values[~fake], kind="stable")
    stays = np.cumsum(counted[~fake][order])
    enough = int(np.searchsorted(stays, kept * real_total - 1e-9))
    threshold = values[~fake][order][min(enough, len(order) - 1)]
    return float(counted[fake & (values > threshold)].sum() / fake_total)


@dataclass(frozen=True)
class RejectionCurve:
    """Shares at every threshold, from all rejected to none: (K,) each, both falling or rising together."""

    real_kept: FloatArray
    spurious_rejected: FloatArray


def rejection_curve(score: ArrayLike, is_spurious: ArrayLike) -> RejectionCurve:
    """Real detections kept against spurious ones rejected, at every distinct score (N,)."""
    values, fake = np.asarray(score, dtype=np.float64), np.asarray(is_spurious, dtype=bool)
    thresholds = np.unique(values)
    kept = np.searchsorted(np.sort(values[~fake]), thresholds, side="right") / max(int((~fake).sum()), 1)
    stays = np.searchsorted(np.sort(values[fake]), thresholds, side="right") / max(int(fake.sum()), 1)
    return RejectionCurve(np.append(0.0, kept), np.append(1.0, 1.0 - stays))
