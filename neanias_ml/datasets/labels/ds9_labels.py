"""Labels as DS9 regions: one region file per image, the class of a shape in its text or a tag.

Files that we write hold all of the labels: outlines that give every pixel back, and, in comment lines that DS9 passes
over (and drops when it saves), what regions cannot say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neanias_ml.datasets.labels.caesar_sidecar import OLD_NAMES
from neanias_ml.datasets.labels.caesar_writing import unique_stems
from neanias_ml.datasets.labels.ds9_regions import Ds9Shape, pixels_inside, read_shapes, region_lines
from neanias_ml.datasets.labels.files import (
    Fields,
    Report,
    expected,
    image_extras,
    image_fields,
    json_text,
    refuse,
    relative_name,
    whole_number,
)
from neanias_ml.datasets.labels.images import IMAGE_SUFFIXES, open_image
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelledImage, LabelledObject, LabelSet
from neanias_ml.datasets.labels.polygons import mask_polygons
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.errors import InputError, UsageError
from neanias_ml.maps import SkyFrame
from neanias_ml.output_files import replaced_together, require_room

SUFFIX = ".reg"
HEAD = "# Region file format: DS9 version 4.1"
COMMENT = "# neanias-ml "
"""Begins the comment lines that say, as JSON, what regions cannot."""
OBJECT_TAG = "object "
"""Shapes with the same tag ``object NAME`` are one object; those with a minus sign are cut out of it."""
FIT_TAG = "component "
"""Shapes with such a tag are fits, not outlines, and are passed over."""
SKY_DECIMALS = 8
_KINDS = {"class_names": list, "attributes": dict, "fields": dict, "shape": list, "number": int, "file_name": str}
"""Types of the entries of comment lines."""
Colour = Callable[[str], str]


def read_ds9(
    path: Path | str,
    *,
    image_root: Path | str | None = None,
    class_names: Sequence[str] = CAESAR_CLASSES,
    report: Report = refuse,
) -> LabelSet:
    """Read a region file, or a folder of them.

    Polygons, circles, ellipses and boxes, in pixels or on the sky (then the image needs coordinates), hold the pixels
    whose centres lie inside. The class is the first of text and tags that is a class. The image is the one that the
    file names in a comment, else that of the same name beside it or in ``image_root``.

    Parameters
    ----------
    class_names
        Names that are classes, besides those that a file of ours lists and CAESAR's old ones.
    report
        Told of shapes and files that cannot be used; the default raises.

    Raises
    ------
    InputError
        ``LabelsMissing``, ``RegionsUnreadable``, ``ClassUnknown``, ``ImageMissing``, ``NoSkyCoordinates``.
    """
    path = Path(path)
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise InputError("LabelsMissing", f"{path} holds no region file (*{SUFFIX})")
    roots = [Path(image_root)] if image_root is not None else []
    images: list[tuple[int, LabelledImage]] = []
    attributes: Fields = {}
    names: list[str] = []
    for file in files:
        try:
            said = _comments(file)
            listed = said["set"][0].get("class_names", []) if said["set"] else []
            classes = tuple(map(str, listed)) or tuple(class_names)
            number = said["image"][0].get("number", 0) if said["image"] else 0
            images.append((number, _image(file, said, roots, classes, report)))
        except InputError as problem:
            report(problem)
            continue
        names += classes
        attributes = attributes or (said["set"][0].get("attributes", {}) if said["set"] else {})
    in_order = [image for _, image in sorted(images, key=lambda pair: pair[0])]
    return LabelSet(tuple(in_order), tuple(dict.fromkeys(names)), attributes)


def _comments(path: Path) -> dict[str, list[Fields]]:
    """What our comment lines say, by their kind: set, image, object."""
    said: dict[str, list[Fields]] = {"set": [], "image": [], "object": []}
    for number, line in enumerate(region_lines(path), start=1):
        if not line.startswith(COMMENT):
            continue
        kind, _, text = line[len(COMMENT) :].partition(" ")
        try:
            fields = dict(json.loads(text))
            if not all(isinstance(value, _KINDS.get(name, object)) for name, value in fields.items()):
                raise ValueError("an entry is of another type than it should be")
            said[kind].append(fields)
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(
                "RegionsUnreadable", f"the comment in line {number} of {path} is damaged; drop it"
            ) from error
    return said


def _image(
    file: Path, said: dict[str, list[Fields]], roots: Sequence[Path], classes: Sequence[str], report: Report
) -> LabelledImage:
    fields = said["image"][0] if said["image"] else {}
    path = _image_path(file, fields, roots)
    shapes = [shape for shape in read_shapes(file, report=report) if not _is_fit(shape)]
    shape, sky = _geometry(path, fields, shapes, file)
    objects = _objects(shapes, said["object"], shape, sky, classes, file, report)
    extras = image_extras(fields.get("fields", {}), used=())
    return LabelledImage(path, shape, tuple(objects), **extras)


def _is_fit(shape: Ds9Shape) -> bool:
    return any(tag.startswith(FIT_TAG) for tag in shape.tags)


def _image_path(file: Path, fields: Fields, roots: Sequence[Path]) -> Path:
    folders = [*roots, file.parent]
    if "file_name" in fields:
        return expected(fields["file_name"], folders=folders)
    for folder in folders:
        for suffix in IMAGE_SUFFIXES:
            if (candidate := folder / f"{file.stem}{suffix}").is_file():
                return candidate
    raise InputError(
        "ImageMissing",
        f"there is no image {file.stem}.fits for the regions {file}; put it beside them, under the same name, or name "
        "its folder with --image-root",
    )


def _geometry(
    path: Path, fields: Fields, shapes: Sequence[Ds9Shape], file: Path
) -> tuple[tuple[int, int], SkyFrame | None]:
    """Shape and coordinates of the image; the file itself is needed for shapes on the sky only."""
    on_sky = any(shape.system != "image" for shape in shapes)
    told = [whole_number(length) or 0 for length in fields.get("shape", ())]
    if len(told) == 2 and min(told) > 0 and not on_sky:
        return (told[0], told[1]), None
    image = open_image(path)
    sky = image.radio_map.sky if image.radio_map is not None else None
    if on_sky and sky is None:
        raise InputError(
            "NoSkyCoordinates",
            f"{file} has shapes on the sky, but the image {path} has no usable coordinates; save them in image "
            "coordinates",
        )
    return image.shape, sky


def _objects(
    shapes: Sequence[Ds9Shape],
    said: Sequence[Fields],
    image_shape: tuple[int, int],
    sky: SkyFrame | None,
    classes: Sequence[str],
    file: Path,
    report: Report,
) -> Iterator[LabelledObject]:
    """Objects in the order in which their first shapes occur."""
    cuts = [shape for shape in shapes if not shape.include and _key(shape) is None]
    known = {str(fields.get("key")): fields for fields in said}
    grouped: dict[str, list[Ds9Shape]] = {}
    for shape in shapes:
        if shape.include or _key(shape) is not None:
            grouped.setdefault(_key(shape) or f"line {shape.line}", []).append(shape)
    for key, members in grouped.items():
        try:
            class_name = _class(members, classes, file)
            mask = _mask([*members, *cuts], image_shape, sky, file)
        except InputError as problem:
            report(problem)
            continue
        fields = known.get(key, {})
        name = str(fields.get("name", key.removeprefix(OBJECT_TAG) if key.startswith(OBJECT_TAG) else ""))
        attributes = fields.get("attributes", {})
        yield LabelledObject(class_name, mask, name, bool(fields.get("ignored", False)), attributes)


def _key(shape: Ds9Shape) -> str | None:
    return next((tag for tag in shape.tags if tag.startswith(OBJECT_TAG)), None)


def _class(members: Sequence[Ds9Shape], classes: Sequence[str], file: Path) -> str:
    """The first text or tag of an object's shapes that is a class."""
    words = [word for shape in members for word in (shape.text, *shape.tags)]
    for word in words:
        if word in classes:
            return word
        if OLD_NAMES.get(word) in classes:
            return OLD_NAMES[word]
    said = ", ".join(repr(word) for word in dict.fromkeys(words) if word) or "nothing"
    raise InputError(
        "ClassUnknown",
        f"the shape in line {members[0].line} of {file} says {said} in text and tags, which is no class; write "
        f"text={{CLASS}} with one of {', '.join(classes)}",
    )


