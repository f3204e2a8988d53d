"""What is wrong with labels: broken masks, wrong classes, missing images, and sky that two splits share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.labels.caesar_measures import EIGHT
from neanias_ml.datasets.labels.files import short_names
from neanias_ml.datasets.labels.images import ImageFile, open_image
from neanias_ml.datasets.labels.labelled import LabelledImage, LabelledObject, LabelSet
from neanias_ml.datasets.labels.leaks import SharedSky, Sight, shared_sky, sight_of
from neanias_ml.errors import InputError, UsageError

Severity = Literal["error", "warning"]
ONE_ISLAND = ("compact", "extended", "flagged")
"""Classes whose objects are one island; artefacts may be of several."""


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """What counts as wrong."""

    classes: tuple[str, ...] = ()
    """classes that may occur, as '[compact,extended]'; empty: those that the label set lists itself"""
    fewest_pixels: int = 5
    """masks of fewer pixels are told; CAESAR's loaders drop them (at least 1)"""
    speck_pixels: int = 3
    """a part of a mask cut off from the rest counts as a speck, not as an island, up to this size (0: never)"""
    most_overlap: float = 0.3
    """largest part of the smaller of two masks that may lie in the other (0 to 1)"""
    box_tolerance: float = 2.0
    """pixels by which a stored box may differ from its mask, and polygons may leave the image (0 or more)"""
    correlation: float = 0.8
    """correlation of two reduced images from which they show the same sky; unrelated ones stay below 0.6 (0 to 1)"""
    pixels: bool = True
    """read the images; without, positions, duplicates and blank pixels stay unchecked"""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "fewest_pixels": (1, np.inf),
            "speck_pixels": (0, np.inf),
            "most_overlap": (0, 1),
            "box_tolerance": (0, np.inf),
            "correlation": (0, 1),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError("CheckOption", f"--check.{name} must be {low:g} to {high:g}, not {value}")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    severity
        ``error`` (training or scores would be wrong) or ``warning`` (worth a look).
    code
        Short name of the kind.
    split
        Name of the label set.
    place
        Image, and number and class of the object.
    message
        What is wrong.
    """

    severity: Severity
    code: str
    split: str
    place: str
    message: str


def check_labels(
    sets: Mapping[str, LabelSet],
    *,
    config: CheckConfig | None = None,
    problems: Mapping[str, Sequence[InputError]] | None = None,
) -> list[Finding]:
    """Check label sets, each by itself and each against the others.

    Parameters
    ----------
    sets
        Label sets by the names of their splits.
    problems
        What the readers told of each set.

    Returns
    -------
    list of Finding
        Errors before warnings, those of one kind together.
    """
    config = config or CheckConfig()
    findings: list[Finding] = []
    sights: list[Sight] = []
    for split, labels in sets.items():
        told = [
            Finding("error", problem.code, split, "", problem.message) for problem in (problems or {}).get(split, ())
        ]
        findings += told
        if labels.n_objects == 0 and not any(finding.code == "NoObjects" for finding in told):
            findings.append(Finding("error", "NoObjects", split, "", "the set has no labelled object"))
        classes = config.classes or labels.class_names
        for image, name in zip(labels, short_names([image.path for image in labels]), strict=True):
            opened, missing = _open(image, config, split, name)
            findings += [*missing, *check_image(image, opened, split=split, name=name, classes=classes, config=config)]
            place = image.place or (opened.place if opened is not None else None)
            simulated = bool(image.attributes.get("simulated"))
            where = None if simulated else place
            sights.append(sight_of(opened, split=split, path=image.path, sky_group=image.sky_group, place=where))
    findings += [_leak(pair) for pair in shared_sky(sights, correlation=config.correlation)]
    findings += [_duplicate(pair) for pair in _doubles(sights, config)]
    order = Counter(finding.code for finding in findings)
    return sorted(findings, key=lambda found: (found.severity, order[found.code], found.code, found.split))


def check_image(
    image: LabelledImage,
    opened: ImageFile | None,
    *,
    split: str,
    name: str,
    classes: Sequence[str],
    config: CheckConfig,
) -> Iterator[Finding]:
    """Findings of one image and its objects.

    Parameters
    ----------
    opened
        Its file; None where that is missing or is not to be read.
    name
        What the image is called in findings.
    """
    blank = None
    if opened is not None:
        if opened.shape != image.shape:
            text = f"the image has {opened.shape} rows and columns, its labels {image.shape}"
            yield Finding("error", "ImageShape", split, name, text)
        else:
            blank = ~np.isfinite(opened.pixels())
    # the simulator counts the parts of a source that rise above the noise, and its masks may have fainter ones beside
    by_rule = not image.attributes.get("simulated")
    for number, labelled in enumerate(image.objects):
        place = f"{name} object {number + 1} ({labelled.class_name})"
        for severity, code, text in _object_findings(labelled, blank, classes, config, by_rule=by_rule):
            yield Finding(severity, code, split, place, text)
    for first, second, share in overlaps(image.objects, most=config.most_overlap):
        place = f"{name} objects {first + 1} and {second + 1}"
        yield Finding("error", "MasksOverlap", split, place, f"{share:.0%} of the smaller mask lie in the other")


def _object_findings(
    labelled: LabelledObject,
    blank: NDArray[np.bool_] | None,
    classes: Sequence[str],
    config: CheckConfig,
    *,
    by_rule: bool,
) -> Iterator[tuple[Severity, str, str]]:
    if labelled.class_name not in classes:
        yield "error", "ClassUnknown", f"the class is none of {', '.join(classes)}"
    if labelled.mask.area == 0:
        yield "error", "EmptyMask", "the mask has no pixel"
        return
    if labelled.mask.area < config.fewest_pixels and not labelled.ignored:
        yield "warning", "TinyMask", f"the mask has {labelled.mask.area} pixels"
    inside = labelled.mask.pixels()
    sizes = island_sizes(inside)
    specks = [size for size in sizes if size <= config.speck_pixels and size < max(sizes)]
    if specks and not labelled.ignored:
        yield "warning", "Specks", f"{len(specks)} parts of at most {max(specks)} pixels are cut off from the mask"
    if by_rule and not labelled.ignored:
        yield from _class_findings(labelled.class_name, len(sizes) - len(specks))
    if blank is not None and blank[inside].all():
        yield "error", "MaskOnBlank", "all pixels of the mask are blank in the image"
    yield from _outside(labelled, config.box_tolerance)


def _class_findings(class_name: str, n_islands: int) -> Iterator[tuple[Severity, str, str]]:
    """The rule of CAESAR's classes on islands."""
    if class_name == "extended-multisland" and n_islands < 2:
        yield "error", "ClassRule", "extended-multisland, but the mask is one island"
    elif class_name in ONE_ISLAND and n_islands > 1:
        severity: Severity = "error" if class_name == "compact" else "warning"
        yield severity, "ClassRule", f"{class_name}, but the mask is of {n_islands} islands"


