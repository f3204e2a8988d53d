"""The truth of simulated fields as labels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.labels.files import Report, read_json, refuse
from neanias_ml.datasets.labels.images import is_fits
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelledImage, LabelledObject, LabelSet
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.errors import InputError
from neanias_ml.simulation.files import MAP_NAME, read_truth
from neanias_ml.simulation.truth import Truth

MANIFEST = "truth.json"


def read_simulated(path: Path | str, *, report: Report = refuse) -> LabelSet:
    """Labels of a simulated field, or of a folder of fields.

    Objects with a mask are instances; those too faint for one are ignored where they could be taken for a source. The
    table of objects becomes ``true_...`` attributes. Fields of the same seed and settings are one sky.

    Parameters
    ----------
    path
        Folder of `neanias_ml.simulation.files.write_simulation`, or the folder above several.
    report
        Told of fields that cannot be read; the default raises.

    Raises
    ------
    InputError
        ``TruthMissing``, ``TruthColumnMissing``, ``JsonBroken``.
    """
    path = Path(path)
    folders = [path] if (path / MANIFEST).is_file() else sorted(found.parent for found in path.glob(f"*/{MANIFEST}"))
    if not folders:
        raise InputError("TruthMissing", f"{path} is no simulated field and holds none ({MANIFEST})")
    images = []
    for folder in folders:
        try:
            images.append(_field(folder))
        except InputError as problem:
            report(problem)
    return LabelSet(tuple(images), CAESAR_CLASSES)


def _field(folder: Path) -> LabelledImage:
    manifest = read_json(folder / MANIFEST)
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    truth = read_truth(folder)
    shape = (truth.object_labels.shape[0], truth.object_labels.shape[1])
    attributes = {"simulated": True, "seed": manifest.get("seed") if isinstance(manifest, dict) else None}
    return LabelledImage(
        _map_path(folder), shape, tuple(_objects(truth)), sky_group=f"simulated {digest[:16]}", attributes=attributes
    )


def _map_path(folder: Path) -> Path:
    """The map: the FITS file that is no map of the truth."""
    maps = sorted(path for path in folder.iterdir() if is_fits(path) and not path.name.startswith("truth_"))
    return maps[0] if len(maps) == 1 else folder / MAP_NAME


def _objects(truth: Truth) -> Iterator[LabelledObject]:
    table = truth.objects
    count = int(table.object_id.max(initial=0))
    masks, faint = (_masks(labels, count) for labels in (truth.object_labels, truth.faint_labels))
    for row, identity in enumerate(table.object_id.tolist()):
        mask = masks.get(identity) or faint.get(identity)
        if mask is None:
            continue
        attributes = {f"true_{name}": _plain(getattr(table, name)[row]) for name in table.__dataclass_fields__}
        name, class_name = str(identity), str(attributes.pop("true_class_name"))
        yield LabelledObject(class_name, mask, name, ignored=identity not in masks, attributes=attributes)


def _masks(labels: NDArray[np.int32], count: int) -> dict[int, RunLengthMask]:
    """Mask of each id that occurs."""
    height = labels.shape[0]
    found = {}
    for number, window in enumerate(ndimage.find_objects(labels, max_label=count), start=1):
        if window is None:
            continue
        columns, rows = np.nonzero(np.equal(labels[window].T, number))
        pixels = (columns + window[1].start) * height + rows + window[0].start
        found[number] = RunLengthMask.of_pixels(pixels.astype(np.int64), shape=(height, labels.shape[1]))
    return found


def _plain(value: Any) -> Any:
    """A cell as a JSON value; None where it is no number."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
