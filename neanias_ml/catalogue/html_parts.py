"""Fragments of HTML and SVG whose every text is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.panels import logarithmic_bins, logarithmic_ticks
from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.text import printable
from neanias_ml.models.class_styles import in_order, style_of

CHART_WIDTH, CHART_HEIGHT = 520, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 40


def escaped(text: object) -> str:
    """Text that is safe between tags and inside quoted attributes."""
    return html.escape(printable(text), quote=True)


def css_key(class_name: str) -> str:
    """Name of a class that is safe as a CSS class and in scripts."""
    return "c-" + re.sub(r"[^a-z0-9]+", "-", class_name.lower()).strip("-")


def key_value_table(rows: Iterable[tuple[str, object]]) -> str:
    """A table of two columns."""
    lines = (f"<tr><th scope='row'>{escaped(key)}</th><td>{escaped(value)}</td></tr>" for key, value in rows)
    return f"<table class='facts'>{''.join(lines)}</table>"


def histogram_svg(sources: Sources, values: NDArray[np.float64], *, label: str) -> str:
    """Stacked histogram by class on a logarithmic axis, as SVG in the colours of the page.

    Parameters
    ----------
    sources
        Gives the class of each value.
    values
        (N,) one value per source; those that are not positive are left out.
    label
        Text of the horizontal axis.
    """
    usable = np.isfinite(values) & (values > 0)
    if not usable.any():
        return f"<p class='none'>no {escaped(sources.noun)}s</p>"
    edges = logarithmic_bins(values)
    names = in_order(sources.rows.class_name)
    counts = [np.histogram(values[usable & (sources.rows.class_name == name)], edges)[0] for name in names]
    stacked = np.cumsum([np.zeros(len(edges) - 1, dtype=np.int64), *counts], axis=0)
    highest = int(stacked[-1].max())
    parts = _count_axis(highest) + _value_axis(edges, label)
    left = _x(edges[:-1], edges) + 0.5
    width = _x(edges[1:], edges) - left - 0.5
    for index, name in enumerate(names):
        for column in np.flatnonzero(counts[index]):
            top, base = _y(stacked[index + 1][column], highest), _y(stacked[index][column], highest)
            title = f"{name}: {counts[index][column]} in {edges[column]:.3g} to {edges[column + 1]:.3g}"
            parts.append(
                f"<rect class='bar' x='{left[column]:.1f}' y='{top:.1f}' width='{width[column]:.1f}' "
                f"height='{base - top:.1f}' fill='{style_of(name).colour}'><title>{escaped(title)}</title></rect>"
            )
    return (
        f"<svg class='chart' viewBox='0 0 {CHART_WIDTH} {CHART_HEIGHT}' role='img' "
        f"aria-label='{escaped(f'histogram of {label}')}'>{''.join(parts)}</svg>"
    )


def _x(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Horizontal places of values on the logarithmic axis."""
    share = np.log(values / edges[0]) / np.log(edges[-1] / edges[0])
    return LEFT + share * (CHART_WIDTH - LEFT - RIGHT)


def _y(count: float, highest: int) -> float:
    """Vertical place of a count."""
    return CHART_HEIGHT - BOTTOM - count / highest * (CHART_HEIGHT - TOP - BOTTOM)


def _count_axis(highest: int) -> list[str]:
    """Horizontal grid lines with their numbers."""
    step = next(step for step in count_steps() if highest / step <= 5)
    lines = []
    for count in range(0, highest + 1, step):
        y = _y(count, highest)
        lines.append(f"<line class='grid' x1='{LEFT}' x2='{CHART_WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        lines.append(f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{count}</text>")
    return lines


def count_steps() -> Iterable[int]:
    """1, 2, 5, 10, 20, 50, ..."""
    decade = 1
    while True:
        yield from (decade, 2 * decade, 5 * decade)
        decade *= 10


def _value_axis(edges: NDArray[np.float64], label: str) -> list[str]:
    """Ticks and name of the logarithmic axis."""
    ticks = logarithmic_ticks(float(edges[0]), float(edges[-1]))
    y = CHART_HEIGHT - BOTTOM
    lines = [
        f"<text x='{x:.1f}' y='{y + 16}' text-anchor='middle'>{tick:g}</text>"
        for tick, x in zip(ticks, _x(np.array(ticks), edges), strict=True)
    ]
    middle = (LEFT + CHART_WIDTH - RIGHT) / 2
    return [*lines, f"<text x='{middle}' y='{CHART_HEIGHT - 6}' text-anchor='middle'>{escaped(label)}</text>"]