def _mask(members: Sequence[Ds9Shape], image_shape: tuple[int, int], sky: SkyFrame | None, file: Path) -> RunLengthMask:
    """Shapes are added and cut out in turn: an island in a hole comes after the hole."""
    mask = np.zeros(image_shape, dtype=bool)
    for shape in members:
        try:
            mask[pixels_inside(shape, image_shape, sky)] = shape.include
        except ValueError as error:
            raise InputError(
                "NoSkyCoordinates", f"the shape in line {shape.line} of {file} has no pixels: {error}"
            ) from error
    return RunLengthMask.of(mask)


def write_ds9(
    labels: LabelSet,
    path: Path | str,
    *,
    on_sky: bool = False,
    colour: Colour | None = None,
    overwrite: bool = False,
    note: Callable[[str], None] | None = None,
) -> list[str]:
    """Write one region file, for a set of one image, or a folder of them.

    Parameters
    ----------
    path
        A name in ``.reg``, or a folder.
    on_sky
        Polygons in ICRS degrees where an image has coordinates; else in image pixels.
    colour
        Colour (``#rrggbb``) of a class; DS9's green by default.
    note
        Told how many images were written in pixels although ``on_sky`` was asked for.

    Returns
    -------
    list of str
        What was lost: objects without a pixel have no outline.

    Raises
    ------
    UsageError
        ``OneImagePerFile`` if several images are to go into one file, ``OutputExists``, ``ClassName`` if a class has a
        name that regions cannot hold.
    """
    path = Path(path)
    if path.suffix.lower() == SUFFIX:
        if len(labels) != 1:
            raise UsageError(
                "OneImagePerFile",
                f"a region file is of one image, the labels are of {len(labels)}; name a folder and say --to ds9",
            )
        directory, names = path.parent, [path.name]
    else:
        directory = path
        names = [f"{stem}{SUFFIX}" for stem in unique_stems([image.path for image in labels])]
    stale = [old.name for old in directory.glob(f"*{SUFFIX}") if _is_ours(old)] if path.suffix.lower() != SUFFIX else []
    everything = list(dict.fromkeys([*stale, *names]))
    require_room(directory, names=everything, overwrite=overwrite)
    losses: list[str] = []
    in_pixels = 0
    with replaced_together(directory, names=everything) as folder:
        for number, name in enumerate(names):
            sky = _sky_of(labels.images[number]) if on_sky else None
            in_pixels += sky is None
            lines = _lines(labels, number, directory, sky=sky, colour=colour, losses=losses)
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    if on_sky and in_pixels and note is not None:
        note(f"written in image pixels: {in_pixels} image(s) have no sky coordinates or are missing")
    return losses


