"""The network that sees the map: crops, artefacts and classes of sets of islands."""

import dataclasses

import numpy as np
import pytest
import torch

from neanias_ml.datasets.graph_crop_values import CROP_CHANNELS, CROP_SIDE
from neanias_ml.models.association.bundle import GraphBundle, GraphSettings
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.grouping import group_islands, joined_probabilities
from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.training.association.batches import collate, feature_scale, graph_sample, turned
from neanias_ml.training.association.task import AssociationTask
from tests.training.association.toy import toy_field

SMALL = IslandGraphConfig(hidden=16, rounds=2, crop_widths=(4, 8, 8))


def field_on_a_map(seed):
    """A toy field with random crops, bridges and areas."""
    rng, graph = np.random.default_rng(seed), toy_field(seed)
    crops = rng.integers(-30, 60, (len(graph), CROP_CHANNELS, CROP_SIDE, CROP_SIDE)).astype(np.int8)
    crops[:, 1] = rng.integers(-1, 2, crops[:, 1].shape)
    bridges = type(graph.bridges)(*rng.uniform(0.0, 2.0, (7, len(graph.pairs))))
    islands = graph.islands.replace(n_beams=rng.uniform(1, 9, len(graph)))
    evidence = rng.normal(size=graph.evidence.shape).astype(np.float32)
    evidence[::3, :3] = np.nan
    return dataclasses.replace(graph, islands=islands, bridges=bridges, crops=crops, evidence=evidence)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)
    network = IslandGraphNetwork(SMALL)
    network.set_scale(feature_scale([field_on_a_map(seed) for seed in range(6)], features="map"))
    return network.eval()


def outputs_of(model, sample):
    return model(sample.nodes, sample.edges, sample.pairs, sample.crops)


def test_what_it_says_depends_on_the_crops(model):
    sample = graph_sample(field_on_a_map(1), features="map")
    plain, other = outputs_of(model, sample), outputs_of(model, sample._replace(crops=sample.crops.flip(0)))
    assert not torch.allclose(plain.spurious, other.spurious) and not torch.allclose(plain.pairs, other.pairs)
    with pytest.raises(ValueError, match="looks at crops"):
        model(sample.nodes, sample.edges, sample.pairs)
    blind = IslandGraphNetwork(dataclasses.replace(SMALL, crops=False))
    assert torch.isfinite(blind(sample.nodes, sample.edges, sample.pairs).spurious).all()


def test_many_crops_are_looked_at_in_parts(model, monkeypatch):
    crops = graph_sample(field_on_a_map(1), features="map").crops
    whole = model.crops(crops)
    monkeypatch.setattr("neanias_ml.models.association.crop_encoder.CROPS_AT_A_TIME", 3)
    torch.testing.assert_close(model.crops(crops), whole, atol=1e-5, rtol=0)


def test_the_class_of_a_set_does_not_depend_on_order_or_on_other_sets(model):
    sample = graph_sample(field_on_a_map(2), features="map")
    states = outputs_of(model, sample).states
    count = len(sample.classes)
    logits = model.classify(states, sample.group, count)
    order = torch.randperm(len(states), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.classify(states[order], sample.group[order], count), logits, atol=1e-5, rtol=0)
    for number in range(count):
        alone = torch.where(sample.group == number, 0, -1)
        torch.testing.assert_close(model.classify(states, alone, 1)[0], logits[number], atol=1e-5, rtol=0)


def test_every_weight_learns_and_what_is_unknown_teaches_nothing(model):
    task = AssociationTask(model, learning_rate=1e-3, weight_decay=0.0)
    batch = collate([graph_sample(field_on_a_map(seed), features="map") for seed in (3, 4)])
    losses = task.losses(batch)
    assert set(losses) == {"loss_pairs", "loss_artefact", "loss_class"}
    sum(losses.values()).backward()
    assert all(weights.grad is not None and weights.grad.abs().sum() > 0 for weights in model.parameters())
    unknown = dataclasses.replace(
        field_on_a_map(3), instance=np.full(len(toy_field(3)), -1), object_class=np.zeros(len(toy_field(3)), int)
    )
    nothing = task.losses(collate([graph_sample(unknown, features="map")]))
    assert all(value.item() == 0.0 for value in nothing.values())


def test_grouping_is_whole_and_its_probabilities_are_probabilities(model):
    settings = GraphSettings.of(SMALL, threshold=0.4, class_temperature=2.0, spurious_temperature=1.5)
    graph = field_on_a_map(5)
    found = group_islands(GraphBundle(model, settings, ""), graph)
    assert set(found.object_of) == set(range(found.n_objects)) and len(found.p_spurious) == len(graph)
    np.testing.assert_allclose(found.class_probabilities.sum(axis=1), 1.0)
    assert ((found.p_spurious > 0) & (found.p_spurious < 1)).all()
    several = np.bincount(found.object_of) >= 2
    np.testing.assert_array_equal(np.isfinite(found.joined_probability), several)
    empty = group_islands(GraphBundle(model, settings, ""), graph.select(np.zeros(len(graph), bool)))
    assert empty.n_objects == 0 and empty.class_probabilities.shape == (0, 5)


def test_an_object_hangs_together_as_well_as_its_most_loosely_joined_island():
    pairs = np.array([[0, 1], [0, 2], [1, 2], [2, 3], [3, 4]])
    log_odds = np.array([3.0, -1.0, 1.0, 5.0, 2.0])
    probability = joined_probabilities(np.array([0, 0, 0, 1, 1, 2]), pairs, log_odds)
    np.testing.assert_allclose(probability[:2], 1 / (1 + np.exp([-1.0, -2.0])))
    assert np.isnan(probability[2])


def test_crops_are_turned_in_all_eight_ways():
    crops = torch.arange(9, dtype=torch.int8).reshape(1, 1, 3, 3)
    assert len({tuple(turned(crops, number).flatten().tolist()) for number in range(8)}) == 8
    torch.testing.assert_close(turned(crops, 0), crops)
