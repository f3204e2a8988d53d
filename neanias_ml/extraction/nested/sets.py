"""Which connected set of an island's component tree belongs to a blob."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.nested.blob_scales import Blobs
from neanias_ml.extraction.nested.component_tree import ComponentTree
from neanias_ml.extraction.nested.pedestal_kernels import first_pixels_of_rows, place_in_row
from neanias_ml.extraction.shapes.medians import median_of

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
FloatArray = NDArray[np.float64]

AREA_SLACK = 1.5
"""A set may cover this many times the area of a Gaussian blob as deep as the set: noise roughens its outline."""
LEAST_AREA = 9
"""Sets of so few pixels always count as compact."""


@dataclass(frozen=True)
class BlobSets:
    """C blobs that are peaks of the image, with the sets of the tree that they may own.

    Attributes
    ----------
    summit
        (C,) highest pixel.
    scale
        (C,) sigma, pixels, beam included.
    widest
        (C,) node: the largest set that is compact and has this summit.
    base
        (C,) level at which it stops so: a higher peak, the island's own emission, or the island's edge.
    pedestal
        (C,) median level around the widest set, NaN where nothing of the island is around.
    node
        (C,) the part of the widest set that stays above the pedestal.
    """

    summit: Int32s
    scale: FloatArray
    widest: Int32s
    base: FloatArray
    pedestal: FloatArray
    node: Int32s

    def __len__(self) -> int:
        return len(self.summit)

    def select(self, rows: NDArray[np.bool_] | Int64s) -> BlobSets:
        """Some of the sets."""
        return BlobSets(
            summit=self.summit[rows],
            scale=self.scale[rows],
            widest=self.widest[rows],
            base=self.base[rows],
            pedestal=self.pedestal[rows],
            node=self.node[rows],
        )

    def contrast(self, tree: ComponentTree) -> FloatArray:
        """(C,) height of the summit above the surroundings, or above the base where there are none."""
        surroundings = np.where(np.isnan(self.pedestal), self.base, self.pedestal)
        return tree.level[self.summit].astype(np.float64) - surroundings


def sets_of_blobs(
    tree: ComponentTree, y: Int32s, x: Int32s, blobs: Blobs, *, beam_sigma: float, merge_threshold: float
) -> BlobSets:
    """Sets of the blobs whose summit is a peak of the tree; a mere shoulder of something brighter has none.

    Parameters
    ----------
    tree
        Of the significance of the pixels (y, x).
    beam_sigma
        Sigma of the beam, geometric mean of its axes, pixels; no blob is smaller.
    merge_threshold
        A set reaches down to this many sigma above the median around it.
    """
    step = int(x.max()) + 1
    keys = y.astype(np.int64) * step + x
    summit = np.searchsorted(keys, blobs.summit[:, 0].astype(np.int64) * step + blobs.summit[:, 1]).astype(np.int32)
    node = tree.node_of(summit)
    is_peak = tree.level[tree.peak[node]] == tree.level[summit]
    summit, node, scale = summit[is_peak], node[is_peak], np.maximum(blobs.scale[is_peak], beam_sigma)
    widest, base = np.empty(len(node), np.int32), np.empty(len(node))
    _find_widest_compact((tree.level, tree.parent, tree.size, tree.peak), node, scale, widest, base)
    inner = np.sqrt(tree.size[widest] / np.pi) + beam_sigma
    pedestal = ring_medians(
        (tree.level, tree.start, y, x), (tree.start[widest], tree.size[widest]), summit, inner, 2.0 * beam_sigma
    )
    rim = tree.level[widest].astype(np.float64)
    cut = np.fmax(pedestal + merge_threshold, rim)
    return BlobSets(summit, scale, widest, base, pedestal, tree.lowest_above(node, cut))


@njit(cache=True, nogil=True)
def _find_widest_compact(
    tree: tuple[Float32s, Int32s, Int32s, Int32s], node: Int32s, scale: FloatArray, widest: Int32s, base: FloatArray
) -> None:
    """Go down the tree from each summit while it is the highest and the set no larger than a blob of its scale.

    A Gaussian of sigma s and height C on a flat floor covers ``2 pi s^2 ln(C / h)`` above the height h. At a
    depth d below its peak this is at most about ``2 pi s^2 ln(1 + d)`` (d in sigma, h at least one sigma).
    """
    level, parent, size, peak = tree
    for row in range(len(node)):
        current = node[row]
        summit = level[current]
        while True:
            below = parent[current]
            base[row] = level[below]
            largest = AREA_SLACK * 2.0 * math.pi * scale[row] * scale[row] * math.log(1.0 + summit - level[below])
            grown = size[below] > max(largest, float(LEAST_AREA))
            if below == current or grown or peak[below] != peak[current]:
                break
            current = below
        widest[row] = current


def ring_medians(
    pixels: tuple[Float32s, Int32s, Int32s, Int32s],
    sets: tuple[Int32s, Int32s],
    centre: Int32s,
    inner: FloatArray,
    width: float,
) -> FloatArray:
    """(C,) median level in circular rings around pixels, of what is not in a set; NaN where nothing is.

    Parameters
    ----------
    pixels
        Level, place in the tree's sequence, row and column of the pixels of a tree, row by row.
    sets
        (C,) places in the sequence at which the sets begin, and their sizes.
    centre, inner
        (C,) pixel and inner radius.
    width
        Of the rings, pixels.
    """
    medians = np.full(len(centre), np.nan)
    if len(centre):
        values = np.empty((2 * int(inner.max() + width) + 1) ** 2)
        _set_ring_medians(pixels, first_pixels_of_rows(pixels[2]), sets, centre, inner, width, values, medians)
    return medians


@njit(cache=True, nogil=True)
def _set_ring_medians(
    pixels: tuple[Float32s, Int32s, Int32s, Int32s],
    first: Int64s,
    sets: tuple[Int32s, Int32s],
    centre: Int32s,
    inner: FloatArray,
    width: float,
    values: FloatArray,
    medians: FloatArray,
) -> None:
    """Set the medians of the rings that hold anything; ``values`` is scratch for the widest."""
    level, place, y, x = pixels
    for c in range(centre.size):
        row, col, begin = y[centre[c]], x[centre[c]], sets[0][c]
        end, outer = begin + sets[1][c], inner[c] + width
        reach = int(outer)
        count = 0
        for r in range(max(y[0], row - reach), min(y[y.size - 1], row + reach) + 1):
            high = first[r - y[0] + 1]
            i = place_in_row(x, first[r - y[0]], high, col - reach)
            while i < high and x[i] <= col + reach:
                apart = math.sqrt(float((r - row) * (r - row) + (x[i] - col) * (x[i] - col)))
                if inner[c] < apart <= outer and not begin <= place[i] < end:
                    values[count] = level[i]
                    count += 1
                i += 1
        if count > 0:
            medians[c] = median_of(values[:count])
