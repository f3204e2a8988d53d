"""Contact sheets: many labelled images on a page, with the outlines of their objects, for a person to look at."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.labels.caesar_measures import clipped_background
from neanias_ml.datasets.labels.files import short_names
from neanias_ml.datasets.labels.images import ImageFile, is_fits, open_image
from neanias_ml.datasets.labels.labelled import LabelledImage, LabelledObject, LabelSet
from neanias_ml.datasets.labels.polygons import mask_polygons
from neanias_ml.errors import InputError, UsageError
from neanias_ml.simulation.gallery.looks import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatMap = NDArray[np.float32]
PER_PAGE = (1, 48)
SOFTENING_SIGMA = 1.5
"""The stretch is linear up to about so many times the noise, logarithmic beyond."""
LOWEST_SIGMA, HIGHEST_SIGMA = -3.0, (30.0, 3000.0)
"""Black, and the range in which the brightest pixel sets white."""
LARGEST_SIDE = 400
"""Images with longer sides are reduced by block maxima."""
INCHES = 1.9
"""Side of one image on the page."""
DPI = 110
HIDDEN = "#999999"
BLANK = "#24303c"
"""Blank pixels are not black sky."""
BRIGHTEST_GREY = 0.8
"""Shade of the brightest pixel, so that outlines stand out from it."""


def draw_sheets(labels: LabelSet, *, looks: Mapping[str, Look], per_page: int = 24, title: str = "") -> Iterator[Any]:
    """Pages as matplotlib figures, in the order of the images.

    Every image is shown as asinh of its signal to noise with one outline per object: coloured and dashed by class,
    grey and dotted where ignored. Missing images are shown as their masks.

    Parameters
    ----------
    looks
        Look of every class.
    per_page
        Images on a page, 1 to 48.

    Raises
    ------
    UsageError
        ``PerPage``.
    """
    low, high = PER_PAGE
    if not low <= per_page <= high:
        raise UsageError("PerPage", f"--per-page must be {low} to {high}, not {per_page}")
    pages = math.ceil(len(labels) / per_page)
    for page in range(pages):
        images = labels.images[page * per_page : (page + 1) * per_page]
        yield _page(images, looks, f"{title}  page {page + 1} of {pages}".strip(), per_page)


def write_sheets(
    labels: LabelSet, folder: Path, *, looks: Mapping[str, Look], per_page: int = 24, title: str = ""
) -> list[Path]:
    """Write the pages of `draw_sheets` as ``sheet_001.png``, ...; returns their paths."""
    paths = []
    for number, figure in enumerate(draw_sheets(labels, looks=looks, per_page=per_page, title=title), start=1):
        paths.append(folder / sheet_name(number))
        figure.savefig(paths[-1], dpi=DPI)
    return paths


def sheet_name(number: int) -> str:
    """File of a page, counted from 1."""
    return f"sheet_{number:03d}.png"


def _page(images: Sequence[LabelledImage], looks: Mapping[str, Look], title: str, per_page: int) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(max(1, math.ceil(math.sqrt(per_page * 1.5))), max(len(images), 4))
    rows = math.ceil(len(images) / columns)
    lines = _legend_lines(images, looks)
    head = 0.5 + 0.16 * math.ceil(len(lines) / columns)
    height = rows * (INCHES + 0.12) + head
    figure = Figure(figsize=(columns * INCHES, height), facecolor="white")
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - (head + 0.05) / height, wspace=0.05, hspace=0.1)
    names = short_names([image.path for image in images])
    for number, (image, name) in enumerate(zip(images, names, strict=True), start=1):
        axes = figure.add_subplot(rows, columns, number)
        axes.set_xticks([])
        axes.set_yticks([])
        _draw_image(axes, image, name, looks)
    figure.text(0.01, 1 - 0.2 / height, title, fontsize=9, va="center", parse_math=False)
    _draw_legend(figure, lines, 1 - 0.3 / height, columns)
    return figure


def _draw_image(axes: Axes, image: LabelledImage, name: str, looks: Mapping[str, Look]) -> None:
    opened, problem = _opened(image)
    block = max(1, math.ceil(max(image.shape) / LARGEST_SIDE))
    if opened is not None:
        shown = _reduced(signal_to_noise(opened, image), block)
        white = float(np.clip(np.nanmax(shown, initial=HIGHEST_SIGMA[0]), *HIGHEST_SIGMA))
        shades = np.arcsinh(np.clip(shown, LOWEST_SIGMA, white) / SOFTENING_SIGMA)
    else:
        shades = _reduced(_union(image).astype(np.float32), block)
    on_top = opened.first_row_on_top if opened is not None else not is_fits(image.path)
    origin: Literal["upper", "lower"] = "upper" if on_top else "lower"
    ny, nx = image.shape
    edges = (-0.5, shades.shape[1] * block - 0.5, -0.5, shades.shape[0] * block - 0.5)
    extent = edges if origin == "lower" else (*edges[:2], edges[3], edges[2])
    low, high = float(np.nanmin(shades)), float(np.nanmax(shades))
    top = low + max(high - low, 1e-6) / BRIGHTEST_GREY
    axes.set_facecolor(BLANK)
    axes.imshow(shades, cmap="gray", vmin=low, vmax=top, origin=origin, extent=extent, interpolation="nearest")
    for labelled in image.objects:
        _draw_outlines(axes, labelled, looks)
    axes.set_xlim(-0.5, nx - 0.5)
    axes.set_ylim(*((-0.5, ny - 0.5) if origin == "lower" else (ny - 0.5, -0.5)))
    name = name if len(name) <= 30 else f"...{name[-27:]}"
    axes.set_title(f"{name}{problem}", fontsize=6, pad=2, parse_math=False)


def _opened(image: LabelledImage) -> tuple[ImageFile | None, str]:
    """The image, or None and why."""
    try:
        opened = open_image(image.path)
    except InputError as error:
        return None, " (missing)" if error.code == "ImageMissing" else f" ({error.code})"
    return (opened, "") if opened.shape == image.shape else (None, " (other shape)")


def _draw_outlines(axes: Axes, labelled: LabelledObject, looks: Mapping[str, Look]) -> None:
    from matplotlib import patheffects

    x0, y0, x1, y1 = labelled.mask.box
    look = looks[labelled.class_name]
    dashes: tuple[float, ...] = (1.0, 1.0) if labelled.ignored else look.dashes
    for polygon, _ in mask_polygons(labelled.mask.pixels()[y0:y1, x0:x1], offset=(x0, y0)):
        closed = np.concatenate([polygon, polygon[:1]])
        axes.plot(
            closed[:, 0],
            closed[:, 1],
            color=HIDDEN if labelled.ignored else look.colour,
            linewidth=1.2,
            linestyle=(0, dashes) if dashes else "-",
            path_effects=[patheffects.withStroke(linewidth=2.4, foreground="black", alpha=0.7)],
        )


def signal_to_noise(opened: ImageFile, image: LabelledImage) -> FloatMap:
    """(ny, nx) float32, NaN where blank: the image over the clipped noise outside of its masks.

    Where that noise is zero, as in pictures cut at a threshold, the faintest emission counts as three times the noise.
    """
    pixels = opened.pixels()
    finite = np.isfinite(pixels)
    outside = finite & ~_union(image)
    middle, noise = clipped_background(pixels[outside if outside.any() else finite])
    if not noise > 0:
        above = pixels[finite & (pixels > middle)]
        noise = float(np.quantile(above, 0.02)) / 3.0 if above.size else 1.0
    return np.asarray((pixels - middle) / (noise if noise > 0 else 1.0), dtype=np.float32)


def _union(image: LabelledImage) -> NDArray[np.bool_]:
    union = np.zeros(image.shape, dtype=bool)
    for labelled in image.objects:
        union |= labelled.mask.pixels()
    return union


def _reduced(image: FloatMap, block: int) -> FloatMap:
    """Maxima of blocks, which keep faint point sources visible."""
    if block == 1:
        return image
    ny, nx = (math.ceil(length / block) * block for length in image.shape)
    padded = np.full((ny, nx), -np.inf, dtype=np.float32)
    padded[: image.shape[0], : image.shape[1]] = np.where(np.isfinite(image), image, -np.inf)
    maxima = padded.reshape(ny // block, block, nx // block, block).max(axis=(1, 3))
    return np.where(np.isfinite(maxima), maxima, np.nan).astype(np.float32)


def _legend_lines(
    images: Sequence[LabelledImage], looks: Mapping[str, Look]
) -> list[tuple[str, str, tuple[float, ...]]]:
    """Classes of the page with their counts: text, colour and dashes."""
    counts: Counter[str] = Counter()
    ignored = 0
    for labelled in (labelled for image in images for labelled in image.objects):
        ignored += labelled.ignored
        counts[labelled.class_name] += not labelled.ignored
    lines = [(f"{name} ({counts[name]})", looks[name].colour, looks[name].dashes) for name in looks if counts[name]]
    return lines + ([(f"ignored ({ignored})", HIDDEN, (1.0, 1.0))] if ignored else [])


def _draw_legend(figure: Any, lines: Sequence[tuple[str, str, tuple[float, ...]]], top: float, columns: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linestyle=(0, dashes) if dashes else "-", linewidth=2, label=label)
        for label, colour, dashes in lines
    ]
    if handles:
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0.0, top), ncol=columns, fontsize=7, frameon=False,
            handlelength=4.0, columnspacing=1.2,
        )  # fmt: skip
