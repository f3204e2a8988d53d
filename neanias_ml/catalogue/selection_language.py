"""The language of cuts: parsed by Python's own grammar, allowed word by word, and never run as Python.

``snr > 7 and kind == 'compact'``, ``total_flux between 1 mJy and 5 mJy``, ``flags contains 'edge'``,
``class_name in ('compact', 'extended') and not isnan(major)``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass

from neanias_ml.errors import UsageError

MAX_LENGTH = 4000
MAX_DEPTH = 60
FUNCTIONS = {
    "abs": 1, "log10": 1, "log": 1, "exp": 1, "sqrt": 1, "isnan": 1, "minimum": 2, "maximum": 2, "matches": 2,
    "sin": 1, "cos": 1, "radians": 1,
}  # fmt: skip
"""Functions and their number of arguments."""
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>'[^'\\]*'|"[^"\\]*")
      | `(?P<quoted>[^`]+)`
      | (?P<number>(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)(?P<unit>\s*[A-Za-z]+(/beam)?(?![\w(]))?
      | (?P<word>[^\W\d]\w*)
      | (?P<mark>\*\*|//|[<>=!]=|[-+*/%<>(),=])""",
    re.VERBOSE,
)
_OPERATORS = {
    "and": "and", "or": "or", "not": "not", "in": "in", "between": "<<", "contains": "@", "true": "True",
    "false": "False",
}  # fmt: skip
"""Our words, and the Python that stands for each while a cut is parsed."""
_WORDS = {"and", "or", "not", "in", "between", "contains"}
_NOT_OURS = {"=": "==", "//": "/"}
_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.Mod, ast.Pow, ast.MatMult, ast.BitXor, ast.LShift, ast.Compare, ast.Eq, ast.NotEq, ast.Lt,
    ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Tuple, ast.Name, ast.Load, ast.Constant, ast.Call,
)  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """A cut that was understood.

    Attributes
    ----------
    text
        As it was written.
    tree
        Its syntax tree, of allowed nodes only; ``contains`` stands there as matrix product, ``between`` as
        ``(x << low) ^ high``.
    names
        Column name by the position of its node.
    units
        Unit behind a number by the position of its node.
    texts
        Quoted text by the position of its node.
    """

    text: str
    tree: ast.expr
    names: Mapping[int, str]
    units: Mapping[int, str]
    texts: Mapping[int, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(dict.fromkeys(self.names[position] for position in sorted(self.names)))


def parse_expression(text: str) -> Expression:
    """Understand a cut.

    Raises
    ------
    UsageError
        ``ExpressionUnreadable``, with the place where it cannot be understood.
    """
    text = re.sub(r"[\r\n\t]", " ", text).strip()  # a cut file may break lines
    if not text:
        raise UsageError("ExpressionUnreadable", "the cut is empty; write a condition such as 'snr > 7'")
    if len(text) > MAX_LENGTH:
        raise UsageError("ExpressionUnreadable", f"the cut is longer than {MAX_LENGTH} characters; use a cut file")
    scanner = _Scanner(text)
    python = scanner.python()
    try:
        tree = ast.parse(python.rstrip(), mode="eval").body
    except SyntaxError as error:
        place = error.offset - 1 if error.offset and error.offset > 0 else len(text)
        raise unreadable(text, place, "something is missing or too much") from error
    except (RecursionError, MemoryError) as error:
        raise unreadable(text, 0, "it is nested too deeply; use a cut file") from error
    _require_allowed(tree, text)
    columns = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and set(node.id) == {"_"}]
    names = {node.col_offset: scanner.names[node.col_offset] for node in columns}
    return Expression(text, tree, names, scanner.units, scanner.texts)


def unreadable(text: str, position: int, reason: str) -> UsageError:
    """The error for a place in a cut."""
    position = min(max(position, 0), len(text))
    before, after = text[max(position - 60, 0) : position], text[position : position + 60]
    return UsageError(
        "ExpressionUnreadable",
        f"the cut cannot be understood at character {position + 1}, where [HERE] stands: {before}[HERE]{after} - "
        f"{reason}",
    )