def _sky_of(image: LabelledImage) -> SkyFrame | None:
    """Coordinates of an image, None where it has none or is missing."""
    opened = open_image(image.path) if image.path.is_file() else None
    return opened.radio_map.sky if opened is not None and opened.radio_map is not None else None


def _is_ours(path: Path) -> bool:
    return any(line.startswith(COMMENT) for line in region_lines(path)[:4])


def _lines(
    labels: LabelSet, number: int, directory: Path, *, sky: SkyFrame | None, colour: Colour | None, losses: list[str]
) -> Iterator[str]:
    image = labels.images[number]
    yield HEAD
    yield _comment("set", {"class_names": list(labels.class_names), "attributes": dict(labels.attributes)})
    name = relative_name(image.path, directory)
    place: Fields = {"file_name": name, "number": number, "shape": list(image.shape)}
    yield _comment("image", {**place, "fields": image_fields(image)})
    yield 'global color=green width=1 font="helvetica 10 normal roman"'
    yield "icrs" if sky is not None else "image"
    for key, labelled in enumerate(image.objects, start=1):
        if labelled.mask.area == 0:
            losses.append(
                f"object {key} ({labelled.class_name}) of {image.path} has no pixels, so no outline: left out"
            )
            continue
        yield from _object_lines(labelled, key, sky, colour)


def _object_lines(labelled: LabelledObject, number: int, sky: SkyFrame | None, colour: Colour | None) -> Iterator[str]:
    if any(mark in labelled.class_name for mark in "{}\n#;") or labelled.class_name != labelled.class_name.strip():
        raise UsageError("ClassName", f"DS9 regions cannot hold the class {labelled.class_name!r}; rename it")
    key = f"{OBJECT_TAG}{number}"
    fields: Fields = {"key": key, "name": labelled.name, "ignored": labelled.ignored}
    yield _comment("object", {**fields, "attributes": dict(labelled.attributes)})
    look = f"color={colour(labelled.class_name)} " if colour is not None else ""
    x0, y0, x1, y1 = labelled.mask.box
    rings = mask_polygons(labelled.mask.pixels()[y0:y1, x0:x1], offset=(x0, y0))
    for polygon, is_hole in rings:
        if sky is not None:
            places = np.stack(sky.to_sky(*polygon.T), axis=1)
            numbers = ",".join(f"{value:.{SKY_DECIMALS}f}" for value in places.ravel().tolist())
        else:
            numbers = ",".join(f"{value:.1f}" for value in (polygon + 1.0).ravel().tolist())
        yield f"{'-' if is_hole else ''}polygon({numbers}) # {look}text={{{labelled.class_name}}} tag={{{key}}}"


def _comment(kind: str, content: Any) -> str:
    return f"{COMMENT}{kind} {json_text(content)}"
