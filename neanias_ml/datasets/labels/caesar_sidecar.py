"""Labels as CAESAR keeps them: a JSON file beside each image, and a binary FITS mask for each object.

Read one sidecar, a folder of them (``datadir``), a text file with the path of one per line (``datalist_json``), or rows
``image,mask,label`` (``datalist``). Every field that the common labels do not hold stays an attribute.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neanias_ml.datasets.labels.files import (
    Fields,
    Report,
    expected,
    image_extras,
    locate,
    read_json,
    refuse,
    whole_number,
)
from neanias_ml.datasets.labels.images import is_fits, open_image
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelledImage, LabelledObject, LabelSet
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.errors import InputError

OLD_NAMES = {
    "sidelobe": "spurious", "source": "compact", "galaxy": "extended", "galaxy_C1": "extended",
    "galaxy_C2": "extended-multisland", "galaxy_C3": "extended-multisland",
}  # fmt: skip
"""Classes of CAESAR's earlier label sets, by today's names."""

OWN_FIELD = "neanias_ml"
"""Field of a sidecar, and of its objects, with what CAESAR's own fields cannot say."""

_IMAGE_FIELDS = ("img", "nx", "ny", "objs", OWN_FIELD)
_OBJECT_FIELDS = ("mask", "class", OWN_FIELD)


def read_caesar(path: Path | str, *, image_root: Path | str | None = None, report: Report = refuse) -> LabelSet:
    """Read sidecars or a list.

    Paths in them are relative to the file that holds them; absolute ones that are gone are looked for there too. The
    class follows `class_of`. Images may be missing, masks may not.

    Parameters
    ----------
    path
        A sidecar, a folder, or a list.
    image_root
        Folder where images and masks are looked for first.
    report
        Told of images and objects that cannot be used; the default raises.

    Raises
    ------
    InputError
        ``LabelsMissing``, ``JsonBroken``, ``SidecarFields``, ``ListBroken``, ``ClassUnknown``, ``MaskMissing``,
        ``MaskBroken``, ``MaskShape``, ``ImageMissing``.
    """
    path = Path(path)
    roots = [Path(image_root)] if image_root is not None else []
    if not path.exists():
        raise InputError("LabelsMissing", f"there is no label file or folder {path}")
    documents = _documents(path, roots, report)
    images = []
    own: list[Fields] = []
    for source, document in documents:
        try:
            _require_fields(document, source)
            found = _image(document, source, roots, report)
        except InputError as problem:
            report(problem)
            continue
        images.append(found)
        own.append(_own(document))
    names = _class_names(images, own)
    return LabelSet(tuple(images), names, next((fields["set"] for fields in own if fields.get("set")), {}))


def class_of(fields: Mapping[str, Any], known: Sequence[str] = CAESAR_CLASSES) -> str | None:
    """Class of an object of a sidecar by CAESAR's rules, None where its name is not known.

    Old names become today's; ``extended`` with ``nislands > 1`` is extended-multisland; ``sidelobe-mixed == 1`` makes
    any object flagged.
    """
    own = fields.get(OWN_FIELD)
    exact = own.get("class") if isinstance(own, dict) else None
    if exact in known:
        return str(exact)
    name = fields.get("class")
    if name not in known:
        name = OLD_NAMES.get(str(name))
    if name is None:
        return None
    if name == "extended" and (whole_number(fields.get("nislands")) or 0) > 1:
        name = "extended-multisland"
    return "flagged" if whole_number(fields.get("sidelobe-mixed")) == 1 else str(name)


def list_names(directory: Path) -> list[Path]:
    """Sidecars of a folder and the folders below it, in the order of their names."""
    found = sorted(directory.rglob("*.json"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(directory).parts)]


def _documents(path: Path, roots: Sequence[Path], report: Report) -> Iterator[tuple[Path, Any]]:
    """Each sidecar's place and content; the rows of a list as the sidecars that they stand for."""
    if path.is_dir():
        names = list_names(path)
    elif path.suffix.lower() == ".json":
        names = [path]
    else:
        lines = _lines(path)
        if all(line.count(",") >= 2 for line in lines):
            yield from _rows_as_sidecars(path, lines, roots)
            return
        names = []
        for line in lines:
            found = locate(line, folders=[path.parent, *roots, Path()])
            if found is None:
                report(InputError("LabelsMissing", f"{path} lists {line}, which is not there; mend the path"))
            else:
                names.append(found)
    if not names:
        raise InputError("LabelsMissing", f"{path} holds or lists no label file (*.json)")
    for name in names:
        try:
            yield name, read_json(name)
        except InputError as problem:
            report(problem)


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("ListBroken", f"{path} is no list of labels ({error})") from error
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError("ListBroken", f"the list {path} is empty; it should name sidecars or rows image,mask,label")
    return lines


