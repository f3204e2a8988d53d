"""Samples, variation and loss: each field weighs the same, and nothing depends on which process makes it."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from neanias_ml.datasets.graph_bridges import Bridges
from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.errors import InputError, UsageError
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.features import edge_features, graph_features
from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.training.association.batches import GraphDataset, collate, graph_sample, scaled, varied
from neanias_ml.training.association.data_module import GraphDataModule
from neanias_ml.training.association.feed import GraphFeedConfig
from neanias_ml.training.association.task import AssociationTask
from neanias_ml.training.sampling import Draw, ProcessPlace
from tests.training.association.toy import toy_field

SMALL = IslandGraphConfig(features="catalogue", hidden=16, rounds=2, positive_weight=2.0)


@pytest.fixture(scope="module")
def task():
    torch.manual_seed(0)
    return AssociationTask(IslandGraphNetwork(SMALL), learning_rate=1e-3, weight_decay=0.0)


def partly_known(seed):
    graph = toy_field(seed)
    instance = np.where(np.arange(len(graph)) % 5 == seed % 5, IGNORED, graph.instance)
    return dataclasses.replace(graph, instance=instance)


def batch_of(*graphs):
    return collate([graph_sample(graph, features="catalogue") for graph in graphs])


def test_the_loss_is_the_mean_over_fields_of_the_mean_over_their_known_pairs(task):
    graphs = [partly_known(seed) for seed in range(4)]
    means = []
    for graph in graphs:
        made = graph_features(graph, features="catalogue")
        nodes, edges, pairs = torch.from_numpy(made.nodes), torch.from_numpy(made.edges), torch.from_numpy(graph.pairs)
        known, true = torch.from_numpy(graph.known_pairs), torch.from_numpy(graph.joined_pairs).float()
        logits = task.model(nodes, edges, pairs).pairs[known]
        smooth = true[known] * 0.96 + 0.02
        weight = torch.tensor(2.0)
        means.append(functional.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weight).item())
    assert task.losses(batch_of(*graphs))["loss_pairs"].item() == pytest.approx(np.mean(means), rel=1e-5)
    assert task.batch_size_of(batch_of(*graphs)) == 4


def gradients(task, batch):
    task.zero_grad()
    task.losses(batch)["loss_pairs"].backward()
    return [weights.grad.clone() for weights in task.parameters()]


def test_two_processes_have_the_mean_gradient_of_one_with_both_batches(task):
    nothing_known = dataclasses.replace(toy_field(8), instance=np.full(len(toy_field(8)), IGNORED))
    graphs = [toy_field(1), toy_field(2), partly_known(3), nothing_known]
    whole = gradients(task, batch_of(*graphs))
    halves = [gradients(task, batch_of(*part)) for part in (graphs[:2], graphs[2:])]
    for together, one, other in zip(whole, *halves, strict=True):
        torch.testing.assert_close(together, (one + other) / 2, atol=1e-6, rtol=1e-4)


def test_fields_without_anything_give_a_finite_loss(task):
    lone = toy_field(0).select(np.arange(len(toy_field(0))) < 1)
    for batch in (batch_of(IslandGraph.empty()), batch_of(lone), batch_of(IslandGraph.empty(), toy_field(1))):
        grads = gradients(task, batch)
        assert torch.isfinite(task.losses(batch)["loss_pairs"])
        assert all(torch.isfinite(gradient).all() for gradient in grads)


def test_fainter_fields_have_fainter_islands_and_bridges():
    graph = dataclasses.replace(toy_field(2), bridges=Bridges(*np.full((7, len(toy_field(2).pairs)), 0.5)))
    names = list(edge_features("map"))
    bright, faint = (graph_features(one).edges for one in (graph, scaled(graph, 0.1)))
    flux = names.index("flux_min")
    np.testing.assert_allclose(faint[:, flux], bright[:, flux] - 1.0, atol=1e-5)
    same = [names.index(name) for name in ("flux_difference", "log_separation", "blocked", "log_gap", "valley")]
    np.testing.assert_allclose(faint[:, same], bright[:, same], atol=1e-5)
    assert (faint[:, names.index("gap_mean")] < bright[:, names.index("gap_mean")]).all()


def test_variation_leaves_out_some_and_keeps_the_truth():
    feed, graph = GraphFeedConfig(flux_jitter=0.2, drop_islands=0.5, drop_pairs=0.5), toy_field(4, singles=30)
    parts = [varied(graph, feed, np.random.default_rng(seed)) for seed in range(30)]
    shares = np.array([len(part) / len(graph) for part in parts])
    assert 0.6 < shares.mean() < 0.9 and shares.min() > 0.3
    factors = [np.log10(part.islands.total_snr.min() / graph.islands.total_snr.min()) for part in parts]
    assert np.std(factors) > 0.05
    for part in parts:
        place = [int(np.flatnonzero(graph.islands.x == x)[0]) for x in part.islands.x]
        np.testing.assert_array_equal(part.instance, graph.instance[place])


def test_a_sample_depends_on_seed_and_draw_alone():
    graphs, feed = [toy_field(seed) for seed in range(3)], GraphFeedConfig()

    def made(draw, seed=5):
        return GraphDataset(graphs, features="catalogue", feed=feed, seed=seed)[draw]

    one, again = made(Draw(1, 2, 7)), made(Draw(1, 2, 7))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    others = [made(draw) for draw in (Draw(1, 3, 7), Draw(1, 2, 8))] + [made(Draw(1, 2, 7), seed=6)]
    assert all(one.nodes.shape != other.nodes.shape or not torch.equal(one.nodes, other.nodes) for other in others)
    still = GraphDataset(graphs, features="catalogue")
    assert still[Draw(0, 1, 1)] is still[0]


def test_the_module_serves_the_prepared_folder(graph_folder):
    module = GraphDataModule(graph_folder, features="catalogue", batch_size=25, place=ProcessPlace())
    train = list(module.train_dataloader())
    assert len(train) == 160 // 25 and all(len(batch.weights) == 25 for batch in train)
    assert sum(len(batch.weights) for batch in module.val_dataloader()) == 60
    assert sum(len(batch.weights) for batch in module.test_dataloader()) == len(module.graphs("test")) == 60
    few = GraphDataModule(graph_folder, features="catalogue", most_graphs=3)
    assert sorted(graph.n_grouped for graph in few.graphs("test"))[0] >= 3
    with pytest.raises(InputError, match="holds no island graphs"):
        GraphDataModule(graph_folder.parent, features="catalogue").graphs("train")


def test_two_processes_share_the_draws_of_one_and_workers_change_nothing(graph_folder):
    def first_nodes(place, batch, workers=0):
        module = GraphDataModule(graph_folder, features="catalogue", batch_size=batch, place=place, workers=workers)
        batch = next(iter(module.train_dataloader()))
        module.teardown()
        return batch

    together = first_nodes(ProcessPlace(), 8)
    assert torch.equal(together.edges, first_nodes(ProcessPlace(), 8, workers=1).edges)
    parts = [first_nodes(ProcessPlace(rank, 2), 4) for rank in (0, 1)]
    weights = torch.stack([part.weights for part in parts], dim=1).flatten()
    assert torch.equal(together.weights, weights)


def test_an_interrupted_epoch_goes_on_with_the_rest(graph_folder):
    def loader():
        module = GraphDataModule(graph_folder, features="catalogue", batch_size=20, place=ProcessPlace())
        return module.train_dataloader()

    whole = loader()
    expected = [batch.edges for batch in whole]
    stopped = loader()
    batches = iter(stopped)
    for _ in range(3):
        next(batches)
    resumed = loader()
    resumed.load_state_dict(stopped.state_dict())
    rest = [batch.edges for batch in resumed]
    assert len(rest) == len(expected) - 3
    assert all(torch.equal(one, other) for one, other in zip(rest, expected[3:], strict=True))


@pytest.mark.parametrize("wrong", [{"flux_jitter": -0.1}, {"drop_islands": 1.0}, {"drop_pairs": -0.1}])
def test_feeds_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=r"feed\."):
        GraphFeedConfig(**wrong)