def _outside(labelled: LabelledObject, tolerance: float) -> Iterator[tuple[Severity, str, str]]:
    """Polygons that leave the image, and stored boxes that are not those of the mask."""
    ny, nx = labelled.mask.shape
    vertices = _polygon_vertices(labelled.attributes.get("segmentation"))
    if len(vertices):
        beyond = float(max(-vertices.min(), *(vertices.max(axis=0) - (nx, ny))))
        if beyond > tolerance:
            yield "error", "MaskOutside", f"a polygon reaches {beyond:.1f} pixels beyond the image"
    box = labelled.attributes.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(isinstance(value, (int, float)) for value in box):
        corners = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]], dtype=float)
        away = float(np.abs(corners - labelled.mask.box).max())
        if not away <= tolerance:
            yield "warning", "BoxDiffers", f"the stored box differs from that of the mask by {away:.1f} pixels"


def _polygon_vertices(segmentation: object) -> NDArray[np.float64]:
    """(V, 2) vertices x, y of COCO's polygons; none where it is something else."""
    polygons = segmentation if isinstance(segmentation, list) else []
    try:
        return np.concatenate([np.empty((0, 2)), *(np.asarray(one, dtype=float).reshape(-1, 2) for one in polygons)])
    except (TypeError, ValueError):
        return np.empty((0, 2))


def island_sizes(inside: NDArray[np.bool_]) -> list[int]:
    """Pixels of each island (8-connected) of a mask."""
    labels, _ = ndimage.label(inside, structure=EIGHT)
    return [int(size) for size in np.bincount(labels.ravel())[1:]]


def overlaps(objects: Sequence[LabelledObject], *, most: float) -> Iterator[tuple[int, int, float]]:
    """Pairs of masks that share more than a part of the smaller one; ignored objects may lie anywhere."""
    boxes = {
        number: labelled.mask.box
        for number, labelled in enumerate(objects)
        if labelled.mask.area and not labelled.ignored
    }
    pixels: dict[int, NDArray[np.bool_]] = {}
    for first, second in combinations(boxes, 2):
        x0, y0 = (max(boxes[first][side], boxes[second][side]) for side in (0, 1))
        x1, y1 = (min(boxes[first][side], boxes[second][side]) for side in (2, 3))
        if x0 >= x1 or y0 >= y1:
            continue
        for number in (first, second):
            if number not in pixels:
                pixels[number] = objects[number].mask.pixels()
        shared = int((pixels[first][y0:y1, x0:x1] & pixels[second][y0:y1, x0:x1]).sum())
        share = shared / min(objects[first].mask.area, objects[second].mask.area)
        if share > most:
            yield first, second, share


def _open(image: LabelledImage, config: CheckConfig, split: str, name: str) -> tuple[ImageFile | None, list[Finding]]:
    """The image's file and what is wrong with it."""
    if config.pixels or not image.path.is_file():
        try:
            return open_image(image.path), []
        except InputError as error:
            return None, [Finding("error", error.code, split, name, error.message)]
    return None, []


def _doubles(sights: Iterable[Sight], config: CheckConfig) -> list[SharedSky]:
    """The same image twice in one split."""
    return shared_sky(list(sights), correlation=config.correlation, within=True)


def _leak(pair: SharedSky) -> Finding:
    severity: Severity = "warning" if pair.reason == "TouchingPlaces" else "error"
    names = _names(pair)
    text = f"{names} show the same sky ({pair.text}); keep them in one split"
    if severity == "warning":
        text = f"{names} may share some sky at their edges ({pair.text})"
    return Finding(
        severity, f"Leak{pair.reason}", f"{pair.first.split}, {pair.second.split}", pair.first.path.name, text
    )


def _duplicate(pair: SharedSky) -> Finding:
    text = f"{_names(pair)} are the same image ({pair.text})"
    return Finding("warning", f"Double{pair.reason}", pair.first.split, pair.first.path.name, text)


def _names(pair: SharedSky) -> str:
    first, second = short_names([pair.first.path, pair.second.path])
    return f"{pair.first.split}/{first} and {pair.second.split}/{second}"
