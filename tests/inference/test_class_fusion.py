import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.inference.class_fusion import (
    MULTI_COLUMN,
    ONE_ISLAND_COLUMNS,
    fused_probabilities,
    possible_classes,
    with_abstention,
)

GRAPH = np.array([[0.9, 0.05, 0.02, 0.02, 0.01]])
DETECTOR = np.array([[0.1, 0.6, 0.1, 0.1, 0.1]])


def rows(seed, n=6):
    return np.random.default_rng(seed).dirichlet(np.full(5, 0.5), n)


def test_the_pool_is_a_weighted_geometric_mean():
    expected = GRAPH**0.3 * DETECTOR**0.7
    np.testing.assert_allclose(fused_probabilities(GRAPH, DETECTOR, weight=0.3), expected / expected.sum())


@pytest.mark.parametrize(("weight", "expected"), [(0.0, DETECTOR), (1.0, GRAPH)])
def test_the_ends_of_the_weight_are_one_opinion_alone(weight, expected):
    np.testing.assert_allclose(fused_probabilities(GRAPH, DETECTOR, weight=weight), expected, atol=1e-9)


def test_without_an_opinion_of_the_graph_the_detector_decides():
    nothing = np.full((1, 5), np.nan)
    np.testing.assert_allclose(fused_probabilities(nothing, DETECTOR, weight=0.9), DETECTOR)


def test_a_weight_out_of_range_is_refused():
    with pytest.raises(ValueError, match="weight"):
        fused_probabilities(GRAPH, DETECTOR, weight=1.5)


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_rows_sum_to_one_and_agreement_stays(seed, weight):
    graph, detector = rows(seed), rows(seed + 1)
    fused = fused_probabilities(graph, detector, weight=weight)
    np.testing.assert_allclose(fused.sum(axis=1), 1.0)
    agree = graph.argmax(axis=1) == detector.argmax(axis=1)
    np.testing.assert_array_equal(fused.argmax(axis=1)[agree], graph.argmax(axis=1)[agree])
    np.testing.assert_allclose(fused_probabilities(graph, graph, weight=weight), graph, atol=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_number_of_islands_excludes_classes(seed):
    given_rows = rows(seed)
    counts = np.array([1, 2, 1, 5, 1, 3])
    possible = possible_classes(given_rows, counts)
    np.testing.assert_allclose(possible.sum(axis=1), 1.0)
    assert (possible[counts == 1, MULTI_COLUMN] < 1e-9).all()
    assert (possible[counts > 1][:, list(ONE_ISLAND_COLUMNS)] < 1e-9).all()
    # what is not excluded keeps its ratio; of several islands nothing of what is no artefact is lost
    several = counts > 1
    np.testing.assert_allclose(possible[several][:, 0], given_rows[several][:, 0], atol=1e-9)


def test_the_detector_abstains_from_classes_of_one_island_for_several():
    graph = np.array([[0.1, 0.0, 0.6, 0.2, 0.1], [np.nan] * 5])
    detector = np.array([[0.2, 0.3, 0.1, 0.3, 0.1], [0.2, 0.0, 0.0, 0.6, 0.2]])
    completed = with_abstention(detector, graph)
    np.testing.assert_allclose(completed.sum(axis=1), 1.0)
    assert completed[0, 2] == pytest.approx(0.6) and completed[0, 1] == 0.0
    assert completed[0, 3] / completed[0, 0] == pytest.approx(1.5)
    np.testing.assert_allclose(completed[1], detector[1])
