"""The labels of a real map as an extractor can see them: one instance for each labelled object that it found.

Masks of labels come from people, from other finders or from other thresholds. What can be learnt is what the extractor
sees of them: an island belongs to the object that holds most of its flux, an object is what its islands are, and an
object without an island, or within one that is mostly something else, is ignored. So are islands without a label,
unless the labels are known to be complete.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.labels.labelled import LabelledImage, LabelledObject
from neanias_ml.datasets.observed_truth import ObservedTruth
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.errors import InputError
from neanias_ml.extraction import Islands
from neanias_ml.simulation.labels import MASK_SNR

FloatMap = NDArray[np.float32]
IntMap = NDArray[np.int32]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

OWNED_SHARE = 0.5
"""An island belongs to an object that holds at least this part of its flux."""
TOUCHED_SHARE = 0.1
"""An island of which labels hold less than this part of its flux counts as one without a label."""
MULTISLAND, EXTENDED = "extended-multisland", "extended"
COUNTED = ("compact", EXTENDED, MULTISLAND)
"""Classes of real objects that follow the number of their islands."""


@dataclass(frozen=True)
class MatchedLabels:
    """Labels of a map as instances, and how many of them the extractor found.

    Attributes
    ----------
    truth
        Instances; ``object_ids`` counts the image's objects from 1.
    n_labelled
        Objects of the image that are not to be ignored.
    n_ignored_islands
        Islands that are not to be learnt from.
    is_elsewhere
        (I,) whether an island is none of the instances, but also has next to nothing of the labelled objects in it.
    """

    truth: ObservedTruth
    n_labelled: int
    n_ignored_islands: int
    is_elsewhere: NDArray[np.bool_]

    @property
    def n_recovered(self) -> int:
        """Labelled objects that are instances."""
        return len(self.truth)


def labelled_truth(
    image: LabelledImage, islands: Islands, *, significance: FloatMap, is_exhaustive: bool = False
) -> MatchedLabels:
    """Instances of a labelled map for the islands that were found in it.

    Parameters
    ----------
    image
        The labels.
    islands
        What the extractor found, at the thresholds of the run.
    significance
        (ny, nx) signal to noise by the extractor's own noise, NaN where blank.
    is_exhaustive
        Whether an island without a label is background, and not unknown.
    """
    labels = object_map(image)
    share = _flux_shares(labels, islands, significance, n_objects=len(image.objects))
    owner = share.argmax(axis=1) + 1 if share.shape[1] else np.zeros(len(islands), dtype=np.int64)
    largest = share.max(axis=1, initial=0.0)
    owned = largest >= OWNED_SHARE
    free = share.sum(axis=1) < TOUCHED_SHARE
    ignored = np.array([one.ignored for one in image.objects], dtype=bool)
    taught = owned & ~np.append(ignored, True)[np.where(owned, owner - 1, len(ignored))]
    kept = np.unique(owner[taught])
    number = np.zeros(len(image.objects) + 1, dtype=np.int64)
    number[kept] = np.arange(1, len(kept) + 1)
    without = 0 if is_exhaustive else IGNORED
    instance = np.where(taught, number[owner], np.where(free, without, IGNORED)).astype(np.int64)
    names = _class_names([image.objects[row - 1] for row in kept], np.bincount(instance[taught], minlength=1)[1:])
    truth = ObservedTruth(
        labels=_instance_map(labels, number, instance, islands, significance),
        class_names=names,
        object_ids=kept.astype(np.int64),
        island_instance=instance,
    )
    elsewhere = (instance == IGNORED) & (share[:, ~ignored].sum(axis=1) < TOUCHED_SHARE)
    return MatchedLabels(truth, int((~ignored).sum()), int((instance == IGNORED).sum()), elsewhere)


def object_map(image: LabelledImage) -> IntMap:
    """Number (ny, nx) of the object at each pixel, counted from 1 in the order of the labels; 0 where there is none.

    Of overlapping objects the smallest is on top, and ignored ones lie below all others.
    """
    labels = np.zeros(image.shape, dtype=np.int32)
    rows = range(len(image.objects))
    for row in sorted(rows, key=lambda k: (not image.objects[k].ignored, -image.objects[k].mask.area)):
        labels[image.objects[row].mask.pixels()] = row + 1
    return labels


def require_classes(image: LabelledImage, class_names: tuple[str, ...]) -> None:
    """Refuse labels whose class a network for ``class_names`` has not.

    Raises
    ------
    InputError
        ``ClassUnknown``.
    """
    for labelled in image.objects:
        if not labelled.ignored and labelled.class_name not in class_names:
            raise InputError(
                "ClassUnknown",
                f"{image.path} has an object of class {labelled.class_name!r}; classes are {', '.join(class_names)}",
            )


def _flux_shares(labels: IntMap, islands: Islands, significance: FloatMap, *, n_objects: int) -> FloatArray:
    """Part (I, N) of each island's flux in the mask of each object."""
    share = np.zeros((len(islands), n_objects))
    flux = np.maximum(np.nan_to_num(significance), 0.0)
    for row, window in enumerate(ndimage.find_objects(islands.labels, max_label=len(islands))):
        inside = islands.labels[window] == row + 1
        weights = flux[window][inside]
        sums = np.bincount(labels[window][inside], weights=weights, minlength=n_objects + 1)
        share[row] = sums[1 : n_objects + 1] / max(float(weights.sum()), 1e-30)
    return share


def _instance_map(
    labels: IntMap, number: IntArray, instance: IntArray, islands: Islands, significance: FloatMap
) -> IntMap:
    """Instances (ny, nx) int32: islands, and what the labels add to them above the merge threshold.

    Emission with a label that is no instance is ignored.
    """
    on_island = islands.labels > 0
    above = np.nan_to_num(significance) > MASK_SNR
    of_label = np.where(number > 0, number, IGNORED)
    of_label[0] = 0
    result = np.where(above, of_label[labels], 0)
    return np.where(on_island, np.append(0, instance)[islands.labels], result).astype(np.int32)


def _class_names(objects: list[LabelledObject], n_islands: IntArray) -> NDArray[np.str_]:
    """Classes of the instances; those of real objects by the number of islands that the extractor found."""
    names = []
    for labelled, count in zip(objects, n_islands.tolist(), strict=True):
        name = labelled.class_name
        if name in COUNTED:
            name = MULTISLAND if count >= 2 else EXTENDED if name == MULTISLAND else name
        names.append(name)
    return np.array(names, dtype="<U20")
