"""Pictures of what the simulation makes: `write_gallery`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.output_files import replaced_together
from neanias_ml.simulation.gallery.looks import Look
from neanias_ml.simulation.gallery.panels import Panel, fault_panels, field_panels, source_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
PANEL_INCHES = 1.62
SOFTENING = 1.5
"""The stretch is linear up to so many times the noise, logarithmic beyond."""
DARKEST, BRIGHTEST = -4.0, 150.0
"""S/N shown black and nearly white."""
BLANK = "#24303c"
"""Blank pixels are not black sky."""
_GREYS = 48
"""Greys of the files: more make them larger and show no more."""
_SMALLEST_OUTLINE = 4


_PAGES: dict[str, tuple[str, int, Callable[[int], Iterator[Panel]]]] = {
    "gallery_sources.png": ("Kinds of sources", 7, source_panels),
    "gallery_artefacts.png": ("Arrays and imaging faults", 6, fault_panels),
    "gallery_fields.png": ("Fields", 4, field_panels),
}


def gallery_files() -> tuple[str, ...]:
    """Names of the pictures that `write_gallery` writes."""
    return tuple(_PAGES)


def write_gallery(
    folder: Path,
    *,
    looks: Mapping[str, Look],
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Path]:
    """Draw every kind of source, every imaging fault and some fields, with the outlines of the truth by class.

    Parameters
    ----------
    folder
        Where the pictures go; all of them are written, or none.
    looks
        Look of every class of the truth.
    seed
        Non-negative seed of shapes, noise and fields.
    progress
        Called with the name of each picture, the pictures done and the pictures in all.

    Returns
    -------
    list of Path
        The pictures, in the order of `gallery_files`.

    Raises
    ------
    UsageError, ResourceError
        If the folder cannot take the pictures.
    """
    with replaced_together(folder, names=gallery_files()) as staging:
        for number, (name, (title, columns, panels)) in enumerate(_PAGES.items()):
            if progress is not None:
                progress("pictures", number, len(_PAGES))
            _save(draw_page(panels(seed), title=title, columns=columns, looks=looks), staging / name, looks)
        if progress is not None:
            progress("pictures", len(_PAGES), len(_PAGES))
    return [folder / name for name in _PAGES]


def draw_page(panels: Iterable[Panel], *, title: str, columns: int, looks: Mapping[str, Look]) -> Figure:
    """Panels as asinh of the signal to noise with outlines of the true objects, and a legend of the classes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(panels)
    rows = math.ceil(len(shown) / columns)
    inches = PANEL_INCHES * (7.0 / columns) ** 0.75
    width, height = columns * inches, rows * (inches + 0.2) + 0.55
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    for number, panel in enumerate(shown):
        left, top = (number % columns) * inches, 0.55 + (number // columns) * (inches + 0.2)
        box = (left + 0.03, height - top - inches - 0.17, inches - 0.06, inches - 0.02)
        axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height), xticks=[], yticks=[])
        _draw_panel(axes, panel, looks)
    figure.text(0.05 / width, 1.0 - 0.15 / height, title, fontsize=10, va="center")
    figure.text(1.0 - 0.05 / width, 1.0 - 0.15 / height, "asinh of signal to noise; outlines: truth above 2.6 rms",
                fontsize=7, va="center", ha="right")  # fmt: skip
    _draw_legend(figure, shown, looks, top=1.0 - 0.22 / height)
    return figure


def _draw_panel(axes: Axes, panel: Panel, looks: Mapping[str, Look]) -> None:
    significance = panel.sky.radio_map.data / np.float32(panel.sky.config.rms)
    shades = np.arcsinh(np.clip(significance, DARKEST, BRIGHTEST) / SOFTENING)
    low, high = math.asinh(DARKEST / SOFTENING), math.asinh(BRIGHTEST / SOFTENING)
    axes.set_facecolor(BLANK)
    axes.imshow(shades, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="antialiased")
    outlined = _outlined(panel)
    for class_name, outlines in outlined.items():
        _draw_outlines(axes, outlines, looks[class_name])
    size = panel.sky.config.size
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(-0.5, size - 0.5)
    axes.set_title(panel.title, fontsize=7, pad=2.0)
    if len(outlined) == 1 and panel.named:
        class_name = next(iter(outlined))
        axes.text(0.03, 0.03, class_name, color=looks[class_name].colour, fontsize=6.5, transform=axes.transAxes)


