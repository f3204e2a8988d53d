"""From the value objects of extraction and inference to astropy tables built by the schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from astropy import units as u
from astropy.table import Column as PlainColumn
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray

from neanias_ml.catalogue.geometry import island_sky_ellipses
from neanias_ml.catalogue.schema import COMPONENTS, DESCRIPTORS, ISLANDS, OBJECTS, TableSchema
from neanias_ml.catalogue.schema_descriptors import RENAMED
from neanias_ml.catalogue.text import printable
from neanias_ml.extraction.tables import Extraction, IslandTable, flag_text
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.maps import RadioMap

Provenance = Mapping[str, str | int | float]
TextColumn = NDArray[np.str_]


@dataclass(frozen=True)
class CatalogueTables:
    """The tables of one run.

    Attributes
    ----------
    components, islands
        One row per Gaussian and per island.
    objects
        One row per object, or None before ``detect``.
    descriptors
        Shapes and artefact evidence of the islands of the map, or None where they are not wanted.
    """

    components: QTable
    islands: QTable
    objects: QTable | None = None
    descriptors: QTable | None = None

    @property
    def all(self) -> tuple[QTable, ...]:
        """Every table there is, in the order in which files hold them."""
        tables = (self.components, self.islands, self.objects, self.descriptors)
        return tuple(table for table in tables if table is not None)

    @property
    def main(self) -> QTable:
        """The table whose rows are the sources: objects, or islands before ``detect``."""
        return self.islands if self.objects is None else self.objects


def build_tables(
    extraction: Extraction,
    *,
    catalogue: ObjectCatalogue | None = None,
    provenance: Provenance | None = None,
    descriptors: bool = False,
) -> CatalogueTables:
    """Tables with units, UCDs and descriptions, rows sorted by id.

    Parameters
    ----------
    extraction
        Islands and components of a map.
    catalogue
        Objects made of the islands; None before ``detect``.
    provenance
        Short facts kept in ``meta["provenance"]`` of every table (software, map, digest, beam, flags).
    descriptors
        Whether the table of descriptors is wanted; the extraction must have measured them.
    """
    facts = dict(provenance or {})
    objects = None
    if catalogue is not None:
        objects = table_from_columns(OBJECTS, _columns_of(OBJECTS, catalogue.objects), provenance=facts)
    return CatalogueTables(
        components=table_from_columns(COMPONENTS, _columns_of(COMPONENTS, extraction.components), provenance=facts),
        islands=table_from_columns(ISLANDS, _island_columns(extraction, catalogue), provenance=facts),
        objects=objects,
        descriptors=_descriptor_table(extraction, facts) if descriptors else None,
    )


def _descriptor_table(extraction: Extraction, facts: Provenance) -> QTable:
    """Shapes, sky shapes and evidence side by side."""
    columns: dict[str, ArrayLike] = {"island_id": extraction.islands.table.island_id}
    for part in (extraction.shapes, extraction.sky_shapes, extraction.evidence):
        if part is None:
            raise ValueError("this extraction was made without descriptors")
        columns |= {field.name: getattr(part, field.name) for field in fields(part)}
    named = {name: columns[RENAMED.get(name, name)] for name in DESCRIPTORS.names}
    return table_from_columns(DESCRIPTORS, named, provenance=facts)


def table_from_columns(
    schema: TableSchema, columns: Mapping[str, ArrayLike], *, provenance: Provenance | None = None
) -> QTable:
    """A `QTable` with exactly the columns of a schema, sorted by its first column.

    Parameters
    ----------
    schema
        One of `schema.TABLES`.
    columns
        Plain arrays (N,) in the units of the schema; names that the schema lacks are left out.
    provenance
        Kept in ``meta["provenance"]``.

    Raises
    ------
    KeyError
        If a column of the schema is missing.
    """
    order = np.argsort(np.asarray(columns[schema.names[0]]), kind="stable")
    table = QTable(meta={"name": schema.name, "description": schema.description, "provenance": dict(provenance or {})})
    for column in schema.columns:
        values = np.asarray(columns[column.name], dtype=str if column.dtype == "text" else column.dtype)[order]
        if column.dtype == "text" and values.size == 0:
            values = values.astype("U1")
        table[column.name] = u.Quantity(values, column.unit) if column.unit else PlainColumn(values)
        table[column.name].info.description = column.description
        table[column.name].info.meta = {"ucd": column.ucd}
    return table


def provenance_facts(
    radio_map: RadioMap, *, software: str, models: tuple[str, ...] = ()
) -> dict[str, str | int | float]:
    """What a reader of a catalogue alone must know: software, map, digest, beam, frequency, unit, flags.

    There is no time and no folder among them, so that equal runs write equal files.
    """
    source = radio_map.source
    facts: dict[str, str | int | float] = {
        "software": software,
        "map": printable(source.path.name) if source.path is not None else "array in memory",
        "map_sha256": source.digest,
        "map_hdu": source.hdu,
        "map_unit": printable(radio_map.original_unit),
        "beam_major_arcsec": radio_map.beam.major * 3600.0,
        "beam_minor_arcsec": radio_map.beam.minor * 3600.0,
        "beam_pa_deg": radio_map.beam.position_angle,
        "pixel_scale_arcsec": radio_map.pixel_scale * 3600.0,
    }
    if radio_map.frequency is not None:
        facts["frequency_hz"] = radio_map.frequency
    if models:
        facts["models"] = printable("; ".join(models))
    facts["map_flags"] = ",".join(radio_map.flags)
    return facts


def _columns_of(schema: TableSchema, rows: object) -> dict[str, ArrayLike]:
    """Columns of a value-object table by name, flags in words."""
    columns = {name: getattr(rows, name) for name in schema.names}
    columns["flags"] = flags_in_words(columns["flags"])
    return columns


def _island_columns(extraction: Extraction, catalogue: ObjectCatalogue | None) -> dict[str, ArrayLike]:
    """Island columns, with sizes on the sky and what ``detect`` adds."""
    islands = extraction.all_islands
    major, minor, pa = island_sky_ellipses(extraction.radio_map, islands)
    added: dict[str, ArrayLike] = {
        "major": major,
        "minor": minor,
        "pa": pa,
        "flags": flags_in_words(islands.flags),
        "object_id": np.zeros(len(islands), dtype=np.int64),
        "p_spurious": islands.p_spurious,
    }
    if catalogue is not None:
        of_map = len(extraction.islands)
        added["object_id"] = _object_ids(islands, catalogue.island_object_ids)
        added["p_spurious"] = np.concatenate([catalogue.island_spurious, islands.p_spurious[of_map:]])
    measured = {name: getattr(islands, name) for name in ISLANDS.names if name not in added}
    return {**measured, **added}


def _object_ids(islands: IslandTable, of_map: NDArray[np.int64]) -> NDArray[np.int64]:
    """Object of every island: nested ones belong to that of their mother, regions of diffuse emission to none."""
    objects = np.zeros(len(islands), dtype=np.int64)
    objects[: len(of_map)] = of_map
    row_of = {int(island): row for row, island in enumerate(islands.island_id)}
    for row in np.flatnonzero(islands.level > 0):  # a parent comes before its children
        objects[row] = objects[row_of[int(islands.parent_id[row])]]
    return objects


def flags_in_words(flags: NDArray[np.int64]) -> TextColumn:
    """Names of the set `SourceFlag`s of each row, comma-separated."""
    if len(flags) == 0:
        return np.array([], dtype="U1")
    values, index = np.unique(flags, return_inverse=True)
    return np.array([flag_text(int(value)) for value in values], dtype=str)[index]
