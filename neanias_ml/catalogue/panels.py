"""Small panels beside the map of the overview: distributions and counts."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from neanias_ml.catalogue.sources import Sources
from neanias_ml.models.class_styles import in_order, style_of

INK = "#222222"
SOFT = "#777777"


def logarithmic_bins(values: NDArray[np.float64], *, count: int = 24) -> NDArray[np.float64]:
    """Edges, evenly spaced in the logarithm, that hold all positive finite values."""
    usable = values[np.isfinite(values) & (values > 0)]
    if usable.size == 0:
        return np.geomspace(1.0, 10.0, count + 1)
    low, high = float(usable.min()), float(usable.max())
    if high < 2.0 * low:
        low, high = low / 2.0, high * 2.0
    return np.geomspace(low * 0.999, high * 1.001, count + 1)


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two values, with 2 and 5 times them where there are few."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    numbers = (1.0, 2.0, 5.0) if high / low < 200.0 else (1.0,)
    ticks = [float(f"{number}e{power}") for power in powers for number in numbers]
    return [tick for tick in ticks if low <= tick <= high]


def draw_histogram(axes: Axes, sources: Sources, values: NDArray[np.float64], *, title: str, label: str) -> None:
    """Stacked histogram by class on a logarithmic axis.

    Parameters
    ----------
    axes
        Where to draw.
    sources
        Gives the class of each value.
    values
        (N,) one value per source; those that are not positive are left out.
    title, label
        Heading and text of the horizontal axis.
    """
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(label, fontsize=9, color=INK)
    _plain_frame(axes)
    usable = np.isfinite(values) & (values > 0)
    if not usable.any():
        axes.text(0.5, 0.5, f"no {sources.noun}s", transform=axes.transAxes, ha="center", color=SOFT)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    names = in_order(sources.rows.class_name)
    parts = [values[usable & (sources.rows.class_name == name)] for name in names]
    edges = logarithmic_bins(values)
    highest = _draw_stacked(axes, edges, parts, [style_of(name).colour for name in names])
    margin = (edges[-1] / edges[0]) ** 0.05
    axes.set_xscale("log")
    axes.set_xlim(edges[0] / margin, edges[-1] * margin)
    axes.set_ylim(0.0, 1.05 * highest)
    axes.xaxis.set_major_locator(FixedLocator(logarithmic_ticks(*axes.get_xlim())))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))
    axes.set_ylabel(f"{sources.noun}s", fontsize=9, color=INK)


def _draw_stacked(
    axes: Axes, edges: NDArray[np.float64], parts: list[NDArray[np.float64]], colours: list[str]
) -> float:
    """Bars of several sets of values on one another, one artist for each set; the height of the highest."""
    base = np.zeros(len(edges) - 1)
    for part, colour in zip(parts, colours, strict=True):
        counts = np.histogram(part, edges)[0]
        top = base + counts
        corners = [(edges[:-1], base), (edges[1:], base), (edges[1:], top), (edges[:-1], top)]
        bars = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)[counts > 0]
        axes.add_collection(
            PolyCollection(list(bars), facecolors=colour, edgecolors="white", linewidths=0.4), autolim=False
        )
        base = top
    return float(base.max())


def draw_counts(axes: Axes, sources: Sources) -> None:
    """Counts and summed flux by class, as a small table."""
    axes.set_axis_off()
    heading = f"{len(sources)} {sources.noun}{'' if len(sources) == 1 else 's'}"
    axes.set_title(heading, loc="left", fontsize=13, color=INK)
    names = in_order(sources.rows.class_name)
    lines = len(names) + 3
    step = 1.0 / max(lines, 8)
    for column, (x, name) in enumerate(((0.06, "class"), (0.64, "number"), (1.0, "sum of flux / Jy"))):
        axes.text(x, 1 - step, name, fontsize=9, color=SOFT, ha="left" if column == 0 else "right", va="center")
    for line, name in enumerate(names, start=2):
        chosen = sources.rows.class_name == name
        y = 1 - line * step
        axes.plot([0.015], [y], marker="s", color=style_of(name).colour, markersize=7, clip_on=False)
        _row(axes, y, name, int(chosen.sum()), float(np.nansum(sources.rows.own_flux[chosen])))
    y = 1 - (len(names) + 2.2) * step
    axes.axhline(y + 0.6 * step, color="#cccccc", linewidth=0.8)
    _row(axes, y, f"all {sources.noun}s", len(sources), float(np.nansum(sources.rows.own_flux)), weight="bold")
    islands, components = len(sources.extraction.islands), len(sources.extraction.components)
    text = f"{islands} islands, {components} Gaussian components"
    axes.text(0.06, y - 1.2 * step, text, fontsize=9, color=SOFT, va="center")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _row(axes: Axes, y: float, name: str, count: int, flux: float, *, weight: str = "normal") -> None:
    """One line of the counts table."""
    for x, text, side in ((0.06, name, "left"), (0.64, f"{count}", "right"), (1.0, f"{flux:.4g}", "right")):
        axes.text(x, y, text, fontsize=10, color=INK, ha=side, va="center", weight=weight, parse_math=False)


def _plain_frame(axes: Axes) -> None:
    """Only the axes that carry numbers."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#aaaaaa")
    axes.tick_params(colors=SOFT, labelsize=8.5)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