def _rows_as_sidecars(path: Path, lines: Sequence[str], roots: Sequence[Path]) -> Iterator[tuple[Path, Fields]]:
    """Rows of one image together, in the order in which images first occur; as our sidecars beside have them."""
    grouped: dict[str, list[Fields]] = {}
    for number, row in enumerate(csv.reader(lines, skipinitialspace=True)):
        cells = [cell.strip() for cell in row]
        if len(cells) < 3 or not all(cells[:3]):
            raise InputError("ListBroken", f"row {number + 1} of {path} is no image,mask,label; mend or drop it")
        if number == 0 and not is_fits(Path(cells[0])) and not is_fits(Path(cells[1])):
            continue  # the names of the columns
        grouped.setdefault(cells[0], []).append({"mask": cells[1], "class": cells[2]})
    folders = [*roots, path.parent, Path()]
    beside = _own_sidecars(path.parent, folders)
    for image, objects in grouped.items():
        labels = {_place(fields["mask"], folders): fields["class"] for fields in objects}
        known: set[Path] = set()
        for source, document in beside.get(_place(image, folders), ()):
            classes = (*CAESAR_CLASSES, *map(str, _own(document).get("class_names", ())))
            named = []
            for entry in document["objs"]:
                name = entry.get("mask") if isinstance(entry, dict) else None
                place = _place(name, folders) if isinstance(name, str) else None
                if place in labels:
                    named.append(_relabelled(entry, labels[place], classes))
                    known.add(place)
            if named:
                yield source, {**document, "objs": named}
        unknown = [fields for fields in objects if _place(fields["mask"], folders) not in known]
        if unknown:
            yield path, {"img": image, "objs": unknown}


def _own_sidecars(folder: Path, folders: Sequence[Path]) -> dict[Path, list[tuple[Path, Fields]]]:
    """Sidecars of ours in a folder by the images they name: rows cannot say what they can, such as what is ignored."""
    found: dict[Path, list[tuple[Path, Fields]]] = {}
    for name in sorted(folder.glob("*.json")):
        try:
            document = read_json(name)
            _require_fields(document, name)
        except InputError:  # the folder may hold any other JSON
            continue
        if isinstance(document.get(OWN_FIELD), dict):
            found.setdefault(_place(document["img"], folders), []).append((name, document))
    return found


def _place(name: str, folders: Sequence[Path]) -> Path:
    """A file however it is named."""
    return expected(name, folders=folders).resolve()


def _relabelled(fields: Fields, label: str, classes: Sequence[str]) -> Fields:
    """An object of a sidecar with the class of its row, which counts where it was edited."""
    if class_of(fields, classes) in (label, OLD_NAMES.get(label)):
        return fields
    return {**fields, "class": label, OWN_FIELD: {**_own(fields), "class": label}}


def _require_fields(document: Any, source: Path) -> None:
    if not isinstance(document, dict) or not isinstance(document.get("img"), str):
        raise InputError("SidecarFields", f"{source} is no sidecar of CAESAR: it has no field img with an image's path")
    if not isinstance(document.get("objs"), list):
        raise InputError("SidecarFields", f"{source} is no sidecar of CAESAR: it has no list objs of objects")


def _image(document: Fields, source: Path, roots: Sequence[Path], report: Report) -> LabelledImage:
    folders = [*roots, source.parent, Path()]
    path = expected(document["img"], folders=folders)
    classes = (*CAESAR_CLASSES, *map(str, _own(document).get("class_names", ())))
    shape = _shape(document, path)
    objects = []
    for number, fields in enumerate(document["objs"]):
        place = f"object {number} ({fields.get('name', '?') if isinstance(fields, dict) else '?'}) of {source}"
        try:
            labelled = _object(fields, shape, folders, classes, place)
        except InputError as problem:
            report(problem)
            continue
        shape = shape or labelled.mask.shape
        objects.append(labelled)
    if shape is None:
        raise InputError("ImageMissing", f"{source} tells no nx and ny, and neither does the image {path}, not there")
    extras = image_extras(_without_computed(document), used=_IMAGE_FIELDS)
    return LabelledImage(path, shape, tuple(objects), **extras)


