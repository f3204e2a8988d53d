import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.datasets.channels import significance
from neanias_ml.extraction import SourceFinder
from neanias_ml.inference import graph_association
from neanias_ml.inference.class_fusion import MULTI_COLUMN, SPURIOUS_COLUMN
from neanias_ml.inference.graph_association import (
    associate_by_graph,
    covering_detections,
    map_significance,
    members_of,
)
from neanias_ml.inference.objects import Detections
from neanias_ml.maps import Window
from neanias_ml.models.association.grouping import Grouping
from neanias_ml.models.classes import CLASS_NAMES
from tests.conftest import make_sky


@pytest.fixture(scope="module")
def extraction():
    radio_map, _ = make_sky(51, shape=(160, 160), n_sources=9)
    return SourceFinder()(radio_map)


def grouping(object_of, *, classes=None, spurious=None, joined=0.8):
    """What a graph network would say: objects of islands; without ``classes`` as the variant for catalogues."""
    object_of = np.asarray(object_of, dtype=np.int64)
    sizes = np.bincount(object_of)
    return Grouping(
        object_of=object_of,
        p_spurious=np.full(len(object_of), np.nan) if spurious is None else np.asarray(spurious),
        class_probabilities=np.full((len(sizes), 5), np.nan) if classes is None else np.asarray(classes),
        joined_probability=np.where(sizes > 1, joined, np.nan),
    )


def detections(*entries):
    """Detections from (class probabilities, island ids)."""
    return Detections(
        boxes=np.zeros((len(entries), 4)),
        scores=np.array([max(probabilities) for probabilities, _ in entries]),
        probabilities=np.array([probabilities for probabilities, _ in entries]).reshape(-1, 5),
        spurious=np.zeros(len(entries)),
        island_ids=tuple(ids for _, ids in entries),
    )


def by_graph(extraction, said, found, **options):
    n = len(extraction.islands)
    readout = np.tile([0.0, 0.1, 0.7, 0.1, 0.05, 0.05], (n, 1))
    return associate_by_graph(
        said, found, extraction.islands.table, readout=readout, spurious=np.full(n, 0.25), **options
    )


def chained(n, *pairs):
    """Objects of n islands in which the first rows form one object each as told."""
    object_of = np.arange(n)
    for rows in pairs:
        object_of[list(rows)] = rows[0]
    return np.unique(object_of, return_inverse=True)[1]


def test_groups_are_the_objects_of_the_graph(extraction):
    n = len(extraction.islands)
    associated = by_graph(extraction, grouping(chained(n, (0, 3), (1, 2, 5))), detections())
    members = [group.island_ids for group in associated.groups]
    assert members[:2] == [(1, 4), (2, 3, 6)] and sum(map(len, members)) == n
    assert members == sorted(members)
    np.testing.assert_allclose(associated.joined_probability[:2], 0.8)
    assert np.isnan(associated.joined_probability[2:]).all()
    np.testing.assert_allclose(associated.island_spurious, 0.25)  # of the detector, as the graph has none


def test_the_class_of_several_islands_is_multi_island_or_spurious_unless_the_graph_says_otherwise(extraction):
    n = len(extraction.islands)
    object_of = chained(n, (0, 3))
    silent = by_graph(extraction, grouping(object_of), detections())
    assert CLASS_NAMES[silent.probabilities[0].argmax()] == "extended-multisland"
    assert (silent.probabilities[1:, MULTI_COLUMN] < 1e-9).all()
    np.testing.assert_allclose(silent.probabilities.sum(axis=1), 1.0)
    classes = np.tile([0.02, 0.9, 0.02, 0.02, 0.04], (n - 1, 1))
    classes[0] = [0.02, 0.0, 0.9, 0.05, 0.03]
    classes[1] = [0.01, 0.01, 0.01, 0.96, 0.01]  # impossible for one island, however sure
    said = by_graph(extraction, grouping(object_of, classes=classes, spurious=np.linspace(0, 1, n)), detections())
    assert CLASS_NAMES[said.probabilities[0].argmax()] == "extended"
    assert said.probabilities[1, MULTI_COLUMN] < 1e-9
    np.testing.assert_allclose(said.island_spurious, np.linspace(0, 1, n))


def test_the_detection_that_covers_a_group_tells_its_class(extraction):
    n = len(extraction.islands)
    artefact = [0.9, 0.02, 0.02, 0.05, 0.01]
    found = detections((artefact, (1, 4)), ([0.05, 0.0, 0.0, 0.9, 0.05], (1,)))
    associated = by_graph(extraction, grouping(chained(n, (0, 3))), found)
    assert associated.groups[0].detection == 0 and associated.groups[1].detection is None
    assert associated.probabilities[0, SPURIOUS_COLUMN] == pytest.approx(0.9, abs=1e-5)


def test_weight_moves_from_the_detector_to_the_graph(extraction):
    n = len(extraction.islands)
    classes = np.tile([0.9, 0.05, 0.02, 0.01, 0.02], (n, 1))
    said = grouping(np.arange(n), classes=classes)
    probabilities = [by_graph(extraction, said, detections(), weight=w).probabilities[0, 0] for w in (0.0, 0.5, 1.0)]
    assert probabilities == sorted(probabilities)
    assert probabilities[0] == pytest.approx(0.1 / 0.95, abs=1e-5)
    assert probabilities[2] == pytest.approx(0.9 / 0.99, abs=1e-5)


@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=14),
    covered=st.lists(st.lists(st.integers(0, 13), min_size=1, max_size=6, unique=True), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_covering_detection_is_the_one_of_largest_jaccard_index(labels, covered):
    object_of = np.unique(labels, return_inverse=True)[1]
    sets = [tuple(sorted(i + 1 for i in ids if i < len(labels))) for ids in covered]
    sets = [ids for ids in sets if ids]
    members = members_of(object_of)
    best = covering_detections(detections(*[([0.2] * 5, ids) for ids in sets]), object_of, len(members))
    assert sorted(np.concatenate(members).tolist()) == list(range(len(labels)))
    for number, rows in enumerate(members):
        own = set((rows + 1).tolist())
        overlaps = [len(own & set(ids)) / len(own | set(ids)) for ids in sets]
        if len(own) < 2 or not overlaps or max(overlaps) < 0.5:
            assert best[number] == -1
        else:
            assert best[number] == int(np.argmax(overlaps))


def test_significance_of_strips_is_that_of_the_map(extraction, monkeypatch):
    monkeypatch.setattr(graph_association, "ROWS_AT_A_TIME", 37)
    ny, nx = extraction.radio_map.shape
    whole = Window(0, ny, 0, nx)
    expected = significance(extraction.radio_map.read(whole), *extraction.noise.evaluate(whole))
    np.testing.assert_allclose(map_significance(extraction), expected, rtol=1e-5)
