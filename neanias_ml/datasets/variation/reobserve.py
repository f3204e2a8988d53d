"""Truth and islands of a tile whose signal to noise has changed: what extractor and eye would find in it now.

The same rules as when the tile was made (`neanias_ml.datasets.observed_truth`), as far as a tile can know them:
islands are extracted again, each goes to the instance that makes most of its flux, masks end where their object sinks
into the noise, and what is neither an island nor bright enough to be missed is no instance any more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.channels import assemble_channels
from neanias_ml.datasets.tiles import IGNORED, PreparedTile, label_boxes, label_peaks

FloatMap = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

EIGHT = np.ones((3, 3), dtype=int)
FOUR = ndimage.generate_binary_structure(2, 1)
MISSED_SNR = 5.0
"""An object without an island stays an instance, to be missed, when its peak exceeds this."""


@dataclass(frozen=True, kw_only=True)
class IslandRule:
    """What makes an island on the network's grid: the finder's thresholds, and the beam in grid pixels."""

    seed: float = 5.0
    """signal to noise that a pixel of every island reaches"""
    merge: float = 2.6
    """signal to noise that all its pixels reach; masks of objects end here too"""
    connectivity: int = 8
    """neighbours that join pixels: 4 or 8"""
    min_beam_fraction: float = 0.25
    """smaller islands, as a part of the beam area, are dropped"""
    pixels_per_beam: float = 6.0
    """FWHM of the beam in grid pixels"""

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> IslandRule:
        """The rule of prepared data, from the ``configuration`` of their manifest."""
        finder = configuration.get("finder", {})
        names = {"seed": "seed_threshold", "merge": "merge_threshold"}
        names |= {name: name for name in ("connectivity", "min_beam_fraction")}
        values = {name: finder[stored] for name, stored in names.items() if stored in finder}
        return cls(pixels_per_beam=float(configuration["pixels_per_beam"]), **values)

    @property
    def min_pixels(self) -> int:
        """Fewest pixels of an island."""
        beam_area = math.pi * self.pixels_per_beam**2 / (4 * math.log(2))
        return max(1, round(self.min_beam_fraction * beam_area))


@dataclass(frozen=True, kw_only=True)
class TruthRule:
    """Class numbers that depend on what islands are found."""

    spurious: int
    extended: int
    multi_island: int

    @classmethod
    def of(cls, class_labels: Mapping[str, int]) -> TruthRule:
        """From the label of each class name."""
        return cls(
            spurious=class_labels["spurious"],
            extended=class_labels["extended"],
            multi_island=class_labels["extended-multisland"],
        )


def grid_islands(snr: FloatMap, rule: IslandRule) -> NDArray[np.int16]:
    """Islands of a map of signal to noise (NaN where blank), numbered 1, 2, ... as ``label_islands`` does.

    The extractor's own labelling is written for maps that do not fit into memory and needs astropy; training needs
    neither. That the two agree is tested.
    """
    above = snr >= rule.merge  # NaN is not
    regions, count = ndimage.label(above, structure=EIGHT if rule.connectivity == 8 else FOUR)
    if count == 0:
        return np.zeros(snr.shape, dtype=np.int16)
    inside = regions[above]
    peaks = np.full(count + 1, -np.inf, dtype=np.float32)
    np.maximum.at(peaks, inside, snr[above])
    kept = (peaks >= rule.seed) & (np.bincount(inside, minlength=count + 1) >= rule.min_pixels)
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int16)[regions]


def reobserve(
    tile: PreparedTile, *, snr: FloatMap, smoothed: FloatMap, factor: float, islands: IslandRule, truth: TruthRule
) -> PreparedTile:
    """A tile with new signal to noise: islands extracted again, truth as it can be seen now.

    Parameters
    ----------
    tile
        The tile as it was.
    snr, smoothed
        (S, S) the new signal to noise, NaN where blank, and its smoothed map.
    factor
        What the signal to noise of every source was multiplied by; masks shrink below 1 and never grow.
    islands, truth
        Thresholds and class numbers.

    Returns
    -------
    PreparedTile
        Ids are dense. Islands that hold no part of an instance are ignored: in the tile as it was they were below the
        thresholds, so that nobody knows what they are. Pixels that were ignored stay so.
    """
    labels = grid_islands(snr, islands)
    count = int(labels.max(initial=0))
    owner = _owners(tile, labels, snr, count)
    faded = np.nan_to_num(tile.significance) * np.float32(factor)
    visible = _visible_pixels(tile, faded, factor, islands)
    seen = _seen_instances(tile, owner, faded, spurious=truth.spurious)
    number = np.zeros(len(tile.labels) + 1, dtype=np.int64)
    number[1:][seen] = np.arange(1, int(seen.sum()) + 1)
    new_owner = np.where(owner > 0, number[np.maximum(owner, 0)], IGNORED)
    old = np.where(visible, np.maximum(tile.instances, 0), 0)
    instances = number[old]
    on_island = np.append(0, new_owner)[labels]
    instances = np.where((instances == 0) & (on_island != 0), on_island, instances)
    instances = np.where(tile.instances == IGNORED, IGNORED, instances).astype(np.int16)
    return _with_present_instances(
        tile.replace(
            channels=assemble_channels(snr, smoothed, labels > 0).astype(np.float16),
            instances=instances,
            labels=_classes(tile, owner, truth)[seen],
            islands=labels,
            island_boxes=_boxes(tile, labels, count),
            island_fluxes=_fluxes(tile, labels, snr, factor),
            island_instance=new_owner,
        )
    )


def _owners(tile: PreparedTile, labels: NDArray[np.int16], snr: FloatMap, count: int) -> IntArray:
    """(I,) the instance that makes most of each new island's flux, `IGNORED` where that is ignored or unknown."""
    on = labels > 0
    width = len(tile.labels) + 2
    key = (labels[on].astype(np.int64) - 1) * width + (tile.instances[on].astype(np.int64) + 1)
    weights = np.bincount(key, weights=snr[on], minlength=count * width).reshape(count, width)
    weights[:, 1] = 0.0  # background says nothing of whose island it is
    best = weights.argmax(axis=1) - 1 if count else np.empty(0, dtype=np.int64)
    return np.where(weights.max(axis=1, initial=0.0) > 0, best, IGNORED).astype(np.int64)


