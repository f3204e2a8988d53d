"""Base of the immutable column tables that pass between rooms."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

TableT = TypeVar("TableT", bound="Columns")


@dataclasses.dataclass(frozen=True)
class Columns:
    """A frozen dataclass whose fields are 1-D arrays of one common length (one row per thing).

    Subclasses declare the columns; this base checks them once and offers row selection.

    Raises
    ------
    ValueError
        If the columns differ in length or a column is not one-dimensional.
    """

    def __post_init__(self) -> None:
        length: int | None = None
        for field in dataclasses.fields(self):
            column = np.asarray(getattr(self, field.name))
            if column.ndim != 1:
                raise ValueError(f"column {field.name} must be 1-D, not of shape {column.shape}")
            if length is None:
                length = len(column)
            elif len(column) != length:
                raise ValueError(f"column {field.name} has {len(column)} rows, others have {length}")
            column = column.view()
            column.flags.writeable = False
            object.__setattr__(self, field.name, column)

    def __len__(self) -> int:
        return len(getattr(self, dataclasses.fields(self)[0].name))

    def select(self: TableT, rows: Any) -> TableT:
        """Rows by boolean mask, slice or index array, as a new table."""
        chosen = {field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)}
        return type(self)(**chosen)

    def replace(self: TableT, **columns: Any) -> TableT:
        """The same table with some columns replaced."""
        return dataclasses.replace(self, **columns)

    @classmethod
    def joined(cls: type[TableT], tables: Sequence[TableT]) -> TableT:
        """The rows of several tables one after another."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(table, name) for table in tables]) for name in names})

    @classmethod
    def empty(cls: type[TableT]) -> TableT:
        """A table without rows; columns declared as integers or text keep their kind."""
        kinds = {"IntColumn": np.int64, "TextColumn": np.dtype("U1")}
        fields = dataclasses.fields(cls)
        return cls(**{field.name: np.empty(0, kinds.get(str(field.type), np.float64)) for field in fields})
