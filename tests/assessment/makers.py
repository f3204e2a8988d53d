"""A labelled map of known sources, and detectors that answer as they are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neanias_ml.assessment.labelled_maps import KnownMap
from neanias_ml.datasets.labels.labelled import LabelledImage, LabelledObject
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.inference.association import IslandGroup
from neanias_ml.inference.measure_objects import measure_objects
from neanias_ml.inference.objects import Detections, ObjectCatalogue
from neanias_ml.models.classes import CLASS_NAMES
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, make_map, round_covariance

SHAPE = (128, 128)
RMS = 1e-4
COMPACT, LOBES, EXTENDED, STRAY = (30, 30), ((75, 30), (90, 30), (105, 30)), (90, 95), (30, 95)
"""x, y of a point source, the three islands of one object, a wide source, and a point source that nobody labels."""


def model_of(places, *, width=BEAM_PIXELS, peak=60 * RMS):
    return sum(peak * gaussian(SHAPE, x, y, round_covariance(width)) for x, y in places)


PARTS = {
    "compact": model_of([COMPACT]),
    "extended-multisland": model_of(LOBES),
    "extended": model_of([EXTENDED], width=3 * BEAM_PIXELS),
}


def labelled_object(class_name, model, **changes):
    return LabelledObject(class_name, RunLengthMask.of(model > 2.6 * RMS), **changes)


def known_map(*, seed=1, exhaustive=False, objects=None, name="map"):
    """Four sources, of which three are labelled."""
    rng = np.random.default_rng(seed)
    pixels = correlated_noise(SHAPE, rng) * RMS + sum(PARTS.values()) + model_of([STRAY])
    if objects is None:
        objects = tuple(labelled_object(name, model) for name, model in PARTS.items())
    image = LabelledImage(Path("map.fits"), SHAPE, tuple(objects))
    return KnownMap(name, make_map(pixels), image=image, is_exhaustive=exhaustive)


def catalogue_of(extraction, groups, class_names, *, probability=0.9, island_spurious=None):
    """A catalogue of such groups of island ids; what is left of the probability goes to the other classes."""
    order = np.argsort([min(group) for group in groups]) if groups else []
    groups, class_names = [tuple(sorted(groups[k])) for k in order], [class_names[k] for k in order]
    probabilities = np.full((len(groups), 5), (1 - probability) / 4)
    for row, name in enumerate(class_names):
        probabilities[row, CLASS_NAMES.index(name)] = probability
    ids = np.zeros(len(extraction.islands), dtype=np.int64)
    for group in groups:
        ids[np.array(group) - 1] = group[0]
    objects = measure_objects(
        extraction,
        [IslandGroup(group, None) for group in groups],
        class_names=class_names,
        probabilities=probabilities,
        association_probability=np.full(len(groups), np.nan),
    )
    empty = np.empty(0)
    spurious = np.zeros(len(ids)) if island_spurious is None else island_spurious
    return ObjectCatalogue(objects, ids, spurious, Detections(np.empty((0, 4)), empty, np.empty((0, 5)), empty, ()))


def nearest_place(extraction):
    """For each island, which of the sources its brightest pixel lies at: c, m, e, s, or ? for none of them."""
    places = {"c": [COMPACT], "m": LOBES, "e": [EXTENDED], "s": [STRAY]}
    table = extraction.islands.table
    found = []
    for x, y in zip(table.peak_x, table.peak_y, strict=True):
        distances = {key: min(np.hypot(x - a, y - b) for a, b in spots) for key, spots in places.items()}
        key = min(distances, key=distances.get)
        found.append(key if distances[key] < 8 else "?")
    return found


def perfect(extraction, *, wrong=None):
    """Knows all; ``wrong`` changes the class of a source by its letter."""
    names = {"c": "compact", "m": "extended-multisland", "e": "extended", "s": "compact"} | (wrong or {})
    return told(extraction, names)


def told(extraction, names, *, split=(), join=(), probability=0.9):
    """Groups by the letters of `nearest_place`; those in ``split`` stay single, those in ``join`` become one."""
    groups, classes = {}, {}
    for island, letter in enumerate(nearest_place(extraction), start=1):
        key = "joined" if letter in join else f"{letter}{island}" if letter in split or letter == "?" else letter
        groups.setdefault(key, []).append(island)
        classes[key] = names.get(letter, "spurious")
    spurious = np.array([float(letter == "?") for letter in nearest_place(extraction)])
    return catalogue_of(
        extraction, list(groups.values()), [classes[key] for key in groups], probability=probability,
        island_spurious=spurious,
    )  # fmt: skip
