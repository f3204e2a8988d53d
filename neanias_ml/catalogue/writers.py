"""Catalogue tables as ECSV, VOTable and Parquet files."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np
from astropy.table import QTable

from neanias_ml.catalogue.schema import TABLES, TableSchema
from neanias_ml.catalogue.tables import CatalogueTables
from neanias_ml.errors import UsageError

if TYPE_CHECKING:
    from astropy.io.votable.tree import TableElement, VOTableFile

VOTABLE_VERSION = "1.4"
VOTABLE_TYPES = {"int64": "long", "float64": "double"}
PROVENANCE_UNITS = {
    "beam_major_arcsec": ("arcsec", "phys.angSize.smajAxis;instr.beam"),
    "beam_minor_arcsec": ("arcsec", "phys.angSize.sminAxis;instr.beam"),
    "beam_pa_deg": ("deg", "pos.posAng;instr.beam"),
    "pixel_scale_arcsec": ("arcsec", "phys.angSize;instr.pixel"),
    "frequency_hz": ("Hz", "em.freq"),
}
"""Unit and UCD of the provenance facts that are quantities; the others are text."""


def write_ecsv(table: QTable, path: Path) -> None:
    """One table as ECSV (text with units, descriptions and provenance in its header).

    astropy writes the header, the rows are written here: it takes ten times as long for them.
    """
    header = io.StringIO()
    table[:0].write(header, format="ascii.ecsv", delimiter=",")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(header.getvalue())
        file.writelines(row_lines(table, quote=_csv_text, separator=",", start="", end="\n"))


def write_votable(tables: CatalogueTables, path: Path) -> None:
    """All tables as one VOTable 1.4 with units, UCDs, the ICRS frame and provenance.

    astropy writes the document around the rows, which are written here.
    """
    document = io.BytesIO()
    votable_of(tables.all).to_xml(document)
    text = document.getvalue().decode("utf-8")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for table in tables.all:
            before, text = text.split("</FIELD>\n  </TABLE>", 1)
            file.write(f"{before}</FIELD>\n   <DATA>\n    <TABLEDATA>\n")
            rows = row_lines(table, quote=escape, separator="</TD><TD>", start="     <TR><TD>", end="</TD></TR>\n")
            file.writelines(rows)
            file.write("    </TABLEDATA>\n   </DATA>\n  </TABLE>")
        file.write(text)


def row_lines(table: QTable, *, quote: Callable[[str], str], separator: str, start: str, end: str) -> Iterator[str]:
    """The rows of a table as text: numbers to 12 digits, which keep positions to 1e-5 arcsec and rounding out.

    Parameters
    ----------
    table
        Columns of floats, integers and text.
    quote
        Makes text fit for the format.
    separator, start, end
        What stands between the values of a row, before and after them.
    """
    formats, columns = [], []
    for name in table.colnames:
        values = np.asarray(_plain_values(table, name))
        has_nan = values.dtype.kind == "f" and bool(np.isnan(values).any())
        formats.append("%.12g" if values.dtype.kind == "f" and not has_nan else "%s")
        if values.dtype.kind == "U":
            columns.append([quote(value) for value in values.tolist()])
        elif has_nan:
            columns.append(["NaN" if math.isnan(value) else f"{value:.12g}" for value in values.tolist()])
        else:
            columns.append(values.tolist())
    template = start + separator.join(formats) + end
    return (template % row for row in zip(*columns, strict=True))


def _csv_text(value: str) -> str:
    """Text as a field of comma-separated values."""
    if value and not any(sign in value for sign in ',"\n\r '):
        return value
    return '"' + value.replace('"', '""') + '"'


def write_parquet(table: QTable, path: Path) -> None:
    """One table as Parquet, its VOTable header among the file's metadata (VOParquet 1.0).

    Raises
    ------
    UsageError
        ``PyarrowMissing`` if pyarrow is not installed.
    """
    require_parquet()
    import pyarrow
    from pyarrow import parquet

    header = io.BytesIO()
    votable_of((table[:0],)).to_xml(header)
    columns = {name: pyarrow.array(np.asarray(_plain_values(table, name))) for name in table.colnames}
    metadata = {"IVOA.VOTable-Parquet.version": "1.0", "IVOA.VOTable-Parquet.content": header.getvalue()}
    for name in table.colnames:
        if table[name].dtype.kind == "U":
            metadata[f"table::len::{name}"] = str(_text_length(table, name))  # lets astropy read an empty table
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), path, compression="zstd")


def require_parquet() -> None:
    """Make sure that Parquet files can be written, before the work whose results they are to hold.

    Raises
    ------
    UsageError
        ``PyarrowMissing`` if pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        remedy = "run: pip install 'neanias_ml[parquet]'"
        raise UsageError("PyarrowMissing", f"Parquet files need pyarrow, which is not installed; {remedy}") from error


