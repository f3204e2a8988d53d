"""Which islands form one object, and what it is: the result of any association, and association by masks.

A mask of the detector that covers several islands joins them. Detections of class ``extended-multisland`` are taken
from the most to the least probable; each joins the islands that its mask covers and that no better detection has taken.
Islands left alone are objects of their own. `neanias_ml.inference.graph_association` does better where there is a
network for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.inference.class_fusion import MULTI_COLUMN, SPURIOUS_COLUMN
from neanias_ml.inference.objects import Detections
from neanias_ml.models.classes import CLASS_NAMES

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class IslandGroup:
    """Islands of one object, ascending ids, and the detection (row) that covers them, or None for one island."""

    island_ids: tuple[int, ...]
    detection: int | None


@dataclass(frozen=True)
class Association:
    """The objects of a map as sets of islands.

    Attributes
    ----------
    groups
        Every island in exactly one, sorted by the smallest island id.
    probabilities
        (K, 5) class probabilities of the groups in the order of ``CLASS_NAMES``; rows sum to one.
    joined_probability
        (K,) how probable it is that the islands belong together; NaN for single islands.
    island_spurious
        (number of islands,) P(spurious) of each island.
    """

    groups: list[IslandGroup]
    probabilities: FloatArray
    joined_probability: FloatArray
    island_spurious: FloatArray


def associate_by_masks(
    detections: Detections,
    island_ids: NDArray[np.int64],
    *,
    readout: FloatArray,
    spurious: FloatArray,
    threshold: float,
) -> Association:
    """Objects as the detector alone sees them.

    Parameters
    ----------
    detections
        The network's instances over the whole map.
    island_ids
        (N,) ids of all islands.
    readout, spurious
        (N, 6) class probabilities, background first, and (N,) output of the artefact head at each island's own box.
    threshold
        Least probability of ``extended-multisland`` for a detection to join islands.
    """
    groups = associate_islands(detections, island_ids, threshold=threshold)
    joined = [np.nan if g.detection is None else detections.probabilities[g.detection, MULTI_COLUMN] for g in groups]
    return Association(
        groups=groups,
        probabilities=object_probabilities(groups, readout, detections),
        joined_probability=np.array(joined, dtype=np.float64),
        island_spurious=spurious,
    )


def associate_islands(detections: Detections, island_ids: NDArray[np.int64], *, threshold: float) -> list[IslandGroup]:
    """Partition the islands of a map into objects by the masks that cover several.

    Parameters
    ----------
    detections
        The network's instances over the whole map.
    island_ids
        (N,) ids of all islands.
    threshold
        Least probability of ``extended-multisland`` for a detection to join islands.

    Returns
    -------
    list of IslandGroup
        Every island in exactly one group, sorted by the smallest island id.
    """
    probability = detections.probabilities[:, MULTI_COLUMN]
    boxes = detections.boxes
    order = np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -probability))
    taken: set[int] = set()
    groups: list[IslandGroup] = []
    for row in order:
        if probability[row] < threshold:
            break
        free = tuple(sorted(set(detections.island_ids[row]) - taken))
        if len(free) >= 2:
            groups.append(IslandGroup(free, int(row)))
            taken.update(free)
    groups.extend(IslandGroup((int(single),), None) for single in island_ids if int(single) not in taken)
    return sorted(groups, key=lambda group: group.island_ids[0])


def object_probabilities(groups: list[IslandGroup], readout: FloatArray, detections: Detections) -> FloatArray:
    """Class probabilities (N, 5) of objects, summing to one.

    Several islands were joined by a detection, so they are ``extended-multisland`` or an artefact; one island cannot
    be ``extended-multisland``. What is known by the number of islands is taken out of the network's probabilities,
    read at the island's own box or of the joining detection, before they are normalised.
    """
    probabilities = np.zeros((len(groups), len(CLASS_NAMES)))
    for row, group in enumerate(groups):
        if group.detection is None:
            probabilities[row] = readout[group.island_ids[0] - 1, 1:]
            probabilities[row, MULTI_COLUMN] = 0.0
        else:
            joint = detections.probabilities[group.detection]
            probabilities[row, [SPURIOUS_COLUMN, MULTI_COLUMN]] = joint[[SPURIOUS_COLUMN, MULTI_COLUMN]]
    probabilities += 1e-12
    return probabilities / probabilities.sum(axis=1, keepdims=True)
