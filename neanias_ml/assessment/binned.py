"""Completeness and reliability: as a whole, and by signal to noise, size and distance to bright sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.assessment.scores import ScoredMaps
from neanias_ml.assessment.truth import IOU, SPURIOUS
from neanias_ml.evaluation import FieldPair, Interval, match_one_to_one, share
from neanias_ml.models.classes import CLASS_NAMES

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

SNR_EDGES = (0.0, 5.0, 6.0, 8.0, 12.0, 20.0, 40.0, 100.0, np.inf)
SIZE_EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, np.inf)
DISTANCE_EDGES = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, np.inf)
"""The last bin also holds objects in maps without a bright source."""
BINNINGS = {"snr": SNR_EDGES, "size": SIZE_EDGES, "bright_distance": DISTANCE_EDGES}
EXTENDED_LABELS = tuple(CLASS_NAMES.index(name) + 1 for name in ("extended", "extended-multisland"))


def found_and_real(pair: FieldPair) -> tuple[BoolArray, BoolArray]:
    """Which true sources are in the catalogue as sources, and which catalogued sources are true ones.

    One-to-one at mask IoU 0.5, whatever their classes, among all that is not (called) spurious.
    """
    both = (pair.true.labels[pair.iou.row] != SPURIOUS) & (pair.predicted.labels[pair.iou.col] != SPURIOUS)
    reduced = type(pair.iou)((pair.iou.data[both], (pair.iou.row[both], pair.iou.col[both])), shape=pair.iou.shape)
    rows, columns = match_one_to_one(reduced, threshold=IOU)
    found, real = np.zeros(len(pair.true), dtype=bool), np.zeros(len(pair.predicted), dtype=bool)
    found[rows], real[columns] = True, True
    return found, real


@dataclass(frozen=True)
class BinnedShare:
    """A share in bins: of true sources found (completeness), or of catalogued sources that are true (reliability)."""

    edges: tuple[float, ...]
    totals: IntArray
    shares: tuple[Interval, ...]


def binned_shares(scored: ScoredMaps) -> dict[str, tuple[BinnedShare, BinnedShare]]:
    """Completeness and reliability by S/N, size in beam areas, and distance to bright sources in beam widths."""
    answers = [found_and_real(one.network) for one in scored.maps]
    result = {}
    for name, edges in BINNINGS.items():
        parts = []
        for side, labels_of, column in (("true", "true", 0), ("predicted", "predicted", 1)):
            counts = np.zeros((2, len(scored.maps), len(edges) - 1))
            for row, one in enumerate(scored.maps):
                source = getattr(one.network, labels_of).labels != SPURIOUS
                values = getattr(getattr(one, side), name)[source]
                good = answers[row][column][source]
                counts[0, row], counts[1, row] = _histogram(values[good], edges), _histogram(values, edges)
            parts.append(_binned(scored, counts, edges))
        result[name] = (parts[0], parts[1])
    return result


def _histogram(values: FloatArray, edges: tuple[float, ...]) -> FloatArray:
    """Numbers in bins that hold their lower edge; the last one holds all above it, without end."""
    place = np.searchsorted(np.asarray(edges[:-1]), values, side="right") - 1
    return np.bincount(place[place >= 0], minlength=len(edges) - 1).astype(np.float64)


def _binned(scored: ScoredMaps, counts: FloatArray, edges: tuple[float, ...]) -> BinnedShare:
    good, every = scored.by_area(counts[0]), scored.by_area(counts[1])
    shares = tuple(scored.resamples.of_counts(share, good[:, k], every[:, k]) for k in range(len(edges) - 1))
    return BinnedShare(edges, every.sum(axis=0).astype(np.int64), shares)


def completeness(scored: ScoredMaps, labels: Sequence[int], *, method: str = "network") -> Interval:
    """Share of the true objects of some classes that are matched at mask IoU 0.5 by a source of any class."""
    counts = np.zeros((2, len(scored.maps)))
    for row, pair in enumerate(scored.pairs(method)):
        own = np.isin(pair.true.labels, labels)
        counts[:, row] = (found_and_real(pair)[0] & own).sum(), own.sum()
    return scored.resamples.of_counts(share, *(scored.by_area(part) for part in counts))


def has_drawn_labels(scored: ScoredMaps) -> bool:
    """Whether all maps have labels as people drew them."""
    return len(scored.pairs("drawn")) == len(scored.maps)
