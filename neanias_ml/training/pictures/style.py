"""What the pictures of training have in common: figures, colours, frames, and how they are written."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neanias_ml.models.class_styles import STYLES, ClassStyle, style_of
from neanias_ml.output_files import replaced_together

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, FAINT = "#222222", "#666666", "#dddddd"
BLUE, ORANGE = "#0072b2", "#d55e00"
"""Colours of Okabe and Ito (2008), which people with any colour vision can tell apart; line styles differ too."""
DPI = 100
BACKGROUND = "background"


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def new_figure(width: float, height: float) -> Figure:
    """An empty figure with its own canvas; sides in inches of `DPI` pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def heading(axes: Axes, text: str) -> None:
    """Title at the left of a panel."""
    axes.set_title(text, loc="left", fontsize=11, color=INK)


def plain_frame(axes: Axes, *, grid: Literal["both", "x", "y"] = "both") -> None:
    """Only the sides that carry numbers, and a faint grid behind the data."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#aaaaaa")
    axes.tick_params(colors=SOFT, labelsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(INK)
        axis.label.set_fontsize(10)
    axes.grid(visible=True, axis=grid, color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)


def say_nothing_to_show(axes: Axes, text: str) -> None:
    """A panel without data says why."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=10, color=SOFT)


def dark_edge(width: float) -> list[Any]:
    """Path effect: a dark rim around lines and letters, so that light colours stand out on any ground."""
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=width, foreground="#333333")]


def lightened(colour: str, *, white: float = 0.35) -> str:
    """A ``#rrggbb`` colour mixed with white: thin letters in the full colour are too dim on black."""
    channels = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(value + white * (255 - value)):02x}" for value in channels)


def line_style(style: ClassStyle) -> Any:
    """Dashes of a class as matplotlib takes them."""
    return (0, style.dashes) if style.dashes else "-"


def class_looks(names: Sequence[str]) -> dict[str, ClassStyle]:
    """The look of each class: its own where the package knows it, else one from the same palette in turn."""
    spare = [style for name, style in STYLES.items() if name not in names]
    looks = {}
    for name in names:
        known = name in STYLES or not spare
        looks[name] = style_of(name) if known else spare.pop(0)
    return looks


def write_pictures(folder: Path, drawings: Mapping[str, Callable[[], Figure]], *, names: Sequence[str]) -> list[Path]:
    """Draw and write PNG files, all or none.

    Parameters
    ----------
    folder
        Made where missing.
    drawings
        What to draw by name of the file.
    names
        Every name of the set: those that are not drawn are removed, lest an earlier run's remain.

    Raises
    ------
    UsageError, ResourceError
        As `neanias_ml.output_files.replaced_together`.
    """
    with replaced_together(folder, names=names) as staging:
        for name, draw in drawings.items():
            draw().savefig(staging / name, format="png", metadata={"Software": None})
    return [folder / name for name in names if name in drawings]