def _outlined(panel: Panel) -> dict[str, list[NDArray[np.float64]]]:
    """Outlines (n, 2) x, y of the masks of visible objects, by class."""
    from scipy import ndimage
    from skimage.measure import find_contours

    truth = panel.sky.truth
    classes = dict(zip(truth.objects.object_id.tolist(), truth.objects.class_name.tolist(), strict=True))
    outlines: dict[str, list[NDArray[np.float64]]] = {}
    for number, window in enumerate(ndimage.find_objects(truth.object_labels), start=1):
        if window is None:
            continue
        mask = np.pad(truth.object_labels[window] == number, 1)
        if mask.sum() < _SMALLEST_OUTLINE:
            continue
        corner = np.array([window[1].start - 1, window[0].start - 1])
        lines = [line[:, ::-1] + corner for line in find_contours(mask.astype(float), 0.5)]
        outlines.setdefault(classes[number], []).extend(lines)
    return outlines


def _draw_outlines(axes: Axes, outlines: Sequence[NDArray[np.float64]], look: Look) -> None:
    from matplotlib.collections import LineCollection

    dashes: Any = (0, look.dashes) if look.dashes else "-"
    axes.add_collection(LineCollection(outlines, colors=look.colour, linestyles=[dashes], linewidths=0.8))


def _draw_legend(figure: Figure, panels: Sequence[Panel], looks: Mapping[str, Look], *, top: float) -> None:
    """The classes that occur, in the order of the looks."""
    from matplotlib.lines import Line2D

    present = {name for panel in panels for name in np.unique(panel.sky.truth.objects.class_name).tolist()}
    handles = [
        Line2D([], [], color=look.colour, linestyle=(0, look.dashes) if look.dashes else "-", linewidth=2, label=name)
        for name, look in looks.items()
        if name in present
    ]
    if handles:
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, top), ncol=len(handles), fontsize=7,
                      frameon=False, handlelength=3.5, columnspacing=1.2)  # fmt: skip


def _save(figure: Figure, path: Path, looks: Mapping[str, Look]) -> None:
    """The figure in a palette of greys and the classes' colours, which keeps a picture full of noise small."""
    from PIL import Image
    from scipy.spatial import cKDTree

    canvas: Any = figure.canvas
    figure.set_dpi(DPI)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    colours, number = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    palette = _palette(looks)
    nearest = cKDTree(palette.astype(float)).query(colours.astype(float))[1].astype(np.uint8)
    picture = Image.fromarray(nearest[number.ravel()].reshape(pixels.shape[:2]), mode="P")
    picture.putpalette(palette.ravel().tolist())
    picture.save(path, format="png", optimize=True)


def _palette(looks: Mapping[str, Look]) -> NDArray[np.uint8]:
    """At most 256 colours (n, 3): greys, the colour of blank pixels, and each class's colour mixed with greys."""
    from matplotlib.colors import to_rgb

    greys = np.repeat(np.linspace(0.0, 1.0, _GREYS)[:, None], 3, axis=1)
    parts = [greys, np.array([to_rgb(BLANK)])]
    for look in looks.values():
        colour = np.array(to_rgb(look.colour))
        parts += [share * colour + (1.0 - share) * np.full((1, 3), grey)
                  for share in (1.0, 0.7, 0.4) for grey in (0.1, 0.4, 0.9)]  # fmt: skip
    return np.rint(255.0 * np.concatenate(parts)[:256]).astype(np.uint8)
