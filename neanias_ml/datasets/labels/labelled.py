"""Labels of images, whatever format they come from: what `convert` and the preparation of tiles work on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from neanias_ml.datasets.labels.run_length import RunLengthMask

Attributes = Mapping[str, Any]
NOTHING: Attributes = MappingProxyType({})

CAESAR_CLASSES = ("spurious", "compact", "extended", "extended-multisland", "flagged")
"""CAESAR's vocabulary, in the order of the detector's outputs."""

MASK_FIELDS = frozenset(
    {
        "segmentation", "bbox", "area", "n_polygons", "n_islands", "nislands", "border", "snr", "Stot", "npix",
        "nbeams", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "bbox_angle", "maxsize_beam", "minsize_beam",
        "maxsize_img_fract", "minsize_img_fract", "sidelobe-near",
    }
)  # fmt: skip
"""Attributes that are measured on a mask: untrue of another one."""


@dataclass(frozen=True)
class LabelledObject:
    """One labelled instance.

    Attributes
    ----------
    class_name
        Class in the words of the label set: one of `neanias_ml.models.classes.CLASS_NAMES` where it is for training.
    mask
        Its pixels in the image.
    name
        Name of the object within its image, or "".
    ignored
        Neither trains nor scores: unlabelled or ambiguous emission.
    attributes
        All else that the format says of it (JSON values), kept as it is.
    """

    class_name: str
    mask: RunLengthMask
    name: str = ""
    ignored: bool = False
    attributes: Attributes = field(default_factory=dict)

    def replace(self, **changes: Any) -> LabelledObject:
        """The same object with some fields replaced; `with_mask` is for the mask."""
        return dataclasses.replace(self, **changes)

    def with_mask(self, mask: RunLengthMask) -> LabelledObject:
        """The same object with another mask, without the attributes that were measured on the old one."""
        kept = {name: value for name, value in self.attributes.items() if name not in MASK_FIELDS}
        return dataclasses.replace(self, mask=mask, attributes=kept)


@dataclass(frozen=True)
class SkyPlace:
    """Where an image lies on the sky: ICRS degrees of its centre, and the radius of a circle that holds it."""

    ra: float
    dec: float
    radius: float


@dataclass(frozen=True)
class LabelledImage:
    """An image with its labels.

    Attributes
    ----------
    path
        The image file.
    shape
        Its rows and columns.
    objects
        Instances in the order of the label file.
    sky_group
        Images of one group show the same sky and stay in one split; "" where that is not known.
    place
        Place on the sky, where that is known.
    attributes
        All else that the format says of it (JSON values), kept as it is.

    Raises
    ------
    ValueError
        If a mask has another shape than the image.
    """

    path: Path
    shape: tuple[int, int]
    objects: tuple[LabelledObject, ...]
    sky_group: str = ""
    place: SkyPlace | None = None
    attributes: Attributes = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, labelled in enumerate(self.objects):
            if labelled.mask.shape != self.shape:
                raise ValueError(
                    f"the mask of object {number} ({labelled.class_name}) of {self.path} has the shape "
                    f"{labelled.mask.shape}, the image {self.shape}"
                )

    def replace(self, **changes: Any) -> LabelledImage:
        """The same image with some fields replaced."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class LabelSet:
    """Labelled images.

    Attributes
    ----------
    images
        In the order of the label file.
    class_names
        Classes that may occur, in the order of their numbers.
    attributes
        All else that the format says of the set (JSON values), kept as it is.
    """

    images: tuple[LabelledImage, ...]
    class_names: tuple[str, ...]
    attributes: Attributes = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def n_objects(self) -> int:
        """Instances of all images, ignored ones too."""
        return sum(len(image.objects) for image in self.images)

    def __iter__(self) -> Iterator[LabelledImage]:
        return iter(self.images)

    @property
    def counts(self) -> dict[str, int]:
        """Instances of each class, ignored ones left out."""
        counts = dict.fromkeys(self.class_names, 0)
        for image in self.images:
            for labelled in image.objects:
                if not labelled.ignored:
                    counts[labelled.class_name] = counts.get(labelled.class_name, 0) + 1
        return counts
