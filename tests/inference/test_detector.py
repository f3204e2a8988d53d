import dataclasses

import numpy as np
import pytest
import torch

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.resampling import ResampledGrid
from neanias_ml.errors import UsageError
from neanias_ml.extraction import SourceFinder
from neanias_ml.inference.detector import ObjectDetector
from neanias_ml.inference.predict import FoundInstance, predict_window
from neanias_ml.inference.windows import plan_windows
from neanias_ml.models.association.bundle import GraphBundle, GraphSettings
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.grouping import Grouping
from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.models.bundle import ModelBundle
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.settings import BundleSettings
from tests.conftest import correlated_noise, make_map, make_sky


@pytest.fixture(scope="module")
def bundle():
    """A small network with seeded random weights: its answers are arbitrary but fixed."""
    torch.manual_seed(5)
    architecture = IslandRCNNConfig(
        blocks=(1, 1, 1, 1),
        fpn_channels=16,
        head_features=16,
        mask_channels=8,
        rpn_proposals=10,
        detections_per_window=60,
    )
    settings = BundleSettings(architecture=architecture, pixels_per_beam=6.0, channels=CHANNEL_NAMES, window_size=128)
    return ModelBundle(model=IslandRCNN(architecture).eval(), settings=settings, digest="0" * 64)


@pytest.fixture(scope="module")
def extraction():
    radio_map, _ = make_sky(41, shape=(200, 200), n_sources=16)
    return SourceFinder()(radio_map)


def test_every_island_has_an_object_and_probabilities(bundle, extraction):
    catalogue = ObjectDetector(bundle)(extraction)
    objects = catalogue.objects
    members = [int(i) for text in objects.island_ids for i in text.split(",")]
    assert sorted(members) == extraction.islands.table.island_id.tolist()
    assert (np.diff(objects.object_id) > 0).all()
    columns = [objects.p_spurious, objects.p_compact, objects.p_extended, objects.p_multisland, objects.p_flagged]
    np.testing.assert_allclose(np.sum(columns, axis=0), 1.0)
    assert ((catalogue.island_spurious >= 0) & (catalogue.island_spurious <= 1)).all()
    single = objects.n_islands == 1
    assert (objects.class_name[single] != "extended-multisland").all()


def test_same_result_twice(bundle, extraction):
    first, second = (ObjectDetector(bundle)(extraction) for _ in range(2))
    np.testing.assert_array_equal(first.detections.boxes, second.detections.boxes)
    np.testing.assert_array_equal(first.objects.p_compact, second.objects.p_compact)


@pytest.fixture
def joining(bundle, extraction, monkeypatch):
    """The detector with one more detection in every window: its two first islands as one object, P = 0.7."""

    def with_union(*words, **names):
        result = predict_window(*words, **names)
        probabilities = np.array([0.1, 0.05, 0.05, 0.05, 0.7, 0.05])
        pair = tuple(int(row) for row in result.rows[:2])
        union = FoundInstance(np.array([0.0, 0, 9, 9]), 0.7, probabilities, 0.1, pair)
        return dataclasses.replace(result, instances=[*result.instances, union])

    monkeypatch.setattr("neanias_ml.inference.detector.predict_window", with_union)
    return bundle


def test_a_mask_over_two_islands_makes_one_object(joining, extraction):
    catalogue = ObjectDetector(joining, association_threshold=0.65)(extraction)
    objects = catalogue.objects
    joined = np.flatnonzero(objects.n_islands == 2)
    assert len(joined) >= 2
    for row in joined:
        assert objects.class_name[row] == "extended-multisland"
        assert objects.association_probability[row] == pytest.approx(0.7)
        assert objects.p_multisland[row] == pytest.approx(0.7 / 0.75)
        members = [int(i) for i in objects.island_ids[row].split(",")]
        np.testing.assert_array_equal(catalogue.island_object_ids[np.array(members) - 1], objects.object_id[row])


def test_below_the_threshold_islands_stay_alone(joining, extraction):
    catalogue = ObjectDetector(joining, association_threshold=0.75)(extraction)
    assert (catalogue.objects.n_islands == 1).all()
    assert np.isnan(catalogue.objects.association_probability).all()


