"""Labels in the COCO format: one JSON file with images, categories and annotations.

All of a file is kept: fields that the format does not know stay attributes, and are written as they were read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from neanias_ml.datasets.labels.files import (
    Fields,
    Report,
    expected,
    image_extras,
    image_fields,
    json_text,
    read_json,
    refuse,
    relative_name,
    whole_number,
    write_whole,
)
from neanias_ml.datasets.labels.labelled import LabelledImage, LabelledObject, LabelSet
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.errors import InputError

_IMAGE_FIELDS = ("file_name", "height", "width")
_OBJECT_FIELDS = ("image_id", "category_id", "iscrowd", "name", "segmentation")
_NUMBERS = ("id", "image_id", "category_id", "iscrowd")
"""Fields of an annotation that are the file's own affair: what another format calls so does not replace them."""
_INFO = {"description": "labels of radio sources"}
"""Some of COCO's tools fail without a field info."""


def read_coco(path: Path | str, *, image_root: Path | str | None = None, report: Report = refuse) -> LabelSet:
    """Read a COCO file.

    Masks are run lengths (compressed text or lists of counts) or polygons, which become the pixels that COCO's own
    tools make of them; the polygons and lists stay in ``attributes["segmentation"]``. ``iscrowd`` and ``ignore`` make
    an object ignored. Categories keep their order and numbers.

    Parameters
    ----------
    path
        The file.
    image_root
        Folder of the images; else they are looked for beside the file and in ``images`` there. They may be missing.
    report
        Told of images and objects that cannot be used; the default raises.

    Raises
    ------
    InputError
        ``LabelsMissing``, ``JsonBroken``, ``CocoFields`` (no COCO file), ``CocoIds``, ``ClassUnknown`` (no such
        category), ``MaskMissing``, ``MaskBroken``, ``MaskShape``.
    """
    path = Path(path)
    document = read_json(path)
    _require_lists(document, path)
    categories = _categories(document["categories"], path)
    entries = _images_by_id(document["images"], path)
    folders = [Path(image_root)] if image_root is not None else []
    folders += [path.parent, path.parent / "images"]
    annotations = _annotations_by_image(document["annotations"], entries, path, report)
    images = []
    for identity, entry in entries.items():
        try:
            found, shape = _image_path(entry, folders, path), _shape(entry, path)
        except InputError as problem:
            report(problem)
            continue
        objects = _objects(annotations[identity], shape, categories, path, report)
        images.append(LabelledImage(found, shape, tuple(objects), **image_extras(entry, used=_IMAGE_FIELDS)))
    names = tuple(categories.values())
    written = {"info": _INFO, "categories": _numbered(names, following=1)}
    attributes = {
        name: value
        for name, value in document.items()
        if name not in ("images", "annotations") and value != written.get(name)
    }
    return LabelSet(tuple(images), names, attributes)


def _require_lists(document: Any, path: Path) -> None:
    missing = ["images", "annotations", "categories"]
    if isinstance(document, dict):
        missing = [name for name in missing if not isinstance(document.get(name), list)]
    if missing:
        raise InputError("CocoFields", f"{path} is no COCO file: it has no list of {' and of '.join(missing)}")


def _categories(entries: Sequence[Any], path: Path) -> dict[int, str]:
    """Name of each category by its number, in the order of the file."""
    found: dict[int, str] = {}
    for number, entry in enumerate(entries):
        identity = whole_number(entry.get("id")) if isinstance(entry, dict) else None
        if identity is None or not isinstance(entry.get("name"), str):
            raise InputError("CocoFields", f"category {number} of {path} has no id or no name")
        if identity in found or entry["name"] in found.values():
            raise InputError("CocoIds", f"category {entry['name']!r} ({identity}) occurs twice in {path}")
        found[identity] = entry["name"]
    return found


def _images_by_id(entries: Sequence[Any], path: Path) -> dict[Any, Fields]:
    found: dict[Any, Fields] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), (int, str)):
            raise InputError("CocoFields", f"image {number} of {path} has no id")
        if entry["id"] in found:
            raise InputError("CocoIds", f"two images of {path} have the id {entry['id']}")
        found[entry["id"]] = entry
    return found


