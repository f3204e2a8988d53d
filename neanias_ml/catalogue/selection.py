"""Cuts on the rows of a table: from the command line, from a cut file, and what each of them removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from astropy.table import Table
from numpy.typing import NDArray

from neanias_ml.catalogue.reading import nearest_names
from neanias_ml.catalogue.selection_language import Expression, parse_expression
from neanias_ml.catalogue.selection_values import column_name, evaluate
from neanias_ml.errors import InputError, UsageError

TruthArray = NDArray[np.bool_]
_FILE_KEYS = {"combine", "cuts", "description"}
_CUT_KEYS = {"name", "where", "all", "any", "reason", "enabled", "if_missing"}


@dataclass(frozen=True)
class Cut:
    """One condition, or several joined.

    Attributes
    ----------
    name
        For the report.
    expression
        The condition; None where ``parts`` are joined.
    join
        How parts are joined.
    parts
        Conditions of a group.
    reason
        Why, for the report.
    enabled
        A cut that is not is left out.
    if_missing
        What to do where the table lacks a column of the cut: refuse, or leave the cut out.
    """

    name: str
    expression: Expression | None = None
    join: Literal["all", "any"] = "all"
    parts: tuple[Cut, ...] = ()
    reason: str = ""
    enabled: bool = True
    if_missing: Literal["error", "skip"] = "error"

    @property
    def text(self) -> str:
        """The condition as one line."""
        if self.expression is not None:
            return self.expression.text
        word = " and " if self.join == "all" else " or "
        return word.join(f"({part.text})" for part in self.parts if part.enabled)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it reads."""
        if self.expression is not None:
            return self.expression.columns
        return tuple(dict.fromkeys(name for part in self.parts if part.enabled for name in part.columns))

    def passes(self, table: Table) -> TruthArray:
        """Rows (N,) that satisfy it."""
        if self.expression is not None:
            return evaluate(self.expression, table)
        truths = [part.passes(table) for part in self.parts if part.enabled]
        return (np.logical_and if self.join == "all" else np.logical_or).reduce(truths)


@dataclass(frozen=True)
class CutCount:
    """What one cut did.

    Attributes
    ----------
    satisfied
        Rows of the whole table that satisfy it; None where it was left out.
    removed
        Rows that it removed of those that the cuts before it had left; None for cuts joined by ``any``.
    left
        Rows left after it; None likewise.
    note
        Why it was left out.
    """

    name: str
    where: str
    reason: str
    satisfied: int | None
    removed: int | None
    left: int | None
    note: str = ""


@dataclass(frozen=True)
class Selection:
    """Rows (N,) that stay, and the count of each cut in order."""

    rows: TruthArray
    counts: tuple[CutCount, ...]


def apply_cuts(table: Table, cuts: Sequence[Cut], *, combine: Literal["all", "any"] = "all") -> Selection:
    """Rows that satisfy all (or any) of the cuts.

    Raises
    ------
    UsageError
        ``ColumnMissing`` where a cut may not be left out; ``NoCut`` if none of several cuts fits the table.
    """
    rows = np.ones(len(table), dtype=bool) if combine == "all" else np.zeros(len(table), dtype=bool)
    counts, applied = [], 0
    for cut in cuts:
        note = _why_left_out(cut, table)
        if note:
            counts.append(CutCount(cut.name, cut.text, cut.reason, None, None, None, note))
            continue
        passes = cut.passes(table)
        before, applied = int(rows.sum()), applied + 1
        rows = rows & passes if combine == "all" else rows | passes
        left = int(rows.sum())
        order = (before - left, left) if combine == "all" else (None, None)
        counts.append(CutCount(cut.name, cut.text, cut.reason, int(passes.sum()), *order))
    if cuts and not applied:
        raise UsageError(
            "NoCut",
            f"none of the {len(cuts)} cuts was applied ({counts[0].name}: {counts[0].note}); the table "
            f"{table.meta.get('name', '')} has {nearest_names('', table.colnames)}",
        )
    return Selection(rows, tuple(counts))


