"""What inference hands over: detections of the network and the physical objects made of islands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns

FloatColumn = NDArray[np.float64]
IntColumn = NDArray[np.int64]


@dataclass(frozen=True)
class Detections:
    """Instances found by the network, in pixels of the input map.

    Attributes
    ----------
    boxes
        (N, 4) float64, xyxy pixels.
    scores
        (N,) score of the detection's class.
    probabilities
        (N, 5) class probabilities in the order of ``CLASS_NAMES``.
    spurious
        (N,) output of the artefact head.
    island_ids
        N tuples of the ids of the islands that the mask covers.
    """

    boxes: NDArray[np.float64]
    scores: FloatColumn
    probabilities: NDArray[np.float64]
    spurious: FloatColumn
    island_ids: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class ObjectTable(Columns):
    """One row per physical object (or artefact): a set of islands with its class.

    Measured on the union of the islands; pixels 0-based, boxes half-open, fluxes Jy/beam (peak) and Jy (total).
    """

    object_id: IntColumn
    """smallest island id of the object"""
    class_name: NDArray[np.str_]
    """one of ``CLASS_NAMES``"""
    p_spurious: FloatColumn
    p_compact: FloatColumn
    p_extended: FloatColumn
    p_multisland: FloatColumn
    p_flagged: FloatColumn
    morphology: NDArray[np.str_]
    """finer class of an extended object, ``unsure`` where none is probable enough; empty where it was not asked for"""
    morphology_probability: FloatColumn
    """of the most probable finer class; NaN where it was not asked for"""
    n_islands: IntColumn
    island_ids: NDArray[np.str_]
    """comma-separated, ascending"""
    ra: FloatColumn
    dec: FloatColumn
    x: FloatColumn
    """flux-weighted centroid"""
    y: FloatColumn
    x0: IntColumn
    y0: IntColumn
    x1: IntColumn
    y1: IntColumn
    peak_flux: FloatColumn
    total_flux: FloatColumn
    total_flux_err: FloatColumn
    largest_angular_size: FloatColumn
    """largest distance between two pixels of the object, arcsec"""
    position_angle: FloatColumn
    """direction of that distance, degrees east of north in [0, 180)"""
    snr: FloatColumn
    association_probability: FloatColumn
    """how probable it is that the islands belong together: the least probability of the links that hold them together,
    or P(``extended-multisland``) of the mask that joined them; NaN for a single island"""
    flags: IntColumn


@dataclass(frozen=True)
class ObjectCatalogue:
    """Objects of a map with the island-to-object map and the detections behind them.

    Attributes
    ----------
    objects
        Sorted by ``object_id``; every island belongs to exactly one.
    island_object_ids
        (number of islands,) object id of each island, in the order of the island table.
    island_spurious
        (number of islands,) P(spurious) of each island.
    detections
        The network's instances from which the objects were made.
    """

    objects: ObjectTable
    island_object_ids: IntColumn
    island_spurious: FloatColumn
    detections: Detections
