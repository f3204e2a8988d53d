"""Loss curves: total and parts of training and validation, the best step, the learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neanias_ml.training.pictures.metric_log import MetricSeries, learning_rate, loss_parts
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

FloatArray = NDArray[np.float64]
LOGARITHMIC_FROM = 8.0
"""A panel gets a logarithmic axis when its largest value is more than this times its smallest."""
SMOOTHED_PARTS = 40
"""The smoothed training loss averages over the length of the run divided by this."""


def draw_loss_curves(metrics: dict[str, MetricSeries], *, title: str = "loss") -> Figure:
    """Total loss with the best validation step and the learning rate at the left, the parts at the right.

    Parameters
    ----------
    metrics
        As `read_metric_log` gives them: ``train/loss``, ``validation/loss``, their parts ``.../loss_*``, ``lr``.
    """
    parts = loss_parts(metrics)
    columns = 0 if not parts else 1 if len(parts) <= 3 else 2
    figure = new_figure(8.5 + 3.0 * columns, 6.6)
    grid = figure.add_gridspec(1, 2 if columns else 1, width_ratios=[8.5, 3.6 * columns] if columns else [1])
    left = grid[0].subgridspec(2, 1, height_ratios=[3.2, 1])
    top = figure.add_subplot(left[0])
    rate = figure.add_subplot(left[1], sharex=top)
    _draw_total(top, metrics, title)
    _draw_rate(rate, learning_rate(metrics))
    if columns:
        cells = grid[1].subgridspec(-(-len(parts) // columns), columns)
        for index, part in enumerate(parts):
            _draw_part(figure.add_subplot(cells[divmod(index, columns)]), metrics, part)
    return figure


def smoothed(series: MetricSeries) -> FloatArray:
    """(K,) centred running mean; at the ends the mean of what there is."""
    half = max(len(series) // (2 * SMOOTHED_PARTS), min(2, len(series) // 10))
    sums = np.concatenate([[0.0], np.cumsum(series.values)])
    places = np.arange(len(series))
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, len(series))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _draw_total(axes: Axes, metrics: dict[str, MetricSeries], title: str) -> None:
    heading(axes, title)
    _draw_pair(axes, metrics, "loss")
    plain_frame(axes)
    axes.tick_params(labelbottom=False)
    axes.set_ylabel("total loss")
    validation = metrics.get("validation/loss")
    best = validation.best() if validation is not None else None
    if best is not None:
        step, value = best
        axes.axvline(step, color=SOFT, linewidth=1, linestyle=":")
        axes.plot(step, value, marker="*", markersize=17, color="#f0e442", markeredgecolor=INK, linestyle="", zorder=5,
                  label=f"best: {value:.4g} at step {step}")  # fmt: skip
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, fontsize=10, frameon=False, borderpad=0)
    else:
        say_nothing_to_show(axes, "no loss was logged")


def _draw_pair(axes: Axes, metrics: dict[str, MetricSeries], name: str) -> None:
    """Training (as logged and smoothed) and validation of one loss."""
    train, validation = metrics.get(f"train/{name}"), metrics.get(f"validation/{name}")
    if train is not None:
        axes.plot(train.steps, train.values, color=BLUE, linewidth=0.8, alpha=0.3)
        axes.plot(train.steps, smoothed(train), color=BLUE, linewidth=1.8, label="training")
    if validation is not None:
        axes.plot(validation.steps, validation.values, color=ORANGE, linewidth=1.6, linestyle="--", marker="o",
                  markersize=4 if len(validation) <= 60 else 0, label="validation")  # fmt: skip
    values = np.concatenate([series.values for series in (train, validation) if series is not None] or [np.ones(1)])
    if values.min() > 0 and values.max() > LOGARITHMIC_FROM * values.min():
        _logarithmic(axes, values)


def _logarithmic(axes: Axes, values: FloatArray) -> None:
    """Ticks in plain numbers, enough of them to read values off."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    decades = np.log10(values.max() / values.min())
    numbers = (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=numbers))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_rate(axes: Axes, rate: MetricSeries | None) -> None:
    plain_frame(axes)
    axes.set_xlabel("optimiser step", color=INK, fontsize=10)
    axes.set_ylabel("learning rate", color=INK, fontsize=10)
    if rate is None:
        axes.set_yticks([])
        say_nothing_to_show(axes, "the learning rate was not logged")
        return
    axes.plot(rate.steps, rate.values, color=INK, linewidth=1.4)
    axes.set_ylim(0.0, 1.1 * float(rate.values.max()) or 1.0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))


def _draw_part(axes: Axes, metrics: dict[str, MetricSeries], part: str) -> None:
    axes.set_title(part.removeprefix("loss_").replace("_", " "), loc="left", fontsize=10, color=INK)
    _draw_pair(axes, metrics, part)
    plain_frame(axes)
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=4)