def _image_path(entry: Fields, folders: Sequence[Path], path: Path) -> Path:
    """The image file, or the place where it should be."""
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise InputError("CocoFields", f"image {entry['id']} of {path} has no file_name")
    return expected(name, folders=folders)


def _shape(entry: Fields, path: Path) -> tuple[int, int]:
    height, width = whole_number(entry.get("height")), whole_number(entry.get("width"))
    if height is None or width is None or height < 1 or width < 1:
        raise InputError("CocoFields", f"image {entry['id']} of {path} has no height and width in pixels")
    return height, width


def _annotations_by_image(
    entries: Sequence[Any], images: dict[Any, Fields], path: Path, report: Report
) -> dict[Any, list[Fields]]:
    found: defaultdict[Any, list[Fields]] = defaultdict(list)
    taken: set[int | str] = set()
    for number, entry in enumerate(entries):
        identity = entry.get("image_id") if isinstance(entry, dict) else None
        if not isinstance(identity, (int, str)) or identity not in images:
            report(InputError("CocoIds", f"annotation {number} of {path} has the image_id of no image"))
            continue
        own = entry.get("id")
        if isinstance(own, (int, str)):
            if own in taken:  # COCO's own tools would keep one of the two only
                report(InputError("CocoIds", f"two annotations of {path} have the id {own}; number them anew"))
                continue
            taken.add(own)
        found[identity].append(entry)
    return found


def _objects(
    entries: Iterable[Fields], shape: tuple[int, int], categories: dict[int, str], path: Path, report: Report
) -> Iterator[LabelledObject]:
    for entry in entries:
        place = f"annotation {entry.get('id', '?')} (image {entry['image_id']}) of {path}"
        category = whole_number(entry.get("category_id"))
        try:
            if category is None or category not in categories:
                listed = ", ".join(f"{number} {name}" for number, name in categories.items()) or "none"
                raise InputError(
                    "ClassUnknown",
                    f"{place} has the category_id {entry.get('category_id')}, which is no category ({listed})",
                )
            mask = _mask(entry.get("segmentation"), shape, place)
        except InputError as problem:
            report(problem)
            continue
        crowd = bool(entry.get("iscrowd", 0))
        ignored = crowd or bool(entry.get("ignore", 0))
        attributes = {name: value for name, value in entry.items() if name not in _OBJECT_FIELDS}
        if crowd != ignored:
            attributes["iscrowd"] = entry.get("iscrowd", 0)
        for key, value in _box_and_area(mask).items():
            if attributes.get(key) == value:
                del attributes[key]
        segmentation = entry["segmentation"]
        if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
            attributes["segmentation"] = segmentation
        name = entry.get("name")
        if name is not None and not isinstance(name, str):
            attributes["name"] = name
        yield LabelledObject(categories[category], mask, name if isinstance(name, str) else "", ignored, attributes)


def _mask(segmentation: Any, shape: tuple[int, int], place: str) -> RunLengthMask:
    """The mask of any of COCO's three forms."""
    if not segmentation:
        raise InputError("MaskMissing", f"{place} has no segmentation; a box alone is no label of pixels")
    try:
        if isinstance(segmentation, list):
            return RunLengthMask.of_polygons(segmentation, shape=shape)
        height, width = (whole_number(value) for value in segmentation["size"])
        if (height, width) != shape:
            raise InputError(
                "MaskShape", f"{place} has a mask of {(height, width)} rows and columns, its image has {shape}"
            )
        counts = segmentation["counts"]
        if isinstance(counts, str):
            return RunLengthMask.from_text(counts, shape=shape)
        runs = [whole_number(run) for run in counts]
        return RunLengthMask(shape, tuple(-1 if run is None else run for run in runs))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError("MaskBroken", f"{place} has a segmentation that is no mask ({error})") from error


