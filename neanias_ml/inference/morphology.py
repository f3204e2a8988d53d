"""Finer classes of extended objects: cutouts of them, read by the morphology network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from neanias_ml.datasets.cutouts import CUT_CLASSES, cut_object
from neanias_ml.extraction import Extraction
from neanias_ml.inference.objects import ObjectTable

if TYPE_CHECKING:
    from neanias_ml.models.morphology.bundle import MorphologyBundle

Progress = Callable[[str, int, int], None]
CUTOUTS_AT_A_TIME = 256
"""Cutouts held in memory together, whatever the number of objects."""


def with_morphology(
    objects: ObjectTable, extraction: Extraction, *, bundle: MorphologyBundle, progress: Progress
) -> ObjectTable:
    """The objects with the morphology of those that are extended.

    Parameters
    ----------
    objects
        Objects of the map.
    extraction
        Their islands and the noise.
    bundle
        The morphology network; where none of its classes is probable enough it says so, and the object is called
        ``unsure``. The probability is that of the most probable class either way.
    progress
        Called with ``morphology``, the objects done and the objects in all.
    """
    rows = np.flatnonzero(np.isin(objects.class_name, CUT_CLASSES))
    names = objects.morphology.astype("U16")
    probability = np.array(objects.morphology_probability, dtype=np.float64)
    progress("morphology", 0, len(rows))
    for start in range(0, len(rows), CUTOUTS_AT_A_TIME):
        part = rows[start : start + CUTOUTS_AT_A_TIME]
        answer = bundle.classify([cut_object(extraction, _members(objects, row)) for row in part.tolist()])
        names[part] = answer.names
        probability[part] = answer.probabilities.max(axis=1)
        progress("morphology", start + len(part), len(rows))
    return objects.replace(morphology=names, morphology_probability=probability)


def _members(objects: ObjectTable, row: int) -> list[int]:
    """Rows of an object's islands in the island table."""
    return [int(island) - 1 for island in str(objects.island_ids[row]).split(",")]
