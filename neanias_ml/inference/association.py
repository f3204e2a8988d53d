"""Which islands form one object: a mask that covers several islands joins them.

Detections of class ``extended-multisland`` are taken from the most to the least probable; each joins the islands that
its mask covers and that no better detection has taken. Islands left alone are objects of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.inference.objects import Detections
from neanias_ml.models.classes import CLASS_LABELS

MULTI_COLUMN = CLASS_LABELS["extended-multisland"] - 1


@dataclass(frozen=True)
class IslandGroup:
    """Islands of one object, ascending ids, and the detection (row) that joined them, or None for one island."""

    island_ids: tuple[int, ...]
    detection: int | None


def associate_islands(detections: Detections, island_ids: NDArray[np.int64], *, threshold: float) -> list[IslandGroup]:
    """Partition the islands of a map into objects.

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