def _shape(document: Fields, path: Path) -> tuple[int, int] | None:
    """Rows and columns that the sidecar says, else the image, else None."""
    nx, ny = whole_number(document.get("nx")), whole_number(document.get("ny"))
    if nx and ny and nx > 0 and ny > 0:
        return ny, nx
    return open_image(path).shape if path.is_file() else None


def _object(
    fields: Any, shape: tuple[int, int] | None, folders: Sequence[Path], classes: Sequence[str], place: str
) -> LabelledObject:
    if not isinstance(fields, dict) or not isinstance(fields.get("mask"), str) or "class" not in fields:
        raise InputError("SidecarFields", f"{place} lacks a field: mask and class are needed")
    class_name = class_of(fields, classes)
    if class_name is None:
        raise InputError(
            "ClassUnknown",
            f"{place} has the class {fields['class']!r}; known are {', '.join(dict.fromkeys(classes))} and the old "
            f"names {', '.join(OLD_NAMES)}",
        )
    mask = _read_mask(fields["mask"], folders, place)
    if shape is not None and mask.shape != shape:
        raise InputError("MaskShape", f"{place} has a mask of {mask.shape} rows and columns, its image has {shape}")
    name = fields.get("name")
    attributes = {key: value for key, value in _without_computed(fields).items() if key not in _OBJECT_FIELDS}
    if isinstance(name, str):
        attributes.pop("name")
    if fields["class"] != class_name and _own(fields).get("class") is None:
        attributes["class"] = fields["class"]
    ignored = bool(_own(fields).get("ignored", False))
    return LabelledObject(class_name, mask, name if isinstance(name, str) else "", ignored, attributes)


def _read_mask(name: str, folders: Sequence[Path], place: str) -> RunLengthMask:
    """The pixels above zero of the first image of a FITS file."""
    from astropy.io import fits

    path = locate(name, folders=folders)
    if path is None:
        gone = "is gone and not beside the label file either" if Path(name).is_absolute() else "is not there"
        raise InputError("MaskMissing", f"the mask {name} of {place} {gone}; put it there or mend the path")
    try:
        with fits.open(path, memmap=False) as hdus:
            data = next((hdu.data for hdu in hdus if hdu.is_image and hdu.data is not None), None)
    except (OSError, ValueError, TypeError) as error:
        raise InputError("MaskBroken", f"the mask {path} of {place} is no FITS file ({error})") from error
    pixels = np.squeeze(data) if data is not None else np.zeros(0)
    if pixels.ndim != 2:
        raise InputError("MaskBroken", f"the mask {path} of {place} holds no image of two axes")
    return RunLengthMask.of(pixels > 0)


def _own(fields: Mapping[str, Any]) -> Fields:
    """What we wrote ourselves; what is of another type than ours is passed over."""
    own = fields.get(OWN_FIELD)
    kinds = {"computed": list, "class_names": list, "set": dict}
    entries = own.items() if isinstance(own, dict) else ()
    return {name: value for name, value in entries if isinstance(value, kinds.get(name, object))}


def _without_computed(fields: Fields) -> Fields:
    """Fields without those that we measured when we wrote the file."""
    computed = _own(fields).get("computed", ())
    return {name: value for name, value in fields.items() if name not in computed}


def _class_names(images: Sequence[LabelledImage], own: Sequence[Fields]) -> tuple[str, ...]:
    """The set's own list of classes where all files agree on one; else CAESAR's, and others that occur."""
    lists = {tuple(map(str, fields.get("class_names", ()))) for fields in own}
    if len(lists) == 1 and (names := next(iter(lists))):
        return names
    listed = [name for names in lists for name in names]
    used = [labelled.class_name for image in images for labelled in image.objects]
    return tuple(dict.fromkeys((*CAESAR_CLASSES, *sorted(listed), *sorted(used))))
