"""Which connected set of an island's component tree belongs to a blob."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.blob_scales import Blobs
from neanias_ml.extraction.component_tree import ComponentTree
from neanias_ml.extraction.pedestal_kernels import ring_medians

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
    tree: ComponentTree, y: Int32s, x: Int32s, blobs: Blobs, *, beam: FloatArray, merge_threshold: float
) -> BlobSets:
    """Sets of the blobs whose summit is a peak of the tree; a mere shoulder of something brighter has none.

    Parameters
    ----------
    tree
        Of the significance of the pixels (y, x).
    beam
        (2, 2) pixel covariance of the beam; no blob is smaller.
    merge_threshold
        A set reaches down to this many sigma above the median around it.
    """
    beam_sigma = float(np.linalg.det(beam)) ** 0.25
    step = int(x.max()) + 1
    keys = y.astype(np.int64) * step + x
    summit = np.searchsorted(keys, blobs.summit[:, 0].astype(np.int64) * step + blobs.summit[:, 1]).astype(np.int32)
    node = tree.node_of(summit)
    is_peak = tree.level[tree.peak[node]] == tree.level[summit]
    summit, node, scale = summit[is_peak], node[is_peak], np.maximum(blobs.scale[is_peak], beam_sigma)
    widest, base = _widest_compact((tree.level, tree.parent, tree.size, tree.peak), node, scale)
    inner = np.sqrt(tree.size[widest] / np.pi) + beam_sigma
    pedestal = ring_medians(
        (tree.level, tree.start, y, x), (tree.start[widest], tree.size[widest]), summit, inner, 2.0 * beam_sigma
    )
    rim = tree.level[widest].astype(np.float64)
    cut = np.fmax(pedestal + merge_threshold, rim)
    return BlobSets(summit, scale, widest, base, pedestal, tree.lowest_above(node, cut))


@njit(cache=True, nogil=True)
def _widest_compact(
    tree: tuple[Float32s, Int32s, Int32s, Int32s], node: Int32s, scale: FloatArray
) -> tuple[Int32s, FloatArray]:
    """Go down the tree from each summit while it is the highest and the set no larger than a blob of its scale.

    A Gaussian of sigma s and height C on a flat floor covers ``2 pi s^2 ln(C / h)`` above the height h. At a
    depth d below its peak this is at most about ``2 pi s^2 ln(1 + d)`` (d in sigma, h at least one sigma).
    """
    level, parent, size, peak = tree
    widest = node.copy()
    base = np.empty(len(node))
    for row in range(len(node)):
        current = node[row]
        summit = level[current]
        while True:
            below = parent[current]
            base[row] = level[below]
            largest = AREA_SLACK * 2.0 * np.pi * scale[row] ** 2 * np.log(1.0 + summit - level[below])
            grown = size[below] > max(largest, float(LEAST_AREA))
            if below == current or grown or peak[below] != peak[current]:
                break
            current = below
        widest[row] = current
    return widest, base
