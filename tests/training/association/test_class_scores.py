"""Classes and artefacts of objects: counted by hand, with what is unknown left out."""

import dataclasses

import numpy as np
import pytest

from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.models.classes import CLASS_LABELS, CLASS_NAMES
from neanias_ml.training.association.class_scores import (
    SPURIOUS,
    ClassifiedField,
    classification_metrics,
    rejected_share,
)
from neanias_ml.training.association.operating_point import fit_log_odds
from tests.training.association.toy import toy_field

COMPACT, MULTI = CLASS_LABELS["compact"], CLASS_LABELS["extended-multisland"]


def six_islands():
    """A double, two compact sources, an artefact and an island of which nothing is known."""
    graph = toy_field(0, singles=30.0)
    return dataclasses.replace(
        graph.select(np.arange(len(graph)) < 6),
        instance=np.array([1, 1, 2, 3, 4, IGNORED]),
        object_class=np.array([MULTI, MULTI, COMPACT, COMPACT, SPURIOUS, 0]),
    )


def probabilities(*labels):
    rows = np.full((len(labels), len(CLASS_NAMES)), 0.05)
    rows[np.arange(len(labels)), np.array(labels) - 1] = 0.8
    return rows


def test_an_object_is_hit_by_the_same_set_with_the_same_class():
    field = ClassifiedField.of(
        six_islands(),
        object_of=np.array([0, 0, 1, 2, 3, 4]),
        p_spurious=np.array([0.1, 0.2, 0.6, 0.1, 0.9, 0.99]),
        class_probabilities=probabilities(MULTI, COMPACT, SPURIOUS, SPURIOUS, COMPACT),
    )
    by_name = {name: (field.hits[k], field.true[k], field.predicted[k]) for k, name in enumerate(CLASS_NAMES)}
    assert by_name["extended-multisland"] == (1, 1, 1) and by_name["compact"] == (1, 2, 1)
    assert by_name["spurious"] == (1, 1, 2) and by_name["flagged"] == (0, 0, 0)
    assert len(field.is_spurious) == 5 and field.true_class.tolist() == [MULTI - 1, COMPACT - 1, COMPACT - 1, 0]
    metrics = classification_metrics([field])
    assert metrics["object_f1_compact"].value == pytest.approx(2 / 3, abs=1e-4)
    assert metrics["artefact_f1"].value == pytest.approx(2 / 3, abs=1e-4)
    assert "object_f1_flagged" not in metrics and metrics["artefacts_rejected"].value == 1.0


def test_a_set_with_one_island_too_many_or_too_few_is_no_hit():
    for object_of in ([0, 0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 3, 0]):
        count = max(object_of) + 1
        field = ClassifiedField.of(
            six_islands(),
            object_of=np.array(object_of),
            p_spurious=np.zeros(6),
            class_probabilities=probabilities(*[MULTI] * count),
        )
        assert field.hits[MULTI - 1] == 0 and field.true[MULTI - 1] == 1


def test_nothing_known_and_nothing_found():
    graph = six_islands().select(np.zeros(6, dtype=bool))
    empty = ClassifiedField.of(
        graph, object_of=np.empty(0, int), p_spurious=np.empty(0), class_probabilities=np.empty((0, 5))
    )
    assert empty.true.sum() == empty.predicted.sum() == 0 and np.isnan(rejected_share([empty]))
    assert classification_metrics([empty]) == {}


def test_temperature_and_shift_recover_the_log_odds_that_made_the_truth():
    rng = np.random.default_rng(0)
    odds = rng.normal(-1.0, 2.0, 20000)
    truth = rng.uniform(size=len(odds)) < 1 / (1 + np.exp(-odds))
    temperature, shift = fit_log_odds(3.0 * (odds - 0.7), truth)
    assert temperature == pytest.approx(3.0, rel=0.05) and shift == pytest.approx(0.7, abs=0.08)
