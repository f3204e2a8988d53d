"""Association by the network that sees the graph of all islands of a map at once, so that no window's edge matters."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.channels import significance
from neanias_ml.datasets.graphs import island_graph
from neanias_ml.errors import UsageError
from neanias_ml.extraction import Extraction, IslandTable
from neanias_ml.inference.association import Association, IslandGroup
from neanias_ml.inference.class_fusion import fused_probabilities, possible_classes, with_abstention
from neanias_ml.inference.objects import Detections
from neanias_ml.maps import Window
from neanias_ml.models.association.grouping import Grouping, group_islands

if TYPE_CHECKING:
    from neanias_ml.models.association.bundle import GraphBundle

FloatArray = NDArray[np.float64]
FloatMap = NDArray[np.float32]
IntArray = NDArray[np.int64]

GRAPH_WEIGHT = 0.5
"""Weight of the graph network's class beside that of the detector.

From a half upwards F1 over all classes is level on simulated fields; extended sources lose where the detector has no
say.
"""
LEAST_OVERLAP = 0.5
"""A detection covers a group when the islands they share are at least this part of all islands of either."""
ROWS_AT_A_TIME = 1024


def with_threshold(association: GraphBundle, threshold: float) -> GraphBundle:
    """The bundle with another probability above which islands are linked.

    Raises
    ------
    UsageError
        ``AssociationThreshold`` if it is not between 0 and 1.
    """
    if not 0.0 < threshold < 1.0:
        raise UsageError(
            "AssociationThreshold", f"the association threshold must lie between 0 and 1, not be {threshold}"
        )
    return dataclasses.replace(association, settings=dataclasses.replace(association.settings, threshold=threshold))


def grouping_of(bundle: GraphBundle, extraction: Extraction) -> Grouping:
    """What the graph network says of the islands of a map."""
    graph = island_graph(extraction, significance=map_significance(extraction))
    return group_islands(bundle, graph)


def map_significance(extraction: Extraction) -> FloatMap:
    """Signal to noise (ny, nx) of a whole map, NaN where blank; background and noise are made strip by strip."""
    ny, nx = extraction.radio_map.shape
    snr = np.empty((ny, nx), dtype=np.float32)
    for start in range(0, ny, ROWS_AT_A_TIME):
        strip = Window(start, min(start + ROWS_AT_A_TIME, ny), 0, nx)
        background, noise = extraction.noise.evaluate(strip)
        snr[strip.slices] = significance(extraction.radio_map.read(strip), background, noise)
    return snr


def associate_by_graph(
    grouping: Grouping,
    detections: Detections,
    islands: IslandTable,
    *,
    readout: FloatArray,
    spurious: FloatArray,
    weight: float = GRAPH_WEIGHT,
) -> Association:
    """Objects as the graph network groups them, their class by both networks.

    Parameters
    ----------
    grouping
        What the graph network says of the islands.
    detections
        The detector's instances over the whole map.
    islands
        (I,) all islands of the map.
    readout, spurious
        (I, 6) class probabilities, background first, and (I,) output of the artefact head at each island's own box;
        the latter stands where the graph network has no probability of an artefact.
    weight
        Of the graph network's class, 0 to 1; the detector has the rest.
    """
    members = members_of(grouping.object_of)
    covering = covering_detections(detections, grouping.object_of, len(members))
    groups = [
        IslandGroup(tuple((rows + 1).tolist()), None if best < 0 else int(best))
        for rows, best in zip(members, covering.tolist(), strict=True)
    ]
    seen = _seen_by_detector(members, covering, detections, readout[:, 1:], islands.total_flux)
    return Association(
        groups=groups,
        probabilities=graph_class_probabilities(grouping.class_probabilities, seen, members, weight=weight),
        joined_probability=grouping.joined_probability,
        island_spurious=np.where(np.isfinite(grouping.p_spurious), grouping.p_spurious, spurious),
    )


def graph_class_probabilities(
    graph: FloatArray, detector: FloatArray, members: list[IntArray], *, weight: float
) -> FloatArray:
    """Class probabilities (K, 5) of groups: both opinions pooled, without what the number of islands excludes.

    Several islands are ``extended-multisland``, spurious or flagged, unless the graph network says otherwise.
    """
    n_islands = np.array([len(rows) for rows in members], dtype=np.int64)
    several = n_islands >= 2
    opinion = possible_classes(detector, n_islands)
    opinion[several] = with_abstention(opinion[several], graph[several])
    pooled = fused_probabilities(graph, opinion, weight=weight)
    pooled[~several] = possible_classes(pooled[~several], n_islands[~several])
    return pooled


def members_of(object_of: IntArray) -> list[IntArray]:
    """Rows of each object's islands, ascending, for objects numbered 0, 1, ... without a gap."""
    order = np.argsort(object_of, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(object_of[order])) + 1) if len(object_of) else []


def covering_detections(detections: Detections, object_of: IntArray, n_objects: int) -> IntArray:
    """Row (K,) of the detection that best covers the islands of each object of several, -1 where none does.

    Best is the largest share of common islands in all islands of either (Jaccard 1912), at least `LEAST_OVERLAP`; of
    equal ones the more probable detection, which comes first.
    """
    sizes = np.bincount(object_of, minlength=n_objects)
    best, best_overlap = np.full(n_objects, -1, dtype=np.int64), np.zeros(n_objects)
    for row, ids in enumerate(detections.island_ids):
        common: defaultdict[int, int] = defaultdict(int)
        for island in ids:
            common[int(object_of[island - 1])] += 1
        for number, count in common.items():
            overlap = count / (sizes[number] + len(ids) - count)
            if sizes[number] >= 2 and overlap >= LEAST_OVERLAP and overlap > best_overlap[number]:
                best[number], best_overlap[number] = row, overlap
    return best


def _seen_by_detector(
    members: list[IntArray], covering: IntArray, detections: Detections, readout: FloatArray, flux: FloatArray
) -> FloatArray:
    """Class probabilities (K, 5) of groups at the detection that covers them, else at their islands by flux."""
    seen = np.empty((len(members), readout.shape[1]))
    for number, rows in enumerate(members):
        if covering[number] >= 0:
            seen[number] = detections.probabilities[covering[number]]
        elif len(rows) == 1:
            seen[number] = readout[rows[0]]
        else:
            seen[number] = np.average(readout[rows], axis=0, weights=np.maximum(flux[rows], 1e-30))
    return seen
