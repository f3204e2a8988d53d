"""Writes labels as CAESAR's sidecars with their masks and lists."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neanias_ml.datasets.labels.caesar_measures import image_measures, object_measures
from neanias_ml.datasets.labels.caesar_sidecar import OWN_FIELD, class_of
from neanias_ml.datasets.labels.files import Fields, image_fields, json_text, relative_name
from neanias_ml.datasets.labels.images import ImageFile, image_stem, is_fits, open_image
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelledImage, LabelledObject, LabelSet
from neanias_ml.errors import InputError
from neanias_ml.output_files import replaced_together, require_room

JSON_LIST = "datalist_json.txt"
"""CAESAR's ``datalist_json``: the name of one sidecar per line."""
ROW_LIST = "datalist.csv"
"""CAESAR's ``datalist``: rows ``image,mask,label``."""


def write_caesar(labels: LabelSet, directory: Path | str, *, overwrite: bool = False) -> list[str]:
    """Write a folder of sidecars, masks and both lists; all files appear together, or none does.

    Fields that the labels do not hold are measured (`neanias_ml.datasets.labels.caesar_measures`). What CAESAR's fields
    cannot say is kept in a field ``neanias_ml``, which its own programs pass over.

    Returns
    -------
    list of str
        What CAESAR's own programs would take otherwise than it is meant.

    Raises
    ------
    UsageError
        ``OutputExists`` if the folder holds labels and ``overwrite`` is not set.
    """
    directory = Path(directory)
    stems = unique_stems([image.path for image in labels])
    own = [mask_name(stem, n) for stem, image in zip(stems, labels, strict=True) for n in range(len(image.objects))]
    # what an earlier conversion left would be read as labels too
    stale = _listed(directory, JSON_LIST, column=0) + _listed(directory, ROW_LIST, column=1)
    names = list(dict.fromkeys([*stale, *own, *(f"{stem}.json" for stem in stems), ROW_LIST, JSON_LIST]))
    require_room(directory, names=names, overwrite=overwrite)
    notes = _Notes()
    with replaced_together(directory, names=names) as folder:
        rows: list[tuple[str, str, str]] = []
        for stem, image in zip(stems, labels, strict=True):
            document = _sidecar(labels, image, stem, directory, folder, notes)
            (folder / f"{stem}.json").write_text(json_text(document, indent=1) + "\n", encoding="utf-8")
            rows += [
                (document["img"], entry["mask"], labelled.class_name)
                for entry, labelled in zip(document["objs"], image.objects, strict=True)
            ]
        with (folder / ROW_LIST).open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)
        (folder / JSON_LIST).write_text("".join(f"{stem}.json\n" for stem in stems), encoding="utf-8")
    return list(notes.lines())


def unique_stems(paths: list[Path]) -> list[str]:
    """A different name for each image, made of that of its file."""
    taken: set[str] = set()
    counts = Counter(image_stem(path) for path in paths)
    stems = []
    for path in paths:
        stem, number = image_stem(path), 1
        if counts[stem] > 1 and path.parent.name:
            stem = f"{path.parent.name}-{stem}"
        while (candidate := stem if number == 1 else f"{stem}-{number}") in taken:
            number += 1
        taken.add(candidate)
        stems.append(candidate)
    return stems


def mask_name(stem: str, number: int) -> str:
    """File of an object's mask."""
    return f"{stem}_mask{number + 1}.fits"


class _Notes:
    """Counts what CAESAR's own programs understand otherwise."""

    def __init__(self) -> None:
        self.pictures = self.missing = self.ignored = self.reclassified = self.foreign = 0

    def lines(self) -> Iterator[str]:
        for count, text in (
            (self.pictures, "image(s) are no FITS files, which CAESAR's loaders ask for"),
            (self.missing, "image file(s) are missing: background, noise and fluxes of their objects are -999"),
            (self.ignored, "ignored object(s) are ordinary ones to CAESAR's own programs"),
            (self.reclassified, "object(s) are of another class by CAESAR's rules; ours is kept beside"),
            (self.foreign, "object(s) have a class that is none of CAESAR's"),
        ):
            if count:
                yield f"{count} {text}"


def _listed(directory: Path, name: str, *, column: int) -> list[str]:
    """Files of the folder that a list of an earlier conversion names."""
    path = directory / name
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        cells = [row[column] for row in csv.reader(lines) if len(row) > column]
    return [cell for cell in dict.fromkeys(cells) if "/" not in cell and (directory / cell).is_file()]


def _sidecar(labels: LabelSet, image: LabelledImage, stem: str, directory: Path, folder: Path, notes: _Notes) -> Fields:
    """The sidecar of an image, its masks written."""
    opened = _opened(image, notes)
    masked = np.zeros(image.shape, dtype=bool)
    for labelled in image.objects:
        masked |= labelled.mask.pixels()
    fields = image_fields(image)
    measured = {key: value for key, value in image_measures(opened, masked).items() if key not in fields}
    own: Fields = {"computed": sorted(measured), "class_names": list(labels.class_names)}
    if labels.attributes:
        own["set"] = dict(labels.attributes)
    ny, nx = image.shape
    document: Fields = {"img": relative_name(image.path, directory), **measured, **fields, "nx": nx, "ny": ny}
    spurious = [labelled for labelled in image.objects if labelled.class_name == "spurious"]
    objects = []
    for number, labelled in enumerate(image.objects):
        name = mask_name(stem, number)
        _write_mask(labelled, opened, folder / name)
        values = object_measures(labelled, opened, document, spurious=spurious)
        objects.append(_object(labelled, name, values, labels.class_names, notes))
    return {**document, "objs": objects, OWN_FIELD: own}


def _opened(image: LabelledImage, notes: _Notes) -> ImageFile | None:
    """The image with its pixels; None where there is no file."""
    notes.pictures += not is_fits(image.path)
    if not image.path.is_file():
        notes.missing += 1
        return None
    opened = open_image(image.path)
    if opened.shape != image.shape:
        raise InputError("ImageShape", f"{image.path} has {opened.shape} rows and columns, its labels {image.shape}")
    return opened


def _object(
    labelled: LabelledObject, mask: str, measured: dict[str, Any], class_names: tuple[str, ...], notes: _Notes
) -> Fields:
    """One entry of ``objs``: what was read beats what was measured, unless the class has changed since."""
    fields = dict(labelled.attributes)
    written = {"class": labelled.class_name, **measured, **fields}
    known = (*CAESAR_CLASSES, *class_names)
    own: Fields = {}
    if class_of(written, known) != labelled.class_name:
        written |= {"class": labelled.class_name, "sidelobe-mixed": measured["sidelobe-mixed"]}
        if class_of(written, known) != labelled.class_name:
            own["class"] = labelled.class_name
            notes.reclassified += 1
    own["computed"] = sorted(key for key in measured if key not in fields)
    if labelled.ignored:
        own["ignored"] = True
    notes.ignored += labelled.ignored
    notes.foreign += labelled.class_name not in CAESAR_CLASSES
    name = {"name": labelled.name} if labelled.name else {}
    return {"mask": mask, **name, **written, OWN_FIELD: own}


def _write_mask(labelled: LabelledObject, image: ImageFile | None, path: Path) -> None:
    """One byte per pixel, with the coordinates of the map."""
    from astropy.io import fits

    sky = image.radio_map.sky if image is not None and image.radio_map is not None else None
    header = sky.wcs.to_header() if sky is not None else None
    fits.PrimaryHDU(labelled.mask.pixels().astype(np.uint8), header).writeto(path)
