"""Graphs of islands: pairs against brute force, bridges against drawn maps, files, and what preparation leaves."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from neanias_ml.datasets.fields import extract_islands, prepare_field
from neanias_ml.datasets.graph_bridges import Bridges, measure_bridges
from neanias_ml.datasets.graph_store import GRAPH_SUFFIX, GraphStore, graph_paths, read_graphs, write_graphs
from neanias_ml.datasets.graphs import EVIDENCE, NEIGHBOURS, UNLABELLED, IslandGraph, candidate_pairs, island_graph
from neanias_ml.datasets.manifest import missing_files, read_manifest, split_summaries
from neanias_ml.datasets.prepare import PreparationConfig, is_prepared, prepare_data
from neanias_ml.datasets.shards import read_tiles
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.errors import InputError
from neanias_ml.extraction import FinderConfig
from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.simulation import random_config, simulate_sky
from tests.training.association.toy import toy_field

BEAM = 4.0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 40), neighbours=st.integers(1, 14))
def test_pairs_are_those_of_brute_force(seed, count, neighbours):
    positions = np.random.default_rng(seed).uniform(0, 100, (count, 2))
    distance = cdist(positions, positions)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, 1 : neighbours + 1]
    expected = {
        (min(one, int(other)), max(one, int(other)))
        for one in range(count)
        for other in nearest[one]
        if distance[one, other] <= 40.0
    }
    pairs = candidate_pairs(positions, neighbours=neighbours, max_separation=40.0)
    assert [tuple(pair) for pair in pairs.tolist()] == sorted(expected)


def drawn_map(bridge):
    """Two islands of 7 pixels 40 pixels apart with emission of ``bridge`` sigma between them, and one off the line."""
    snr = np.zeros((60, 80), np.float32)
    snr[28:33, 20:61] = bridge
    labels = np.zeros(snr.shape, np.int32)
    positions = np.array([[20.0, 30.0], [60.0, 30.0], [40.0, 10.0]])
    for row, (x, y) in enumerate(positions.astype(int)):
        labels[y - 3 : y + 4, x - 3 : x + 4] = row + 1
        snr[y - 3 : y + 4, x - 3 : x + 4] = 10.0
    return positions, snr, labels


def bridge_of(positions, snr, labels, pair=(0, 1)):
    return measure_bridges(positions, np.array([pair]), significance=snr, labels=labels, beam_fwhm=BEAM)


def test_a_bridge_is_seen_between_the_islands():
    found = {bridge: bridge_of(*drawn_map(bridge)) for bridge in (0.0, 2.0)}
    for bridge, measured in found.items():
        assert measured.line_min[0] == measured.strip_min[0] == bridge
        assert measured.gap_mean[0] == pytest.approx(bridge, abs=0.2)
        assert measured.gap[0] == pytest.approx((40 - 7) / BEAM, abs=0.6)
        assert measured.blocked[0] == 0
        assert measured.line_mean[0] == pytest.approx((7 * 10 + 33 * bridge) / 40, rel=0.1)


def test_an_island_in_the_way_blocks_and_blank_pixels_are_nothing():
    positions, snr, labels = drawn_map(2.0)
    labels[27:34, 36:45] = 3
    measured = bridge_of(positions, snr, labels)
    assert measured.blocked[0] == pytest.approx(9 / 40, abs=0.03)
    snr[:, 45:50] = np.nan
    assert bridge_of(positions, snr, labels).line_min[0] == 0.0
    touching = np.where(np.arange(80) < 40, 1, 2) * np.ones((60, 1), int)
    measured = bridge_of(positions, drawn_map(2.0)[1], touching)
    assert measured.gap[0] == 0.0 and measured.gap_mean[0] == measured.strip_mean[0]


def test_bridges_do_not_see_how_the_map_lies():
    rng = np.random.default_rng(0)
    snr = ndimage.gaussian_filter(rng.normal(size=(50, 70)), 1.5).astype(np.float32) * 5
    labels = np.where(snr > 1.2, 1, 0)
    positions = rng.uniform(5, 45, (6, 2))
    pairs = candidate_pairs(positions / BEAM)
    straight = measure_bridges(positions, pairs, significance=snr, labels=labels, beam_fwhm=BEAM)
    turned = measure_bridges(positions[:, ::-1], pairs, significance=snr.T, labels=labels.T, beam_fwhm=BEAM)
    back = measure_bridges(positions, pairs[:, ::-1], significance=snr, labels=np.zeros_like(labels), beam_fwhm=BEAM)
    for name in ("line_min", "line_mean", "strip_min", "strip_mean", "gap", "blocked"):
        np.testing.assert_allclose(getattr(straight, name), getattr(turned, name), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(straight.strip_mean, back.strip_mean, rtol=1e-4, atol=1e-5)
    nothing = measure_bridges(positions, np.empty((0, 2), int), significance=snr, labels=labels, beam_fwhm=BEAM)
    assert len(nothing) == 0


def test_a_part_of_a_graph_keeps_what_belongs_together():
    graph = toy_field(3)
    keep = np.arange(len(graph)) % 3 > 0
    part = graph.select(keep)
    assert len(part) == keep.sum() and set(part.instance) <= set(graph.instance)
    np.testing.assert_array_equal(part.instance, graph.instance[keep])
    old = np.flatnonzero(keep)[part.pairs]
    assert {tuple(pair) for pair in old.tolist()} == {tuple(p) for p in graph.pairs.tolist() if keep[p].all()}
    assert len(graph.select_pairs(np.zeros(len(graph.pairs), bool)).pairs) == 0
    assert graph.n_grouped == sum(np.count_nonzero(graph.instance == one) > 1 for one in set(graph.instance))


def test_islands_of_no_object_are_not_joined_and_unknown_ones_not_known():
    graph = toy_field(1)
    instance = np.where(np.arange(len(graph)) < 3, 0, graph.instance)
    instance[3] = IGNORED
    changed = dataclasses.replace(graph, instance=instance)
    among_none = (changed.pairs < 3).all(axis=1)
    assert among_none.any() and not changed.joined_pairs[among_none].any() and changed.known_pairs[among_none].all()
    np.testing.assert_array_equal(changed.known_pairs, (changed.pairs != 3).all(axis=1))
    with pytest.raises(ValueError, match="do not fit"):
        dataclasses.replace(graph, bridges=Bridges.unknown(1))
    for wrong in ({"instance": instance[1:]}, {"crops": graph.crops[1:]}, {"evidence": graph.evidence[:, 1:]}):
        with pytest.raises(ValueError, match="do not fit"):
            dataclasses.replace(graph, **wrong)


def test_of_islands_of_no_labelled_object_it_is_known_only_that_they_are_not_of_one():
    graph = toy_field(1)
    instance = np.where(np.arange(len(graph)) < 4, UNLABELLED, graph.instance)
    changed = dataclasses.replace(graph, instance=instance)
    n_unlabelled = (changed.pairs < 4).sum(axis=1)
    np.testing.assert_array_equal(changed.known_pairs, n_unlabelled < 2)
    assert not changed.joined_pairs[n_unlabelled > 0].any() and (n_unlabelled == 1).any()


def assert_same(one, other):
    for table in ("islands", "bridges"):
        for name, values in vars(getattr(one, table)).items():
            np.testing.assert_array_equal(values.astype(np.float32), getattr(getattr(other, table), name))
    np.testing.assert_array_equal(one.pairs, other.pairs)
    for name in ("instance", "object_class", "crops", "evidence"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.field == other.field


def test_files_return_what_was_written(tmp_path):
    graphs = [toy_field(0), IslandGraph.empty("blank"), toy_field(1)]
    write_graphs(tmp_path / f"b{GRAPH_SUFFIX}", graphs)
    write_graphs(tmp_path / f"a{GRAPH_SUFFIX}", [])
    store = GraphStore(tmp_path)
    assert len(store) == 3 and [graph.field for graph in store[1:]] == ["blank", "toy-1"]
    for one, other in zip(graphs, store, strict=True):
        assert_same(one, other)
    write_graphs(tmp_path / f"c{GRAPH_SUFFIX}", list(store))
    assert (tmp_path / f"c{GRAPH_SUFFIX}").read_bytes() == (tmp_path / f"b{GRAPH_SUFFIX}").read_bytes()


def test_damaged_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no island graphs"):
        graph_paths(tmp_path)
    path = tmp_path / f"a{GRAPH_SUFFIX}"
    write_graphs(path, [toy_field(0)])
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="not what was written"):
        read_graphs(path)
    path.write_bytes(content[:100])
    with pytest.raises(InputError, match="is not a readable file"):
        read_graphs(path)


def test_graphs_are_read_without_the_libraries_of_extraction():
    code = "import sys, neanias_ml.datasets.graph_store; sys.exit('astropy' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def sky():
    return simulate_sky(random_config(np.random.default_rng(11), size=256), seed=11)


def test_a_simulated_field_knows_which_islands_are_of_one_object(sky):
    field = prepare_field(sky, name="f", finder=FinderConfig(), class_labels=CLASS_LABELS)
    graph = field.graph
    np.testing.assert_array_equal(graph.instance, field.island_instance)
    assert graph.field == "f" and len(graph.pairs) >= len(graph) - 1
    owned = graph.instance > 0
    np.testing.assert_array_equal(graph.object_class[owned], field.labels[graph.instance[owned] - 1])
    assert np.isfinite(graph.evidence[:, EVIDENCE.index("far_snr")]).all()
    beams = field.island_boxes / 6.0
    assert (graph.islands.x >= beams[:, 0] - 0.5).all() and (graph.islands.x <= beams[:, 2] + 0.5).all()
    assert (graph.islands.peak_snr >= 5.0).all()
    assert (graph.bridges.line_min <= graph.bridges.line_mean).all() and (graph.bridges.blocked <= 1).all()


def test_a_graph_of_a_map_without_truth_is_unknown(sky):
    extraction = extract_islands(sky.radio_map, config=FinderConfig())
    snr = np.zeros(sky.radio_map.shape, np.float32)
    graph = island_graph(extraction, significance=snr)
    assert (graph.object_class == 0).all() and (graph.crops[:, [0, 2]] == 0).all()
    assert (graph.instance == IGNORED).all() and not graph.known_pairs.any()
    assert (graph.bridges.line_mean == 0).all()
    assert np.bincount(graph.pairs.ravel()).min() >= min(NEIGHBOURS, len(graph) - 1)


def test_preparation_leaves_graphs_beside_the_tiles(tmp_path):
    config = PreparationConfig(
        train_fields=2, validation_fields=1, test_fields=1, field_sizes=(128,), tiles_per_field=1, tile_size=64,
        fields_per_shard=1,
    )  # fmt: skip
    prepare_data(config, tmp_path, class_labels=CLASS_LABELS)
    manifest = read_manifest(tmp_path)
    listed = manifest["splits"]["train"]["graphs"]
    assert list(listed) == [f"simulated-0000{GRAPH_SUFFIX}", f"simulated-0001{GRAPH_SUFFIX}"]
    store = GraphStore(tmp_path / "train")
    assert [graph.field[:11] for graph in store] == ["train-00000", "train-00001"]
    assert sum(graph.n_grouped for graph in store) == manifest["splits"]["train"]["grouped"]
    assert {tile.field[:11] for tile in read_tiles(tmp_path / "train")} == {"train-00000", "train-00001"}
    assert split_summaries(manifest)["train"]["graphs"] == 2
    (tmp_path / "train" / f"simulated-0001{GRAPH_SUFFIX}").unlink()
    assert missing_files(tmp_path) == [f"train/simulated-0001{GRAPH_SUFFIX}"]
    assert not is_prepared(config, tmp_path, class_labels=CLASS_LABELS)
    prepare_data(config, tmp_path, class_labels=CLASS_LABELS)
    assert read_manifest(tmp_path)["digest"] == manifest["digest"] and missing_files(tmp_path) == []