def _visible_pixels(tile: PreparedTile, faded: FloatMap, factor: float, rule: IslandRule) -> BoolArray:
    """(S, S) where an object that was seen before still is.

    The model of the object is not known, its signal to noise is: with the noise in it, which is smooth over a beam, so
    that outlines are too. Holes that noise makes in extended emission are filled.
    """
    if factor >= 1:
        return np.ones(tile.instances.shape, dtype=bool)
    above = (faded > rule.merge) & (tile.instances > 0)
    return np.asarray(ndimage.binary_fill_holes(above))


def _seen_instances(tile: PreparedTile, owner: IntArray, faded: FloatMap, *, spurious: int) -> BoolArray:
    """(N,) instances with an island, and real ones too bright to be left out of the truth without one."""
    count = len(tile.labels)
    seen = np.bincount(owner[owner > 0], minlength=count + 1)[1:] > 0
    if count and not seen.all():
        peaks, _ = label_peaks(tile.instances, faded, count)
        seen |= (peaks > MISSED_SNR) & (tile.labels != spurious)
    return seen


def _classes(tile: PreparedTile, owner: IntArray, rule: TruthRule) -> IntArray:
    """(N,) labels: whether an object is of several islands is counted again, unless it may go on beyond the tile."""
    count = len(tile.labels)
    before = np.bincount(np.maximum(tile.island_instance, 0), minlength=count + 1)[1:]
    now = np.bincount(np.maximum(owner, 0), minlength=count + 1)[1:]
    whole = np.ones(count + 1, dtype=bool)
    for edge in (tile.instances[0], tile.instances[-1], tile.instances[:, 0], tile.instances[:, -1]):
        whole[np.maximum(edge, 0)] = False
    labels = tile.labels.copy()
    real = whole[1:] & (labels != rule.spurious)
    labels[real & (before == 1) & (now >= 2)] = rule.multi_island
    labels[real & (labels == rule.multi_island) & (before >= 2) & (now == 1)] = rule.extended
    return labels


def _boxes(tile: PreparedTile, labels: NDArray[np.int16], count: int) -> FloatMap:
    """(I, 4) boxes; where an island touches the edge and its predecessor reached beyond it, it still does."""
    boxes = label_boxes(labels, count)
    edges = (
        (0, np.s_[:, 0], np.minimum),
        (1, np.s_[0, :], np.minimum),
        (2, np.s_[:, -1], np.maximum),
        (3, np.s_[-1, :], np.maximum),
    )
    for side, edge, farther in edges:
        new, old = labels[edge], tile.islands[edge]
        both = (new > 0) & (old > 0)
        farther.at(boxes[:, side], new[both] - 1, tile.island_boxes[old[both] - 1, side])
    return boxes


def _fluxes(tile: PreparedTile, labels: NDArray[np.int16], snr: FloatMap, factor: float) -> FloatMap:
    """(I,) fluxes in the unit of the tile: the flux per signal to noise of the islands there before, times the new.

    Signal to noise counts in the noise there was: ``factor`` is taken out again.
    """
    before = tile.significance
    old = np.bincount(tile.islands.ravel(), np.nan_to_num(before).ravel(), len(tile.island_fluxes) + 1)[1:]
    usable = (old > 0) & (tile.island_fluxes > 0)
    per_snr = np.append(0.0, np.divide(tile.island_fluxes, old, out=np.zeros_like(old), where=usable))
    usual = float(np.median(per_snr[1:][usable])) if usable.any() else 1.0
    on = labels > 0
    new, unit = labels[on].astype(np.int64), per_snr[tile.islands[on]]
    count = int(labels.max(initial=0))
    known = np.bincount(new, unit > 0, count + 1)[1:]
    units = np.bincount(new, unit, count + 1)[1:]
    mean = np.divide(units, known, out=np.full(count, usual), where=known > 0)
    return (mean * np.bincount(new, snr[on], count + 1)[1:] / factor).astype(np.float32)


def _with_present_instances(tile: PreparedTile) -> PreparedTile:
    """Instances that lost their last pixel to others are dropped, and their islands ignored."""
    present = np.bincount(np.maximum(tile.instances, 0).ravel(), minlength=len(tile.labels) + 1)[1:] > 0
    if present.all():
        return tile
    number = np.append(0, np.where(present, np.cumsum(present), IGNORED))
    positive = np.maximum(tile.instances, 0)
    return tile.replace(
        instances=np.where(tile.instances > 0, number[positive], tile.instances).astype(np.int16),
        labels=tile.labels[present],
        island_instance=np.where(
            tile.island_instance > 0, number[np.maximum(tile.island_instance, 0)], tile.island_instance
        ),
    )
