"""A user's own labels, of any format that can be read, as a set of real maps."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from neanias_ml.datasets.labels.formats import read_labels
from neanias_ml.datasets.labels.images import place_of_map
from neanias_ml.datasets.labels.labelled import LabelledImage
from neanias_ml.datasets.real.base import LabelledMap, MapEntry, RealSet, existing
from neanias_ml.maps import read_map


class LabelFileSet(RealSet):
    """Maps with labels in COCO, as sidecars of CAESAR, as DS9 regions or of simulated fields.

    Parameters
    ----------
    labels
        File or folder of labels.
    name
        Name of the set.
    is_exhaustive
        Whether all emission is labelled.
    """

    label_files: ClassVar[tuple[str, ...]] = ()

    def __init__(self, labels: Path | str, *, name: str, is_exhaustive: bool = False) -> None:
        self.labels = Path(labels)
        super().__init__(self.labels if self.labels.is_dir() else self.labels.parent)
        self.name = name
        self.is_exhaustive = is_exhaustive

    @cached_property
    def entries(self) -> tuple[MapEntry, ...]:
        """All images of the labels; headers of real maps tell their places where the labels do not."""
        return tuple(
            MapEntry(
                name=f"{number:05d}-{image.path.name}",
                path=image.path,
                sky_group=image.sky_group,
                place=image.place or place_of_map(read_map(existing(image.path)), image.path),
            )
            for number, image in enumerate(self._images)
        )

    def read(self, entry: MapEntry, *, seed: int = 0) -> LabelledMap:
        """A map as it is, and its labels; ``seed`` is not needed."""
        image = self._images[int(entry.name.split("-", 1)[0])]
        return LabelledMap(
            read_map(existing(entry.path)), dataclasses.replace(image, sky_group=entry.sky_group, place=entry.place)
        )

    @property
    def source_files(self) -> tuple[Path, ...]:
        """The label file (all files of a folder of labels) and the images."""
        folder = [path for path in self.labels.rglob("*") if path.is_file()] if self.labels.is_dir() else [self.labels]
        return tuple(sorted({*folder, *(entry.path for entry in self.entries)}))

    @cached_property
    def _images(self) -> tuple[LabelledImage, ...]:
        return read_labels(self.labels).images
