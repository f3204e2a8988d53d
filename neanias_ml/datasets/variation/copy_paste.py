"""Objects and artefacts of one tile copied into free room of another, with all that belongs to them.

Pixels are blended so that noise stays noise: with weights ``w`` of the copy and ``sqrt(1 - w**2)`` of the tile below,
two independent noises of unit rms make one of unit rms. The weight is 1 on what is copied and falls to 0 over a beam
or so, in room where the tile has nothing but noise; signal to noise, islands and masks of the copy are therefore
those it had. An artefact is copied with the source that made it, and with the emission of both signs between them.

After Ghiasi et al. 2021 (Simple Copy-Paste, arXiv:2012.07177), with groups in place of single objects and noise kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.channels import assemble_channels, smooth_significance
from neanias_ml.datasets.tiles import IGNORED, PreparedTile, label_peaks
from neanias_ml.datasets.variation.dihedral import N_SYMMETRIES, transform_tile
from neanias_ml.datasets.variation.reobserve import TruthRule

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatMap = NDArray[np.float32]

TAPER_BEAMS = 1.5
"""Width of the ring in which the copy fades."""
OBJECT_MARGIN_BEAMS = 0.75
"""Width of the ring around an object that is copied with full weight: its wings below the threshold."""
ARTEFACT_MARGIN_BEAMS = 2.0
"""The same around an artefact and its source: the bowls and ripples of the same pattern."""
CULPRIT_BEAMS = 20.0
"""A spurious island is the artefact of a source at most so many beams away ..."""
CULPRIT_RATIO = 5.0
"""... whose peak is at least this many times its own."""
TRIES = 12
"""Places that are tried before there is no room."""


@dataclass(frozen=True)
class Cutting:
    """What is copied from a tile.

    Attributes
    ----------
    instances
        Numbers of its instances.
    weight
        (S, S) weight of the copy, 0 to 1.
    """

    instances: IntArray
    weight: FloatMap


def paste(
    tile: PreparedTile,
    source: PreparedTile,
    rng: np.random.Generator,
    *,
    wanted: IntArray,
    truth: TruthRule,
    pixels_per_beam: float,
) -> PreparedTile:
    """A tile with one object or artefact of another, turned and mirrored at random, where there is room for it.

    Parameters
    ----------
    tile
        What is pasted into.
    source
        What is copied from, of the same size.
    wanted
        Classes to choose from.
    truth
        Class numbers.
    pixels_per_beam
        Sampling of both.

    Returns
    -------
    PreparedTile
        The tile itself if the source has nothing of these classes that lies whole within it and away from its edges,
        or the tile has no room.
    """
    turned = transform_tile(source, int(rng.integers(N_SYMMETRIES)))
    candidates = rng.permutation(np.flatnonzero(np.isin(turned.labels, wanted)) + 1)
    for chosen in candidates[:3].tolist():
        cutting = cut_out(turned, chosen, truth=truth, pixels_per_beam=pixels_per_beam, rng=rng)
        shift = _free_place(tile, cutting, rng) if cutting is not None else None
        if cutting is not None and shift is not None:
            return _blended(tile, turned, cutting, shift, pixels_per_beam=pixels_per_beam)
    return tile


def cut_out(
    source: PreparedTile, chosen: int, *, truth: TruthRule, pixels_per_beam: float, rng: np.random.Generator
) -> Cutting | None:
    """An instance with all that lies between its parts and near it; a spurious one with the source that made it.

    Returns
    -------
    Cutting or None
        None where part of it lies beyond the tile, on blank pixels, or no source is found for an artefact.
    """
    group = _group_of(source, chosen, truth=truth, pixels_per_beam=pixels_per_beam, rng=rng)
    if group is None:
        return None
    artefact = truth.spurious in source.labels[group - 1]
    margin = (ARTEFACT_MARGIN_BEAMS if artefact else OBJECT_MARGIN_BEAMS) * pixels_per_beam
    known = len(group) - 1
    while len(group) > known:  # what the copy's edge would cut is copied too, which moves the edge
        known = len(group)
        weight = _weight(source, group, margin=margin, taper=TAPER_BEAMS * pixels_per_beam)
        group = np.union1d(group, _touched(source, weight > 0))
    border = np.ones(weight.shape, dtype=bool)
    border[1:-1, 1:-1] = False
    inside = weight > 0
    if (inside & (border | ~source.valid)).any() or _reaches_beyond(source, group, inside):
        return None
    if not _artefacts_have_sources(source, group, truth):
        return None
    return Cutting(group, weight)


def _group_of(
    source: PreparedTile, chosen: int, *, truth: TruthRule, pixels_per_beam: float, rng: np.random.Generator
) -> IntArray | None:
    """An instance alone, or an artefact with its source and some of the source's artefacts, nearest first."""
    if source.labels[chosen - 1] != truth.spurious:
        return np.array([chosen])
    peaks, places = label_peaks(source.instances, np.nan_to_num(source.significance), len(source.labels))
    reach = CULPRIT_BEAMS * pixels_per_beam
    real = source.labels != truth.spurious
    near = np.hypot(*(places - places[chosen - 1]).T) <= reach
    sources = np.flatnonzero(real & near & (peaks >= CULPRIT_RATIO * peaks[chosen - 1]))
    if not len(sources):
        return None
    culprit = int(sources[np.argmax(peaks[sources])])
    distance = np.hypot(*(places - places[culprit]).T)
    others = np.flatnonzero(~real & (distance <= distance[chosen - 1]) & (CULPRIT_RATIO * peaks <= peaks[culprit]))
    some = others[np.argsort(distance[others])][: int(rng.integers(0, len(others) + 1))]
    return np.union1d([culprit + 1, chosen], some + 1)


