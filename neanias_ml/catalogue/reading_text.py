"""Text catalogues: CSV with a line of names, and columns below comment lines whose last one names them."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from astropy.io import ascii as text
from astropy.table import Table

from neanias_ml.errors import InputError

COMMENT = "#"
_NAME_WITH_UNIT = re.compile(r"^(?P<name>[^()\[\]]+)[(\[](?P<unit>[^()\[\]]*)[)\]]$")
_UNIT_ONLY = re.compile(r"^(\[[^\]]*\]|\([^)]*\)|-+)$")


def read_text_table(path: Path) -> Table:
    """Read a text table.

    Names come from the first line of a file without comments (CSV, also with tabs), or from the last comment line that
    has as many words as the rows have columns (PyBDSF, Selavy, CAESAR). A comment line of units in brackets may follow
    the names (Selavy), or units stand behind them in brackets (``nu(GHz)``, CAESAR).

    Raises
    ------
    InputError
        ``CatalogueUnreadable`` if no line names the columns.
    """
    lines = [line for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines() if line.strip()]
    comments = [line.lstrip()[1:].strip() for line in lines if line.lstrip().startswith(COMMENT)]
    rows = [line.strip(" \r") for line in lines if not line.lstrip().startswith(COMMENT)]
    if rows and "\0" in rows[0]:
        raise InputError(
            "CatalogueUnreadable",
            f"{path} is neither text nor a known format; give a FITS, VOTable, ECSV, Parquet or CSV table",
        )
    delimiter = _delimiter(rows[0] if rows else (comments[-1] if comments else ""))
    named = _names_from_comments(
        comments, n_columns=len(_words(rows[0], delimiter)) if rows else None, delimiter=delimiter
    )
    if named is not None and not (rows and _is_header(rows[0], delimiter)):
        names, units = named
        table = _parsed(rows, delimiter=delimiter, names=names)
    elif rows:
        names, units = _names_and_units(_words(rows[0], delimiter), [])
        table = _parsed(rows[1:], delimiter=delimiter, names=names)
    else:
        raise InputError(
            "CatalogueUnreadable",
            f"{path} has neither rows nor a line that names its columns; give a catalogue with a line of names",
        )
    for name, unit in units.items():
        table[name].unit = unit
    return table


def _delimiter(line: str) -> str:
    """Comma, semicolon or tab where a line has one, else runs of blanks."""
    return next((mark for mark in (",", ";", "\t") if mark in line), " ")


def _words(line: str, delimiter: str) -> list[str]:
    """The fields of a line; a trailing delimiter adds none."""
    if delimiter == " ":
        return next(csv.reader([re.sub(r"\s+", " ", line.strip())], delimiter=" "), [])
    words = [word.strip() for word in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    return words[:-1] if words and not words[-1] and delimiter == "\t" else words


def _is_header(line: str, delimiter: str) -> bool:
    """Whether a line holds names only: no field of it is a number or missing."""
    words = _words(line, delimiter)
    return bool(words) and all(re.match(r"^[A-Za-z_]", word) and word.lower() not in ("nan", "inf") for word in words)


def _names_from_comments(
    comments: list[str], *, n_columns: int | None, delimiter: str
) -> tuple[list[str], dict[str, str]] | None:
    """Names and units of the last comment line that fits the rows; None where no line does.

    A line may have one name more than the rows have columns: Selavy leaves its last column, a remark, empty.
    """
    units: list[str] = []
    for line in reversed(comments):
        for mark in dict.fromkeys((delimiter, _delimiter(line), " ")):
            words = _words(line, mark)
            if len(words) > 1 and all(_UNIT_ONLY.match(word) for word in words):
                units = [word.strip("[]()-") for word in words]
                break
            wanted = len(words) if n_columns is None else n_columns
            if len(words) > 1 and len(words) - wanted in (0, 1) and len(set(words)) == len(words):
                return _names_and_units(words[:wanted], units if len(units) == len(words) else [])
    return None


def _names_and_units(words: list[str], units: list[str]) -> tuple[list[str], dict[str, str]]:
    """Names without the units behind them, and the units there are."""
    names, found = [], {}
    for index, word in enumerate(words):
        split = _NAME_WITH_UNIT.match(word)
        bare = split["name"].strip() if split else word
        name = bare if bare and bare not in names else (word or f"col{index + 1}")
        unit = split["unit"] if split else (units[index] if index < len(units) else "")
        names.append(name)
        if unit.strip():
            found[name] = unit.strip()
    return names, found


def _parsed(rows: list[str], *, delimiter: str, names: list[str]) -> Table:
    """The rows with the types that their fields allow; empty fields are missing."""
    if not rows:
        return Table(names=names, dtype=[float] * len(names))
    missing = ("--", "null") if delimiter == " " else ("", "--", "null", "None")
    return text.read(
        rows if delimiter == " " else _padded(rows, delimiter=delimiter, n_columns=len(names)),
        format="no_header",
        delimiter=delimiter,
        names=names,
        comment=COMMENT,
        guess=False,
        fill_values=[(mark, "0") for mark in missing],
    )


def _padded(rows: list[str], *, delimiter: str, n_columns: int) -> list[str]:
    """Rows that end early (empty last columns left out) brought to full length, trailing delimiters cut."""
    full = []
    for row in rows:
        lacking = n_columns - 1 - row.count(delimiter)
        padding = delimiter * lacking if lacking > 0 and '"' not in row else ""
        full.append(row.removesuffix(delimiter) if lacking == -1 else row + padding)
    return full
