"""Sources of maps of known content: simulated on the spot, sets of real maps, labels of the user's own."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neanias_ml.assessment.config import ALL, AssessmentConfig
from neanias_ml.datasets.labelled_truth import require_classes
from neanias_ml.datasets.labels.labelled import LabelledImage
from neanias_ml.datasets.real import RealSet, open_real_set
from neanias_ml.datasets.real.base import entry_seed
from neanias_ml.datasets.real.label_set import LabelFileSet
from neanias_ml.datasets.sky_splits import assign_splits, group_names
from neanias_ml.errors import InputError
from neanias_ml.maps import RadioMap
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.simulation import SimulatedSky, random_config, simulate_sky
from neanias_ml.simulation.surveys import survey_config


@dataclass(frozen=True)
class KnownMap:
    """One map and what is known of it: a simulated sky, or labels.

    Attributes
    ----------
    name
        Unique within its source.
    radio_map
        The map.
    sky
        All that was simulated, or None.
    image
        Labels, or None.
    is_exhaustive
        Whether emission that is not labelled is none.
    """

    name: str
    radio_map: RadioMap
    sky: SimulatedSky | None = None
    image: LabelledImage | None = None
    is_exhaustive: bool = False


class MapSource(ABC):
    """Maps of known content, read one by one.

    Attributes
    ----------
    areas
        Area of the sky of each map, 0, 1, ...: maps of one area show the same sky.
    split
        Which part of the data they are.
    """

    areas: tuple[int, ...]
    split: str

    def __len__(self) -> int:
        return len(self.areas)

    @property
    def n_areas(self) -> int:
        """Number of areas of the sky."""
        return max(self.areas, default=-1) + 1

    @property
    @abstractmethod
    def digest(self) -> str:
        """Hexadecimal sha256 of what the maps come from."""

    @property
    @abstractmethod
    def description(self) -> str:
        """A few words on the maps, for a heading."""

    @abstractmethod
    def read(self, number: int) -> KnownMap:
        """One map.

        Raises
        ------
        InputError
            If its file is missing or unusable, or ``ClassUnknown`` if a label has a class that no network has.
        """


class SimulatedFields(MapSource):
    """Fields that are simulated when they are read, each a sky of its own."""

    def __init__(self, config: AssessmentConfig) -> None:
        self.config = config
        self.areas = tuple(range(config.fields))
        self.split = "test"

    @property
    def digest(self) -> str:
        """Of the settings: the same ones give the same fields."""
        chosen = {name: getattr(self.config, name) for name in ("fields", "seed", "size", "survey")}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()

    @property
    def description(self) -> str:
        """Number, size, survey and seeds."""
        last = self.config.seed + self.config.fields - 1
        kind = f"like {self.config.survey}" if self.config.survey else "of random instruments"
        return (
            f"{self.config.fields} simulated fields {kind}, {self.config.size} x {self.config.size} pixels, "
            f"seeds {self.config.seed} to {last}"
        )

    def read(self, number: int) -> KnownMap:
        """Simulate a field: that of ``neanias-ml simulate --vary`` or ``--survey`` with the same seed."""
        seed = self.config.seed + number
        rng = np.random.default_rng(seed)
        if self.config.survey:
            drawn = survey_config(self.config.survey, rng, size=self.config.size)
        else:
            drawn = random_config(rng, size=self.config.size)
        sky = simulate_sky(drawn, seed=seed)
        return KnownMap(f"seed {seed}", sky.radio_map, sky=sky, is_exhaustive=True)


class LabelledMaps(MapSource):
    """One split of a set of labelled maps.

    Raises
    ------
    InputError
        ``SplitEmpty`` if no map is in the split; what the set says of missing or broken files.
    """

    def __init__(self, real_set: RealSet, *, split: str, seed: int) -> None:
        self.real_set, self.split, self.seed = real_set, split, seed
        items = real_set.sky_items
        if split == ALL:
            chosen = list(range(len(items)))
        else:
            split_of = assign_splits(items)
            chosen = [row for row, item in enumerate(items) if split_of[item.name] == split]
        if not chosen:
            raise InputError(
                "SplitEmpty", f"none of the {len(items)} maps of {real_set.name} is in split {split}; try --split all"
            )
        names = group_names([items[row] for row in chosen])
        order = {name: place for place, name in enumerate(dict.fromkeys(names))}
        self.rows = tuple(chosen)
        self.areas = tuple(order[name] for name in names)

    @property
    def digest(self) -> str:
        """Of all files of the set, and of which maps were chosen."""
        known = hashlib.sha256(self.real_set.digest.encode())
        for row in self.rows:
            known.update(f"{self.real_set.entries[row].name}\n".encode())
        return known.hexdigest()

    @property
    def description(self) -> str:
        """Name, number of maps and areas, and split."""
        part = "all" if self.split == ALL else f"split {self.split}"
        return f"{self.real_set.name}, {part}: {len(self)} maps in {self.n_areas} areas of the sky"

    def read(self, number: int) -> KnownMap:
        """Read a map and its labels."""
        entry = self.real_set.entries[self.rows[number]]
        labelled = self.real_set.read(entry, seed=entry_seed(self.seed, entry))
        require_classes(labelled.image, CLASS_NAMES)
        return KnownMap(
            entry.name, labelled.radio_map, image=labelled.image, is_exhaustive=self.real_set.is_exhaustive
        )


def open_source(config: AssessmentConfig) -> MapSource:
    """The maps that a configuration names.

    Raises
    ------
    UsageError
        ``RealDataFolder`` if a set known by name needs a folder.
    InputError
        ``RealSetMissing``, ``SplitEmpty``, or what the reader of labels says.
    """
    if config.is_simulated:
        return SimulatedFields(config)
    if config.is_own:
        path = Path(config.labelled_set)
        real_set: RealSet = LabelFileSet(path, name=path.stem or path.name, is_exhaustive=config.exhaustive)
    else:
        real_set = open_real_set(config.labelled_set, config.real_data)
    return LabelledMaps(real_set, split=config.split_used, seed=config.seed)
