"""The options of the extraction as a page and as a file to start from, both made from the config dataclasses.

``python -m neanias_ml.extraction.reference docs/extraction-options.md configs/extract/default.yaml`` brings both up to
date: the ending of a name says which of the two it is.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docstring_parser import parse_from_object

from neanias_ml.extraction.finder_config import FinderConfig

ROOT = "finder"
"""Name of the settings on the command line and in YAML files."""
WIDTH = 110
"""Characters of a line of comment."""

PAGE_HEAD = """# Options of the extraction

Made from the program by `python -m neanias_ml.extraction.reference docs/extraction-options.md`; what the stages do is
told in [extraction.md](extraction.md).

Every option works on the command line (`--finder.background.mesh_beams 20`) and in a file for `--config` (nested keys,
as in [configs/extract/default.yaml](../configs/extract/default.yaml)); the command line beats the file. Unknown names
and values that make no sense are refused. Signal to noise is counted in the local noise (sigma), lengths in beams are
geometric-mean full widths at half maximum, areas in beams are beam areas.
"""

FILE_HEAD = """# All settings of the extraction with their defaults, as a file to start from:
#   neanias-ml extract MAP -o DIR --config configs/extract/default.yaml
# Leave out what you do not change. Made from the program by
#   python -m neanias_ml.extraction.reference configs/extract/default.yaml
"""


@dataclass(frozen=True)
class Option:
    """One setting.

    Attributes
    ----------
    name
        Its name in its section.
    type_name
        As in the source.
    default
        Its value by default.
    meaning
        What it does, with unit, range and reason.
    """

    name: str
    type_name: str
    default: Any
    meaning: str

    @property
    def default_text(self) -> str:
        """The default as YAML and the command line spell it."""
        return self.default if isinstance(self.default, str) else json.dumps(self.default)


@dataclass(frozen=True)
class Section:
    """Settings of one dataclass.

    Attributes
    ----------
    path
        Dotted name, as on the command line.
    title
        What they are about.
    options
        In the order of the source.
    """

    path: str
    title: str
    options: tuple[Option, ...]


def sections(config: Any = None, *, path: str = ROOT, title: str = "the whole search") -> Iterator[Section]:
    """The settings of a config dataclass and, after them, those of the dataclasses in it.

    Parameters
    ----------
    config
        A dataclass instance with attribute docstrings; `FinderConfig` with its defaults by default.
    path, title
        Its dotted name and what it is about.
    """
    config = FinderConfig() if config is None else config
    described = {one.arg_name: one for one in parse_from_object(type(config)).params}
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    meanings = {name: " ".join((described[name].description or "").split()) for name in values}
    inner = [name for name, value in values.items() if dataclasses.is_dataclass(value)]
    options = tuple(
        Option(name, str(described[name].type_name), value, meanings[name])
        for name, value in values.items()
        if name not in inner
    )
    yield Section(path, title, options)
    for name in inner:
        yield from sections(values[name], path=f"{path}.{name}", title=meanings[name])


def option_names() -> tuple[str, ...]:
    """Dotted names of all settings, as on the command line without the leading dashes."""
    return tuple(f"{section.path}.{option.name}" for section in sections() for option in section.options)


def markdown_page() -> str:
    """The page with one table for each section."""
    parts = [PAGE_HEAD]
    for section in sections():
        lines = [f"## `{section.path}`: {section.title}", "", "| option | type | default | meaning, range, reason |"]
        lines.append("|---|---|---|---|")
        for option in section.options:
            type_name = option.type_name.replace("|", "or")
            meaning = option.meaning.replace("|", "\\|")
            lines.append(f"| `{option.name}` | {type_name} | `{option.default_text}` | {meaning} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def yaml_file() -> str:
    """All settings at their defaults, each under its meaning as a comment."""
    lines = [FILE_HEAD]
    for section in sections():
        depth = section.path.count(".")
        lines.append(f"{'  ' * depth}{section.path.rpartition('.')[2]}:  # {section.title}")
        indent = "  " * (depth + 1)
        for option in section.options:
            lines += textwrap.wrap(option.meaning, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
            lines.append(f"{indent}{option.name}: {option.default_text}")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Write the files named on the command line."""
    for name in arguments:
        path = Path(name)
        path.write_text(yaml_file() if path.suffix == ".yaml" else markdown_page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
