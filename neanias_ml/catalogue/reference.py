"""The column reference in ``docs/catalogue.md``, made from the schema.

``python -m neanias_ml.catalogue.reference docs/catalogue.md`` brings the page up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from neanias_ml.catalogue.schema import TABLES

BEGIN, END = "<!-- columns: begin -->", "<!-- columns: end -->"
"""The generated part of the page lies between these lines."""


def markdown_reference() -> str:
    """All tables as Markdown, one section each."""
    parts = []
    for table in TABLES:
        lines = [f"### `{table.file}`", "", f"{table.description}.", ""]
        lines += ["| column | type | unit | UCD | meaning |", "|---|---|---|---|---|"]
        for column in table.columns:
            unit = column.unit or "-"
            lines.append(f"| `{column.name}` | {column.dtype} | {unit} | `{column.ucd}` | {column.description} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def updated_page(page: str) -> str:
    """The page with a fresh column reference between its markers.

    Raises
    ------
    ValueError
        If a marker is missing.
    """
    head, _, rest = page.partition(BEGIN)
    _, marker, tail = rest.partition(END)
    if not marker:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{head}{BEGIN}\n\n{markdown_reference()}\n{END}{tail}"


def main(arguments: list[str]) -> None:
    """Rewrite the pages named on the command line."""
    for name in arguments:
        page = Path(name)
        page.write_text(updated_page(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
