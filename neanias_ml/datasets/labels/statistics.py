"""Counts of labelled objects by class, size and number of islands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from neanias_ml.datasets.labels.checks import island_sizes
from neanias_ml.datasets.labels.labelled import LabelledObject, LabelSet

SIZE_EDGES = (0, 8, 16, 32, 64, 128)
"""Lower ends of the size classes: the longer side of an object's box in pixels."""
SPECK_PIXELS = 3


@dataclass(frozen=True)
class ClassStatistics:
    """Objects of one class; ignored ones are counted in ``ignored`` alone.

    Attributes
    ----------
    objects, ignored, images
        How many objects, ignored objects, and images with an object.
    pixels
        Smallest, median and largest mask.
    sizes
        Objects in each class of `SIZE_EDGES`.
    islands
        Objects of one, two, and three or more islands, specks left out.
    """

    objects: int
    ignored: int
    images: int
    pixels: tuple[int, float, int]
    sizes: tuple[int, ...]
    islands: tuple[int, int, int]


def class_statistics(labels: LabelSet) -> dict[str, ClassStatistics]:
    """Statistics of every class of a set, those without objects too."""
    used = [labelled.class_name for image in labels for labelled in image.objects]
    names = dict.fromkeys((*labels.class_names, *sorted(used)))
    return {name: _statistics(labels, name) for name in names}


def _statistics(labels: LabelSet, name: str) -> ClassStatistics:
    by_image = [[labelled for labelled in image.objects if labelled.class_name == name] for image in labels]
    everything = [labelled for members in by_image for labelled in members]
    counted = [labelled for labelled in everything if not labelled.ignored]
    areas = [labelled.mask.area for labelled in counted]
    sides = [_longest_side(labelled) for labelled in counted]
    bins = np.bincount(np.searchsorted(SIZE_EDGES, sides, side="right") - 1, minlength=len(SIZE_EDGES))
    islands = [min(max(_n_islands(labelled), 1), 3) for labelled in counted]
    return ClassStatistics(
        objects=len(counted),
        ignored=len(everything) - len(counted),
        images=sum(any(not labelled.ignored for labelled in members) for members in by_image),
        pixels=(min(areas), float(np.median(areas)), max(areas)) if areas else (0, 0.0, 0),
        sizes=tuple(int(count) for count in bins),
        islands=(islands.count(1), islands.count(2), islands.count(3)),
    )


def _longest_side(labelled: LabelledObject) -> int:
    x0, y0, x1, y1 = labelled.mask.box
    return max(x1 - x0, y1 - y0)


def _n_islands(labelled: LabelledObject) -> int:
    x0, y0, x1, y1 = labelled.mask.box
    sizes = island_sizes(labelled.mask.pixels()[y0:y1, x0:x1])
    return sum(size > SPECK_PIXELS or size == max(sizes) for size in sizes)


def statistics_lines(statistics: Mapping[str, ClassStatistics]) -> list[str]:
    """A table for people."""
    sizes = [f"{low}-{high - 1}" for low, high in pairwise(SIZE_EDGES)]
    head = ["class", "objects", "ignored", "images", "pixels (median)", *sizes, f"{SIZE_EDGES[-1]}+"]
    rows = [[*head, "1 island", "2", "3+"]]
    for name, found in statistics.items():
        low, middle, high = found.pixels
        pixels = f"{low}-{high} ({middle:g})" if found.objects else "-"
        counts = [found.objects, found.ignored, found.images]
        rows.append([name, *map(str, counts), pixels, *map(str, found.sizes), *map(str, found.islands)])
    return table_lines(rows)


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells in columns, the first row underlined."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def statistics_document(statistics: Mapping[str, ClassStatistics]) -> dict[str, Any]:
    """The same for programs."""
    return {
        name: {
            "objects": found.objects,
            "ignored": found.ignored,
            "images": found.images,
            "pixels": dict(zip(("smallest", "median", "largest"), found.pixels, strict=True)),
            "longest_side": dict(zip(map(str, SIZE_EDGES), found.sizes, strict=True)),
            "islands": dict(zip(("1", "2", "3+"), found.islands, strict=True)),
        }
        for name, found in statistics.items()
    }