def write_coco(labels: LabelSet, path: Path | str, *, image_root: Path | str | None = None) -> None:
    """Write a COCO file, whole or not at all.

    Polygons and lists of counts that were read are written as they were, unless the object has another mask by now;
    other masks are written as compressed run lengths.
    Numbers of images, annotations and categories are kept where they are known and differ. Images are named relative
    to ``image_root``, by default the folder of the file.

    Raises
    ------
    InputError
        ``ClassUnknown`` if an object has a class that is none of the set's.
    """
    path = Path(path)
    root = Path(image_root) if image_root is not None else path.parent
    categories = _written_categories(labels)
    numbers = {entry["name"]: entry["id"] for entry in categories}
    image_ids = kept_ids([image.attributes.get("id") for image in labels])
    object_ids = iter(kept_ids([labelled.attributes.get("id") for image in labels for labelled in image.objects]))
    images, annotations = [], []
    for identity, image in zip(image_ids, labels, strict=True):
        height, width = image.shape
        name = relative_name(image.path, root)
        known = {"id": identity, "file_name": name, "height": height, "width": width}
        fields = image_fields(image)
        images.append({"id": identity, "file_name": name, **fields, **known})
        for labelled in image.objects:
            if labelled.class_name not in numbers:
                raise InputError(
                    "ClassUnknown",
                    f"an object of {image.path} has the class {labelled.class_name!r}, which is none of the set's "
                    f"({', '.join(labels.class_names)})",
                )
            annotations.append(_annotation(labelled, next(object_ids), identity, numbers[labelled.class_name]))
    annotations.sort(key=lambda entry: entry["id"])  # files list annotations by number, whatever image they are of
    document = {"info": _INFO, **labels.attributes}
    document |= {"images": images, "annotations": annotations, "categories": categories}
    write_whole(path, json_text(document))


def _written_categories(labels: LabelSet) -> list[Fields]:
    """Categories as they were read, and new ones with the next numbers."""
    stored = labels.attributes.get("categories")
    try:
        numbers = _categories(stored, Path()) if isinstance(stored, list) else {}
    except InputError:  # other formats pass on what they do not check
        numbers = {}
    known = [dict(entry) for entry in stored if entry["name"] in labels.class_names] if stored and numbers else []
    names = {entry["name"] for entry in known}
    highest = max((entry["id"] for entry in known), default=0)
    new = [name for name in labels.class_names if name not in names]
    return known + _numbered(new, following=highest + 1)


def _numbered(names: Sequence[str], *, following: int) -> list[Fields]:
    """Categories with numbers from ``following`` on."""
    return [{"id": number, "name": name} for number, name in enumerate(names, start=following)]


def kept_ids(wanted: Sequence[Any]) -> list[int]:
    """Different whole numbers: the wanted ones where they are that, the next free ones elsewhere."""
    numbers = [value if isinstance(value, int) and not isinstance(value, bool) else None for value in wanted]
    following = max((number for number in numbers if number is not None), default=0) + 1
    taken: set[int] = set()
    result = []
    for number in numbers:
        kept = number
        if kept is None or kept in taken:
            kept, following = following, following + 1
        taken.add(kept)
        result.append(kept)
    return result


def _annotation(labelled: LabelledObject, identity: int, image_id: int, category: int) -> Fields:
    """One entry of the list of annotations."""
    mask = labelled.mask
    if "segmentation" in labelled.attributes and not _is_mask(labelled.attributes["segmentation"], mask):
        labelled = labelled.with_mask(mask)
    fields = dict(labelled.attributes)
    crowd = fields.get("iscrowd", 0) if labelled.ignored and fields.get("ignore") else int(labelled.ignored)
    entry: Fields = {"id": identity, "image_id": image_id, "category_id": category}
    entry |= _box_and_area(mask)
    entry["segmentation"] = {"size": list(mask.shape), "counts": mask.text}
    entry["iscrowd"] = crowd
    if labelled.name:
        entry["name"] = labelled.name
    return entry | {name: value for name, value in fields.items() if name not in _NUMBERS}


def _is_mask(segmentation: Any, mask: RunLengthMask) -> bool:
    """Whether a stored segmentation holds the pixels of a mask: masks can be edited in other formats, polygons not."""
    try:
        stored = _mask(segmentation, mask.shape, "")
    except InputError:
        return False
    return stored.box == mask.box and bool((stored.pixels() == mask.pixels()).all())


def _box_and_area(mask: RunLengthMask) -> Fields:
    """COCO's fields that a mask tells by itself."""
    x0, y0, x1, y1 = mask.box
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": mask.area}
