"""The worst mistakes of a map as cut-outs with outlines, for the gallery of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.assessment.truth import IOU, SPURIOUS
from neanias_ml.catalogue.display import cutout_picture, shades
from neanias_ml.catalogue.png import png_file, without_colour
from neanias_ml.evaluation import FieldPair, match_one_to_one
from neanias_ml.extraction import Extraction
from neanias_ml.extraction.shapes.contours import Polygon, mask_outline
from neanias_ml.maps import Window
from neanias_ml.models.classes import CLASS_NAMES

IntArray = NDArray[np.int64]
IntMap = NDArray[np.int32]
FloatMap = NDArray[np.float32]

FALSE, MISSED, CLASS, GROUPING = "false", "missed", "class", "grouping"
KINDS = {
    FALSE: "False sources, the most confident first",
    MISSED: "Missed sources, the brightest first",
    CLASS: "Wrong classes, the most confident first",
    GROUPING: "Wrong sets of islands, the brightest first",
}
PER_MAP = 3
"""Mistakes of a kind that are kept of a map."""
PER_KIND = 12
"""Mistakes of a kind in the gallery."""
PER_AREA = 3
"""No area of the sky shows more of them while others are left."""
LONGEST_SIDE = 150
MARGIN_BEAMS = 4.0
EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Outline:
    """Polygon of one piece of an object in the coordinates of the cut-out, and its class."""

    polygon: Polygon
    class_name: str


@dataclass(frozen=True)
class Mistake:
    """One mistake with its picture.

    Attributes
    ----------
    kind
        One of `KINDS`.
    severity
        The larger, the worse, within a kind.
    caption
        What is wrong, in words.
    map_name
        Name of the map.
    picture
        PNG file of the cut-out, first row at the top.
    shape
        Rows and columns of the cut-out in pixels of the map.
    place
        Its first column and row in the map.
    true, predicted
        Outlines.
    """

    kind: str
    severity: float
    caption: str
    map_name: str
    picture: bytes
    shape: tuple[int, int]
    place: tuple[int, int]
    true: tuple[Outline, ...]
    predicted: tuple[Outline, ...]


@dataclass(frozen=True)
class _Found:
    """A mistake before it is drawn: the masks that it is about."""

    kind: str
    severity: float
    caption: str
    true_ids: tuple[int, ...] = ()
    predicted_ids: tuple[int, ...] = ()


def map_mistakes(
    extraction: Extraction,
    pair: FieldPair,
    *,
    name: str,
    true_labels: IntMap,
    true_ids: IntArray,
    predicted_labels: IntMap,
    predicted_ids: IntArray,
    island_true: IntArray,
    island_predicted: IntArray,
    significance: FloatMap,
) -> tuple[Mistake, ...]:
    """The worst mistakes of each kind in a map.

    Parameters
    ----------
    pair
        True and predicted objects that are judged.
    true_labels, predicted_labels
        (ny, nx) ids of the objects.
    true_ids, predicted_ids
        Ids of the objects of the pair, in their order.
    island_true, island_predicted
        (I,) ids of the object of each island in truth (0: none of them, negative: unknown) and prediction.
    significance
        (ny, nx) signal to noise.
    """
    peaks = np.asarray(ndimage.maximum(np.nan_to_num(significance), true_labels, true_ids)).reshape(-1)
    matched = match_one_to_one(pair.iou, threshold=IOU)
    found = [
        *_false(pair, matched, predicted_ids),
        *_missed(pair, matched, true_ids, peaks),
        *_of_wrong_class(pair, matched, true_ids, predicted_ids),
        *_wrong_sets(pair, true_ids, peaks, island_true, island_predicted),
    ]
    true_names = dict(zip(true_ids.tolist(), _names(pair.true.labels), strict=True))
    predicted_names = dict(zip(predicted_ids.tolist(), _names(pair.predicted.labels), strict=True))
    drawn = []
    for one in _worst(found):
        window = _window(one, true_labels, predicted_labels, margin=MARGIN_BEAMS * extraction.radio_map.beam_fwhm)
        picture = shades(cutout_picture(extraction, window, longest=LONGEST_SIDE))[::-1]
        drawn.append(
            Mistake(
                kind=one.kind,
                severity=one.severity,
                caption=one.caption,
                map_name=name,
                picture=png_file(without_colour(picture)),
                shape=window.shape,
                place=(window.x0, window.y0),
                true=_outlines(true_labels, window, true_names),
                predicted=_outlines(predicted_labels, window, predicted_names),
            )
        )
    return tuple(drawn)


def worst_of_all(mistakes: Iterable[tuple[int, Mistake]], *, count: int = PER_KIND) -> list[tuple[int, Mistake]]:
    """At most ``count`` mistakes of each kind, of (area, mistake), the worst first, spread over the areas."""
    ordered = sorted(mistakes, key=lambda pair: (list(KINDS).index(pair[1].kind), -pair[1].severity, pair[1].map_name))
    kept: list[tuple[int, Mistake]] = []
    for kind in KINDS:
        own = [pair for pair in ordered if pair[1].kind == kind]
        taken: Counter[int] = Counter()
        first: list[int] = []
        later: list[int] = []
        for row, (area, _) in enumerate(own):
            (first if taken[area] < PER_AREA else later).append(row)
            taken[area] += 1
        kept += [own[row] for row in sorted((first + later)[:count])]
    return kept


def _worst(found: Sequence[_Found]) -> list[_Found]:
    """The worst of each kind."""
    return [
        one
        for kind in KINDS
        for one in sorted((one for one in found if one.kind == kind), key=lambda one: -one.severity)[:PER_MAP]
    ]


def _names(labels: IntArray) -> list[str]:
    return [CLASS_NAMES[label - 1] for label in labels.tolist()]


def _false(pair: FieldPair, matched: tuple[IntArray, IntArray], ids: IntArray) -> Iterable[_Found]:
    """Predicted sources at which no object is."""
    labels, scores = pair.predicted.labels, pair.predicted.scores
    for row in np.setdiff1d(np.flatnonzero(labels != SPURIOUS), matched[1]).tolist():
        caption = f"{CLASS_NAMES[labels[row] - 1]} with {100 * scores[row]:.0f} %: no object has that outline"
        yield _Found(FALSE, float(scores[row]), caption, predicted_ids=(int(ids[row]),))


def _missed(
    pair: FieldPair, matched: tuple[IntArray, IntArray], ids: IntArray, peaks: NDArray[np.floating]
) -> Iterable[_Found]:
    """True sources that nothing of the catalogue matches, and those that are called spurious."""
    labels = pair.true.labels
    rejected = matched[0][pair.predicted.labels[matched[1]] == SPURIOUS]
    lost = np.union1d(np.setdiff1d(np.arange(len(labels)), matched[0]), rejected)
    for row in lost[labels[lost] != SPURIOUS].tolist():
        end = "called spurious" if row in rejected else "not found as one object"
        caption = f"{CLASS_NAMES[labels[row] - 1]} of S/N {peaks[row]:.0f}: {end}"
        yield _Found(MISSED, float(peaks[row]), caption, true_ids=(int(ids[row]),))


def _of_wrong_class(
    pair: FieldPair, matched: tuple[IntArray, IntArray], true_ids: IntArray, predicted_ids: IntArray
) -> Iterable[_Found]:
    for true, predicted in zip(*(rows.tolist() for rows in matched), strict=True):
        label, guess = pair.true.labels[true], pair.predicted.labels[predicted]
        score = float(pair.predicted.scores[predicted])
        if label != guess and not (guess == SPURIOUS and label != SPURIOUS):  # those count as missed
            caption = f"{CLASS_NAMES[label - 1]}, called {CLASS_NAMES[guess - 1]} with {100 * score:.0f} %"
            yield _Found(CLASS, score, caption, (int(true_ids[true]),), (int(predicted_ids[predicted]),))


def _wrong_sets(
    pair: FieldPair, ids: IntArray, peaks: NDArray[np.floating], island_true: IntArray, island_predicted: IntArray
) -> Iterable[_Found]:
    """True objects whose islands are not exactly one predicted object's, where more than one island is involved."""
    for row, identity in enumerate(ids.tolist()):
        own = np.flatnonzero(island_true == identity)
        groups = np.unique(island_predicted[own])
        together = np.flatnonzero(np.isin(island_predicted, groups) & (island_true >= 0))
        if len(own) == 0 or (len(groups) == 1 and len(together) == len(own)):
            continue
        caption = (
            f"{CLASS_NAMES[pair.true.labels[row] - 1]} of {len(own)} island(s), S/N {peaks[row]:.0f}: found as "
            f"{len(groups)} object(s) of {len(together)} island(s)"
        )
        yield _Found(GROUPING, float(peaks[row]), caption, (identity,), tuple(groups.tolist()))


