"""A parsed cut applied to the rows of a table."""

from __future__ import annotations

import ast
import fnmatch
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table
from numpy.typing import NDArray

from neanias_ml.catalogue.reading import nearest_names
from neanias_ml.catalogue.selection_language import Expression, unreadable
from neanias_ml.errors import UsageError

TruthArray = NDArray[np.bool_]
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: np.equal, ast.NotEq: np.not_equal, ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Mod: np.mod,
    ast.Pow: np.power,
}  # fmt: skip
_SPLIT = re.compile(r"[,;\s]+")


@dataclass(frozen=True)
class _Value:
    """Numbers, text or truth values: an array (N,) or one for all rows; None is no unit or an unknown one.

    Whole numbers stay so while they are only compared, as identifiers of 19 digits do not fit a float.
    """

    data: Any
    kind: str
    unit: u.UnitBase | None = None

    def floating(self) -> _Value:
        """The same with floats."""
        return _Value(np.asarray(self.data, dtype=np.float64)[()], self.kind, self.unit)


def column_name(wanted: str, table: Table) -> str | None:
    """The table's column of a name; upper and lower case matter only where two columns differ by nothing else."""
    if wanted in table.colnames:
        return wanted
    alike = [name for name in table.colnames if name.lower() == wanted.lower()]
    return alike[0] if len(alike) == 1 else None


def evaluate(expression: Expression, table: Table) -> TruthArray:
    """Which rows (N,) satisfy a cut.

    A comparison with a missing value is false, whatever the operator. Numbers without a unit are in the unit of the
    column that they are compared with; those with one are converted.

    Raises
    ------
    UsageError
        ``ColumnMissing``, ``ExpressionUnreadable`` where text and numbers are mixed, ``UnitMismatch``.
    """
    with np.errstate(all="ignore"):
        value = _Evaluation(expression, table).of(expression.tree)
    if value.kind != "truth":
        raise unreadable(expression.text, 0, "this is a value, not a condition; compare it with something")
    return np.broadcast_to(np.asarray(value.data, dtype=bool), (len(table),)).copy()


