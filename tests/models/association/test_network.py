"""The network sees islands, not their order; graphs do not see each other; every weight learns."""

import numpy as np
import pytest
import torch

from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.features import graph_features
from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.training.association.batches import feature_scale
from tests.training.association.toy import toy_field

SMALL = IslandGraphConfig(features="catalogue", hidden=16, rounds=2)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = IslandGraphNetwork(SMALL)
    network.set_scale(feature_scale([toy_field(seed) for seed in range(20)], features="catalogue"))
    return network.eval()


def tensors(graph):
    made = graph_features(graph, features="catalogue")
    return torch.from_numpy(made.nodes), torch.from_numpy(made.edges), torch.from_numpy(graph.pairs)


@pytest.mark.parametrize("seed", range(4))
def test_no_order_matters(model, seed):
    nodes, edges, pairs = tensors(toy_field(seed))
    expected = model(nodes, edges, pairs).pairs
    generator = torch.Generator().manual_seed(seed)
    order, pair_order = (torch.randperm(len(some), generator=generator) for some in (nodes, pairs))
    place = torch.argsort(order)
    shuffled = place[pairs[pair_order]].flip(1)
    logits = model(nodes[order], edges[pair_order], shuffled).pairs
    torch.testing.assert_close(logits, expected[pair_order], atol=1e-5, rtol=0)


def test_graphs_side_by_side_are_as_if_alone(model):
    one, other = tensors(toy_field(1)), tensors(toy_field(2))
    together = model(
        torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]]), torch.cat([one[2], other[2] + len(one[0])])
    ).pairs
    apart = torch.cat([model(*one).pairs, model(*other).pairs])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_an_island_hears_of_others_through_the_pairs(model):
    """What is told of a pair depends on islands that are not in it."""
    nodes, edges, pairs = tensors(toy_field(5))
    changed = nodes.clone()
    changed[0, 0] += 1.0
    difference = (model(changed, edges, pairs).pairs - model(nodes, edges, pairs).pairs).abs()
    assert (difference[(pairs != 0).all(dim=1)] > 1e-6).any()


def test_nothing_to_look_at_is_no_error_and_every_weight_learns(model):
    nodes, edges, pairs = tensors(toy_field(3))
    for rows in (len(pairs), 0):
        model.zero_grad()
        logits = model(nodes, edges[:rows], pairs[:rows]).pairs
        logits.sum().backward()
        assert len(logits) == rows
        assert all(weights.grad is not None for weights in model.parameters())
        assert all((weights.grad.abs().sum() > 0) == (rows > 0) for weights in model.parameters())


def test_normalisation_belongs_to_the_weights(model):
    graphs = [toy_field(seed) for seed in range(20)]
    nodes = np.concatenate([graph_features(graph, features="catalogue").nodes for graph in graphs])
    np.testing.assert_allclose(model.node_mean, nodes.mean(axis=0), rtol=1e-4, atol=1e-5)
    assert {"node_mean", "edge_deviation"} < set(model.state_dict())
    scale = feature_scale([toy_field(0).select(np.zeros(len(toy_field(0)), bool))], features="catalogue")
    assert (scale.edge_deviation == 1).all() and (scale.node_mean == 0).all()


@pytest.mark.parametrize(
    "wrong", [{"hidden": 0}, {"rounds": 0}, {"positive_weight": 0.0}, {"label_smoothing": 0.5}, {"features": "all"}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        IslandGraphConfig(**wrong)
