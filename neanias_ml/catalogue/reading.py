"""Reading a catalogue of whatever finder: FITS, VOTable, ECSV, Parquet, CAESAR's JSON, CSV and commented text."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, Table

from neanias_ml.catalogue.reading_json import read_json_tables
from neanias_ml.catalogue.reading_text import read_text_table
from neanias_ml.catalogue.text import printable
from neanias_ml.errors import InputError, NeaniasError, UsageError

RUN_TABLES = ("objects", "islands", "components")
"""Tables of a run, the sources first: what is taken where none is named."""
MAX_FILE_BYTES = 4 * 2**30
"""Larger files are refused: a catalogue is read into memory as a whole."""


def read_table(path: Path | str, *, table: str | None = None, preferred: tuple[str, ...] = RUN_TABLES) -> Table:
    """Read one table of a catalogue; the format is told by the content, not by the file's name.

    Parameters
    ----------
    path
        A FITS table, VOTable, ECSV, Parquet, CAESAR JSON, CSV or whitespace-separated text file (names in the last
        comment line), or the folder of a run of ``extract`` or ``detect``.
    table
        Which of several tables: its name (``components``), or its number counted from 0. By default the only one;
        of those that are preferred the first there is.
    preferred
        Names of tables in the order of preference.

    Returns
    -------
    Table
        Plain columns with units where the file has them; text as text, not bytes. ``meta["name"]`` holds the name
        of the table and ``meta["provenance"]`` what this program wrote about the map.

    Raises
    ------
    InputError
        ``CatalogueMissing``, ``CatalogueUnreadable``, ``CatalogueTooLarge``, ``NoTable``.
    UsageError
        ``TableChoice`` if there are several tables and none, or one that does not exist, is named.
    """
    path = Path(path)
    if path.is_dir():
        path, table = _file_of_run(path, table, preferred), None
    _require_file(path)
    with path.open("rb") as file:
        head = file.read(4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units and headers that deviate are judged by what comes out
        try:
            tables = _reader_for(head)(path)
        except NeaniasError:
            raise
        except Exception as error:  # parsers of five formats raise whatever they meet in a damaged file
            reason = printable(str(error).strip().split("\n")[0])[:200] or type(error).__name__
            raise InputError(
                "CatalogueUnreadable",
                f"{printable(path)} cannot be read as a catalogue ({reason}); give a FITS, VOTable, ECSV, Parquet, "
                "CSV or CAESAR JSON table, or text with the column names in its last comment line",
            ) from error
    return _tidied(_chosen(tables, table, preferred, path=path))


def nearest_names(name: str, names: Iterable[str]) -> str:
    """The names most like one that does not exist, for an error: ``(nearest: ra, ra_err)``; else all of them."""
    names = list(names)
    lower = {candidate.lower(): candidate for candidate in names}
    near = [lower[found] for found in difflib.get_close_matches(name.lower(), lower, n=4, cutoff=0.5)]
    if near:
        return f"nearest: {', '.join(near)}"
    return f"there are: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else "there are none"


def _file_of_run(folder: Path, table: str | None, preferred: tuple[str, ...]) -> Path:
    """The table of a run's folder."""
    held = [name for name in RUN_TABLES if (folder / f"{name}.ecsv").exists()]
    if not held:
        raise InputError(
            "NoTable",
            f"the folder {printable(folder)} holds no objects.ecsv, islands.ecsv or components.ecsv; name a "
            "catalogue file or the folder of a run of extract or detect",
        )
    if table is not None and table not in held:
        raise UsageError("TableChoice", f"{printable(folder)} has no table {table!r}; choose one of {', '.join(held)}")
    first = next((name for name in preferred if name in held), held[0])
    return folder / f"{table or first}.ecsv"


def _require_file(path: Path) -> None:
    if not path.exists():
        raise InputError("CatalogueMissing", f"there is no catalogue {printable(path)}; check the name")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError("CatalogueTooLarge", f"{printable(path)} is larger than 4 GiB; split it by sky area")


