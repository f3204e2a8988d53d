"""The figures that a run logs (``log/metrics.csv``), resumed pieces joined."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Points = list[tuple[int, float]]

STEP = "step"
NOT_METRICS = (STEP, "epoch")
LEARNING_RATE = "lr"


@dataclass(frozen=True)
class MetricSeries:
    """One metric over a run.

    Attributes
    ----------
    steps
        (K,) optimiser steps, rising.
    values
        (K,) finite values.
    """

    steps: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.steps)

    def best(self) -> tuple[int, float] | None:
        """Step and value of the smallest value, the first of equals; None where nothing was logged."""
        if not len(self):
            return None
        place = int(np.argmin(self.values))
        return int(self.steps[place]), float(self.values[place])


def read_metric_log(log: Path) -> dict[str, MetricSeries]:
    """Every metric of a run by its column.

    A run that was resumed may have left several files, or one file that goes back in its steps. What a piece logged at
    and after the step at which the next one takes up was lost with the crash, and is left out.

    Parameters
    ----------
    log
        Folder of ``metrics.csv`` and earlier pieces (``metrics-*.csv``, ``version_*/metrics.csv``), or one of them.
    """
    joined: dict[str, Points] = {}
    for path in _pieces(log):
        piece, first = _read(path)
        for points in joined.values():
            _cut(points, first)
        for name, points in piece.items():
            joined.setdefault(name, []).extend(points)
    return {name: _series(points) for name, points in joined.items() if points}


def learning_rate(metrics: dict[str, MetricSeries]) -> MetricSeries | None:
    """The learning rate (of the first group of weights); None where it was not logged."""
    names = [name for name in metrics if name == LEARNING_RATE or name.startswith(f"{LEARNING_RATE}-")]
    return metrics[min(names, key=lambda name: (name != LEARNING_RATE, name))] if names else None


def loss_parts(metrics: dict[str, MetricSeries]) -> list[str]:
    """Names of the parts of the loss (``loss_class``, ...), sorted."""
    found = {name.split("/", 1)[1] for name in metrics if re.match(r"(train|validation)/loss_", name)}
    return sorted(found)


def _pieces(log: Path) -> list[Path]:
    """Files in the order in which they were written: by first step, then by number, the plain name last."""
    folder = log.parent if log.suffix == ".csv" else log
    paths = [*folder.glob("metrics*.csv"), *folder.glob("version_*/metrics.csv")]

    def place(path: Path) -> tuple[int, float, list[int]]:
        numbers = [int(number) for number in re.findall(r"\d+", f"{path.relative_to(folder)}")]
        _, first = _read(path)
        return first, math.inf if not numbers else 0.0, numbers

    return sorted(paths, key=place)


def _read(path: Path) -> tuple[dict[str, Points], int]:
    """Points by column, and the first step of all (0 in an empty file)."""
    columns: dict[str, Points] = {}
    first: int | None = None
    for step, name, value in _cells(path):
        first = step if first is None else min(first, step)
        points = columns.setdefault(name, [])
        _cut(points, step)
        points.append((step, value))
    return columns, first or 0


def _cells(path: Path) -> Iterator[tuple[int, str, float]]:
    """Step, column and value of every filled cell; lines cut short by a crash are passed over."""
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        for row in csv.DictReader(stream):
            step = _number(row.get(STEP))
            if step is None:
                continue
            for name, text in row.items():
                value = _number(text) if name is not None and name not in NOT_METRICS else None
                if value is not None:
                    yield int(step), name, value


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _cut(points: Points, step: int) -> None:
    """Drop what was logged at or after a step."""
    while points and points[-1][0] >= step:
        points.pop()


def _series(points: Points) -> MetricSeries:
    steps, values = zip(*points, strict=True)
    return MetricSeries(np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64))
