"""Confusion matrix: counts and shares of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neanias_ml.training.pictures.style import INK, SOFT, heading, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
DARK = 0.55
"""Cells with at least this share are dark enough for white letters."""


def row_shares(matrix: ArrayLike) -> FloatArray:
    """(n, n) counts divided by the sum of their row; 0 in empty rows."""
    counts = np.asarray(matrix, dtype=np.float64)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


def draw_confusion(
    matrix: ArrayLike, names: Sequence[str], *, with_background: bool = False, title: str = "confusion"
) -> Figure:
    """Counts of true (row) against predicted (column) class.

    Parameters
    ----------
    matrix
        (n, n) counts.
    names
        Of the n classes.
    with_background
        The first class is background: its row holds false detections, its column what was missed, and their common
        cell cannot be counted.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    number = len(names)
    if counts.shape != (number, number):
        raise ValueError(f"{number} classes need a matrix of as many rows and columns, not {counts.shape}")
    shares = row_shares(counts)
    side = 1.05 * number
    figure = new_figure(side + 3.2, side + 1.7)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    heading(axes, title)
    for row in range(number):
        for column in range(number):
            impossible = with_background and row == column == 0
            text = "-" if impossible else f"{counts[row, column]}\n{100 * shares[row, column]:.0f} %"
            colour = "white" if shares[row, column] >= DARK else INK if counts[row, column] else SOFT
            weight = "bold" if row == column else "normal"
            axes.text(column, row, text, ha="center", va="center", fontsize=10, color=colour, weight=weight)
    rows, columns = list(names), list(names)
    if with_background:
        rows[0], columns[0] = f"no object\n({names[0]})", f"missed\n({names[0]})"
    totals = counts.sum(axis=1)
    axes.set_yticks(range(number), [f"{name}\n{total}" for name, total in zip(rows, totals, strict=True)], fontsize=10)
    axes.set_xticks(range(number), columns, fontsize=10, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_ylabel("true class, number", fontsize=11, color=INK)
    axes.set_xlabel("predicted class", fontsize=11, color=INK)
    axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of the row", fontsize=10, color=INK)
    return figure
