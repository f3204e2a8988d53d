"""Any astropy table as ECSV, VOTable, FITS, CSV or Parquet, by the ending of the file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from neanias_ml.catalogue.writers import PROVENANCE_UNITS, require_parquet
from neanias_ml.errors import UsageError


def table_writer(path: Path | str) -> Callable[[Table, Path], None]:
    """The writer for the ending of a file name.

    Raises
    ------
    UsageError
        ``TableFormat`` for an ending that is not known, ``PyarrowMissing``.
    """
    ending = Path(path).suffix.lower()
    if ending not in WRITERS:
        raise UsageError("TableFormat", f"{path} should end in one of {', '.join(WRITERS)}: the ending says the format")
    if ending in (".parquet", ".pq"):
        require_parquet()
    return WRITERS[ending]


def write_ecsv_table(table: Table, path: Path) -> None:
    """Text with units and descriptions; 12 digits, so positions to 1e-5 arcsec."""
    plain = table.copy(copy_data=False)
    for name in plain.colnames:
        if plain[name].dtype.kind == "f":
            plain[name].info.format = ".12g"
    plain.write(path, format="ascii.ecsv", delimiter=",", overwrite=True)


def write_votable_table(table: Table, path: Path | Any) -> None:
    """VOTable 1.4 with the UCDs that the columns carry in ``meta["ucd"]``."""
    from astropy.io.votable import from_table

    document = from_table(_writable(table), table_id=str(table.meta.get("name", "catalogue")))
    document.version = "1.4"
    element = document.get_first_table()
    _add_facts(document, table.meta.get("provenance") or {})
    element.name = element.ID
    for field in element.fields:
        ucd = table[field.name].meta.get("ucd") if field.name in table.colnames else None
        if ucd:
            field.ucd = ucd
    document.to_xml(path if hasattr(path, "write") else str(path), tabledata_format="tabledata")


def write_fits_table(table: Table, path: Path) -> None:
    """FITS binary table; what is known of the map (``meta["provenance"]``) goes into its header."""
    plain = _writable(table)
    name = str(table.meta.get("name", "catalogue"))
    facts = {key: value for key, value in (table.meta.get("provenance") or {}).items() if _fits_card(value)}
    plain.meta = {"EXTNAME": name.upper()[:60], **facts}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units outside the FITS standard are kept as text
        plain.write(path, format="fits", overwrite=True)


def write_csv_table(table: Table, path: Path) -> None:
    """Comma-separated values; units and descriptions are lost."""
    plain = table.copy(copy_data=False)
    for name in plain.colnames:
        if plain[name].dtype.kind == "f":
            plain[name].info.format = ".12g"
    plain.write(path, format="ascii.csv", overwrite=True)


def write_parquet_table(table: Table, path: Path) -> None:
    """Parquet with the VOTable header in its metadata (VOParquet 1.0); missing values are nulls."""
    import pyarrow
    from pyarrow import parquet

    header = io.BytesIO()
    plain = _writable(table)
    write_votable_table(plain[:0], header)
    arrays = {}
    for name in plain.colnames:
        column = plain[name]
        mask = np.ma.getmaskarray(np.ma.asarray(column)) if hasattr(column, "mask") else None
        arrays[name] = pyarrow.array(np.asarray(column), mask=mask)
    metadata = {"IVOA.VOTable-Parquet.version": "1.0", "IVOA.VOTable-Parquet.content": header.getvalue()}
    parquet.write_table(pyarrow.table(arrays).replace_schema_metadata(metadata), path, compression="zstd")


WRITERS: dict[str, Callable[[Table, Path], None]] = {
    ".ecsv": write_ecsv_table,
    ".vot": write_votable_table,
    ".xml": write_votable_table,
    ".fits": write_fits_table,
    ".csv": write_csv_table,
    ".parquet": write_parquet_table,
    ".pq": write_parquet_table,
}
"""Ending to writer."""


def _add_facts(document: Any, facts: Mapping[str, Any]) -> None:
    """What is known of the map beside the table: quantities as PARAM with unit, other facts as INFO."""
    from astropy.io.votable.tree import Info, Param

    resource = document.resources[0]
    for name, value in facts.items():
        if name in PROVENANCE_UNITS:
            unit, ucd = PROVENANCE_UNITS[name]
            param = Param(
                document, name=name, value=value, datatype="double", unit=unit, ucd=ucd, config=document._config
            )
            resource.params.append(param)
        else:
            resource.infos.append(Info(name=name, value=str(value), config=document._config))


def _fits_card(value: Any) -> bool:
    """Whether a fact fits one card of a FITS header."""
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and value.isascii() and len(value) <= 40)


def _writable(table: Table) -> Table:
    """A copy whose text columns have at least two characters (one is no array in a VOTable, none is no column)."""
    plain = table.copy()
    for name in plain.colnames:
        column = plain[name]
        if column.dtype.kind == "U" and column.dtype.itemsize < 8:
            plain.replace_column(
                name, type(column)(column, dtype="U2", unit=column.unit, description=column.description)
            )
            plain[name].meta.update(column.meta)
    return plain