def _artefacts_have_sources(source: PreparedTile, group: IntArray, truth: TruthRule) -> bool:
    """Whether the group holds a source bright enough to have made its brightest artefact."""
    if truth.spurious not in source.labels[group - 1]:
        return True
    peaks = label_peaks(source.instances, np.nan_to_num(source.significance), len(source.labels))[0][group - 1]
    false = source.labels[group - 1] == truth.spurious
    return bool(peaks[~false].max(initial=0.0) >= CULPRIT_RATIO * peaks[false].max(initial=0.0))


def _weight(source: PreparedTile, group: IntArray, *, margin: float, taper: float) -> FloatMap:
    """(S, S) 1 within a margin around the convex hull of a group, falling to 0 over the taper."""
    from skimage.morphology import convex_hull_image

    weight = np.zeros(source.instances.shape, dtype=np.float32)
    members = np.isin(source.instances, group) | np.isin(source.islands, _islands_of(source, group))
    reach = math.ceil(margin + taper)
    window = tuple(
        slice(max(part.start - reach, 0), part.stop + reach)
        for part in ndimage.find_objects(members.astype(np.int8))[0]
    )
    near = members[window]
    hull = convex_hull_image(near) if near.sum() > 2 else near
    phase = np.clip((ndimage.distance_transform_edt(~hull) - margin) / taper, 0.0, 1.0)
    weight[window] = np.where(phase < 1, np.cos(0.5 * np.pi * phase), 0.0)
    return weight


def _islands_of(source: PreparedTile, group: IntArray) -> IntArray:
    return np.flatnonzero(np.isin(source.island_instance, group)) + 1


def _touched(source: PreparedTile, region: BoolArray) -> IntArray:
    """Instances with a pixel or an island in a region."""
    owners = np.append(0, source.island_instance)[source.islands[region]]
    numbers = np.concatenate([source.instances[region].astype(np.int64), owners])
    return np.unique(numbers[numbers > 0])


def _reaches_beyond(source: PreparedTile, group: IntArray, inside: BoolArray) -> bool:
    """Whether an island of the group, or an ignored one beside it, is not wholly within the copy."""
    present = np.unique(source.islands[inside])
    rows = np.union1d(_islands_of(source, group), present[present > 0]) - 1
    cut = np.isin(source.islands, rows + 1) & ~inside
    ignored_cut = _cut_ignored(source, inside)
    boxes = source.island_boxes[rows]
    return bool(cut.any() or ignored_cut or (boxes[:, :2] < 0).any() or (boxes[:, 2:] > source.size).any())


def _cut_ignored(source: PreparedTile, inside: BoolArray) -> bool:
    """Whether a connected ignored region lies partly within the copy."""
    ignored = source.instances == IGNORED
    if not (ignored & inside).any():
        return False
    regions, _ = ndimage.label(ignored, structure=np.ones((3, 3)))
    within = np.unique(regions[inside & ignored])
    return bool((np.isin(regions, within) & ~inside).any())


