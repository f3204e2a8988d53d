"""Scores of the morphology network against scikit-learn and counts by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES
from neanias_ml.training.morphology.scores import (
    MorphologyOutcome,
    accuracy,
    balanced_accuracy,
    f1_scores,
    morphology_details,
    morphology_metrics,
    sure_limit,
)

N_CLASSES = len(MORPHOLOGY_NAMES)


def random_outcome(seed=1, count=300, classes=N_CLASSES):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, N_CLASSES)) + 2.0 * np.eye(N_CLASSES)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return MorphologyOutcome(probabilities, labels, [f"field-{number}" for number in rng.integers(0, 20, count)])


def test_scores_are_those_of_scikit_learn():
    outcome = random_outcome(classes=6)
    answers = outcome.probabilities.argmax(axis=1)
    counts = outcome.field_confusions
    assert counts.shape[0] == 20 and (counts.sum(axis=0) == outcome.confusion).all()
    seen = np.unique(outcome.labels)
    recall = recall_score(outcome.labels, answers, labels=seen, average=None)
    assert balanced_accuracy(counts) == pytest.approx(recall.mean())
    kept = np.isin(answers, seen)
    assert balanced_accuracy_score(outcome.labels[kept], answers[kept]) >= balanced_accuracy(counts)
    assert accuracy(counts) == pytest.approx((answers == outcome.labels).mean())
    every = list(range(N_CLASSES))
    np.testing.assert_allclose(
        np.nan_to_num(f1_scores(counts)), f1_score(outcome.labels, answers, labels=every, average=None, zero_division=0)
    )
    details = morphology_details(outcome, train_labels=np.array([1, 1, 2]))
    precision = precision_score(outcome.labels, answers, labels=every, average=None, zero_division=0)
    for row, name in enumerate(MORPHOLOGY_NAMES):
        held = details["classes"][name]
        assert (held["precision"] or 0) == pytest.approx(precision[row], abs=1e-4)
        assert held["true"] == int((outcome.labels == row).sum())
        assert (held["recall"] is None) == (held["true"] == 0)
    assert details["baseline"]["answer"] == "FR-II"
    assert details["baseline"]["accuracy"] == pytest.approx((outcome.labels == 1).mean(), abs=1e-4)
    assert details["baseline"]["balanced_accuracy"] == pytest.approx(1 / 6, abs=1e-4)


def test_metrics_have_intervals_and_say_what_is_sure():
    outcome = random_outcome()
    metrics = morphology_metrics(outcome, unsure_below=0.6)
    for name in ("balanced_accuracy", "accuracy", "sure_accuracy", "sure_share"):
        metric = metrics[name]
        assert metric.low < metric.value < metric.high
    sure = outcome.confidence >= 0.6
    assert metrics["sure_share"].value == pytest.approx(sure.mean(), abs=1e-4)
    assert metrics["sure_accuracy"].value == pytest.approx(outcome.right[sure].mean(), abs=1e-4)
    assert metrics["sure_accuracy"].value > metrics["accuracy"].value
    none = morphology_metrics(outcome, unsure_below=1.0)
    assert "sure_accuracy" not in none and none["sure_share"].value == 0.0
    few = morphology_metrics(random_outcome(classes=2), unsure_below=0.0)
    assert {name for name in few if name.startswith("f1_")} == {"f1_FR-I", "f1_FR-II"}


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.floats(0.01, 1.0))
@settings(max_examples=100, deadline=None)
def test_the_limit_is_the_lowest_that_gives_the_accuracy(pairs, wanted):
    confidence = np.array([pair[0] for pair in pairs])
    right = np.array([pair[1] for pair in pairs])
    limit = sure_limit(confidence, right, accuracy=wanted)
    good = [value for value in confidence.tolist() if right[confidence >= value].mean() >= wanted]
    assert limit == (min(good) if good else 1.0)


def test_no_accuracy_asked_for_leaves_all_sure():
    assert sure_limit(np.array([0.2, 0.9]), np.array([False, False]), accuracy=0.0) == 0.0
