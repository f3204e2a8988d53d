"""What there is to find in a map, as its extractor can see it, and what each object is like."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.assessment.labelled_maps import KnownMap
from neanias_ml.datasets.labelled_truth import labelled_truth
from neanias_ml.datasets.observed_truth import ObservedTruth, observed_truth
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.evaluation import Instances
from neanias_ml.extraction import Extraction
from neanias_ml.models.classes import CLASS_LABELS

FloatMap = NDArray[np.float32]
IntMap = NDArray[np.int32]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

BRIGHT_SNR = 100.0
"""An island of at least this peak signal to noise is a bright source: its sidelobes can reach the threshold."""
SPURIOUS = CLASS_LABELS["spurious"]
IOU = 0.5
"""Least overlap of the masks of a true and a catalogued object that match."""


@dataclass(frozen=True)
class MapTruth:
    """What is there.

    Attributes
    ----------
    observed
        Instances and the owners of the islands; every instance has a pixel.
    is_outside
        (I,) islands of which is known only that they are of none of the instances.
    drawn
        The labels as they were drawn, or None for simulated fields.
    n_without_island
        Labelled objects in which the extractor found no island of their own.
    """

    observed: ObservedTruth
    is_outside: NDArray[np.bool_]
    drawn: Instances | None = None
    n_without_island: int = 0

    @property
    def instances(self) -> Instances:
        """The instances with their masks, in their order."""
        labels = [CLASS_LABELS[name] for name in self.observed.class_names.tolist()]
        return Instances.from_label_map(self.observed.labels, ids=np.arange(1, len(labels) + 1), labels=labels)

    @property
    def ignored(self) -> NDArray[np.bool_]:
        """(ny, nx) pixels on which nothing is judged."""
        return np.asarray(self.observed.labels == IGNORED)


def map_truth(known: KnownMap, extraction: Extraction, *, noise: FloatMap, significance: FloatMap) -> MapTruth:
    """The truth of a map for the islands that were found in it.

    Parameters
    ----------
    noise, significance
        (ny, nx) the extractor's noise, and signal to noise by it.
    """
    if known.sky is not None:
        observed = observed_truth(known.sky, extraction.islands, noise=noise)
        return MapTruth(observed, np.zeros(len(extraction.islands), dtype=bool))
    assert known.image is not None
    matched = labelled_truth(
        known.image, extraction.islands, significance=significance, is_exhaustive=known.is_exhaustive
    )
    observed = _with_unlabelled(matched.truth, extraction) if known.is_exhaustive else matched.truth
    return MapTruth(
        observed,
        is_outside=matched.is_elsewhere,
        drawn=drawn_instances(known),
        n_without_island=matched.n_labelled - matched.n_recovered,
    )


def drawn_instances(known: KnownMap) -> Instances | None:
    """The labels of a map that are not to be ignored, whatever was extracted; None for a simulated field."""
    if known.image is None:
        return None
    objects = [one for one in known.image.objects if not one.ignored]
    ny, nx = known.radio_map.shape
    return Instances.from_pixels(
        [np.flatnonzero(one.mask.pixels()) for one in objects],
        size=ny * nx,
        labels=[CLASS_LABELS[one.class_name] for one in objects],
    )


def _with_unlabelled(truth: ObservedTruth, extraction: Extraction) -> ObservedTruth:
    """Islands without a label as spurious instances, where labels are known to be complete."""
    rows = np.flatnonzero(truth.island_instance == 0)
    instance = truth.island_instance.copy()
    instance[rows] = len(truth) + 1 + np.arange(len(rows))
    fresh = np.append(0, np.where(truth.island_instance == 0, instance, 0))[extraction.islands.labels]
    return dataclasses.replace(
        truth,
        labels=np.where((truth.labels == 0) & (fresh > 0), fresh, truth.labels).astype(np.int32),
        class_names=np.concatenate([truth.class_names, np.full(len(rows), "spurious", dtype="<U20")]),
        object_ids=np.concatenate([truth.object_ids, np.zeros(len(rows), dtype=np.int64)]),
        island_instance=instance,
    )


@dataclass(frozen=True)
class Surroundings:
    """What completeness and reliability are told by; (N,) each.

    Attributes
    ----------
    snr
        Signal to noise of the brightest pixel.
    size
        Area of the mask in beam areas.
    bright_distance
        From the middle of the mask to the nearest bright source of another object, beam widths; infinite without one.
    """

    snr: FloatArray
    size: FloatArray
    bright_distance: FloatArray


def surroundings(
    labels: IntMap, ids: IntArray, island_owner: IntArray, extraction: Extraction, significance: FloatMap
) -> Surroundings:
    """Measure the objects of a label map.

    Parameters
    ----------
    labels
        (ny, nx) ids of objects.
    ids
        (N,) ids of those to be measured.
    island_owner
        (I,) id of the object of each island.
    """
    islands, radio_map = extraction.islands.table, extraction.radio_map
    if len(ids) == 0:
        return Surroundings(*(np.empty(0) for _ in range(3)))
    filled = np.nan_to_num(significance)
    ones = np.ones(labels.shape, dtype=np.float32)
    middle = np.array(ndimage.center_of_mass(ones, labels, ids)).reshape(-1, 2)
    bright = np.flatnonzero(islands.snr >= BRIGHT_SNR)
    gap = np.hypot(
        middle[:, 1, None] - islands.peak_x[bright][None, :], middle[:, 0, None] - islands.peak_y[bright][None, :]
    )
    gap[ids[:, None] == island_owner[bright][None, :]] = np.inf
    return Surroundings(
        snr=np.asarray(ndimage.maximum(filled, labels, ids), dtype=np.float64),
        size=np.asarray(ndimage.sum_labels(ones, labels, ids), dtype=np.float64) / radio_map.beam_area,
        bright_distance=gap.min(axis=1, initial=np.inf) / radio_map.beam_fwhm,
    )
