"""Temperature scaling of the class and artefact heads, and choice of score thresholds.

Method: Guo et al. 2017 (arXiv:1706.04599): one temperature per head, chosen on validation data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax

from neanias_ml.errors import ModelError
from neanias_ml.models.classes import CLASS_NAMES

FloatArray = NDArray[np.float64]

MIN_TEMPERATURE = 0.1
MAX_TEMPERATURE = 10.0


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """How logits become probabilities and detections; chosen on validation data and kept in the bundle.

    Raises
    ------
    ValueError
        If a temperature is not positive or there is not one threshold in [0, 1] per class.
    """

    class_temperature: float = 1.0
    spurious_temperature: float = 1.0
    score_thresholds: tuple[float, ...] = (0.05,) * len(CLASS_NAMES)
    """smallest score of a detection, per class in the order of ``CLASS_NAMES``"""

    def __post_init__(self) -> None:
        for name in ("class_temperature", "spurious_temperature"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, not {value}")
        thresholds = self.score_thresholds
        if len(thresholds) != len(CLASS_NAMES) or not all(0 <= value <= 1 for value in thresholds):
            raise ValueError(f"score_thresholds must be {len(CLASS_NAMES)} numbers in [0, 1], not {thresholds}")


def fit_class_temperature(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Temperature that minimises the cross-entropy of softmax(logits / T).

    Parameters
    ----------
    logits
        (N, C); log-probabilities of an uncalibrated model serve as well, softmax does not see their offset.
    labels
        (N,) class index in [0, C).

    Raises
    ------
    ModelError
        ``CalibrationDataInvalid`` for empty or non-finite logits or labels out of range.
    """
    logits, labels = _checked(logits, labels, ndim=2)
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ModelError("CalibrationDataInvalid", f"calibration labels must lie in 0 .. {logits.shape[1] - 1}")
    rows = np.arange(len(labels))
    return _minimise(lambda temperature: -log_softmax(logits / temperature, axis=1)[rows, labels].mean())


def fit_binary_temperature(logits: NDArray[Any], truth: NDArray[Any]) -> float:
    """Temperature that minimises the binary cross-entropy of sigmoid(logits / T); ``truth`` is boolean (N,).

    Raises
    ------
    ModelError
        ``CalibrationDataInvalid`` for empty or non-finite logits.
    """
    logits, labels = _checked(logits, truth, ndim=1)
    signed = np.where(labels.astype(bool), logits, -logits)
    return _minimise(lambda temperature: -log_expit(signed / temperature).mean())


def best_f1_threshold(scores: NDArray[Any], correct: NDArray[Any], *, n_true: int) -> float:
    """Score threshold with the largest F1 of detections (N,) of which ``correct`` are true, out of ``n_true``.

    The highest such threshold on ties; 1.0 when there is no detection.
    """
    ordered, hits, kept = _cumulative(scores, correct)
    if not len(ordered):
        return 1.0
    return float(ordered[np.argmax(2 * hits / (kept + n_true))])


def _cumulative(scores: NDArray[Any], correct: NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distinct scores, descending, with hits and detections at or above each."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ordered = np.asarray(scores, dtype=np.float64)[order]
    hits = np.cumsum(np.asarray(correct, dtype=bool)[order]).astype(np.float64)
    last = np.append(np.diff(ordered) != 0, True)[: len(ordered)]
    kept = np.arange(1, len(ordered) + 1, dtype=np.float64)
    return ordered[last], hits[last], kept[last]


def _checked(logits: NDArray[Any], labels: NDArray[Any], *, ndim: int) -> tuple[FloatArray, NDArray[np.int64]]:
    values = np.asarray(logits, dtype=np.float64)
    classes = np.asarray(labels).astype(np.int64)
    if values.ndim != ndim or classes.shape != values.shape[:1]:
        raise ModelError(
            "CalibrationDataInvalid", f"logits of shape {values.shape} and labels of shape {classes.shape} do not fit"
        )
    if len(values) == 0 or not np.isfinite(values).all():
        raise ModelError(
            "CalibrationDataInvalid",
            "calibration needs at least one finite row of logits; use a validation set with labelled objects",
        )
    return values, classes


def _minimise(loss: Any) -> float:
    # in log T the cross-entropy has one minimum; the bounds keep separable data from T -> 0
    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    found = minimize_scalar(lambda log_t: loss(math.exp(log_t)), bounds=bounds, method="bounded")
    return math.exp(float(found.x))