class _Scanner:
    """Rewrites a cut character for character, with our own words as operators that Python knows.

    Names and texts become placeholders in ASCII, so that positions in the syntax tree are those in the text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: dict[int, str] = {}
        self.units: dict[int, str] = {}
        self.texts: dict[int, str] = {}
        self._depth = 0
        self._after_text = False
        self._open_ranges: list[int] = []  # parenthesis depth of each 'between' whose 'and' is still to come

    def python(self) -> str:
        """The rewritten text."""
        pieces: list[str] = []
        position = 0
        while position < len(self.text):
            found = _TOKEN.match(self.text, position)
            if not found:
                raise unreadable(self.text, position, "this character has no meaning in a cut")
            kind = found.lastgroup if found.lastgroup != "unit" else "number"
            piece = getattr(self, f"_{kind}")(position, found)
            if kind == "text" and self._after_text:
                raise unreadable(self.text, position, "two texts follow each other; join conditions with and, or")
            self._after_text = kind == "text" or (self._after_text and kind == "space")
            pieces.append(piece)
            position += len(piece)
        if self._open_ranges:
            raise unreadable(self.text, len(self.text), "'between' needs two ends: x between 1 and 2")
        return "".join(pieces)

    def _space(self, position: int, found: re.Match[str]) -> str:
        return " " * len(found.group())

    def _quoted(self, position: int, found: re.Match[str]) -> str:
        self.names[position] = found["quoted"]
        return "_" * len(found.group())

    def _text(self, position: int, found: re.Match[str]) -> str:
        self.texts[position] = found.group()[1:-1]
        return repr("_" * (len(found.group()) - 2))

    def _number(self, position: int, found: re.Match[str]) -> str:
        unit = (found["unit"] or "").strip()
        if not unit or unit.lower() in _WORDS:
            return found["number"]
        self.units[position] = unit
        return found["number"].ljust(len(found.group()))

    def _mark(self, position: int, found: re.Match[str]) -> str:
        mark = found.group()
        if mark in _NOT_OURS:
            raise unreadable(self.text, position, f"use {_NOT_OURS[mark]} instead")
        self._depth += (mark == "(") - (mark == ")")
        return mark

    def _word(self, position: int, found: re.Match[str]) -> str:
        word = found.group()
        lower, width = word.lower(), len(word)
        if lower == "between":
            self._open_ranges.append(self._depth)
        elif lower == "and" and self._open_ranges[-1:] == [self._depth]:
            self._open_ranges.pop()
            return "^".ljust(width)
        if lower in _OPERATORS:
            return _OPERATORS[lower].ljust(width)
        self.names[position] = word
        is_call = lower in FUNCTIONS and re.match(r"\s*\(", self.text[position + width :])
        return lower if is_call else "_" * width


def _require_allowed(tree: ast.expr, text: str) -> None:
    """Refuse every construct that a cut has no use for."""
    depths: list[tuple[ast.AST, int]] = [(tree, 1)]
    while depths:
        node, depth = depths.pop()
        position = getattr(node, "col_offset", 0)
        if depth > MAX_DEPTH:
            raise unreadable(text, position, "it is nested too deeply; use a cut file")
        if not isinstance(node, _ALLOWED):
            raise unreadable(text, position, f"a {type(node).__name__} is not part of the language of cuts")
        if isinstance(node, ast.Constant) and not isinstance(node.value, (bool, int, float, str)):
            raise unreadable(text, position, "only numbers, text, True and False are values")
        if isinstance(node, ast.Call):
            _require_function(node, text)
        if isinstance(node, ast.Name) and set(node.id) != {"_"}:
            raise unreadable(text, position, f"{node.id} is a function: write {node.id}(...)")
        children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
        depths += [(child, depth + 1) for child in children]


def _require_function(node: ast.Call, text: str) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in FUNCTIONS or node.keywords:
        raise unreadable(text, node.col_offset, f"there is no such function; choose one of {', '.join(FUNCTIONS)}")
    if len(node.args) != FUNCTIONS[name]:
        raise unreadable(text, node.col_offset, f"{name} takes {FUNCTIONS[name]} value(s), not {len(node.args)}")