def test_a_window_does_not_depend_on_far_pixels(bundle, extraction):
    """A window sees its own surroundings only: changing the map far away changes nothing in it."""
    grid = ResampledGrid.of(extraction.radio_map)
    windows = plan_windows(extraction.islands.table, grid, window_size=128)
    corner = windows[0]
    before = predict_window(extraction, grid, corner, bundle=bundle)
    pixels = extraction.radio_map.data.copy()
    pixels[-20:, -20:] = np.nan
    changed = dataclasses.replace(extraction, radio_map=make_map(pixels))
    after = predict_window(changed, grid, corner, bundle=bundle)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)


def test_map_without_islands_gives_an_empty_catalogue(bundle):
    pixels = np.minimum(correlated_noise((96, 96), np.random.default_rng(42)), 3.0)
    catalogue = ObjectDetector(bundle)(SourceFinder()(make_map(pixels)))
    assert len(catalogue.objects) == 0 and len(catalogue.detections) == 0


def test_progress_counts_windows(bundle, extraction):
    calls = []
    detector = ObjectDetector(bundle)
    detector(extraction, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("network windows", detector.counts.windows, detector.counts.windows)


@pytest.fixture
def pairing(monkeypatch):
    """A graph network that puts each island together with its nearest neighbour among those that are left."""

    def group(graph_bundle, graph):
        assert graph_bundle.settings.threshold == 0.3
        object_of = np.arange(len(graph))
        distance = np.linalg.norm(graph.islands.positions[:, None] - graph.islands.positions[None], axis=2)
        one, other = sorted(np.unravel_index((distance + 1e9 * np.eye(len(graph))).argmin(), distance.shape))
        object_of[other] = one
        object_of = np.unique(object_of, return_inverse=True)[1]
        sizes = np.bincount(object_of)
        classes = np.tile([0.1, 0.2, 0.6, 0.05, 0.05], (len(sizes), 1))
        classes[sizes > 1] = [0.05, 0.0, 0.0, 0.9, 0.05]
        return Grouping(
            object_of=object_of,
            p_spurious=np.linspace(0.0, 0.5, len(graph)),
            class_probabilities=classes,
            joined_probability=np.where(sizes > 1, 0.75, np.nan),
        )

    monkeypatch.setattr("neanias_ml.inference.graph_association.group_islands", group)
    architecture = IslandGraphConfig()
    return GraphBundle(IslandGraphNetwork(architecture), GraphSettings.of(architecture), "1" * 64)


def test_a_graph_network_groups_the_islands_of_the_whole_map(bundle, extraction, pairing):
    detector = ObjectDetector(bundle, association=pairing, association_threshold=0.3)
    catalogue = detector(extraction)
    objects = catalogue.objects
    (row,) = np.flatnonzero(objects.n_islands == 2)
    assert len(objects) == len(extraction.islands) - 1
    assert objects.class_name[row] == "extended-multisland"
    assert objects.association_probability[row] == pytest.approx(0.75)
    assert np.isnan(np.delete(objects.association_probability, row)).all()
    np.testing.assert_allclose(catalogue.island_spurious, np.linspace(0.0, 0.5, len(extraction.islands)))
    members = [int(i) for i in objects.island_ids[row].split(",")]
    np.testing.assert_array_equal(catalogue.island_object_ids[np.array(members) - 1], objects.object_id[row])
    assert list(detector.timings) == ["network", "association", "objects"]


def test_the_graph_network_is_not_asked_of_an_empty_map(bundle, pairing):
    pixels = np.minimum(correlated_noise((96, 96), np.random.default_rng(42)), 3.0)
    catalogue = ObjectDetector(bundle, association=pairing)(SourceFinder()(make_map(pixels)))
    assert len(catalogue.objects) == 0


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1])
def test_links_need_a_threshold_between_nothing_and_certainty(bundle, pairing, threshold):
    with pytest.raises(UsageError, match="threshold"):
        ObjectDetector(bundle, association=pairing, association_threshold=threshold)