def cuts_of_file(path: Path | str) -> tuple[tuple[Cut, ...], Literal["all", "any"]]:
    """Read a cut file (YAML): ``cuts``, a list, and ``combine``, ``all`` (default) or ``any``.

    A cut has a ``name`` and either ``where`` (a condition) or ``all`` or ``any`` (a list of cuts, which need no name);
    optional are ``reason``, ``enabled`` and ``if_missing`` (``error`` or ``skip``).

    Raises
    ------
    InputError
        ``CutFileUnreadable`` with the place of what is wrong.
    UsageError
        ``ExpressionUnreadable``, naming the cut.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError("CutFileUnreadable", f"the cut file {path} cannot be read ({reason})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(
            "CutFileUnreadable", f"the cut file {path} is no YAML{place}; quote conditions that hold ': '"
        ) from error
    where = f"the cut file {path}"
    if not isinstance(content, dict) or not isinstance(content.get("cuts"), list) or not content["cuts"]:
        raise InputError(
            "CutFileUnreadable", f"{where} has no list 'cuts'; write cuts: [{{name: bright, where: snr > 7}}]"
        )
    _require_keys(content, _FILE_KEYS, where=where)
    combine = content.get("combine", "all")
    if combine not in ("all", "any"):
        raise InputError("CutFileUnreadable", f"'combine' of {where} must be all or any, not {combine!r}")
    cuts = tuple(_cut(item, f"cut {number}", where=where) for number, item in enumerate(content["cuts"], start=1))
    return cuts, combine


def _cut(item: Any, fallback: str, *, where: str) -> Cut:
    """One cut of a file, with its parts."""
    if not isinstance(item, dict):
        raise InputError("CutFileUnreadable", f"{fallback} of {where} is no mapping; write {{name: ..., where: ...}}")
    name = str(item.get("name", fallback))
    place = f"{name!r} of {where}"
    _require_keys(item, _CUT_KEYS, where=place)
    ways = [key for key in ("where", "all", "any") if key in item]
    if len(ways) != 1:
        raise InputError("CutFileUnreadable", f"{place} needs exactly one of 'where', 'all' and 'any'")
    if item.get("if_missing", "error") not in ("error", "skip") or not isinstance(item.get("enabled", True), bool):
        raise InputError("CutFileUnreadable", f"{place}: if_missing is error or skip, enabled is true or false")
    common = {
        "name": name,
        "reason": str(item.get("reason", "")),
        "enabled": item.get("enabled", True),
        "if_missing": item.get("if_missing", "error"),
    }
    if ways == ["where"]:
        try:
            return Cut(expression=parse_expression(str(item["where"])), **common)
        except UsageError as error:
            raise UsageError(error.code, f"{place}: {error.message}") from error
    parts = item[ways[0]]
    if not isinstance(parts, list) or not parts:
        raise InputError("CutFileUnreadable", f"'{ways[0]}' of {place} must be a list of cuts")
    read = tuple(_cut(part, f"{name}, part {number}", where=where) for number, part in enumerate(parts, start=1))
    if not any(part.enabled for part in read):
        common["enabled"] = False
    return Cut(join="all" if ways[0] == "all" else "any", parts=read, **common)


def _require_keys(item: dict[Any, Any], known: set[str], *, where: str) -> None:
    """A mistyped key would be a cut that is silently not made."""
    for key in item:
        if key not in known:
            raise InputError(
                "CutFileUnreadable", f"{where} has the unknown key {key!r} ({nearest_names(str(key), known)})"
            )


def _why_left_out(cut: Cut, table: Table) -> str:
    if not cut.enabled:
        return "not enabled"
    missing = [name for name in cut.columns if column_name(name, table) is None]
    return f"no column {', '.join(missing)}" if missing and cut.if_missing == "skip" else ""
