"""Scores of the morphology network against scikit-learn and counts by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from neanias_ml.errors import ModelError
from neanias_ml.evaluation import expected_calibration_error
from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES, told_apart
from neanias_ml.training.morphology.calibrate import fit_calibration
from neanias_ml.training.morphology.card import mistakes_text
from neanias_ml.training.morphology.scores import (
    MorphologyOutcome,
    accuracy,
    balanced_accuracy,
    chance_calibration_error,
    f1_scores,
    fanaroff_riley_metrics,
    morphology_details,
    morphology_metrics,
    source_details,
    sure_limit,
)

N_CLASSES = len(MORPHOLOGY_NAMES)


def random_outcome(seed=1, count=300, classes=N_CLASSES, name="field-"):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, N_CLASSES)) + 2.0 * np.eye(N_CLASSES)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    fields = [f"{name}{number}" for number in rng.integers(0, 20, count)]
    return MorphologyOutcome(probabilities, labels, fields, np.ones(count))


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


def test_answers_of_sets_that_do_not_tell_bent_galaxies_are_judged_as_coarsely():
    probabilities = np.full((2, N_CLASSES), 0.02)
    probabilities[:, [0, 1, 3]] = 0.3, 0.4, 0.18
    labels = np.zeros(2, dtype=np.int64)
    outcome = MorphologyOutcome(probabilities, labels, ["radiogalaxynet:a", "mirabest:b"], np.ones(2))
    assert outcome.right.tolist() == [True, False]
    np.testing.assert_allclose(outcome.confidence, [0.48, 0.4])
    details = source_details(outcome, unsure_below=0.45)
    assert details["radiogalaxynet"]["sure_accuracy"]["value"] == 1.0
    assert details["mirabest"]["sure_share"]["value"] == 0.0 and "sure_accuracy" not in details["mirabest"]


def test_fanaroff_riley_classes_count_bent_as_edge_darkened_and_only_certain_labels():
    rows = {  # label, certainty, P(FR-I), P(FR-II), P(bent)
        "bent said FR-I": (3, 1.0, 0.6, 0.3, 0.1),
        "FR-I said bent": (0, 1.0, 0.1, 0.3, 0.6),
        "FR-II said FR-II": (1, 1.0, 0.2, 0.5, 0.1),
        "FR-II said bent": (1, 1.0, 0.2, 0.3, 0.45),
        "doubtful": (1, 0.5, 0.9, 0.05, 0.05),
        "ring": (8, 1.0, 0.1, 0.1, 0.1),
    }
    probabilities = np.full((len(rows), N_CLASSES), 0.0)
    for row, (_, _, one, two, bent) in enumerate(rows.values()):
        probabilities[row, [0, 1, 3]] = one, two, bent
        probabilities[row, 4] = 1 - one - two - bent
    labels, certainty = (np.array([held[place] for held in rows.values()]) for place in (0, 1))
    outcome = MorphologyOutcome(probabilities, labels.astype(np.int64), [f"f{row}" for row in range(6)], certainty)
    metrics = fanaroff_riley_metrics(outcome, unsure_below=0.5)
    assert metrics["fr_accuracy"].value == 0.75
    assert metrics["fr_sure_share"].value == 0.75 and metrics["fr_sure_accuracy"].value == 1.0
    assert fanaroff_riley_metrics(outcome.rows(labels == 8), unsure_below=0.5) == {}


def test_calibration_takes_back_temperature_and_drawing_of_rare_classes():
    rng = np.random.default_rng(5)
    truth = np.array([0.3, 0.4, *[0.3 / 7] * 7])
    labels = rng.choice(N_CLASSES, 4000, p=truth)
    evidence = rng.normal(size=(4000, N_CLASSES)) + 1.5 * np.eye(N_CLASSES)[labels]
    honest = 1.5 * evidence + np.log(truth)
    logits = 2.5 * (honest - np.log(truth))  # as if all classes had been equally frequent, and too sure
    found = fit_calibration(logits, labels, np.zeros(4000, dtype=bool))
    assert found.temperature == pytest.approx(2.5, rel=0.1)
    offsets = np.array(found.offsets)
    np.testing.assert_allclose(offsets - offsets.mean(), np.log(truth) - np.log(truth).mean(), atol=0.3)
    said = found.of(logits)
    assert abs(said.max(axis=1).mean() - (said.argmax(axis=1) == labels).mean()) < 0.02


def test_calibration_learns_from_labels_that_do_not_tell_bent_galaxies():
    rng = np.random.default_rng(6)
    labels = rng.choice([0, 1], 600)
    logits = rng.normal(size=(600, N_CLASSES)) + 3.0 * np.eye(N_CLASSES)[np.where(labels == 0, 3, 1)]
    untold = np.ones(600, dtype=bool)
    found = fit_calibration(logits, labels, untold)
    said = told_apart(found.of(logits), untold)
    assert (said.argmax(axis=1) == labels).mean() > 0.85
    assert found.offsets[3] > min(found.offsets[4:])
    with pytest.raises(ModelError, match="at least one"):
        fit_calibration(np.empty((0, N_CLASSES)), np.empty(0, dtype=np.int64), np.empty(0, dtype=bool))


def test_exact_probabilities_show_the_calibration_error_of_chance_and_no_more():
    confidence = np.random.default_rng(7).uniform(0.3, 1.0, 300)
    chance = chance_calibration_error(confidence)
    assert chance == chance_calibration_error(confidence) and 0.02 < chance < 0.06
    drawn = np.random.default_rng(8).random((50, 300)) < confidence
    found = [expected_calibration_error(confidence, right, n_bins=10) for right in drawn]
    assert np.mean(found) == pytest.approx(chance, rel=0.2)
    assert chance_calibration_error(np.tile(confidence, 50)) < chance / 4


def test_a_card_names_the_commonest_mistakes_first():
    confusion = np.zeros((N_CLASSES, N_CLASSES), dtype=int)
    confusion[1, 1], confusion[1, 0], confusion[4, 1] = 9, 1, 3
    details = {"classes": dict.fromkeys(MORPHOLOGY_NAMES), "confusion": confusion.tolist()}
    assert mistakes_text(details) == "resolved called FR-II (3 of 3), FR-II called FR-I (1 of 10)"
    assert mistakes_text({**details, "confusion": np.eye(N_CLASSES, dtype=int).tolist()}) == "none"
