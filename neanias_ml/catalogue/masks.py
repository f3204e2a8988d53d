"""Masks of the sources in the COCO format: run lengths in the pixels of the input map."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.text import printable
from neanias_ml.datasets.labels.run_length import compress_runs, run_lengths
from neanias_ml.extraction.tables import Islands
from neanias_ml.inference.objects import ObjectTable
from neanias_ml.models.classes import CLASS_LABELS, CLASS_NAMES

IntArray = NDArray[np.int64]
PROBABILITY_COLUMNS = ("p_spurious", "p_compact", "p_extended", "p_multisland", "p_flagged")
"""Columns of the object table in the order of `CLASS_NAMES`."""


def write_masks(sources: Sources, objects: ObjectTable, path: Path) -> None:
    """Write one annotation per object.

    Parameters
    ----------
    sources
        The objects with their islands and map.
    objects
        Their table, sorted by id.
    path
        JSON file to write.
    """
    radio_map = sources.extraction.radio_map
    name = radio_map.source.path.name if radio_map.source.path is not None else ""
    document = {
        "info": {"description": "object masks by neanias_ml; run lengths run down the columns, pixel rows from 0"},
        "licenses": [],
        "images": [{"id": 1, "file_name": printable(name), "height": radio_map.shape[0], "width": radio_map.shape[1]}],
        "categories": [{"id": label, "name": name, "supercategory": "radio"} for name, label in CLASS_LABELS.items()],
        "annotations": list(object_annotations(sources, objects)),
    }
    path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def object_annotations(sources: Sources, objects: ObjectTable) -> Iterator[dict[str, Any]]:
    """COCO annotations of the objects, in the order of their table."""
    height, width = sources.extraction.radio_map.shape
    islands = sources.extraction.islands
    scores = class_scores(objects)
    for row, members in enumerate(sources.members):
        pixels = _column_major_pixels(islands, members, height)
        box = islands.table.select(members)
        x0, y0 = int(box.x0.min()), int(box.y0.min())
        yield {
            "id": row + 1,
            "image_id": 1,
            "category_id": CLASS_LABELS[str(objects.class_name[row])],
            "segmentation": {"size": [height, width], "counts": compress_runs(run_lengths(pixels, height * width))},
            "area": int(pixels.size),
            "bbox": [x0, y0, int(box.x1.max()) - x0, int(box.y1.max()) - y0],
            "iscrowd": 0,
            "score": None if np.isnan(scores[row]) else round(float(scores[row]), 6),
            "object_id": int(objects.object_id[row]),
            "island_ids": box.island_id.tolist(),
        }


def class_scores(objects: ObjectTable) -> NDArray[np.float64]:
    """Probability of each object's own class, (N,)."""
    probabilities = np.stack([getattr(objects, name) for name in PROBABILITY_COLUMNS], axis=1)
    columns = np.array([CLASS_NAMES.index(str(name)) for name in objects.class_name], dtype=np.int64)
    return probabilities[np.arange(len(objects)), columns]


def _column_major_pixels(islands: Islands, members: IntArray, height: int) -> IntArray:
    """Indices ``x * height + y`` of the pixels of some islands (rows of their table), ascending."""
    table = islands.table
    found = []
    for row in members:
        x0, y0 = int(table.x0[row]), int(table.y0[row])
        box = islands.labels[y0 : table.y1[row], x0 : table.x1[row]]
        columns, rows = np.nonzero(np.equal(box.T, table.island_id[row]))
        found.append((columns + x0) * height + rows + y0)
    return np.sort(np.concatenate(found))