def parquet_names(tables: CatalogueTables) -> dict[str, QTable]:
    """File name of each table in Parquet: the sources are ``catalogue.parquet``, the others keep their own name."""
    main = tables.main
    return {"catalogue.parquet" if table is main else f"{table.meta['name']}.parquet": table for table in tables.all}


def votable_of(tables: tuple[QTable, ...]) -> VOTableFile:
    """A VOTable document with one resource that describes the tables, without their rows.

    Parameters
    ----------
    tables
        Tables built by `tables.table_from_columns`.
    """
    from astropy.io.votable.tree import CooSys, Resource, VOTableFile

    document = VOTableFile(version=VOTABLE_VERSION)
    document.description = "Radio source catalogue"
    document.coordinate_systems.append(CooSys(ID="icrs", system="ICRS", config=document._config))
    resource = Resource(type="results", config=document._config)
    document.resources.append(resource)
    _add_provenance(document, resource, tables[0].meta["provenance"])
    for table in tables:
        resource.tables.append(_table_element(document, table))
    return document


def _add_provenance(document: VOTableFile, resource: Any, provenance: dict[str, str | int | float]) -> None:
    """Quantities as PARAM with unit and UCD, other facts as INFO."""
    from astropy.io.votable.tree import Info, Param

    for name, value in provenance.items():
        if name in PROVENANCE_UNITS:
            unit, ucd = PROVENANCE_UNITS[name]
            resource.params.append(
                Param(document, name=name, value=value, datatype="double", unit=unit, ucd=ucd, config=document._config)
            )
        else:
            resource.infos.append(Info(name=name, value=str(value), config=document._config))


def _table_element(document: VOTableFile, table: QTable) -> TableElement:
    """One TABLE with its FIELDs from the schema."""
    from astropy.io.votable.tree import Field, TableElement

    schema = _schema_of(table)
    element = TableElement(document, ID=schema.name, name=schema.name, nrows=len(table), config=document._config)
    element.description = schema.description
    for column in schema.columns:
        options: dict[str, Any] = {"datatype": VOTABLE_TYPES.get(column.dtype, "unicodeChar")}
        if column.dtype == "text":
            options["arraysize"] = str(_text_length(table, column.name))
        if column.unit:
            options["unit"] = column.unit
        if column.ucd.startswith(("pos.eq", "stat.error;pos.eq")):
            options["ref"] = "icrs"
        field = Field(document, name=column.name, ucd=column.ucd, config=document._config, **options)
        field.description = column.description
        element.fields.append(field)
    for field in element.fields:
        field.ID = None  # ids are unique in a document, column names only in a table; readers then use the names
    return element


def _schema_of(table: QTable) -> TableSchema:
    """The schema that a table was built from."""
    return next(schema for schema in TABLES if schema.name == table.meta["name"])


def _plain_values(table: QTable, name: str) -> Any:
    """Numbers in the column's unit, or text."""
    column = table[name]
    return column.value if hasattr(column, "value") else np.asarray(column)


def _text_length(table: QTable, name: str) -> int:
    """Characters of the longest text, at least two (an array of one is not allowed in a VOTable)."""
    return max(2, table[name].dtype.itemsize // 4)
