"""Scores of groupings by hand and against the metrics of the evaluation room; baselines; the operating point."""

import dataclasses

import numpy as np
import pytest
import torch

from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.evaluation import exact_set_fraction, pair_scores, stack_groupings
from neanias_ml.models.association.bundle import GraphSettings
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.network import GraphOutputs
from neanias_ml.training.association.baselines import best_linking_length, linked, without_association
from neanias_ml.training.association.operating_point import fit_operating_point, grouped_fields
from neanias_ml.training.association.scores import (
    GroupedField,
    by_number_of_islands,
    grouping_metrics,
    total_metric,
)
from tests.training.association.toy import toy_field


def field(true, predicted, outside=()):
    is_outside = np.isin(np.arange(len(true)), outside)
    return GroupedField(np.array(true), np.array(predicted), is_outside)


def test_metrics_of_a_field_by_hand():
    one = [field([1, 1, 2, 2, 2, 3, 4], [0, 0, 1, 1, 2, 2, 3])]
    expected = {"exact_set_multi": 1 / 2, "exact_set_f1": 2 / 5, "exact_set_all": 2 / 4, "singles_kept": 1 / 2}
    assert {name: total_metric(name, one) for name in expected} == pytest.approx(expected)
    assert total_metric("pair_recall", one) == pytest.approx(2 / 4)


def test_islands_outside_count_only_where_they_join_an_object():
    apart = [field([1, 1, -3, -4], [0, 0, 1, 1], outside=[2, 3])]
    joined = [field([1, 1, -3, -4], [0, 0, 0, 1], outside=[2, 3])]
    assert total_metric("exact_set_multi", apart) == 1.0 and total_metric("exact_set_multi", joined) == 0.0
    assert by_number_of_islands(apart)["2"] == {"true": 1, "exact": 1}
    assert by_number_of_islands(joined)["2"] == {"true": 1, "exact": 0}
    assert by_number_of_islands(apart)["1"] == {"true": 0, "exact": 0}


def test_metrics_agree_with_those_of_the_evaluation_room():
    rng = np.random.default_rng(0)
    fields = []
    for _ in range(12):
        true = rng.integers(0, 8, 15)
        fields.append(field(true, np.where(rng.uniform(size=15) < 0.85, true, rng.integers(0, 8, 15))))
    metrics = grouping_metrics(fields)
    true, predicted = (stack_groupings([getattr(one, side) for one in fields]) for side in ("true", "predicted"))
    scores = pair_scores(true, predicted)
    expected = {
        "exact_set_multi": exact_set_fraction(true, predicted), "pair_f1": scores.f1,
        "exact_set_all": exact_set_fraction(true, predicted, min_islands=1), "pair_recall": scores.recall,
        "pair_precision": scores.precision,
    }  # fmt: skip
    for name, value in expected.items():
        assert metrics[name].value == pytest.approx(value, abs=1e-4), name
        assert metrics[name].low <= metrics[name].value <= metrics[name].high
    sizes = by_number_of_islands(fields)
    n_objects = sum(len(set(one.true.tolist())) for one in fields)
    assert sum(row["true"] for row in sizes.values()) == n_objects
    assert sum(row["exact"] for row in sizes.values()) / n_objects == total_metric("exact_set_all", fields)


def test_what_is_not_known_does_not_count_and_no_object_is_no_group():
    graph = toy_field(0)
    instance = np.where(graph.instance == graph.instance[-1], IGNORED, graph.instance)
    instance[:2] = 0
    changed = dataclasses.replace(graph, instance=instance)
    scored = GroupedField.of(changed, np.zeros(len(graph), int))
    assert len(scored.true) == (instance != IGNORED).sum()
    assert len(set(scored.true[:2])) == 2 and (scored.true[:2] < 0).all()


def test_metrics_that_are_not_defined_are_left_out():
    metrics = grouping_metrics([field([1, 2, 3], [0, 1, 2])])
    assert "exact_set_multi" not in metrics and metrics["singles_kept"].value == 1.0


def test_the_best_linking_length_is_that_of_the_objects():
    graphs = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        centres = np.stack(np.meshgrid([0.0, 50.0, 100.0], [0.0, 50.0, 100.0]), axis=-1).reshape(-1, 2)
        places = np.concatenate([centres, centres[:5] + np.array([9.0, 0.0])]) + rng.normal(0, 0.1, (14, 2))
        graph = toy_field(0, singles=30).select(np.arange(len(toy_field(0, singles=30))) < 14)
        islands = graph.islands.replace(x=places[:, 0], y=places[:, 1])
        every = np.stack(np.triu_indices(14, 1), axis=1)
        bridges = type(graph.bridges).unknown(len(every))
        instance = np.array([*range(1, 10), *range(1, 6)])
        graphs.append(dataclasses.replace(graph, islands=islands, pairs=every, bridges=bridges, instance=instance))
    length = best_linking_length(graphs)
    assert 9.0 < length < 11.0
    joined = grouping_metrics([GroupedField.of(graph, linked(graph, length=length)) for graph in graphs])
    assert joined["exact_set_all"].value == 1.0
    alone = grouping_metrics([GroupedField.of(graph, without_association(graph)) for graph in graphs])
    assert alone["exact_set_multi"].value == 0.0 and alone["singles_kept"].value == 1.0


def outputs_with(pairs):
    """Outputs of a network that says something of pairs alone."""
    return GraphOutputs(torch.from_numpy(pairs), torch.empty(0), torch.empty(0))


def test_the_operating_point_undoes_overconfidence_and_bias():
    rng = np.random.default_rng(1)
    graphs = [toy_field(seed) for seed in range(120)]
    truth = [np.where(graph.joined_pairs, 3.0, -5.0) for graph in graphs]
    noisy = [values + rng.normal(0, 1.5, len(values)) for values in truth]
    loud = [outputs_with(4 * values) for values in noisy]
    noisy = [outputs_with(values) for values in noisy]
    settings = GraphSettings.of(IslandGraphConfig(features="catalogue"))
    plain = fit_operating_point(settings, graphs, noisy)
    loud = fit_operating_point(settings, graphs, loud)
    assert loud.temperature == pytest.approx(4 * plain.temperature, rel=0.02)
    found = total_metric("exact_set_f1", grouped_fields(plain, graphs, noisy))
    assert found >= total_metric("exact_set_f1", grouped_fields(settings, graphs, noisy))
    nothing = [dataclasses.replace(graph, instance=np.arange(1, len(graph) + 1)) for graph in graphs]
    assert fit_operating_point(settings, nothing, noisy) == settings
