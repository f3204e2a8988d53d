"""What the network is told of islands and pairs: numbers without unit, the same for any turn or mirror of the map.

Two sets of features: ``map`` uses all that was measured on the map, the evidence on artefacts among it; ``catalogue``
only what any catalogue of islands or components has (positions, fluxes, axes), so that such a network can group the
output of other finders.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neanias_ml.datasets.graphs import EVIDENCE, MAX_SEPARATION, GraphIslands, IslandGraph

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Features = Literal["map", "catalogue"]

MAX_RANK = 12.0
MIDPOINT_REACH = 3.0
"""The island nearest to the middle of a pair is looked for within this many separations."""
CORE_REACH = 0.35
"""An island within this part of the separation of the middle may be the core; its flux is told."""
NO_CORE_FLUX = -3.0
"""Logarithm of the flux over the pair's brighter island that stands for no core."""
EVIDENCE_CLIP = 6.0
"""Evidence enters as its arcsinh, limited to this."""
CROWD = 5
"""Neighbours that say how crowded the surroundings are."""

CATALOGUE_NODES = (
    "log_peak", "log_total", "log_concentration", "log_major", "log_minor", "log_elongation", "log_nearest",
    "log_crowd",
)  # fmt: skip
EVIDENCE_NODES = (*EVIDENCE, "has_culprit", "has_mirror")
MAP_NODES = (*CATALOGUE_NODES, "log_area", "peak_offset", *EVIDENCE_NODES)
CATALOGUE_EDGES = (
    "log_separation", "log_relative_separation", "flux_difference", "flux_min", "flux_max", "size_min", "size_max",
    "alignment_min", "alignment_max", "mutual_alignment", "elongation_min", "elongation_max", "rank_min", "rank_max",
    "midpoint_distance", "midpoint_flux", "between", "log_crowding",
)  # fmt: skip
MAP_EDGES = (
    *CATALOGUE_EDGES, "line_min", "line_mean", "strip_min", "strip_mean", "valley", "log_gap", "gap_mean",
    "gap_significance", "blocked", "lean_min", "lean_max",
)  # fmt: skip


class GraphFeatures(NamedTuple):
    """Features of a graph, in the order of `node_features` and `edge_features`."""

    nodes: NDArray[np.float32]
    """(I, F)"""
    edges: NDArray[np.float32]
    """(E, G), the same whichever island of a pair comes first"""


def node_features(features: Features) -> tuple[str, ...]:
    """Names of what is told of an island."""
    return MAP_NODES if features == "map" else CATALOGUE_NODES


def edge_features(features: Features) -> tuple[str, ...]:
    """Names of what is told of a pair."""
    return MAP_EDGES if features == "map" else CATALOGUE_EDGES


def graph_features(graph: IslandGraph, *, features: Features = "map") -> GraphFeatures:
    """Features of the islands and pairs of a graph, all finite.

    Parameters
    ----------
    features
        ``catalogue`` leaves columns that only a map gives unread; they may be NaN.
    """
    nodes, edges = node_columns(graph.islands), edge_columns(graph)
    if features == "map":
        nodes |= _map_node_columns(graph.islands) | _evidence_columns(graph.evidence)
        edges |= _map_edge_columns(graph)
    return GraphFeatures(
        _matrix(nodes, node_features(features), len(graph)), _matrix(edges, edge_features(features), len(graph.pairs))
    )


def node_columns(islands: GraphIslands) -> dict[str, FloatArray]:
    """The (I,) features of islands that a catalogue has."""
    peak, total = _log(islands.peak_snr), _log(islands.total_snr)
    major, minor = _log(islands.major), _log(islands.minor)
    near = _neighbour_distances(islands.positions)
    return {
        "log_peak": peak,
        "log_total": total,
        "log_concentration": total - peak,
        "log_major": major,
        "log_minor": minor,
        "log_elongation": major - minor,
        "log_nearest": _log(near[:, 0]),
        "log_crowd": _log(near[:, 1]),
    }


def edge_columns(graph: IslandGraph) -> dict[str, FloatArray]:
    """The (E,) features of pairs that a catalogue has."""
    islands, (one, other) = graph.islands, graph.pairs.T
    positions = islands.positions
    way = positions[other] - positions[one]
    separation = np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-3)
    flux, size = _log(islands.total_snr), _log(islands.major)
    elongation = _log(islands.major) - _log(islands.minor)
    direction = np.arctan2(way[:, 1], way[:, 0])
    along = np.stack([np.cos(2 * (islands.angle[end] - direction)) * elongation[end] for end in (one, other)])
    ranks = _ranks(positions, graph.pairs, separation)
    core_distance, core = _nearest_to_midpoint(positions, graph.pairs, separation)
    brightness = np.append(flux, -np.inf)[core] - np.maximum(flux[one], flux[other])
    nearest = _neighbour_distances(positions)[:, 0]
    return {
        "log_separation": _log(separation),
        "log_relative_separation": _log(separation / np.maximum(islands.major[one] + islands.major[other], 1e-3)),
        "flux_difference": np.abs(flux[one] - flux[other]),
        **_sorted("flux", flux[one], flux[other]),
        **_sorted("size", size[one], size[other]),
        **_sorted("alignment", along[0], along[1]),
        "mutual_alignment": np.cos(2 * (islands.angle[one] - islands.angle[other]))
        * np.minimum(elongation[one], elongation[other]),
        **_sorted("elongation", elongation[one], elongation[other]),
        **_sorted("rank", np.log1p(ranks[0]), np.log1p(ranks[1])),
        "midpoint_distance": core_distance,
        "midpoint_flux": np.where(core_distance < CORE_REACH, np.maximum(brightness, NO_CORE_FLUX), NO_CORE_FLUX),
        "between": np.log1p(_count_between(positions, graph.pairs, separation)),
        "log_crowding": _log(separation / np.sqrt(np.maximum(nearest[one] * nearest[other], 1e-6))),
    }


