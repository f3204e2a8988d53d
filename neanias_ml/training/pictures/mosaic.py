"""Label against prediction: tiles of the map with true outlines at the left and predicted ones at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neanias_ml.models.class_styles import ClassStyle
from neanias_ml.training.pictures.style import INK, SOFT, class_looks, dark_edge, lightened, line_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatMap = NDArray[np.float32]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SOFTENING, LOWEST, HIGHEST = 1.5, -2.0, (30.0, 3000.0)
"""Signal to noise up to which the stretch is linear, of black, and between which the white level is kept."""
BLANK = "#24303c"
"""Blank pixels: they are not black sky."""
PANEL = 3.4
"""Side of one image in inches."""
PAIRS_PER_ROW = 2
LETTERS = 7.5
"""Size of the letters in points."""


@dataclass(frozen=True)
class OutlinedInstance:
    """Pixels of one instance.

    Attributes
    ----------
    mask
        (S, S) bool.
    class_name
        Class, true or predicted.
    score
        Of a prediction; None for truth.
    """

    mask: NDArray[np.bool_]
    class_name: str
    score: float | None = None


@dataclass(frozen=True)
class LabelledTile:
    """One tile of the mosaic.

    Attributes
    ----------
    title
        One line above it.
    significance
        (S, S) signal to noise, NaN where blank.
    true, predicted
        Its instances.
    """

    title: str
    significance: FloatMap
    true: tuple[OutlinedInstance, ...]
    predicted: tuple[OutlinedInstance, ...]


def choose_tiles(
    errors: Sequence[int], f1: Sequence[float], *, groups: Sequence[str], n_worst: int = 4, n_typical: int = 4
) -> tuple[list[int], list[int]]:
    """Rows of the worst tiles (most errors first) and of typical ones (F1 nearest to the median).

    No two come from one group (field of sky) while others are left, so that one bad field does not fill the picture.
    Ties go to the earlier tile; nothing is random.

    Parameters
    ----------
    errors
        Missed and false instances of each tile.
    f1
        F1 of each tile; NaN for empty ones, which are never typical.
    """
    wrong, score = np.asarray(errors, dtype=np.int64), np.asarray(f1, dtype=np.float64)
    worst = _spread_out(np.argsort(-wrong, kind="stable")[: int((wrong > 0).sum())], groups, n_worst)
    usual = np.flatnonzero(np.isfinite(score) & ~np.isin(np.arange(len(score)), worst))
    middle = np.median(score[np.isfinite(score)]) if np.isfinite(score).any() else 0.0
    by_distance = usual[np.argsort(np.abs(score[usual] - middle), kind="stable")]
    return worst, _spread_out(by_distance, groups, n_typical)


def _spread_out(rows: IntArray, groups: Sequence[str], number: int) -> list[int]:
    """The first rows, those of new groups before second ones of a group."""
    taken: dict[str, int] = {}
    turns = []
    for row in rows.tolist():
        taken[groups[row]] = taken.get(groups[row], -1) + 1
        turns.append(taken[groups[row]])
    order = np.argsort(turns, kind="stable")[:number]
    return [int(rows[place]) for place in order]


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Initials of each name (``extended-multisland``: EM), with more letters where two would be the same."""
    initials = ["".join(word[0] for word in name.replace("_", "-").split("-") if word).upper() for name in names]
    short = {}
    for name, letters in zip(names, initials, strict=True):
        length = 1
        while initials.count(letters) > 1 and length < len(name):
            length += 1
            prefixes = [other[:length].lower() for other in names]
            if prefixes.count(name[:length].lower()) == 1:
                break
        short[name] = letters if length == 1 else name[0].upper() + name[1:length]
    return short


def stretched(significance: FloatMap) -> FloatArray:
    """Inverse hyperbolic sine of signal to noise between 0 (black) and 1 (white), NaN where blank."""
    peak = float(np.nanmax(significance)) if np.isfinite(significance).any() else 0.0
    bottom, top = np.arcsinh(LOWEST / SOFTENING), np.arcsinh(np.clip(peak, *HIGHEST) / SOFTENING)
    return np.asarray(np.clip((np.arcsinh(significance / SOFTENING) - bottom) / (top - bottom), 0.0, 1.0))


