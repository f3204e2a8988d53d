"""Precision-recall curves of classes with their average precision and the operating point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neanias_ml.evaluation import PrecisionRecallCurve
from neanias_ml.training.pictures.style import (
    FAINT,
    INK,
    SOFT,
    class_looks,
    dark_edge,
    heading,
    line_style,
    new_figure,
    plain_frame,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neanias_ml.models.class_styles import ClassStyle

F1_CONTOURS = (0.2, 0.4, 0.6, 0.8)


def draw_precision_recall(
    curves: Sequence[PrecisionRecallCurve],
    names: Sequence[str],
    *,
    thresholds: Sequence[float] | None = None,
    title: str = "precision and recall",
) -> Figure:
    """All classes in one panel.

    Parameters
    ----------
    curves
        One per class.
    names
        Of the classes.
    thresholds
        Score threshold of each class; the place on its curve is marked.
    title
        Heading; say in it what counts as a hit.
    """
    figure = new_figure(11.2, 7.0)
    axes = figure.add_subplot()
    heading(axes, title)
    _draw_f1_contours(axes)
    looks = class_looks(names)
    limits = thresholds if thresholds is not None else [None] * len(names)
    for name, curve, threshold in zip(names, curves, limits, strict=True):
        _draw_curve(axes, name, curve, threshold, looks[name])
    plain_frame(axes)
    axes.set_xlabel("recall (completeness)")
    axes.set_ylabel("precision (reliability)")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.set_aspect("equal")
    note = "grey: lines of equal F1" + ("; marker: operating point" if thresholds is not None else "")
    figure.legend(
        loc="outside right upper", fontsize=10, frameon=False, title=note, title_fontsize=9, alignment="left",
        labelspacing=1.0, handlelength=3.0,
    )  # fmt: skip
    return figure


def _draw_curve(
    axes: Axes, name: str, curve: PrecisionRecallCurve, threshold: float | None, style: ClassStyle
) -> None:
    """One class; without anything true there is no curve, and the legend says so."""
    if curve.n_true == 0:
        axes.plot([], [], color=style.colour, linestyle=line_style(style), label=f"{name}: none in the data")
        return
    label = f"{name}: AP {curve.average_precision:.3f}, {curve.n_true} true"
    place = curve.at(threshold) if threshold is not None else None
    if threshold is not None:
        where = f"precision {place[0]:.2f}, recall {place[1]:.2f}" if place is not None else "no prediction"
        label += f"\nscore ≥ {threshold:.2f}: {where}"
    axes.plot(
        curve.recall, curve.precision, color=style.colour, linewidth=2.2, linestyle=line_style(style),
        marker=style.marker, markersize=8, markeredgewidth=1.6, markevery=[],
        label=label, path_effects=dark_edge(3.4),
    )  # fmt: skip
    filled = style.marker not in "x+"
    if place is not None:
        axes.plot(
            place[1], place[0], marker=style.marker, markersize=11, color=style.colour, linestyle="",
            markeredgecolor=INK if filled else style.colour, markeredgewidth=1.4 if filled else 3.0, zorder=5,
            clip_on=False,
        )  # fmt: skip


def _draw_f1_contours(axes: Axes) -> None:
    """Lines on which F1 is the same."""
    for f1 in F1_CONTOURS:
        recall = np.linspace(f1 / (2 - f1), 1.0, 200)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color=FAINT, linewidth=1, zorder=0)
        axes.text(1.0, f1 / (2 - f1) + 0.008, f"F1 {f1:.1f}", fontsize=8, color=SOFT, ha="right", va="bottom")
