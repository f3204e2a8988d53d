from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from neanias_ml.errors import ModelError
from neanias_ml.models.calibration import (
    MIN_TEMPERATURE,
    OperatingPoint,
    best_f1_threshold,
    fit_binary_temperature,
    fit_class_temperature,
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_injected_class_temperature_is_found(temperature):
    rng = np.random.default_rng(1)
    logits = 2 * rng.standard_normal((8000, 6))
    labels = np.array([rng.choice(6, p=p) for p in softmax(logits, axis=1)])
    assert fit_class_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_log_probabilities_serve_as_logits():
    rng = np.random.default_rng(2)
    logits = 3 * rng.standard_normal((500, 6))
    labels = rng.integers(0, 6, 500)
    from_logits = fit_class_temperature(logits, labels)
    assert fit_class_temperature(np.log(softmax(logits, axis=1)), labels) == pytest.approx(from_logits, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.4, 3.0])
def test_injected_binary_temperature_is_found_and_calibrates(temperature):
    rng = np.random.default_rng(3)
    logits = 2 * rng.standard_normal(20000)
    truth = rng.uniform(size=20000) < expit(logits)
    found = fit_binary_temperature(logits * temperature, truth)
    assert found == pytest.approx(temperature, rel=0.05)
    calibrated = expit(logits * temperature / found)
    band = (calibrated > 0.6) & (calibrated < 0.8)
    assert truth[band].mean() == pytest.approx(calibrated[band].mean(), abs=0.03)


def test_separable_data_stop_at_the_bound():
    logits = np.array([[0.2, -0.2], [-0.2, 0.2]])
    assert fit_class_temperature(logits, np.array([0, 1])) == pytest.approx(MIN_TEMPERATURE, rel=0.05)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [(np.zeros((0, 6)), []), ([[np.nan, 0.0]], [0]), ([[0.0, 0.0]], [2]), ([[0.0, 0.0]], [0, 1])],
)
def test_useless_data_are_refused(logits, labels):
    with pytest.raises(ModelError) as caught:
        fit_class_temperature(np.asarray(logits), np.asarray(labels, dtype=int))
    assert caught.value.code == "CalibrationDataInvalid"


def test_threshold_against_a_search_over_all():
    rng = np.random.default_rng(4)
    scores = np.round(rng.uniform(size=200), 2)
    correct = rng.uniform(size=200) < scores
    n_true = int(correct.sum()) + 15

    def f1(threshold):
        kept = scores >= threshold
        return 2 * correct[kept].sum() / (kept.sum() + n_true)

    best = best_f1_threshold(scores, correct, n_true=n_true)
    assert f1(best) == pytest.approx(max(f1(value) for value in np.unique(scores)))


def test_threshold_without_detections():
    assert best_f1_threshold(np.array([]), np.array([]), n_true=3) == 1.0


@pytest.mark.parametrize(
    "change", [{"class_temperature": 0.0}, {"score_thresholds": (0.5,)}, {"score_thresholds": (2.0,) * 5}]
)
def test_operating_point_is_checked(change):
    with pytest.raises(ValueError, match="must be"):
        OperatingPoint(**change)