def _free_place(tile: PreparedTile, cutting: Cutting, rng: np.random.Generator) -> tuple[int, int] | None:
    """Rows and columns to move a cutting by, so that it lies in room that holds nothing but noise."""
    inside = cutting.weight > 0
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    (y0, y1), (x0, x1) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    footprint = inside[y0:y1, x0:x1]
    occupied = (tile.instances != 0) | (tile.islands > 0) | ~tile.valid
    for _ in range(TRIES):
        y = int(rng.integers(0, tile.size - (y1 - y0) + 1))
        x = int(rng.integers(0, tile.size - (x1 - x0) + 1))
        if not (occupied[y : y + y1 - y0, x : x + x1 - x0] & footprint).any():
            return y - int(y0), x - int(x0)
    return None


def _moved(array: NDArray[Any], shift: tuple[int, int], inside: BoolArray) -> NDArray[Any]:
    """An array with what is inside moved, zero elsewhere; nothing inside leaves the tile."""
    return np.roll(np.where(inside, array, array.dtype.type(0)), shift, axis=(0, 1))


def _blended(
    tile: PreparedTile, source: PreparedTile, cutting: Cutting, shift: tuple[int, int], *, pixels_per_beam: float
) -> PreparedTile:
    """The tile with the cutting in its new place: pixels blended, ids of the copy after those of the tile."""
    inside = cutting.weight > 0
    weight = _moved(cutting.weight, shift, inside)
    below, above = tile.significance, _moved(np.nan_to_num(source.significance), shift, inside)
    snr = np.sqrt(1 - weight**2) * below + weight * above
    change = np.where(np.isfinite(snr), snr - below, np.float32(np.nan)).astype(np.float32)
    smoothed = tile.smoothed_significance + smooth_significance(
        change, beam_fwhm_pixels=pixels_per_beam, zero_beyond=True
    )
    instances = _renumbered(source.instances, cutting.instances, first=len(tile.labels) + 1)
    found = np.unique(source.islands[inside])
    rows = np.union1d(_islands_of(source, cutting.instances), found[found > 0]) - 1
    islands = _renumbered(source.islands, rows + 1, first=len(tile.island_instance) + 1)
    lookup = np.full(len(source.labels) + 1, IGNORED, dtype=np.int64)
    lookup[cutting.instances] = len(tile.labels) + 1 + np.arange(len(cutting.instances))
    owner = source.island_instance[rows]
    offset = np.array([shift[1], shift[0]] * 2, dtype=np.float32)
    new_islands = np.where(weight > 0, _moved(islands, shift, inside), tile.islands).astype(np.int16)
    return tile.replace(
        channels=assemble_channels(snr.astype(np.float32), smoothed, new_islands > 0).astype(np.float16),
        instances=np.where(weight > 0, _moved(instances, shift, inside), tile.instances).astype(np.int16),
        labels=np.concatenate([tile.labels, source.labels[cutting.instances - 1]]),
        islands=new_islands,
        island_boxes=np.concatenate([tile.island_boxes, source.island_boxes[rows] + offset]),
        island_fluxes=np.concatenate([tile.island_fluxes, source.island_fluxes[rows] * _flux_unit(tile, source)]),
        island_instance=np.concatenate(
            [tile.island_instance, np.where(owner > 0, lookup[np.maximum(owner, 0)], owner)]
        ),
    )


def _renumbered(labels: NDArray[np.int16], numbers: IntArray, *, first: int) -> NDArray[np.int16]:
    """A label map in which ``numbers`` are first, first + 1, ..., ignored pixels stay and others are 0."""
    lookup = np.zeros(int(max(labels.max(initial=0), numbers.max(initial=0))) + 1, dtype=np.int16)
    lookup[numbers] = first + np.arange(len(numbers))
    return np.where(labels == IGNORED, IGNORED, lookup[np.maximum(labels, 0)]).astype(np.int16)


def _flux_unit(tile: PreparedTile, source: PreparedTile) -> np.float32:
    """What a flux of the source is in the tile: equal signal to noise is equal flux in units of the local noise."""
    here, there = _flux_per_snr(tile), _flux_per_snr(source)
    return np.float32(here / there if here > 0 and there > 0 else 1.0)


def _flux_per_snr(tile: PreparedTile) -> float:
    """Median of flux over summed signal to noise of a tile's islands, 0 where it has none."""
    sums = np.bincount(tile.islands.ravel(), np.nan_to_num(tile.significance).ravel(), len(tile.island_fluxes) + 1)[1:]
    usable = (sums > 0) & (tile.island_fluxes > 0) & math.isfinite(float(tile.island_fluxes.sum()))
    return float(np.median(tile.island_fluxes[usable] / sums[usable])) if usable.any() else 0.0
