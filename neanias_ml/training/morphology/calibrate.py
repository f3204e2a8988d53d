"""A temperature and an offset of each class for the morphology network, from validation objects.

Training draws rare classes and small sets more often than they are, which shifts all probabilities; one number more for
each class takes that back (vector scaling with one common temperature; Guo et al. 2017, arXiv:1706.04599).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from neanias_ml.errors import ModelError
from neanias_ml.models.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE
from neanias_ml.models.morphology.bundle import softened
from neanias_ml.models.morphology.classes import told_apart

FloatArray = NDArray[np.float64]

PRIOR_OBJECTS = 2.0
"""Weight of an offset's being zero, with a spread of one: classes with few validation objects keep theirs small."""


@dataclass(frozen=True)
class ClassCalibration:
    """What turns log-probabilities of a network into calibrated ones; see `softened`."""

    temperature: float
    offsets: tuple[float, ...]

    def of(self, logits: FloatArray) -> FloatArray:
        """Probabilities (N, C) of logits (N, C)."""
        return softened(logits, temperature=self.temperature, offsets=self.offsets)


def fit_calibration(logits: FloatArray, labels: NDArray[np.int64], untold: NDArray[np.bool_]) -> ClassCalibration:
    """The calibration under which the labels are most probable.

    Parameters
    ----------
    logits
        (N, 9) in the order of ``MORPHOLOGY_NAMES``.
    labels
        (N,) index of the class.
    untold
        (N,) whether an FR-I label may mean bent; see `neanias_ml.models.morphology.classes.told_apart`.

    Raises
    ------
    ModelError
        ``CalibrationDataInvalid`` for no or non-finite logits.
    """
    if not len(labels) or not np.isfinite(logits).all():
        raise ModelError(
            "CalibrationDataInvalid",
            "calibration needs at least one finite row of logits; use a validation set with labelled objects",
        )
    rows = np.arange(len(labels))

    def loss(values: FloatArray) -> float:
        probabilities = softened(logits, temperature=math.exp(values[0]), offsets=tuple(values[1:]))
        said = told_apart(probabilities, untold)[rows, labels]
        return float(-np.log(np.maximum(said, 1e-300)).sum() + 0.5 * PRIOR_OBJECTS * (values[1:] ** 2).sum())

    n_classes = logits.shape[1]
    bounds = [(math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)), *[(-5.0, 5.0)] * n_classes]
    found = minimize(loss, np.zeros(1 + n_classes), method="L-BFGS-B", bounds=bounds)
    return ClassCalibration(math.exp(float(found.x[0])), tuple(float(value) for value in found.x[1:]))
