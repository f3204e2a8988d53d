"""A selection on disk: the rows, and beside them what each cut removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from astropy.table import Table

from neanias_ml.catalogue.crossmatch_files import table_manifest
from neanias_ml.catalogue.manifest import RunRecord, write_manifest
from neanias_ml.catalogue.selection import CutCount, Selection
from neanias_ml.output_files import replaced_together


def write_selection(
    table: Table,
    path: Path,
    *,
    writer: Callable[[Table, Path], None],
    selection: Selection,
    source: Path,
    run: RunRecord,
) -> tuple[Path, Path]:
    """Write rows and ``FILE.run.json`` (input, settings, cuts and their counts); both appear together.

    Parameters
    ----------
    table
        The rows to write.
    writer
        `table_files.table_writer` of the path.
    selection
        What was selected, for the report.
    source
        The catalogue that was read.

    Returns
    -------
    tuple of Path
        The table and the report.
    """
    report = f"{path.name}.run.json"
    counts: dict[str, Any] = {
        "rows": len(selection.rows),
        "selected": int(selection.rows.sum()),
        "cuts": [dataclasses.asdict(count) for count in selection.counts],
    }
    with replaced_together(path.parent, names=(path.name, report)) as folder:
        writer(table, folder / path.name)
        files = {path.name: folder / path.name}
        write_manifest(table_manifest("select", run, inputs=(source,), counts=counts, files=files), folder / report)
    return path, path.parent / report


def count_lines(selection: Selection) -> list[str]:
    """The report as a table for the terminal."""
    rows = [("cut", "satisfied", "removed", "left", "")]
    rows += [_cells(count) for count in selection.counts]
    widths = [min(max(len(row[column]) for row in rows), 48) for column in range(4)]
    lines = [
        "  ".join([row[0][:48].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3)), row[4]]).rstrip()
        for row in rows
    ]
    return [*lines, f"{int(selection.rows.sum())} of {len(selection.rows)} rows pass"]


def _cells(count: CutCount) -> tuple[str, str, str, str, str]:
    satisfied, removed, left = (
        "-" if number is None else str(number) for number in (count.satisfied, count.removed, count.left)
    )
    return count.name, satisfied, removed, left, f"left out: {count.note}" if count.note else count.where
