"""The rows that pictures, regions and the report show: objects, or islands before ``detect``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.extraction.tables import Extraction, IslandTable
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.maps import Window

FloatColumn = NDArray[np.float64]
IntColumn = NDArray[np.int64]


@dataclass(frozen=True)
class SourceColumns(Columns):
    """What is shown of each source. Pixels 0-based, boxes half-open, fluxes Jy/beam (peak) and Jy (total)."""

    source_id: IntColumn
    class_name: NDArray[np.str_]
    """class of an object, kind of an island"""
    ra: FloatColumn
    dec: FloatColumn
    x: FloatColumn
    y: FloatColumn
    x0: IntColumn
    y0: IntColumn
    x1: IntColumn
    y1: IntColumn
    peak_flux: FloatColumn
    total_flux: FloatColumn
    own_flux: FloatColumn
    """without what other sources inside it hold: sums of it count every source once"""
    snr: FloatColumn
    flags: IntColumn


@dataclass(frozen=True)
class Sources:
    """Sources of a map with their islands.

    Attributes
    ----------
    extraction
        The map, its label map and islands.
    noun
        ``object`` or ``island``: what a row is called.
    rows
        One row per source, sorted by id.
    island_source_ids
        (number of islands,) source id of each island: those of the map, before ``detect`` of all layers.
    """

    extraction: Extraction
    noun: str
    rows: SourceColumns
    island_source_ids: IntColumn

    @classmethod
    def from_results(cls, extraction: Extraction, catalogue: ObjectCatalogue | None) -> Sources:
        """Objects where there is a catalogue of them, else the islands."""
        if catalogue is None:
            islands = extraction.all_islands
            return cls(extraction, "island", _shown(islands, islands.island_id, islands.kind), islands.island_id)
        objects = catalogue.objects
        rows = _shown(objects, objects.object_id, objects.class_name)
        return cls(extraction, "object", rows, catalogue.island_object_ids)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def islands(self) -> IslandTable:
        """The islands that belong to sources: those of the map, before ``detect`` those of all layers."""
        return self.extraction.all_islands.select(slice(0, len(self.island_source_ids)))

    @cached_property
    def members(self) -> tuple[IntColumn, ...]:
        """Rows in ``islands`` of the islands of each source, ascending."""
        order = np.argsort(self.island_source_ids, kind="stable")
        sorted_ids = self.island_source_ids[order]
        starts = np.searchsorted(sorted_ids, self.rows.source_id, side="left")
        stops = np.searchsorted(sorted_ids, self.rows.source_id, side="right")
        return tuple(order[start:stop] for start, stop in zip(starts, stops, strict=True))

    def counts(self) -> dict[str, int]:
        """Number of sources of each class that occurs."""
        names, counts = np.unique(self.rows.class_name, return_counts=True)
        return {str(name): int(count) for name, count in zip(names, counts, strict=True)}

    def box(self, index: int) -> Window:
        """Bounding box of a source."""
        rows = self.rows
        return Window(int(rows.y0[index]), int(rows.y1[index]), int(rows.x0[index]), int(rows.x1[index]))

    def brightest(self, count: int) -> IntColumn:
        """Rows of at most ``count`` sources of the largest signal to noise, brightest first."""
        return np.argsort(-np.nan_to_num(self.rows.snr, nan=-np.inf), kind="stable")[:count]


def _shown(table: Columns, ids: IntColumn, classes: NDArray[np.str_]) -> SourceColumns:
    """The shared columns of the object and island tables, sorted by id."""
    shared = ("ra", "dec", "x", "y", "x0", "y0", "x1", "y1", "peak_flux", "total_flux", "snr", "flags")
    columns = {name: getattr(table, name) for name in shared}
    own_flux = getattr(table, "own_flux", columns["total_flux"])
    rows = SourceColumns(source_id=ids, class_name=classes, own_flux=own_flux, **columns)
    return rows.select(np.argsort(ids, kind="stable"))
