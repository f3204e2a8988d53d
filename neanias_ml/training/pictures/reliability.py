"""Reliability diagrams: how often an answer given with some probability is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from neanias_ml.evaluation import ReliabilityDiagram, expected_calibration_error, reliability_diagram, wilson_interval
from neanias_ml.training.pictures.style import (
    BLUE,
    INK,
    ORANGE,
    SOFT,
    heading,
    new_figure,
    plain_frame,
    say_nothing_to_show,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class StatedProbabilities:
    """Probabilities that a network stated, and what was true.

    Attributes
    ----------
    title
        Heading of the panel.
    probability
        (N,) in [0, 1].
    outcome
        (N,) whether what was stated is true.
    stated, observed
        Labels of the axes: the probability, and the share of true outcomes.
    """

    title: str
    probability: ArrayLike
    outcome: ArrayLike
    stated: str = "stated probability"
    observed: str = "share of right answers"


def draw_reliability(panels: Sequence[StatedProbabilities], *, n_bins: int = 15) -> Figure:
    """A diagram with the counts of its bins below for each set of probabilities."""
    figure = new_figure(5.6 * len(panels), 7.2)
    grid = figure.subplots(2, len(panels), squeeze=False, sharex="col", height_ratios=[3.4, 1])
    for column, panel in enumerate(panels):
        diagram = reliability_diagram(panel.probability, panel.outcome, n_bins=n_bins)
        error = expected_calibration_error(panel.probability, panel.outcome, n_bins=n_bins)
        _draw_diagram(grid[0, column], panel, diagram, error)
        _draw_counts(grid[1, column], panel, diagram)
    return figure


def _draw_diagram(axes: Axes, panel: StatedProbabilities, diagram: ReliabilityDiagram, error: float) -> None:
    heading(axes, panel.title)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1.2, linestyle="--", label="perfect")
    filled = diagram.counts > 0
    if filled.any():
        counts, stated, share = diagram.counts[filled], diagram.confidence[filled], diagram.accuracy[filled]
        low, high = wilson_interval(np.round(share * counts), counts)
        axes.vlines(stated, np.minimum(stated, share), np.maximum(stated, share), color=ORANGE, linewidth=5, alpha=0.35,
                    label="gap")  # fmt: skip
        # the interval of an extreme share may end a rounding error beside it
        spread = np.maximum(np.stack([share - low, high - share]), 0.0)
        axes.errorbar(
            stated, share, yerr=spread, color=BLUE, marker="o", markersize=6, linewidth=1.4, elinewidth=1.2, capsize=3,
            label="network, with 95 % intervals",
        )  # fmt: skip
        axes.text(0.97, 0.04, f"calibration error {100 * error:.1f} %\n{counts.sum()} answers", ha="right", va="bottom",
                  fontsize=11, color=INK, transform=axes.transAxes)  # fmt: skip
        axes.legend(loc="upper left", fontsize=10, frameon=False)
    else:
        say_nothing_to_show(axes, "no answers")
    plain_frame(axes)
    axes.set_ylabel(panel.observed)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.01, 1.02)


def _draw_counts(axes: Axes, panel: StatedProbabilities, diagram: ReliabilityDiagram) -> None:
    """Answers in each bin."""
    from matplotlib.ticker import FuncFormatter

    axes.bar(diagram.edges[:-1], diagram.counts, width=np.diff(diagram.edges), align="edge", color=BLUE, alpha=0.7,
             edgecolor="white")  # fmt: skip
    plain_frame(axes, grid="y")
    axes.set_xlabel(panel.stated)
    axes.set_ylabel("answers")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 2.0 * max(int(diagram.counts.max()), 1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
