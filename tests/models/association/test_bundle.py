"""Bundles of the network: written, read, refused where they do not fit."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from neanias_ml.errors import ModelError
from neanias_ml.models.association.bundle import GraphSettings, load_graph_bundle, save_graph_bundle
from neanias_ml.models.association.clustering import correlation_clusters
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.grouping import graph_outputs, group_islands
from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.models.bundle_folder import bundle_network, write_digests
from neanias_ml.training.association.batches import feature_scale
from tests.training.association.toy import toy_field

SMALL = IslandGraphConfig(features="catalogue", hidden=16, rounds=1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    network = IslandGraphNetwork(SMALL)
    network.set_scale(feature_scale([toy_field(seed) for seed in range(5)], features="catalogue"))
    return network.eval()


@pytest.fixture
def folder(tmp_path, model):
    settings = GraphSettings.of(SMALL, temperature=1.5, threshold=0.4, metadata={"steps": 3})
    save_graph_bundle(model, tmp_path / "bundle", settings=settings, card="# Card")
    return tmp_path / "bundle"


def test_a_bundle_answers_as_the_network_did(folder, model):
    bundle = load_graph_bundle(folder)
    graph = toy_field(9)
    logits = graph_outputs(model, graph).pairs.numpy()
    np.testing.assert_array_equal(graph_outputs(bundle.model, graph).pairs.numpy(), logits)
    log_odds = logits / 1.5 - np.log(0.4 / 0.6)
    found = group_islands(bundle, graph)
    np.testing.assert_array_equal(found.object_of, correlation_clusters(len(graph), graph.pairs, log_odds))
    assert np.isnan(found.p_spurious).all() and np.isnan(found.class_probabilities).all()
    assert bundle_network(folder) == "island-graph" and bundle.settings.metadata == {"steps": 3}
    assert bundle.settings == GraphSettings.of(SMALL, temperature=1.5, threshold=0.4, metadata={"steps": 3})
    with pytest.raises(ModelError, match="exists"):
        save_graph_bundle(model, folder, settings=bundle.settings, card="")


def edited(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    write_digests(folder)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"node_features": ["log_peak"]}, "FeaturesDiffer"),
        ({"format": "neanias_ml island-rcnn"}, "OtherNetwork"),
        ({"threshold": 1.0}, "ConfigInvalid"),
        ({"temperature": 0.0}, "ConfigInvalid"),
        ({"architecture": dataclasses.asdict(SMALL) | {"hidden": 8}}, "WeightsMismatch"),
        ({"architecture": dataclasses.asdict(SMALL) | {"hidden": 0}}, "ConfigInvalid"),
    ],
)
def test_bundles_that_do_not_fit_are_refused(folder, changes, code):
    edited(folder, **changes)
    with pytest.raises(ModelError) as caught:
        load_graph_bundle(folder)
    assert caught.value.code == code


def test_settings_of_another_network_are_not_written(tmp_path, model):
    other = GraphSettings.of(dataclasses.replace(SMALL, rounds=2))
    with pytest.raises(ModelError, match="differs"):
        save_graph_bundle(model, tmp_path / "bundle", settings=other, card="")
    assert not (tmp_path / "bundle").exists()