class _Evaluation:
    """Values of the nodes of one cut."""

    def __init__(self, expression: Expression, table: Table) -> None:
        self.expression, self.table = expression, table

    def of(self, node: ast.expr) -> _Value:
        """The value of a node."""
        methods: dict[type[ast.expr], Callable[[Any], _Value]] = {
            ast.Constant: self._constant,
            ast.Name: self._column,
            ast.BoolOp: self._joined,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._binary,
            ast.Compare: self._compare,
            ast.Call: self._call,
        }
        if type(node) not in methods:
            raise self._error(node, "a list has its place only behind 'in'")
        return methods[type(node)](node)

    def _joined(self, node: ast.BoolOp) -> _Value:
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        truths = [self._truth(item) for item in node.values]
        return _Value(functools.reduce(join, truths), "truth")

    def _constant(self, node: ast.Constant) -> _Value:
        if isinstance(node.value, bool):
            return _Value(np.bool_(node.value), "truth")
        if isinstance(node.value, str):
            return _Value(self.expression.texts[node.col_offset], "text")
        if not isinstance(node.value, (int, float)):
            raise self._error(node, "only numbers, text, True and False are values")
        text = self.expression.units.get(node.col_offset)
        try:
            exact = isinstance(node.value, int) and abs(node.value) < 2**63 and not text
            value = np.int64(node.value) if exact else np.float64(float(node.value))
            return _Value(value, "number", u.Unit(text) if text else None)
        except OverflowError as error:
            raise self._error(node, "this number is too large") from error
        except ValueError as error:
            raise self._error(
                node, f"{text!r} is no unit (units: Jy, mJy, uJy, mJy/beam, arcsec, deg, GHz, ...)"
            ) from error

    def _column(self, node: ast.Name) -> _Value:
        wanted = self.expression.names[node.col_offset]
        name = column_name(wanted, self.table)
        if name is None:
            raise UsageError(
                "ColumnMissing",
                f"the table has no column {wanted!r}, which the cut '{self.expression.text}' asks for "
                f"({nearest_names(wanted, self.table.colnames)})",
            )
        column = self.table[name]
        mask = np.ma.getmaskarray(np.ma.asarray(column)) if hasattr(column, "mask") else np.zeros(len(column), bool)
        values = np.asarray(column)
        if values.dtype.kind in "US":
            return _Value(np.where(mask, "", values), "text")
        if values.dtype.kind == "b" and not mask.any():
            return _Value(values, "truth")
        if values.dtype.kind not in "iufb":
            raise self._error(node, f"column {name} holds neither numbers nor text")
        exact = np.can_cast(values.dtype, np.int64) and not mask.any()
        numbers = values.astype(np.int64) if exact else np.where(mask, np.nan, values.astype(np.float64))
        unit = column.unit if column.unit is not None and not isinstance(column.unit, u.UnrecognizedUnit) else None
        return _Value(numbers, "number", unit)

    def _truth(self, node: ast.expr) -> Any:
        value = self.of(node)
        if value.kind != "truth":
            raise self._error(node, "this is a value, not a condition; compare it with something")
        return value.data

    def _number(self, node: ast.expr) -> _Value:
        value = self.of(node)
        if value.kind != "number":
            raise self._error(node, "a number is needed here")
        return value

    def _unary(self, node: ast.UnaryOp) -> _Value:
        if isinstance(node.op, ast.Not):
            return _Value(np.logical_not(self._truth(node.operand)), "truth")
        value = self._number(node.operand)
        return _Value(-value.data if isinstance(node.op, ast.USub) else value.data, "number", value.unit)

    def _binary(self, node: ast.BinOp) -> _Value:
        if isinstance(node.op, ast.MatMult):
            return self._contains(node)
        if isinstance(node.op, ast.BitXor):
            return self._between(node)
        if isinstance(node.op, ast.LShift):
            raise self._error(node, "'between' needs two ends: x between 1 and 2")
        left, right = self._number(node.left).floating(), self._number(node.right).floating()
        operate = _ARITHMETIC[type(node.op)]
        if isinstance(node.op, (ast.Mult, ast.Div)):
            return _product(left, right, divide=isinstance(node.op, ast.Div))
        if isinstance(node.op, ast.Pow):
            known = left.unit is not None and np.ndim(right.data) == 0
            unit = left.unit ** float(right.data) if known and left.unit is not None else None
            return _Value(operate(left.data, right.data), "number", unit)
        shifted = self._in_unit_of(left, right, node)
        return _Value(operate(left.data, shifted), "number", left.unit or right.unit)

    def _contains(self, node: ast.BinOp) -> _Value:
        """Whether a text is one of the items of a comma-separated list, as in ``flags``."""
        left, right = self.of(node.left), self.of(node.right)
        if left.kind != "text" or right.kind != "text" or np.ndim(right.data):
            raise self._error(node, "'contains' asks a text column for a quoted text: flags contains 'edge'")
        texts, index = np.unique(np.atleast_1d(left.data), return_inverse=True)
        held = np.array([right.data in _SPLIT.split(str(text)) for text in texts], dtype=bool)
        return _Value(held[index] if len(texts) else np.zeros(0, dtype=bool), "truth")

    def _between(self, node: ast.BinOp) -> _Value:
        """Both ends belong to the range."""
        if not (isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.LShift)):
            raise self._error(node, "'between' needs two ends: x between 1 and 2")
        value = self.of(node.left.left)
        low, high = self.of(node.left.right), self.of(node.right)
        above = self._compared(ast.GtE(), value, low, node)
        return _Value(np.logical_and(above, self._compared(ast.LtE(), value, high, node)), "truth")

    def _compare(self, node: ast.Compare) -> _Value:
        result: Any = np.bool_(True)
        left = self.of(node.left)
        for operator, other in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, (ast.In, ast.NotIn)):
                truth = self._in(left, other, node)
                result = np.logical_and(result, ~truth if isinstance(operator, ast.NotIn) else truth)
                continue
            right = self.of(other)
            result = np.logical_and(result, self._compared(operator, left, right, node))
            left = right
        return _Value(result, "truth")

    def _in(self, left: _Value, other: ast.expr, node: ast.expr) -> Any:
        """Whether a value is one of a list."""
        items = other.elts if isinstance(other, ast.Tuple) else [other]
        found: Any = np.bool_(False)
        for item in items:
            found = np.logical_or(found, self._compared(ast.Eq(), left, self.of(item), node))
        return found

    def _compared(self, operator: ast.cmpop, left: _Value, right: _Value, node: ast.expr) -> Any:
        if left.kind != right.kind:
            raise self._error(node, f"a {left.kind} value is compared with a {right.kind} value (text needs quotes)")
        if left.kind == "text":
            if not isinstance(operator, (ast.Eq, ast.NotEq)):
                raise self._error(node, "text can be compared with ==, != and in")
            return _COMPARE[type(operator)](left.data, right.data)
        if left.kind == "truth":
            return _COMPARE[type(operator)](left.data, right.data)
        other = self._in_unit_of(left, right, node)
        known = ~(np.isnan(left.data) | np.isnan(other))
        return np.logical_and(_COMPARE[type(operator)](left.data, other), known)

    def _in_unit_of(self, left: _Value, right: _Value, node: ast.expr) -> Any:
        """The right numbers in the unit of the left ones; as they are where one side has none."""
        if left.unit is None or right.unit is None:
            for one, other in ((left, right), (right, left)):
                if one.unit is not None and np.ndim(one.data) == 0 and np.ndim(other.data):
                    raise UsageError(
                        "UnitMismatch",
                        f"the cut '{self.expression.text}' gives a number in {one.unit}, but what it is compared with "
                        "has no unit in this file; leave the unit out and write the number in the column's own unit",
                    )
            return right.data
        try:
            return right.data * right.unit.to(left.unit)
        except u.UnitConversionError as error:
            raise UsageError(
                "UnitMismatch",
                f"the cut '{self.expression.text}' compares {left.unit} with {right.unit}; use one kind of quantity",
            ) from error

    def _call(self, node: ast.Call) -> _Value:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        first = self.of(node.args[0])
        if name == "isnan":
            missing = (
                np.equal(first.data, "") if first.kind == "text" else np.isnan(np.asarray(first.data, dtype=float))
            )
            return _Value(missing, "truth")
        if name == "matches":
            return self._matches(node, first)
        if first.kind != "number":
            raise self._error(node, f"{name} needs a number")
        first = first.floating()
        if name in ("minimum", "maximum"):
            second = self._number(node.args[1])
            other = self._in_unit_of(first, second, node)
            return _Value((np.minimum if name == "minimum" else np.maximum)(first.data, other), "number", first.unit)
        if name in ("sin", "cos") and first.unit is not None and first.unit.is_equivalent(u.rad):
            return _Value(getattr(np, name)(first.data * first.unit.to(u.rad)), "number")
        unit = first.unit if name == "abs" else None
        if name == "sqrt" and first.unit is not None:
            unit = first.unit**0.5
        return _Value(getattr(np, name)(first.data), "number", unit)

    def _matches(self, node: ast.Call, first: _Value) -> _Value:
        """Whether a text has the form of a pattern with ``*`` and ``?``."""
        pattern = self.of(node.args[1])
        if first.kind != "text" or pattern.kind != "text" or np.ndim(pattern.data):
            raise self._error(node, "matches asks a text column for a quoted pattern: matches(name, 'ILTJ13*')")
        form = re.compile(fnmatch.translate(str(pattern.data)))
        texts = np.atleast_1d(first.data)
        return _Value(np.array([form.match(str(text)) is not None for text in texts], dtype=bool), "truth")

    def _error(self, node: ast.expr, reason: str) -> UsageError:
        return unreadable(self.expression.text, node.col_offset, reason)


def _product(left: _Value, right: _Value, *, divide: bool) -> _Value:
    """Product or ratio with its unit; a ratio of like quantities (Jy over mJy/beam) is brought to a plain number."""
    data = left.data / right.data if divide else left.data * right.data
    if left.unit is None and right.unit is None:
        return _Value(data, "number")
    one = u.dimensionless_unscaled
    first, second = left.unit or one, right.unit or one
    unit = first / second if divide else first * second
    for plain in (one, u.beam, 1 / u.beam):
        if unit.is_equivalent(plain):
            return _Value(data * unit.to(plain), "number", None)
    return _Value(data, "number", unit)
