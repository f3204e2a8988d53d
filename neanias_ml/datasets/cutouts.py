"""From a map to cutouts of its objects: each extended object in a frame that it fills, whatever its size on the sky.

The frame is the circle around the object's islands with a margin, brought to a fixed number of pixels from the map's
own pixels and noise: averaged where that shrinks the map, interpolated where it enlarges it. What an object is comes
from the simulation's table or from the attributes of a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.channels import asinh_scale
from neanias_ml.datasets.circles import enclosing_circle, outer_corners
from neanias_ml.datasets.cutout_store import FRAME, MARGIN, MOST_ISLANDS, MorphologyCutout
from neanias_ml.datasets.labels.labelled import LabelledImage
from neanias_ml.datasets.observed_truth import ObservedTruth
from neanias_ml.datasets.resampling import ResampledGrid, resampled_significance
from neanias_ml.extraction import Extraction
from neanias_ml.maps import Window
from neanias_ml.simulation.truth import ObjectTruth

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CUT_CLASSES = ("extended", "extended-multisland")
"""Classes of objects whose shape can be told."""
PLAIN = "standard"
"""Word of MiraBest for a galaxy of no particular form beside its Fanaroff-Riley class."""
CONFIDENCES = {"confident": 1.0, "uncertain": 0.5}
"""Weights of the words that say how sure a class is."""


@dataclass(frozen=True)
class Morphologies:
    """What the instances of a map are, row by row.

    Attributes
    ----------
    words
        (N,) in the words of their source; "" where it is not known.
    confidence
        (N,) 0 to 1.
    """

    words: NDArray[np.str_]
    confidence: FloatArray


def simulated_morphologies(truth: ObservedTruth, objects: ObjectTruth) -> Morphologies:
    """Kinds of the simulation's objects for the instances of a simulated map; "" for spurious ones."""
    kinds = dict(zip(objects.object_id.tolist(), objects.kind.tolist(), strict=True))
    words = [kinds[number] if number else "" for number in truth.object_ids.tolist()]
    return Morphologies(np.array(words, dtype=np.str_), np.ones(len(words)))


def labelled_morphologies(truth: ObservedTruth, image: LabelledImage) -> Morphologies:
    """What the labels of a real map say of its instances."""
    said = [_said(image.objects[number - 1].attributes) for number in truth.object_ids.tolist()]
    return Morphologies(np.array([word for word, _ in said], dtype=np.str_), np.array([sure for _, sure in said]))


def _said(attributes: Mapping[str, Any]) -> tuple[str, float]:
    """Word and confidence of a label: its form where it has one of its own, else its Fanaroff-Riley class."""
    form = str(attributes.get("morphology") or "")
    word = str(attributes.get("fr") or "") if form in ("", PLAIN) else form
    return word, CONFIDENCES.get(str(attributes.get("confidence")), 1.0)


def object_cutouts(
    extraction: Extraction, truth: ObservedTruth, known: Morphologies, *, name: str
) -> list[MorphologyCutout]:
    """Cutouts of the objects of a map whose shape can be told and is known.

    Parameters
    ----------
    extraction
        Islands and noise of the map.
    truth
        Instances of the map for these islands.
    known
        What they are.
    name
        Name of the sky field.
    """
    cutouts = []
    for row in np.flatnonzero(np.isin(truth.class_names, CUT_CLASSES) & (known.words != "")):
        members = np.flatnonzero(truth.island_instance == row + 1)
        if len(members):
            cutout = cut_object(
                extraction, members, word=str(known.words[row]), confidence=float(known.confidence[row]), name=name
            )
            cutouts.append(cutout)
    return cutouts


def cut_object(
    extraction: Extraction,
    members: Sequence[int] | IntArray,
    *,
    word: str = "",
    confidence: float = 1.0,
    name: str = "",
) -> MorphologyCutout:
    """The cutout of one object.

    Parameters
    ----------
    extraction
        Islands and noise of the map.
    members
        Rows of its islands in the island table, at least one.
    word, confidence, name
        What it is, how sure that is, and the sky field.
    """
    rows = np.sort(np.asarray(members, dtype=np.int64))
    centre, radius = enclosing_circle(_pixel_corners(extraction, rows))
    grid = ResampledGrid(extraction.radio_map.shape, FRAME / (2 * MARGIN * radius))
    window = _frame_window(centre * grid.scale)
    snr = np.full((FRAME, FRAME), np.nan, dtype=np.float32)
    islands = np.zeros((FRAME, FRAME), dtype=np.uint8)
    inner = _clipped(window, grid.shape)
    place = np.s_[inner.y0 - window.y0 : inner.y1 - window.y0, inner.x0 - window.x0 : inner.x1 - window.x0]
    snr[place], _ = resampled_significance(extraction, grid, window=inner)
    islands[place] = _island_numbers(extraction, rows, grid, window=inner)
    _mark_peaks(islands, extraction, rows, grid, window=window)
    return MorphologyCutout(
        asinh_snr=asinh_scale(snr).astype(np.float16),
        islands=islands,
        beam=float(grid.scale * extraction.radio_map.beam_fwhm),
        word=word,
        confidence=confidence,
        field=name,
    )


def _pixel_corners(extraction: Extraction, rows: IntArray) -> FloatArray:
    """Corners (P, 2) y, x that bound the islands, counted from the outer edge of the map's first pixel."""
    table = extraction.islands.table
    starts = np.stack([table.y0, table.x0], axis=1)
    return np.concatenate([outer_corners(extraction.islands.mask(row)) + starts[row] for row in rows.tolist()])


def _frame_window(centre: FloatArray) -> Window:
    y0, x0 = (round(float(middle) - FRAME / 2) for middle in centre)
    return Window(y0, y0 + FRAME, x0, x0 + FRAME)


def _clipped(window: Window, shape: tuple[int, int]) -> Window:
    """The part of a window inside a grid: the object lies in the map, so there always is some."""
    return Window(max(window.y0, 0), min(window.y1, shape[0]), max(window.x0, 0), min(window.x1, shape[1]))


def _island_numbers(
    extraction: Extraction, rows: IntArray, grid: ResampledGrid, *, window: Window
) -> NDArray[np.uint8]:
    """Numbers 1, 2, ... of the object's islands on a window of the grid."""
    labels = extraction.islands.labels_in(grid.map_window(window))
    numbers = np.minimum(np.searchsorted(rows + 1, labels) + 1, MOST_ISLANDS)
    own = np.where(np.isin(labels, rows + 1), numbers, 0)
    return grid.resample_labels(own, window=window).astype(np.uint8)


def _mark_peaks(
    islands: NDArray[np.uint8], extraction: Extraction, rows: IntArray, grid: ResampledGrid, *, window: Window
) -> None:
    """Set the pixel of each island's peak: islands smaller than a pixel of the frame would be lost otherwise."""
    table = extraction.islands.table
    y = np.floor((table.peak_y[rows] + 0.5) * grid.scale).astype(np.int64) - window.y0
    x = np.floor((table.peak_x[rows] + 0.5) * grid.scale).astype(np.int64) - window.x0
    inside = (y >= 0) & (y < FRAME) & (x >= 0) & (x < FRAME)
    islands[y[inside], x[inside]] = np.minimum(np.flatnonzero(inside) + 1, MOST_ISLANDS)
