"""What a column of a catalogue is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DataType = Literal["int64", "float64", "text"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name
        Column name in every format.
    dtype
        ``int64``, ``float64`` or ``text``.
    unit
        VOUnit string; empty for pure numbers, ids, pixel indices and text.
    ucd
        Unified content descriptor (UCD1+ controlled vocabulary).
    description
        One line for a person.
    """

    name: str
    dtype: DataType
    unit: str
    ucd: str
    description: str
