"""The noise away from bright sources: a low quantile of the noise in a wide neighbourhood."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatMesh = NDArray[np.float64]
IntArray = NDArray[np.int64]


def quantile_around(mesh: FloatMesh, *, half: int, share: float) -> FloatMesh:
    """Value below which a share of the known nodes within ``half`` nodes of each node lies, NaN where there is none.

    The neighbourhood moves along a row and counts how many of its nodes have which rank among all (Huang, Yang & Tang
    1979, IEEE TASSP 27, 13), in single ranks and in stretches of about the root of their number, so that a quantile is
    found in few steps.
    """
    values = mesh.ravel()
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    ranks = np.full(values.shape, -1, dtype=np.int64)
    ranks[order] = np.arange(len(order))
    chosen = _chosen_ranks(ranks.reshape(mesh.shape), len(order), half, share)
    return np.where(chosen >= 0, values[order[chosen]], np.nan) if len(order) else np.full(mesh.shape, np.nan)


@njit(cache=True, nogil=True)
def _chosen_ranks(ranks: IntArray, number: int, half: int, share: float) -> IntArray:
    """Rank of the quantile around each node, -1 where nothing is known, from the ranks of the nodes, -1 if unknown."""
    ny, nx = ranks.shape
    stretch = int(math.sqrt(number)) + 1
    single, joint = np.zeros(stretch * stretch, dtype=np.int64), np.zeros(stretch + 1, dtype=np.int64)
    chosen = np.full(ranks.shape, -1, dtype=np.int64)
    for row in range(ny):
        count = 0
        for entering in range(nx + 2 * half + 1):  # beyond the last column, so that all is taken out again
            col = entering - half
            for sign, column in ((1, entering), (-1, col - half - 1)):
                if 0 <= column < nx:
                    for other in range(max(0, row - half), min(ny, row + half + 1)):
                        rank = ranks[other, column]
                        if rank >= 0:
                            single[rank] += sign
                            joint[rank // stretch] += sign
                            count += sign
            if 0 <= col < nx and count > 0:
                before, part = int(share * count), 0
                while joint[part] <= before:
                    before -= joint[part]
                    part += 1
                rank = part * stretch
                while single[rank] <= before:
                    before -= single[rank]
                    rank += 1
                chosen[row, col] = rank
    return chosen
