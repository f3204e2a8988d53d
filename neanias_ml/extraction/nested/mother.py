"""The search of one island: blobs of its scale space become sets of pixels, which nest in one another."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.nested.blob_kernels import greatest_around
from neanias_ml.extraction.nested.blob_scales import Blobs, ScaleSpace, find_blobs
from neanias_ml.extraction.nested.component_tree import ComponentTree
from neanias_ml.extraction.nested.config import NestedConfig
from neanias_ml.extraction.nested.footprints import add_footprints
from neanias_ml.extraction.nested.sets import BlobSets, sets_of_blobs
from neanias_ml.maps import FWHM_PER_SIGMA

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOTHERS_SHARE = 0.5
"""A lone blob that takes this part of its mother, or whose own Gaussian would, is the mother."""
SAME_AREA = 2.0
"""Of two sets with one peak the outer counts by itself if it is this many times the inner."""
PEAK_FRACTIONS = (0.75, 0.5, 0.25)
NARROW = 1.4
"""Blobs up to this many times the beam are narrow, others are wide."""
TOP_SLACK = 1.5
"""The top of a wide blob may have this many times the excess of a round Gaussian: it may be oval, or cuspy."""
APART_BEAMS = 0.75
"""A blob without a set of its own in the tree is another source than a peak this many FWHM away."""


@dataclass(frozen=True)
class NestedInMother:
    """The nested islands of one mother, in the order of their first pixels, parents before children.

    Attributes
    ----------
    members
        For each the indices of its pixels in the mother's list, ascending.
    parent
        (N,) int64 index of the enclosing one, or -1.
    level, scale, contrast
        (N,) as in `NestedIslands`.
    """

    members: list[Int64s]
    parent: Int64s
    level: Int32s
    scale: Float32s
    contrast: Float32s

    def __len__(self) -> int:
        return len(self.members)


def search_mother(
    mother: IslandPixels, *, beam: FloatArray, scales: ScaleSpace, config: NestedConfig
) -> NestedInMother:
    """Nested islands of one mother, whose pixels are listed row by row (a margin takes part as surroundings only)."""
    significance = (mother.flux / mother.noise).astype(np.float32)
    blobs = find_blobs(mother, significance, scales=scales, threshold=config.peak_threshold)
    blobs = blobs.select(_are_blobs(blobs, scales, config))
    if len(blobs) == 0:
        return _EMPTY
    own = np.flatnonzero(mother.inside)
    y, x = mother.y[own], mother.x[own]
    tree = ComponentTree.build(y, x, significance[own])
    sets = sets_of_blobs(tree, y, x, blobs, beam_sigma=scales.beam_sigma, merge_threshold=config.merge_threshold)
    is_mother = _are_the_mother(tree, sets)
    accepted = sets.select(_stand_out(tree, sets, scales.beam_sigma, config) & ~is_mother)
    accepted = accepted.select(_distinct(tree, accepted))
    nested = _nested_sets(tree, accepted)
    fwhm = FWHM_PER_SIGMA * scales.beam_sigma
    shoulders = blobs.select(
        _are_compact(blobs, config)
        & _are_apart(blobs, y[accepted.summit], x[accepted.summit], np.full(len(accepted), APART_BEAMS * fwhm))
        & _are_apart(blobs, *_places(y, x, sets.select(is_mother), fwhm))
    )
    nested = _with_footprints(nested, y, x, shoulders, beam=beam, scales=scales, config=config)
    return _in_order(replace(nested, members=[own[member] for member in nested.members]))


_NONE = np.empty(0, np.float32)
_EMPTY = NestedInMother([], np.empty(0, np.int64), np.empty(0, np.int32), _NONE, _NONE)


def _are_compact(blobs: Blobs, config: NestedConfig) -> Mask:
    """Whether blobs of the finest scale rise above the smooth emission around them, in every direction."""
    excess = blobs.excess_snr >= config.peak_threshold
    return excess & (blobs.excess_curvature_snr >= config.min_curvature)


def _are_blobs(blobs: Blobs, scales: ScaleSpace, config: NestedConfig) -> Mask:
    """Whether maxima are sources: round ones of their own scale, and compact ones that are not the top of a wide one.

    The top of a wide blob has an excess at the finest scale, too; another source there must exceed it.
    """
    own = blobs.of_own_scale & (blobs.curvature_snr >= config.min_curvature) & (blobs.roundness >= config.min_roundness)
    wide = np.flatnonzero(own & (blobs.scale > NARROW * scales.beam_sigma))
    explained = greatest_around(
        (blobs.y, blobs.x),
        (blobs.y[wide], blobs.x[wide]),
        blobs.scale[wide],
        scales.excess_of_gaussian(blobs.scale[wide], blobs.height[wide]),
    )
    beyond = blobs.excess_snr - TOP_SLACK * explained >= config.peak_threshold
    return own | (_are_compact(blobs, config) & beyond)


def _places(y: Int32s, x: Int32s, sets: BlobSets, least: float) -> tuple[Int32s, Int32s, FloatArray]:
    """Summits and the radii within which the sets themselves explain what is seen."""
    return y[sets.summit], x[sets.summit], np.maximum(sets.scale, least)


def _are_apart(blobs: Blobs, y: Int32s, x: Int32s, radius: FloatArray) -> Mask:
    """Whether blobs keep a distance from places."""
    return greatest_around((blobs.y, blobs.x), (y, x), radius, np.ones(len(y))) == 0


def _stand_out(tree: ComponentTree, sets: BlobSets, beam_sigma: float, config: NestedConfig) -> Mask:
    """Whether sets are prominent, bright against their surroundings, and large enough."""
    beam_spread = beam_sigma**2
    # a set's rim lies about its radius from the peak: the noise there is still correlated with the peak's
    radius_squared = tree.size[sets.widest] / np.pi
    noise = np.sqrt(2.0 * (1.0 - np.exp(-radius_squared / (4.0 * beam_spread))))
    prominent = tree.level[sets.summit] - sets.base >= config.min_prominence * noise
    large = tree.size[sets.node] >= config.min_beam_fraction * 2.0 * np.pi * beam_spread
    return prominent & large & (sets.contrast(tree) >= config.peak_threshold)


def _are_the_mother(tree: ComponentTree, sets: BlobSets) -> Mask:
    """Whether a blob is all there is of its island: a lone source that fades to the island's edge.

    That its set is smaller than the island says little, as noise cuts sets short. So the area that a Gaussian would
    have, ``A(h) = A(f p) ln(p / h) / ln(1 / f)`` for a peak p, is held against the island, too: taken from the blob's
    scale and from the sets at some fractions f of the peak. Of these the smallest counts: a point on a disk is small
    near its peak.
    """
    floor = max(float(tree.level.min()), 1e-3)
    peak = np.maximum(tree.level[sets.summit].astype(np.float64), floor)
    drop = np.log(peak / floor)
    summit = tree.node_of(sets.summit)
    of_fractions = [tree.size[tree.lowest_above(summit, f * peak)] * drop / np.log(1.0 / f) for f in PEAK_FRACTIONS]
    gaussian = np.maximum(2.0 * np.pi * sets.scale**2 * drop, np.min(of_fractions, axis=0))
    most = MOTHERS_SHARE * len(tree)
    all_there_is = (tree.size[sets.widest] >= most) | (gaussian >= most)
    for row in np.flatnonzero(all_there_is):
        all_there_is[row] = tree.contains(int(sets.widest[row]), sets.summit).all()
    return all_there_is


def _distinct(tree: ComponentTree, sets: BlobSets) -> Int64s:
    """Rows of the sets that are not the same source twice (one peak, nearly the same set)."""
    size = tree.size[sets.node]
    kept: list[int] = []
    for row in np.lexsort((sets.node, size, sets.summit)):
        if kept and sets.summit[kept[-1]] == sets.summit[row] and size[row] < SAME_AREA * size[kept[-1]]:
            continue
        kept.append(int(row))
    return np.array(kept, dtype=np.int64)


def _nested_sets(tree: ComponentTree, sets: BlobSets) -> NestedInMother:
    """Sets of a tree, which are disjoint or one inside the other, each under the smallest that encloses it."""
    start, size = tree.start[sets.node], tree.size[sets.node]
    parent, level = np.full(len(sets), -1, np.int64), np.ones(len(sets), np.int32)
    open_sets: list[int] = []
    for row in np.lexsort((-size, start)):
        while open_sets and start[open_sets[-1]] + size[open_sets[-1]] <= start[row]:
            open_sets.pop()
        if open_sets:
            parent[row], level[row] = open_sets[-1], level[open_sets[-1]] + 1
        open_sets.append(int(row))
    return NestedInMother(
        members=[tree.pixels(int(node)).astype(np.int64) for node in sets.node],
        parent=parent,
        level=level,
        scale=sets.scale.astype(np.float32),
        contrast=sets.contrast(tree).astype(np.float32),
    )


def _with_footprints(
    nested: NestedInMother,
    y: Int32s,
    x: Int32s,
    blobs: Blobs,
    *,
    beam: FloatArray,
    scales: ScaleSpace,
    config: NestedConfig,
) -> NestedInMother:
    """Add the blobs that are no peak of the image, as a source on a slope is, with the pixels a point source covers."""
    if len(blobs) == 0:
        return nested
    owner = np.full(len(y), -1, dtype=np.int64)
    for row in np.argsort(nested.level, kind="stable"):
        owner[nested.members[row]] = row
    contrast = blobs.excess_snr * scales.point_contrast
    sizes = 2.0 * np.log(np.maximum(contrast / config.merge_threshold, 2.0))
    fewest = math.ceil(config.min_beam_fraction * 2.0 * np.pi * scales.beam_sigma**2)
    pixels, counts, owners = add_footprints((y, x), owner, (blobs.y, blobs.x, sizes), beam, fewest)
    rows = np.flatnonzero(counts)
    added = owners[rows]
    levels = np.where(added >= 0, np.append(nested.level, 0)[added] + 1, 1).astype(np.int32)
    return NestedInMother(
        members=[*nested.members, *np.split(pixels, np.cumsum(counts[rows])[:-1])] if len(rows) else nested.members,
        parent=np.concatenate([nested.parent, added]),
        level=np.concatenate([nested.level, levels]),
        scale=np.concatenate([nested.scale, np.full(len(rows), scales.beam_sigma, np.float32)]),
        contrast=np.concatenate([nested.contrast, contrast[rows].astype(np.float32)]),
    )


def _in_order(nested: NestedInMother) -> NestedInMother:
    """By first pixel; an outer one starts no later than what it holds."""
    if len(nested) == 0:
        return _EMPTY
    order = np.lexsort((nested.level, np.array([member[0] for member in nested.members])))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    parent = nested.parent[order]
    return NestedInMother(
        members=[nested.members[row] for row in order],
        parent=np.where(parent >= 0, place[parent], -1),
        level=nested.level[order],
        scale=nested.scale[order],
        contrast=nested.contrast[order],
    )