def _map_node_columns(islands: GraphIslands) -> dict[str, FloatArray]:
    offset = np.hypot(islands.peak_x - islands.x, islands.peak_y - islands.y)
    return {
        "log_area": _log(islands.n_beams),
        "peak_offset": offset / np.maximum(islands.major, 1e-3),
    }


def _evidence_columns(evidence: NDArray[np.float32]) -> dict[str, FloatArray]:
    """Evidence on artefacts brought to a common range; 0 where there is none, and whether there is some."""
    wide = evidence.astype(np.float64)
    squeezed = np.clip(np.arcsinh(np.nan_to_num(wide, nan=0.0)), -EVIDENCE_CLIP, EVIDENCE_CLIP)
    known = {
        name: np.isfinite(wide[:, EVIDENCE.index(column)]).astype(np.float64)
        for name, column in (("has_culprit", "culprit_distance"), ("has_mirror", "mirror_ratio"))
    }
    return dict(zip(EVIDENCE, squeezed.T, strict=True)) | known


def _map_edge_columns(graph: IslandGraph) -> dict[str, FloatArray]:
    islands, bridges, (one, other) = graph.islands, graph.bridges, graph.pairs.T
    lean = [_lean(islands, end, far) for end, far in ((one, other), (other, one))]
    valley = bridges.strip_min / np.maximum(np.minimum(islands.peak_snr[one], islands.peak_snr[other]), 1e-3)
    return {
        **{name: np.arcsinh(getattr(bridges, name)) for name in ("line_min", "line_mean", "strip_min", "strip_mean")},
        "valley": np.clip(valley, -1.0, 1.0),
        "log_gap": np.log1p(bridges.gap),
        "gap_mean": np.arcsinh(bridges.gap_mean),
        # independent beams along the strip bring faint bridges out of the noise
        "gap_significance": np.arcsinh(bridges.gap_mean * np.sqrt(np.maximum(bridges.gap, 1.0))),
        "blocked": bridges.blocked,
        **_sorted("lean", lean[0], lean[1]),
    }


def _lean(islands: GraphIslands, end: IntArray, far: IntArray) -> FloatArray:
    """How far the peak of one island lies from its centroid towards the other, in its own size."""
    way = islands.positions[far] - islands.positions[end]
    offset = np.stack([islands.peak_x[end] - islands.x[end], islands.peak_y[end] - islands.y[end]], axis=1)
    length = np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-3) * np.maximum(islands.major[end], 1e-3)
    lean: FloatArray = (offset * way).sum(axis=1) / length
    return lean


def _neighbour_distances(positions: FloatArray) -> FloatArray:
    """(I, 2) distance to the nearest island and to the `CROWD`-th, at most `MAX_SEPARATION`."""
    if len(positions) == 0:
        return np.empty((0, 2))
    distance, _ = cKDTree(positions).query(positions, k=[2, CROWD + 1])
    return np.clip(distance, 1e-3, MAX_SEPARATION)


def _ranks(positions: FloatArray, pairs: IntArray, separation: FloatArray) -> FloatArray:
    """(2, E) how many islands are nearer to each end than the other end is."""
    if len(pairs) == 0:
        return np.empty((2, 0))
    tree, reach = cKDTree(positions), separation * (1 - 1e-9)
    counts = [tree.query_ball_point(positions[ends], reach, return_length=True) - 1 for ends in pairs.T]
    return np.clip(np.stack(counts), 0.0, MAX_RANK)


def _nearest_to_midpoint(positions: FloatArray, pairs: IntArray, separation: FloatArray) -> tuple[FloatArray, IntArray]:
    """Distance (E,) of the third island nearest to the middle, in separations; its row holds below `MIDPOINT_REACH`."""
    if len(pairs) == 0:
        return np.empty(0), np.empty(0, dtype=np.int64)
    middle = (positions[pairs[:, 0]] + positions[pairs[:, 1]]) / 2
    distance, row = cKDTree(positions).query(middle, k=3)  # the two ends are among the three, or farther than the third
    own = (row == pairs[:, :1]) | (row == pairs[:, 1:])
    distance = np.where(own, np.inf, distance)
    best = distance.argmin(axis=1)
    rows = np.arange(len(pairs))
    return np.minimum(distance[rows, best] / separation, MIDPOINT_REACH), row[rows, best]


def _count_between(positions: FloatArray, pairs: IntArray, separation: FloatArray) -> FloatArray:
    """(E,) islands in the circle that has the segment of a pair as diameter."""
    if len(pairs) == 0:
        return np.empty(0)
    middle = (positions[pairs[:, 0]] + positions[pairs[:, 1]]) / 2
    inside = cKDTree(positions).query_ball_point(middle, separation / 2 * (1 - 1e-6), return_length=True)
    return np.asarray(inside, dtype=np.float64)


def _sorted(name: str, one: FloatArray, other: FloatArray) -> dict[str, FloatArray]:
    """The smaller and the larger of two values."""
    return {f"{name}_min": np.minimum(one, other), f"{name}_max": np.maximum(one, other)}


def _log(values: FloatArray) -> FloatArray:
    return np.log10(np.maximum(values, 1e-3))


def _matrix(columns: dict[str, FloatArray], names: tuple[str, ...], count: int) -> NDArray[np.float32]:
    if count == 0:
        return np.empty((0, len(names)), dtype=np.float32)
    return np.stack([columns[name] for name in names], axis=1).astype(np.float32)
