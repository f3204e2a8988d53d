"""One-to-one matching of true and predicted instances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from neanias_ml.evaluation.instances import FieldPair

IntArray = NDArray[np.int64]


def match_one_to_one(iou: sparse.coo_array, *, threshold: float) -> tuple[IntArray, IntArray]:
    """Pairs (rows, columns) of the one-to-one matching with the most pairs' summed IoU.

    Only pairs with ``iou >= threshold`` count. The assignment is optimal (Hungarian), solved separately in
    each group of instances that overlap, so that the cost grows with the crowding and not with the field.
    """
    keep = iou.data >= threshold
    rows, columns, values = iou.row[keep], iou.col[keep], iou.data[keep]
    n_rows, n_columns = iou.shape
    graph = sparse.coo_array((values, (rows, columns + n_rows)), shape=(n_rows + n_columns,) * 2)
    _, group = sparse.csgraph.connected_components(graph, directed=False)
    order = np.argsort(group[rows], kind="stable")
    bounds = np.flatnonzero(np.diff(group[rows][order], prepend=-1))
    chosen = [_assign(rows[part], columns[part], values[part]) for part in np.split(order, bounds)[1:]]
    if not chosen:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    pairs = np.concatenate(chosen)
    pairs = pairs[np.argsort(pairs[:, 0])]
    return pairs[:, 0], pairs[:, 1]


def _assign(rows: IntArray, columns: IntArray, values: NDArray[np.floating]) -> IntArray:
    """Optimal pairs (K, 2) of one connected group."""
    if len(rows) == 1:
        return np.array([[rows[0], columns[0]]], dtype=np.int64)
    row_ids, row_index = np.unique(rows, return_inverse=True)
    column_ids, column_index = np.unique(columns, return_inverse=True)
    gain = np.zeros((len(row_ids), len(column_ids)))
    gain[row_index, column_index] = values
    left, right = linear_sum_assignment(gain, maximize=True)
    real = gain[left, right] > 0
    return np.stack([row_ids[left[real]], column_ids[right[real]]], axis=1).astype(np.int64)


def match_by_score(pair: FieldPair, *, threshold: float) -> NDArray[np.bool_]:
    """Which predictions (M,) are hits when taken by falling score (the rule of COCO's average precision).

    Each prediction takes the free true instance of its own class with the largest IoU, if at least
    ``threshold``.
    """
    hits = np.zeros(len(pair.predicted), dtype=bool)
    taken = np.zeros(len(pair.true), dtype=bool)
    same = pair.true.labels[pair.iou.row] == pair.predicted.labels[pair.iou.col]
    keep = same & (pair.iou.data >= threshold)
    places = (pair.iou.col[keep], pair.iou.row[keep])
    table = sparse.coo_array((pair.iou.data[keep], places), shape=pair.iou.T.shape).tocsr()
    for index in np.argsort(-pair.predicted.scores, kind="stable"):
        span = slice(table.indptr[index], table.indptr[index + 1])
        free = ~taken[table.indices[span]]
        if free.any():
            best = int(np.argmax(np.where(free, table.data[span], -1.0)))
            taken[table.indices[span][best]] = True
            hits[index] = True
    return hits
