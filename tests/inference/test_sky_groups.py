"""Grouping on the sky: patches, poles, margins. A rule stands for the network: what is near is joined."""

import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from neanias_ml.errors import ModelError
from neanias_ml.inference import sky_groups
from neanias_ml.inference.sky_groups import Nodes, group_on_plane, group_on_sky, sky_axes, tangent_plane
from neanias_ml.models.association.bundle import GraphBundle, GraphSettings
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.grouping import Grouping
from neanias_ml.models.association.network import IslandGraphNetwork

BEAM = 10.0
REACH = 4.0
"""Beam widths within which the rule joins."""


def bundle_of(features):
    torch.manual_seed(2)
    architecture = IslandGraphConfig(features=features)
    return GraphBundle(IslandGraphNetwork(architecture).eval(), GraphSettings.of(architecture), "0" * 64)


def linked(positions):
    """Connected components of points nearer than `REACH`, numbered by their first points."""
    pairs = cKDTree(positions).query_pairs(REACH, output_type="ndarray")
    ones = np.ones(len(pairs))
    labels = connected_components(coo_matrix((ones, pairs.T), shape=[len(positions)] * 2), directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


@pytest.fixture
def near(monkeypatch):
    """The rule in place of the network; keeps the graphs that it was asked."""
    asked = []

    def group(bundle, graph):
        asked.append(graph)
        object_of = linked(graph.islands.positions)
        several = np.bincount(object_of) > 1
        unknown = np.full(len(several), np.nan)
        return Grouping(object_of, np.full(len(graph), np.nan), unknown[:, None], np.where(several, 0.9, np.nan))

    monkeypatch.setattr(sky_groups, "group_islands", group)
    return asked


def nodes_of(count):
    ones = np.ones(count)
    return Nodes(peak_snr=20 * ones, total_snr=25 * ones, major=2 * ones, minor=ones)


def scattered(seed, *, ra, dec, width, objects=60):
    """Pairs and triples of points two beams apart, spread over some degrees, and the object of each."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, objects)
    number = np.repeat(np.arange(objects), sizes)
    rank = np.arange(len(number)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    outward = sky_axes(np.array([ra]), np.array([dec]))[2]
    plane = tangent_plane(outward[0])
    side = int(np.ceil(np.sqrt(objects)))
    cells = np.stack(np.divmod(np.arange(objects), side), axis=1) / side - 0.5
    place = np.radians(width * cells)[number] + np.radians(rank[:, None] * [0.0, 2.0 * BEAM / 3600])
    vectors = outward + place @ plane
    x, y, z = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(z)), number


def same_partition(found, truth):
    return len(np.unique(np.stack([found, truth]), axis=1).T) == len(np.unique(found)) == len(np.unique(truth))


def on_sky(bundle, ra, dec, *, pa=None):
    pa = np.zeros(len(ra)) if pa is None else pa
    calls = []
    found = group_on_sky(
        bundle, nodes_of(len(ra)), ra=ra, dec=dec, pa=pa, beam_arcsec=BEAM, progress=lambda *call: calls.append(call)
    )
    assert calls[-1][1] == calls[-1][2]
    return found


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (180.0, 60.0), (0.01, -89.99), (37.0, 90.0)])
def test_objects_are_found_anywhere_on_the_sky(near, ra, dec):
    places = scattered(3, ra=ra, dec=dec, width=3.0)
    found = on_sky(bundle_of("catalogue"), *places[:2])
    assert same_partition(found.object_of, places[2])
    several = np.bincount(found.object_of) > 1
    np.testing.assert_allclose(found.joined_probability, np.where(several, 0.9, np.nan))
    assert len(near) == 1


@pytest.mark.parametrize("limit", ["nodes", "width"])
def test_patches_do_not_show(near, monkeypatch, limit):
    ra, dec, truth = scattered(4, ra=10.0, dec=40.0, width=8.0, objects=150)
    if limit == "nodes":
        monkeypatch.setattr(sky_groups, "MOST_NODES", 20)
    else:
        monkeypatch.setattr(sky_groups, "WIDEST_RADIANS", np.radians(1.0))
    monkeypatch.setattr(sky_groups, "MARGIN", 60.0)
    found = on_sky(bundle_of("catalogue"), ra, dec)
    assert len(near) > 8
    assert same_partition(found.object_of, truth)
    _, first = np.unique(found.object_of, return_index=True)
    assert (np.diff(first) > 0).all()  # numbered by first nodes


def test_lengths_and_angles_on_the_plane_are_those_on_the_sky(near):
    """An ellipse that points from one node to the other does so on the plane, in beams, wherever the patch lies."""
    ra, dec = np.array([200.0, 200.05]), np.array([85.0, 85.003])
    east, north, outward = sky_axes(ra, dec)
    way = outward[1] - outward[0]
    pa = np.degrees(np.arctan2((way * east).sum(axis=1), (way * north).sum(axis=1)))
    on_sky(bundle_of("catalogue"), ra, dec, pa=pa)
    islands = near[0].islands
    difference = islands.positions[1] - islands.positions[0]
    direction = np.arctan2(difference[1], difference[0])
    np.testing.assert_allclose(np.sin(islands.angle - direction), 0.0, atol=1e-4)
    separation = 2 * np.arcsin(np.linalg.norm(way) / 2) * 206264.806
    assert np.hypot(*difference) == pytest.approx(separation / BEAM, rel=1e-5)


def test_on_a_plane(near):
    x, y = np.array([0.0, 2.0, 50.0, 51.0, 100.0]), np.zeros(5)
    found = group_on_plane(
        bundle_of("catalogue"), nodes_of(5), x=x, y=y, angle=np.zeros(5), progress=lambda *call: None
    )
    np.testing.assert_array_equal(found.object_of, [0, 0, 1, 1, 2])


def test_no_nodes():
    nothing = np.empty(0)
    found = on_sky(bundle_of("catalogue"), nothing, nothing)
    assert len(found.object_of) == len(found.joined_probability) == 0


def test_a_network_answers_for_every_node():
    ra, dec, _ = scattered(5, ra=10.0, dec=40.0, width=1.0)
    found = on_sky(bundle_of("catalogue"), ra, dec)
    assert found.object_of.shape == ra.shape
    several = np.bincount(found.object_of) > 1
    np.testing.assert_array_equal(np.isfinite(found.joined_probability), several)


def test_a_network_that_needs_a_map_is_refused():
    with pytest.raises(ModelError, match="features: catalogue"):
        on_sky(bundle_of("map"), np.zeros(1), np.zeros(1))
