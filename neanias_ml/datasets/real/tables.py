"""Tables of labels: comma-separated rows with the columns a set promises."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neanias_ml.errors import InputError


def read_rows(path: Path, *, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a comma-separated table by column name.

    Raises
    ------
    InputError
        ``LabelTable`` if it is unreadable or lacks one of the columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            names, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("LabelTable", f"{path} is no readable table of labels ({error}); fetch it again") from error
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError("LabelTable", f"{path} lacks the column {missing[0]}; fetch the set's own table")
    return rows


def read_document(path: Path, *, keys: Sequence[str]) -> dict[str, Any]:
    """A JSON document that holds some keys.

    Raises
    ------
    InputError
        ``LabelTable`` if it is unreadable or lacks one of the keys.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in keys if key not in document]
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise InputError("LabelTable", f"{path} is no readable file of labels ({error}); fetch it again") from error
    if missing:
        raise InputError("LabelTable", f"{path} lacks {missing[0]!r}; fetch the set's own file")
    return document


def number(row: dict[str, str], column: str, *, path: Path) -> float:
    """A number of a row.

    Raises
    ------
    InputError
        ``LabelTable`` if it is none.
    """
    try:
        return float(row[column])
    except ValueError as error:
        raise InputError(
            "LabelTable", f"{path}: {row[column]!r} in column {column} is no number; fetch the set's own table"
        ) from error