def _window(found: _Found, true_labels: IntMap, predicted_labels: IntMap, *, margin: float) -> Window:
    """A square around what a mistake is about, with some sky, cut at the edges of the map."""
    about = np.isin(true_labels, found.true_ids) | np.isin(predicted_labels, found.predicted_ids)
    rows, columns = np.flatnonzero(about.any(axis=1)), np.flatnonzero(about.any(axis=0))
    side = max(np.ptp(rows), np.ptp(columns)) + 1 + 2 * round(margin)
    y0, y1 = _stretch(int(rows[0] + rows[-1] + 1) // 2, int(side), about.shape[0])
    x0, x1 = _stretch(int(columns[0] + columns[-1] + 1) // 2, int(side), about.shape[1])
    return Window(y0, y1, x0, x1)


def _stretch(middle: int, side: int, length: int) -> tuple[int, int]:
    """``side`` pixels around a middle, moved into an axis and cut where that is shorter."""
    start = max(0, min(middle - side // 2, length - side))
    return start, min(start + side, length)


def _outlines(labels: IntMap, window: Window, names: dict[int, str]) -> tuple[Outline, ...]:
    """Outlines of the pieces of all judged objects in a window, in its coordinates."""
    inside = labels[window.slices]
    outlines = []
    for identity in np.unique(inside[inside > 0]).tolist():
        if identity not in names:
            continue
        pieces, _ = ndimage.label(inside == identity, structure=EIGHT)
        for number, box in enumerate(ndimage.find_objects(pieces), start=1):
            mask = pieces[box] == number
            outlines.append(Outline(mask_outline(mask, offset=(box[1].start, box[0].start)), names[identity]))
    return tuple(outlines)
