"""Friends of friends: the grouping that needs nothing but one length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csgraph
from scipy.spatial import cKDTree

IntArray = NDArray[np.int64]


def linked_groups(positions: ArrayLike, lengths: Sequence[float]) -> IntArray:
    """Group (L, N) of each position (N, 2) when those at most a length apart are joined, for every length.

    Groups are numbered 0, 1, ... in no particular order.
    """
    places = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
    limits = np.asarray(lengths, dtype=np.float64)
    number = len(places)
    if number < 2 or limits.size == 0:
        return np.tile(np.arange(number, dtype=np.int64), (limits.size, 1))
    pairs = cKDTree(places).query_pairs(float(limits.max()), output_type="ndarray")
    gaps = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T)
    # groups at any length are pieces of the shortest tree; a sparse matrix would lose distances of zero
    weights = coo_array((gaps + 1.0, (pairs[:, 0], pairs[:, 1])), shape=(number, number)).tocsr()
    tree = csgraph.minimum_spanning_tree(weights).tocoo()
    result = np.empty((limits.size, number), dtype=np.int64)
    for row, limit in enumerate(limits):
        near = tree.data <= limit + 1.0
        links = coo_array((tree.data[near], (tree.row[near], tree.col[near])), shape=(number, number))
        result[row] = csgraph.connected_components(links, directed=False)[1]
    return result