def draw_mosaic(tiles: Sequence[LabelledTile], names: Sequence[str], *, title: str) -> Figure:
    """Pairs of panels, truth and prediction, `PAIRS_PER_ROW` in a row, with a legend of the classes below.

    Parameters
    ----------
    tiles
        As `choose_tiles` chose them.
    names
        Of all classes.
    """
    pairs = min(PAIRS_PER_ROW, max(len(tiles), 1))
    rows = max(-(-len(tiles) // pairs), 1)
    figure = new_figure(2 * PANEL * pairs + 0.4, (PANEL + 0.4) * rows + 1.0)
    figure.suptitle(title, fontsize=12, color=INK)
    looks, short = class_looks(names), short_names(names)
    cells = figure.add_gridspec(rows, pairs, wspace=0.03)
    for index, tile in enumerate(tiles):
        pair = cells[divmod(index, pairs)].subgridspec(1, 2, wspace=0.01)
        left, right = figure.add_subplot(pair[0]), figure.add_subplot(pair[1])
        _draw_panel(left, tile, tile.true, looks, short)
        _draw_panel(right, tile, tile.predicted, looks, short)
        left.set_title(f"{tile.title}\ntruth", loc="left", fontsize=9, color=INK)
        right.set_title("prediction", loc="left", fontsize=9, color=INK)
    _draw_legend(figure, looks, short)
    return figure


def _draw_panel(
    axes: Axes,
    tile: LabelledTile,
    instances: tuple[OutlinedInstance, ...],
    looks: dict[str, ClassStyle],
    short: dict[str, str],
) -> None:
    import matplotlib

    shades = matplotlib.colormaps["gray"].with_extremes(bad=BLANK)
    height, width = tile.significance.shape
    axes.imshow(stretched(tile.significance), cmap=shades, vmin=0, vmax=1, origin="lower", interpolation="nearest")
    for instance in instances:
        if instance.mask.any():
            _draw_outline(axes, instance.mask, looks[instance.class_name])
    _write_scores(axes, [one for one in instances if one.score is not None and one.mask.any()], looks, short)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(-0.5, height - 0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#888888")


def _draw_outline(axes: Axes, mask: NDArray[np.bool_], style: ClassStyle) -> None:
    """Line around the pixels of a mask, also where it meets the edge of the tile."""
    padded = np.pad(mask, 1)
    x, y = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
    contour = axes.contour(x, y, padded.astype(float), levels=[0.5], colors=[style.colour], linewidths=1.4,
                           linestyles=[line_style(style)])  # fmt: skip
    contour.set_path_effects(dark_edge(2.2))


def _write_scores(
    axes: Axes, instances: Sequence[OutlinedInstance], looks: dict[str, ClassStyle], short: dict[str, str]
) -> None:
    """Class and score of predictions beside their outlines, the best first."""
    ordered = sorted(instances, key=lambda instance: -(instance.score or 0.0))
    if not ordered:
        return
    texts = [f"{short[one.class_name]} {100 * (one.score or 0.0):.0f}" for one in ordered]
    size = ordered[0].mask.shape[0]
    unit = LETTERS / 72.0 / PANEL * size
    places = place_texts(
        [_bounds(one.mask) for one in ordered], [0.62 * unit * len(text) for text in texts], height=unit, size=size
    )
    for instance, text, (x, y) in zip(ordered, texts, places, strict=True):
        colour = lightened(looks[instance.class_name].colour)
        axes.text(x, y, text, color=colour, fontsize=LETTERS, ha="center", va="center", path_effects=dark_edge(2.2))


def place_texts(
    bounds: Sequence[tuple[float, float, float, float]], widths: Sequence[float], *, height: float, size: float
) -> list[tuple[float, float]]:
    """Centres of texts beside boxes, where they cover neither one another nor the edge, as far as there is room.

    Parameters
    ----------
    bounds
        x0, y0, x1, y1 of each box.
    widths
        Of each text.
    height
        Of all texts.
    size
        Side of the tile.
    """
    taken: list[tuple[float, float, float]] = []
    for (x0, y0, x1, y1), width in zip(bounds, widths, strict=True):
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        beside, over = (x1 - x0 + width + height) / 2, (y1 - y0) / 2 + 0.8 * height
        near = [(0.0, over), (0.0, -over), (beside, 0.0), (-beside, 0.0)]
        far = [(0.0, over + height), (0.0, -over - height), (beside, height), (-beside, -height)]
        inside = [
            (
                float(np.clip(x + right, width / 2, size - width / 2)),
                float(np.clip(y + up, height / 2, size - height / 2)),
            )
            for right, up in (*near, *far)
        ]
        free = [
            (a, b)
            for a, b in inside
            if all(abs(a - c) >= (width + other) / 2 or abs(b - d) >= height for c, d, other in taken)
        ]
        place = free[0] if free else inside[0]
        taken.append((*place, width))
    return [(a, b) for a, b, _ in taken]


def _bounds(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def _draw_legend(figure: Figure, looks: dict[str, ClassStyle], short: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=style.colour, linestyle=line_style(style), linewidth=2, path_effects=dark_edge(3.0),
               label=f"{short[name]}: {name}")
        for name, style in looks.items()
    ]  # fmt: skip
    figure.legend(
        handles=lines, loc="outside lower center", ncols=len(lines), fontsize=10, frameon=False, handlelength=3.0,
        title="number beside a prediction: score in per cent", title_fontsize=9, labelcolor=SOFT,
    )  # fmt: skip
