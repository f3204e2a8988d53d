"""The tables of a cross-match: pairs with the columns of both catalogues, and the rows that stayed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from neanias_ml.catalogue.crossmatch import MatchedPairs
from neanias_ml.catalogue.reading_sources import SourceList


def matches_table(a: SourceList, b: SourceList, matched: MatchedPairs) -> Table:
    """One row per pair, sorted by the row of A.

    First what the pair says (``row_a, row_b`` counted from 0, separation, offsets of B from A, pulls, ratios B over A,
    spectral index, overlap), then the columns of A with ``_a`` behind their names and those of B with ``_b``. What no
    pair has is left out.
    """
    unit = matched.rule.unit
    sky = unit == "arcsec"
    table = Table(meta={"name": "matches", "description": f"Pairs of {_label(a)} (a) and {_label(b)} (b)"})
    _add(table, "row_a", matched.pairs.first, "", "row of A, from 0")
    _add(table, "row_b", matched.pairs.second, "", "row of B, from 0")
    _add(table, "separation", matched.pairs.separation, unit, "distance of the two positions")
    _add(
        table, "offset_east" if sky else "offset_x", matched.east, unit, "B minus A, " + ("east" if sky else "columns")
    )
    _add(
        table, "offset_north" if sky else "offset_y", matched.north, unit, "B minus A, " + ("north" if sky else "rows")
    )
    for name, values, description in (
        ("pull_east" if sky else "pull_x", matched.pull_east, "offset over the combined errors"),
        ("pull_north" if sky else "pull_y", matched.pull_north, "offset over the combined errors"),
        ("total_flux_ratio", matched.total_ratio, "total flux of B over that of A"),
        ("peak_flux_ratio", matched.peak_ratio, "peak flux of B over that of A"),
        ("spectral_index", matched.spectral_index, "alpha of S ~ nu**alpha"),
        ("spectral_index_err", matched.spectral_index_err, "its 1-sigma error by the flux errors"),
        ("overlap", matched.overlap, "share of the larger island's pixels that both have"),
    ):
        if np.isfinite(values).any():
            _add(table, name, values, "", description)
    _add(table, "ambiguous", matched.ambiguous, "", "whether either row had another candidate")
    for letter, sources, rows in (("a", a, matched.pairs.first), ("b", b, matched.pairs.second)):
        for name in sources.table.colnames:
            table[f"{name}_{letter}"] = _plain(sources.table[name][rows])
    return table


def unmatched_table(sources: SourceList, rows: Any, *, name: str) -> Table:
    """The rows of a catalogue that are in no pair, all its columns as they were."""
    alone = np.ones(len(sources), dtype=bool)
    alone[rows] = False
    table = Table({column: _plain(sources.table[column][alone]) for column in sources.table.colnames})
    table.meta.update({"name": name, "description": f"Rows of {_label(sources)} without a counterpart"})
    return table


def _add(table: Table, name: str, values: Any, unit: str, description: str) -> None:
    table[name] = Column(np.asarray(values), unit=unit or None, description=description)


def _plain(column: Any) -> Column:
    """A column that every format can hold: native byte order, masked only where something is missing."""
    masked = isinstance(column, MaskedColumn) and bool(np.any(column.mask))
    data = np.ma.masked_array(column) if masked else np.asarray(column)
    data = data.astype(data.dtype.newbyteorder("="))
    if data.dtype.kind == "U" and data.dtype.itemsize == 0:
        data = data.astype("U1")
    kind = MaskedColumn if masked else Column
    return kind(data, unit=column.unit, description=column.description, meta=dict(column.meta))


def _label(sources: SourceList) -> str:
    return sources.path.name if sources.path is not None else "a table in memory"
