"""Matching islands by the pixels that they share in two label maps of one grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from neanias_ml.catalogue.reading_sources import SourceList
from neanias_ml.errors import InputError, UsageError
from neanias_ml.evaluation import CrossMatch

IntArray = NDArray[np.int64]
LABEL_MAP = "islands.fits"


def overlapping_pairs(a: SourceList, b: SourceList, *, min_overlap: float) -> tuple[CrossMatch, NDArray[np.float64]]:
    """Pairs of rows whose islands cover each other, and the share (K,) that they cover of the larger one.

    The share is asked of the larger island, so that it holds of both: an island that swallows a small one is no match.

    Raises
    ------
    UsageError
        ``LabelMapMissing``, ``IslandIdsMissing``, ``SeveralRowsPerIsland``.
    InputError
        ``LabelMapUnusable`` if the maps differ in shape, or hold no labels.
    """
    labels = [_label_map(one, letter) for one, letter in ((a, "a"), (b, "b"))]
    if labels[0].shape != labels[1].shape:
        raise InputError(
            "LabelMapUnusable",
            f"the label maps have {labels[0].shape} and {labels[1].shape} pixels (rows, columns); match by position, "
            "or give label maps of one grid",
        )
    rows_of = [
        _rows_of_labels(one, letter, int(label.max(initial=0)))
        for one, letter, label in zip((a, b), "ab", labels, strict=True)
    ]
    rows_a, rows_b = rows_of[0][labels[0]], rows_of[1][labels[1]]
    size_a = np.bincount(rows_a[rows_a >= 0], minlength=len(a))
    size_b = np.bincount(rows_b[rows_b >= 0], minlength=len(b))
    both = (rows_a >= 0) & (rows_b >= 0)
    shared = coo_array(
        (np.ones(int(both.sum()), dtype=np.int64), (rows_a[both], rows_b[both])), shape=(len(a), len(b))
    ).tocsr()
    shared.sum_duplicates()
    pairs = shared.tocoo()
    first, second = pairs.row.astype(np.int64), pairs.col.astype(np.int64)
    share = pairs.data / np.maximum(size_a[first], size_b[second])
    kept = share >= min_overlap
    return CrossMatch(first[kept], second[kept], np.zeros(int(kept.sum()))), share[kept]


def _label_map(sources: SourceList, letter: str) -> IntArray:
    """The label map of a catalogue: the one that is named, else the one beside it."""
    from astropy.io import fits

    path = sources.label_map
    if path is None and sources.path is not None:
        folder = sources.path if sources.path.is_dir() else sources.path.parent
        path = folder / LABEL_MAP
    if path is None or not Path(path).exists():
        raise UsageError(
            "LabelMapMissing",
            f"matching by overlap needs the label map of catalogue {letter.upper()}: run extract or detect with "
            f"--save-maps, or name the map with --{letter}.islands FILE",
        )
    try:
        with fits.open(path) as units:
            data = next((unit.data for unit in units if unit.is_image and unit.data is not None), None)
    except OSError as error:
        raise InputError("LabelMapUnusable", f"{path} cannot be read as a FITS map ({error})") from error
    label = None if data is None else np.squeeze(data)
    if label is None or label.ndim != 2 or label.dtype.kind not in "iu":
        raise InputError("LabelMapUnusable", f"{path} holds no 2-D map of whole-number labels")
    return np.maximum(label.astype(np.int64), 0)  # some programs mark blank sky by -1


def _rows_of_labels(sources: SourceList, letter: str, largest: int) -> IntArray:
    """Row of each label 0 to ``largest``; -1 where a label is no row's."""
    owners = np.full(largest + 1, -1, dtype=np.int64)
    table = sources.table
    if "island_ids" in table.colnames:
        groups = [str(text) for text in table["island_ids"]]
        pairs = [(int(label), row) for row, text in enumerate(groups) for label in text.split(",") if label.strip()]
    elif "island_id" in sources.values:
        pairs = [(int(label), row) for row, label in enumerate(np.asarray(sources.values["island_id"]).tolist())]
    else:
        raise UsageError(
            "IslandIdsMissing",
            f"matching by overlap needs the islands' labels in catalogue {letter.upper()}; name their column with "
            f"--{letter}.island_id",
        )
    labels = [label for label, _ in pairs]
    if len(set(labels)) != len(labels):
        raise UsageError(
            "SeveralRowsPerIsland",
            f"catalogue {letter.upper()} has several rows of one island (a table of components?); choose the table of "
            f"islands with --{letter}.table islands, or match by position",
        )
    for label, row in pairs:
        if 0 < label <= largest:
            owners[label] = row
    owners[0] = -1
    return owners
