"""Features of graphs: the same however the map lies, and against brute force."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from neanias_ml.datasets.graph_bridges import Bridges
from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.models.association.features import (
    CATALOGUE_EDGES,
    MAP_EDGES,
    MAP_NODES,
    edge_columns,
    edge_features,
    graph_features,
    node_features,
)
from tests.training.association.toy import toy_field


def seen_on_a_map(seed):
    """A toy field with made-up measures of a map."""
    graph, rng = toy_field(seed), np.random.default_rng(seed)
    count = len(graph)
    islands = graph.islands.replace(
        n_beams=rng.uniform(1, 9, count),
        peak_x=graph.islands.x + rng.normal(size=count),
        peak_y=graph.islands.y + rng.normal(size=count),
    )
    bridges = Bridges(*rng.uniform(-1, 5, (7, len(graph.pairs))))
    return dataclasses.replace(graph, islands=islands, bridges=bridges)


def moved(graph, angle, mirror):
    """The same sky turned about the origin, mirrored and shifted."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([1.0, -1.0 if mirror else 1.0])
    islands = graph.islands
    centre = islands.positions @ turn.T + 7.0
    peak = np.stack([islands.peak_x, islands.peak_y], axis=1) @ turn.T + 7.0
    return dataclasses.replace(
        graph,
        islands=islands.replace(
            x=centre[:, 0], y=centre[:, 1], peak_x=peak[:, 0], peak_y=peak[:, 1],
            angle=(-islands.angle if mirror else islands.angle) + angle,
        ),
    )  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), angle=st.floats(-3.0, 3.0), mirror=st.booleans())
def test_features_do_not_see_how_the_map_lies(seed, angle, mirror):
    graph = seen_on_a_map(seed)
    one, other = graph_features(graph), graph_features(moved(graph, angle, mirror))
    np.testing.assert_allclose(one.nodes, other.nodes, atol=1e-4)
    np.testing.assert_allclose(one.edges, other.edges, atol=1e-4)


def test_features_do_not_see_which_island_comes_first():
    graph = seen_on_a_map(4)
    swapped = dataclasses.replace(graph, pairs=graph.pairs[:, ::-1])
    np.testing.assert_allclose(graph_features(graph).edges, graph_features(swapped).edges, atol=1e-5)


@pytest.mark.parametrize("features", ["map", "catalogue"])
def test_features_are_finite_and_named(features):
    made = graph_features(seen_on_a_map(1), features=features)
    assert made.nodes.shape[1] == len(node_features(features)) == len(set(node_features(features)))
    assert made.edges.shape[1] == len(edge_features(features)) == len(set(edge_features(features)))
    assert np.isfinite(made.nodes).all() and np.isfinite(made.edges).all()
    for graph in (IslandGraph.empty(), toy_field(0).select(np.arange(len(toy_field(0))) == 2)):
        assert len(graph_features(graph, features=features).nodes) == len(graph)


def test_a_catalogue_needs_nothing_that_only_a_map_gives():
    blind = toy_field(2)
    assert np.isnan(blind.bridges.line_min).all() and np.isnan(blind.islands.n_beams).all()
    assert np.isfinite(graph_features(blind, features="catalogue").edges).all()
    assert set(CATALOGUE_EDGES) < set(MAP_EDGES) and "hole_depth" in MAP_NODES


def test_ranks_midpoints_and_crowds_are_those_of_brute_force():
    graph = toy_field(7, singles=20.0)
    columns, positions = edge_columns(graph), graph.islands.positions
    distance = cdist(positions, positions)
    for row, (one, other) in enumerate(graph.pairs.tolist()):
        separation = distance[one, other]
        ranks = [int((distance[end] < separation - 1e-9).sum()) - 1 for end in (one, other)]
        assert np.expm1(columns["rank_min"][row]) == pytest.approx(min(*ranks, 12), abs=1e-9)
        assert np.expm1(columns["rank_max"][row]) == pytest.approx(min(max(ranks), 12), abs=1e-9)
        others = np.delete(np.arange(len(graph)), [one, other])
        middle = np.hypot(*(positions[others] - positions[[one, other]].mean(axis=0)).T)
        assert columns["midpoint_distance"][row] == pytest.approx(min(middle.min() / separation, 3.0))
        assert np.expm1(columns["between"][row]) == pytest.approx((middle < separation / 2).sum(), abs=1e-9)


def test_aligned_lobes_and_their_core_are_told():
    graph = toy_field(0)
    islands = type(graph.islands)(
        x=np.array([0.0, 10.0, 5.0]), y=np.zeros(3), peak_x=np.array([2.0, 9.0, 5.0]), peak_y=np.zeros(3),
        peak_snr=np.full(3, 10.0), total_snr=np.array([100.0, 1000.0, 10.0]), major=np.array([4.0, 4.0, 1.0]),
        minor=np.ones(3), angle=np.array([0.0, np.pi / 2, 0.0]), n_beams=np.ones(3),
    )  # fmt: skip
    made = graph_features(IslandGraph.without_map(islands).select_pairs(np.array([True, False, False])))
    value = dict(zip(edge_features("map"), made.edges[0], strict=True))
    assert value["alignment_max"] == pytest.approx(np.log10(4))
    assert value["alignment_min"] == pytest.approx(-np.log10(4))
    assert value["midpoint_distance"] == 0 and value["midpoint_flux"] == pytest.approx(-2.0)
    assert value["between"] == pytest.approx(np.log(2)) and value["flux_difference"] == pytest.approx(1.0)
    assert value["lean_max"] == pytest.approx(0.5) and value["lean_min"] == pytest.approx(0.25)
