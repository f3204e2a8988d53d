"""One map, extracted, looked at by the networks, and compared with what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.assessment.labelled_maps import KnownMap
from neanias_ml.assessment.mistakes import Mistake, map_mistakes
from neanias_ml.assessment.truth import (
    SPURIOUS,
    MapTruth,
    Surroundings,
    drawn_instances,
    map_truth,
    surroundings,
)
from neanias_ml.datasets.channels import significance as signal_to_noise
from neanias_ml.datasets.fields import extract_islands
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.evaluation import FieldPair, Instances, box_iou, count_grouping, linked_groups
from neanias_ml.extraction import Extraction, FinderConfig
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.models.classes import CLASS_LABELS

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
IntMap = NDArray[np.int32]

Detect = Callable[[Extraction], ObjectCatalogue]
"""What turns the islands of a map into objects: an `neanias_ml.inference.detector.ObjectDetector`."""
LINKING_LENGTHS = np.geomspace(0.5, 60.0, 60)
"""Linking lengths that are tried, beam widths."""
MAX_IGNORED = 0.5
"""An object that lies with more than this part on ignored pixels is not judged."""
CLASSICAL_SPURIOUS = 0.5
"""The classical rule calls an island spurious from this probability of the extraction on."""


@dataclass(frozen=True)
class IslandAnswers:
    """What was said of the islands whose nature is known; (I,) each.

    Attributes
    ----------
    is_spurious
        What they are.
    network, classical
        P(spurious) of the networks, and of the extraction.
    snr
        Signal to noise of the peak.
    """

    is_spurious: NDArray[np.bool_]
    network: FloatArray
    classical: FloatArray
    snr: FloatArray


@dataclass(frozen=True)
class MapScore:
    """All that is kept of one map; small, and without pixels but for the cut-outs of mistakes.

    Attributes
    ----------
    name
        Name of the map.
    network, boxes, classical
        True and predicted objects with their overlaps: by mask and by box of the networks' objects, by mask of the
        classical rule's. Predictions that are not judged are left out.
    drawn
        The labels as they were drawn against the networks' objects; None for simulated fields.
    true, predicted
        What completeness and reliability are told by, of the objects of ``network``.
    islands
        Islands of known nature.
    grouped, alone, linked
        Counts (11,), (11,) and (number of lengths, 11) of the networks' grouping, of none, and of each linking length;
        columns as `neanias_ml.evaluation.GroupingCounts`.
    n_islands, n_objects, n_without_island
        Islands and objects of the map, and labelled objects without an island.
    mistakes
        The worst of each kind.
    is_blank
        Whether the map has no pixel with a value.
    """

    name: str
    network: FieldPair
    boxes: FieldPair
    classical: FieldPair
    drawn: FieldPair | None
    true: Surroundings
    predicted: Surroundings
    islands: IslandAnswers
    grouped: IntArray
    alone: IntArray
    linked: IntArray
    n_islands: int
    n_objects: int
    n_without_island: int
    mistakes: tuple[Mistake, ...] = ()
    is_blank: bool = False


@dataclass(frozen=True)
class _Objects:
    """Objects of a map as instances, the label map that they come from, and their ids in it."""

    instances: Instances
    labels: IntMap
    ids: IntArray


def score_map(known: KnownMap, detect: Detect, *, finder: FinderConfig) -> MapScore:
    """Extract a map, let the networks look at it, and compare with the truth."""
    if not np.isfinite(known.radio_map.data).any():
        return _blank(known)
    extraction = extract_islands(known.radio_map, config=finder)
    background, noise = extraction.noise.evaluate()
    snr = signal_to_noise(known.radio_map.data, background, noise)
    truth = map_truth(known, extraction, noise=noise, significance=snr)
    catalogue = detect(extraction)
    true = _true_objects(truth)
    every = _catalogued(extraction, catalogue)
    predicted = _judged(every, truth)
    mask_pair = FieldPair.of(true.instances, predicted.instances)
    classical = _judged(_classical(extraction), truth)
    owner = truth.observed.island_instance
    return MapScore(
        name=known.name,
        network=mask_pair.without_masks(),
        boxes=_box_pair(mask_pair, width=snr.shape[1]),
        classical=FieldPair.of(true.instances, classical.instances).without_masks(),
        drawn=None if truth.drawn is None else FieldPair.of(truth.drawn, every.instances).without_masks(),
        true=surroundings(truth.observed.labels, true.ids, owner, extraction, snr),
        predicted=surroundings(every.labels, predicted.ids, catalogue.island_object_ids, extraction, snr),
        islands=_island_answers(extraction, catalogue, truth),
        grouped=_counted(catalogue.island_object_ids, truth),
        alone=_counted(np.arange(len(owner)), truth),
        linked=_linked(extraction, truth),
        n_islands=len(owner),
        n_objects=len(catalogue.objects),
        n_without_island=truth.n_without_island,
        mistakes=map_mistakes(
            extraction,
            mask_pair,
            name=known.name,
            true_labels=truth.observed.labels,
            true_ids=true.ids,
            predicted_labels=every.labels,
            predicted_ids=predicted.ids,
            island_true=np.where(truth.is_outside, 0, owner),
            island_predicted=catalogue.island_object_ids,
            significance=snr,
        ),
    )


def _true_objects(truth: MapTruth) -> _Objects:
    """The instances that have a pixel; one all of whose pixels belong to others cannot be found."""
    instances = truth.instances
    kept = np.flatnonzero(instances.areas > 0)
    return _Objects(instances.select(kept), truth.observed.labels, kept + 1)


def _catalogued(extraction: Extraction, catalogue: ObjectCatalogue) -> _Objects:
    """Objects of a catalogue: the union of their islands as mask, the probability of their class as score."""
    objects = catalogue.objects
    names = objects.class_name.tolist()
    columns = {name: getattr(objects, f"p_{name.removeprefix('extended-')}") for name in CLASS_LABELS}
    scores = [columns[name][row] for row, name in enumerate(names)]
    labels = np.append(0, catalogue.island_object_ids)[extraction.islands.labels].astype(np.int32)
    instances = Instances.from_label_map(
        labels, ids=objects.object_id, labels=[CLASS_LABELS[name] for name in names], scores=scores
    )
    return _Objects(instances, labels, objects.object_id)


def _classical(extraction: Extraction) -> _Objects:
    """Every island an object: spurious by the evidence of the extraction, else compact or extended by its shape."""
    table = extraction.islands.table
    chance = np.nan_to_num(table.p_spurious)
    kinds = np.array([CLASS_LABELS[kind] for kind in table.kind.tolist()], dtype=np.int64)
    labels = np.where(chance >= CLASSICAL_SPURIOUS, SPURIOUS, kinds)
    scores = np.where(labels == SPURIOUS, chance, 1.0 - chance)
    found = extraction.islands.labels
    return _Objects(
        Instances.from_label_map(found, ids=table.island_id, labels=labels, scores=scores), found, table.island_id
    )


def _judged(objects: _Objects, truth: MapTruth) -> _Objects:
    """Those of which no more than half lies where nothing is known."""
    kept = np.flatnonzero(objects.instances.ignored_share(truth.ignored) <= MAX_IGNORED)
    return _Objects(objects.instances.select(kept), objects.labels, objects.ids[kept])


def _box_pair(pair: FieldPair, *, width: int) -> FieldPair:
    """The same objects with the overlaps of their boxes."""
    overlaps = box_iou(pair.true.boxes(width=width), pair.predicted.boxes(width=width))
    return FieldPair(pair.true.without_masks(), pair.predicted.without_masks(), overlaps)


def _island_answers(extraction: Extraction, catalogue: ObjectCatalogue, truth: MapTruth) -> IslandAnswers:
    owner, table = truth.observed.island_instance, extraction.islands.table
    known = owner > 0
    spurious = np.append(False, truth.observed.class_names == "spurious")
    return IslandAnswers(
        is_spurious=spurious[owner[known]],
        network=catalogue.island_spurious[known],
        classical=table.p_spurious[known],
        snr=table.snr[known],
    )


def _counted(groups: IntArray, truth: MapTruth) -> IntArray:
    """Counts of a grouping (I,) of all islands; those that may belong to a labelled object or not are left out."""
    owner = truth.observed.island_instance
    judged = (owner != IGNORED) | truth.is_outside
    alone = -1 - np.arange(len(owner))
    true = np.where(owner > 0, owner, alone)
    counts = count_grouping(true[judged], groups[judged], outside=truth.is_outside[judged])
    return np.array(counts, dtype=np.int64)


def _linked(extraction: Extraction, truth: MapTruth) -> IntArray:
    """Counts of friends of friends for every linking length, between centroids of islands."""
    table = extraction.islands.table
    positions = np.stack([table.x, table.y], axis=1) / extraction.radio_map.beam_fwhm
    groupings = linked_groups(positions, LINKING_LENGTHS.tolist())
    return np.stack([_counted(groups, truth) for groups in groupings])


def _blank(known: KnownMap) -> MapScore:
    """A map in which nothing can be found; what is labelled in it counts as missed, as drawn."""
    nothing = Instances.from_pixels([], size=known.radio_map.shape[0] * known.radio_map.shape[1], labels=[])
    drawn, empty = drawn_instances(known), FieldPair.of(nothing, nothing).without_masks()
    counts = np.array(count_grouping([], []), dtype=np.int64)
    nowhere = Surroundings(*(np.empty(0) for _ in range(3)))
    return MapScore(
        name=known.name,
        network=empty,
        boxes=empty,
        classical=empty,
        drawn=None if drawn is None else FieldPair.of(drawn, nothing).without_masks(),
        true=nowhere,
        predicted=nowhere,
        islands=IslandAnswers(np.empty(0, dtype=bool), *(np.empty(0) for _ in range(3))),
        grouped=counts,
        alone=counts,
        linked=np.tile(counts, (len(LINKING_LENGTHS), 1)),
        n_islands=0,
        n_objects=0,
        n_without_island=0 if drawn is None else len(drawn),
        is_blank=True,
    )