def _reader_for(head: bytes) -> Callable[[Path], Mapping[str, Table]]:
    """The reader for what a file begins with."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"SIMPLE  =") or head.startswith(b"\x1f\x8b"):
        return _read_fits
    if head.startswith(b"PAR1"):
        return _read_parquet
    if text[:1] == b"<":
        return _read_votable
    if text[:1] in (b"{", b"["):
        return read_json_tables
    if head.startswith(b"# %ECSV"):
        return _read_ecsv
    return lambda path: {path.stem: read_text_table(path)}


def _read_fits(path: Path) -> dict[str, Table]:
    from astropy.io import fits

    with fits.open(path, memmap=False) as units:
        tables = [index for index, unit in enumerate(units) if isinstance(unit, (fits.BinTableHDU, fits.TableHDU))]
        tables = [index for index in tables if not isinstance(units[index], fits.CompImageHDU)]
        if not tables:
            raise InputError(
                "NoTable", f"{printable(path)} is a FITS file without a table; give the catalogue, not a map"
            )
        found = {}
        for index in tables:
            name = (units[index].name or f"HDU{index}").lower()
            table = Table.read(units[index])
            table.meta = {"provenance": {key.lower(): value for key, value in table.meta.items() if key != "comments"}}
            found[name if name not in found else f"{name}_{index}"] = table
    return found


def _read_votable(path: Path) -> dict[str, Table]:
    """All tables of a VOTable, with the provenance that this program puts beside them."""
    from astropy.io import votable

    document = votable.parse(str(path), verify="ignore")
    facts: dict[str, Any] = {}
    for resource in document.resources:
        facts |= {info.name: info.value for info in resource.infos if info.name}
        facts |= {param.name: _scalar(param.value) for param in resource.params if param.name}
    found = {}
    for number, element in enumerate(document.iter_tables()):
        table = element.to_table(use_names_over_ids=True)
        table.meta["provenance"] = facts
        found[element.name or element.ID or f"table{number}"] = table
    return found


def _read_ecsv(path: Path) -> dict[str, Table]:
    table = Table.read(path, format="ascii.ecsv")
    return {str(table.meta.get("name", path.stem)): table}


def _read_parquet(path: Path) -> dict[str, Table]:
    """A Parquet table; units from its VOTable header where it has one."""
    from neanias_ml.catalogue.writers import require_parquet

    require_parquet()
    from pyarrow import parquet

    rows = parquet.read_table(path)
    table = Table()
    for name in rows.column_names:
        values = rows[name].to_numpy()
        if values.dtype.kind == "O":
            values = np.array(["" if value is None else str(value) for value in values], dtype=str)
        table[name] = values
    name = path.stem
    header = (rows.schema.metadata or {}).get(b"IVOA.VOTable-Parquet.content")
    if header:
        name, described = _described(header)
        for column in set(described.colnames) & set(table.colnames):
            table[column].unit = described[column].unit
            table[column].description = described[column].description
        table.meta.update(described.meta)
    return {name: table}


def _described(header: bytes) -> tuple[str, Table]:
    """Name and (empty) table of the VOTable header of a Parquet file."""
    import io

    from astropy.io import votable

    document = votable.parse(io.BytesIO(header), verify="ignore")
    element = next(document.iter_tables())
    described = element.to_table(use_names_over_ids=True)
    resource = document.resources[0]
    facts: dict[str, Any] = {info.name: info.value for info in resource.infos if info.name}
    facts |= {param.name: _scalar(param.value) for param in resource.params if param.name}
    described.meta["provenance"] = facts
    return str(element.name or element.ID or "table"), described


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0 else value


def _chosen(tables: Mapping[str, Table], wanted: str | None, preferred: tuple[str, ...], *, path: Path) -> Table:
    """One of the tables of a file, its name in ``meta``."""
    names = list(tables)
    if not names:
        raise InputError("NoTable", f"{printable(path)} holds no table")
    if wanted is not None and wanted.isdigit() and int(wanted) < len(names):
        wanted = names[int(wanted)]
    if wanted is None:
        known = [name for name in preferred if name in names]
        if len(names) > 1 and not known:
            raise UsageError(
                "TableChoice", f"{printable(path)} holds the tables {', '.join(names)}; say which one with 'table'"
            )
        wanted = names[0] if len(names) == 1 else known[0]
    if wanted not in tables:
        raise UsageError("TableChoice", f"{printable(path)} has no table {wanted!r} ({nearest_names(wanted, names)})")
    table = tables[wanted]
    table.meta.setdefault("name", wanted)
    return table


def _plain_mixin(table: Table, name: str) -> None:
    """Coordinates become ra and dec, quantities columns with a unit, whatever else (times) text."""
    mixin = table[name]
    if hasattr(mixin, "icrs"):
        table.remove_column(name)
        for axis in ("ra", "dec"):
            if axis not in table.colnames:
                table[axis] = Column(getattr(mixin.icrs, axis).deg, unit="deg")
    elif hasattr(mixin, "unit"):
        table.replace_column(name, Column(np.asarray(mixin.value), unit=mixin.unit))
    else:
        table.replace_column(name, Column(np.array([str(value) for value in mixin], dtype=str)))


def _tidied(table: Table) -> Table:
    """Only columns of one value per row; text as text, empty where it is missing."""
    for name in [name for name in table.colnames if not isinstance(table[name], Column)]:
        _plain_mixin(table, name)
    table.convert_bytestring_to_unicode()
    table.remove_columns([name for name in table.colnames if table[name].ndim > 1])
    for name in table.colnames:
        column = table[name]
        masked = np.ma.getmaskarray(np.ma.asarray(column)) if hasattr(column, "mask") else np.zeros(len(column), bool)
        if column.dtype.kind == "O" or (column.dtype.kind == "U" and masked.any()):
            values = zip(np.asarray(column).tolist(), masked.tolist(), strict=True)
            text = ["" if missing or value is None else str(value) for value, missing in values]
            table.replace_column(name, Column(np.array(text, dtype=str), description=column.description))
    return table
