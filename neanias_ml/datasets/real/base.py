"""Labelled sets of real maps: entries that can be split by sky before a pixel is read, and maps with labels."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from neanias_ml.datasets.labels.labelled import NOTHING, LabelledImage, LabelledObject, SkyPlace
from neanias_ml.datasets.manifest import SPLITS
from neanias_ml.datasets.sky_splits import SkyItem
from neanias_ml.errors import InputError
from neanias_ml.maps import RadioMap, file_digest


@dataclass(frozen=True)
class MapEntry:
    """One map of a set, known by its tables alone.

    Attributes
    ----------
    name
        Name of the map, unique within its set.
    path
        Its image file.
    sky_group
        Maps of one group show the same sky; "" where that is not known.
    place
        Place on the sky, where that is known.
    splits
        Splits that it may go to; the publishers of a set may have held some maps back.
    """

    name: str
    path: Path
    sky_group: str = ""
    place: SkyPlace | None = None
    splits: tuple[str, ...] = SPLITS


@dataclass(frozen=True)
class LabelledMap:
    """A map ready for extraction, and its labels on its own pixels.

    Attributes
    ----------
    radio_map
        Pixels in Jy/beam with a beam; noise is there even if the publishers had clipped it away.
    image
        Labels; emission that nobody labelled is in objects that are `ignored`.
    """

    radio_map: RadioMap
    image: LabelledImage

    def __post_init__(self) -> None:
        if self.radio_map.shape != self.image.shape:
            raise ValueError(f"labels of {self.image.shape} pixels do not fit a map of {self.radio_map.shape}")


class RealSet(ABC):
    """A labelled set of real maps, read map by map.

    Parameters
    ----------
    folder
        Where the set lies.

    Raises
    ------
    InputError
        ``RealSetMissing`` if the folder lacks one of the set's label files.
    """

    name: str
    """name in the registry"""
    label_files: ClassVar[tuple[str, ...]]
    """tables of labels within the folder"""
    is_exhaustive: bool = False
    """whether all emission is labelled, so that an island without a label is background and not to be ignored"""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        missing = [label for label in self.label_files if not (self.folder / label).is_file()]
        if missing or not self.folder.is_dir():
            lack = missing[0] if missing else "the maps"
            raise InputError(
                "RealSetMissing",
                f"{self.folder} does not hold the set {self.name} ({lack} is not there); name the folder that holds it",
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[LabelledMap]:
        return self.maps()

    @property
    @abstractmethod
    def entries(self) -> tuple[MapEntry, ...]:
        """All maps in a fixed order."""

    @abstractmethod
    def read(self, entry: MapEntry, *, seed: int = 0) -> LabelledMap:
        """One map with its labels; ``seed`` draws what has to be restored, such as noise.

        Raises
        ------
        InputError
            If the file is missing or no usable map.
        """

    def maps(self, *, seed: int = 0) -> Iterator[LabelledMap]:
        """All maps, one at a time; the same seed gives the same pixels in whatever order they are read."""
        for entry in self.entries:
            yield self.read(entry, seed=entry_seed(seed, entry))

    @property
    def sky_items(self) -> tuple[SkyItem, ...]:
        """The entries as `neanias_ml.datasets.sky_splits` groups them; groups carry the name of the set."""
        return tuple(
            SkyItem(
                name=f"{self.name}:{entry.name}",
                sky_group=f"{self.name}:{entry.sky_group}" if entry.sky_group else "",
                place=entry.place,
                splits=entry.splits,
            )
            for entry in self.entries
        )

    @property
    def source_files(self) -> tuple[Path, ...]:
        """All files that the maps and labels come from."""
        labels = (self.folder / label for label in self.label_files)
        return tuple(sorted({*labels, *(entry.path for entry in self.entries)}))

    @cached_property
    def digest(self) -> str:
        """Hexadecimal sha256 over the label files and all maps, by name and content."""
        known = hashlib.sha256()
        for path in self.source_files:
            known.update(f"{path.name} {file_digest(existing(path))}\n".encode())
        return known.hexdigest()


def entry_seed(seed: int, entry: MapEntry) -> int:
    """Seed of one map, whatever the others are."""
    word = hashlib.sha256(f"{seed} {entry.name}".encode()).digest()[:8]
    return int.from_bytes(word, "little") >> 1


def existing(path: Path) -> Path:
    """The path of a file that is there; an ``InputError`` (``RealSetMissing``) otherwise."""
    if not path.is_file():
        raise InputError("RealSetMissing", f"{path} is listed in the labels but is not there; fetch the whole set")
    return path


def labelled_image(
    entry: MapEntry,
    shape: tuple[int, int],
    objects: list[LabelledObject],
    *,
    attributes: Mapping[str, Any] = NOTHING,
) -> LabelledImage:
    """The labels of an entry; objects without a pixel are left out."""
    kept = tuple(labelled for labelled in objects if labelled.mask.area > 0)
    return LabelledImage(
        entry.path, shape, kept, sky_group=entry.sky_group, place=entry.place, attributes=attributes
    )
