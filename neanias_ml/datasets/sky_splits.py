"""Splits by sky area: images that show the same sky stay together, whatever cut-outs were made of it.

Images are joined into groups where the circles that hold them overlap, or where their set says that they show the same
sky. A group goes to a split by a hash of the cell of the sky it lies in, so that the choice needs no state: the same
image goes to the same split whichever other images there are, unless a new one that overlaps it or its group lies in
another cell, joins two groups or may not go everywhere.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csgraph
from scipy.spatial import KDTree

from neanias_ml.datasets.labels.labelled import SkyPlace
from neanias_ml.datasets.manifest import SPLITS
from neanias_ml.errors import InputError, UsageError

CELL_DEGREES = 2.0
"""Height of a cell of the sky; cells of all declinations have nearly equal areas."""


@dataclass(frozen=True)
class SkyItem:
    """An image as far as splits care.

    Attributes
    ----------
    name
        Unique name.
    sky_group
        Images of one group show the same sky; "" where that is not known.
    place
        Circle on the sky, where that is known.
    splits
        Splits that it may go to; its whole group goes where all of the group may.
    """

    name: str
    sky_group: str = ""
    place: SkyPlace | None = None
    splits: tuple[str, ...] = SPLITS


@dataclass(frozen=True, kw_only=True)
class SplitShares:
    """Parts of the sky that go to each split."""

    train: float = 0.8
    """part for training, relative to the others; >= 0"""
    validation: float = 0.1
    """part for calibration and thresholds, relative to the others; >= 0"""
    test: float = 0.1
    """part for the reported metrics, relative to the others; >= 0"""

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self.test)
        if not all(math.isfinite(part) and part >= 0 for part in parts) or sum(parts) <= 0:
            raise UsageError("SplitShares", f"shares of the splits must not be negative, and not all zero: {parts}")

    def of(self, split: str) -> float:
        """Share of a split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


@dataclass(frozen=True)
class SharedSky:
    """Two images of different splits that show the same sky."""

    one: str
    one_split: str
    other: str
    other_split: str

    def __str__(self) -> str:
        return f"{self.one} ({self.one_split}) and {self.other} ({self.other_split})"


def sky_groups(items: Sequence[SkyItem]) -> tuple[int, ...]:
    """Number of the group of each image, counted from 0 in the order in which groups first occur.

    Two images are joined by overlapping circles or by the name of their ``sky_group``, and groups are closed: an image
    that overlaps two others joins all three.
    """
    first, second = _joined_pairs(items)
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(len(items), len(items)))
    _, labels = csgraph.connected_components(graph, directed=False)
    order: dict[int, int] = {}
    return tuple(order.setdefault(int(label), len(order)) for label in labels)


def group_names(items: Sequence[SkyItem]) -> tuple[str, ...]:
    """Name of the sky group of each image: that of its first member in the order of names."""
    groups = sky_groups(items)
    names: dict[int, str] = {}
    for item, group in zip(items, groups, strict=True):
        label = item.sky_group or item.name
        names[group] = min(names.get(group, label), label)
    return tuple(names[group] for group in groups)


def assign_splits(
    items: Sequence[SkyItem], *, shares: SplitShares | None = None, seed: int = 0
) -> dict[str, str]:
    """Split of each image by name: whole groups, by the sky they lie in.

    Parameters
    ----------
    shares
        Part of the sky for each split. Small sets meet them only roughly, since groups are not divided.
    seed
        Another seed gives another division of the sky.

    Raises
    ------
    InputError
        ``SplitConflict`` if images that show the same sky may not go to the same split.
    UsageError
        ``SplitShares`` if no split that a group may go to has a share.
    ValueError
        If names repeat.
    """
    shares = shares or SplitShares()
    if len({item.name for item in items}) != len(items):
        raise ValueError("images that are to be split need different names")
    members: dict[int, list[SkyItem]] = defaultdict(list)
    for item, group in zip(items, sky_groups(items), strict=True):
        members[group].append(item)
    chosen: dict[str, str] = {}
    for group_items in members.values():
        split = _split_of_group(group_items, shares=shares, seed=seed)
        chosen |= dict.fromkeys((item.name for item in group_items), split)
    return {item.name: chosen[item.name] for item in items}


def overlapping_splits(items: Sequence[SkyItem], splits: Mapping[str, str]) -> list[SharedSky]:
    """Pairs of images of different splits that show the same sky; none where the splits are sound.

    Parameters
    ----------
    splits
        Split of each image by name.
    """
    first, second = _joined_pairs(items)
    found = set()
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        a, b = sorted((items[one].name, items[other].name))
        if splits[a] != splits[b]:
            found.add((a, b))
    return [SharedSky(a, splits[a], b, splits[b]) for a, b in sorted(found)]


def membership(items: Sequence[SkyItem], splits: Mapping[str, str]) -> list[dict[str, Any]]:
    """Images with their sky group, place and split, as JSON values: what the manifest of prepared data keeps.

    Parameters
    ----------
    splits
        Split of each image by name.
    """
    return [
        {
            "name": item.name,
            "split": splits[item.name],
            "group": group,
            "sky_group": item.sky_group,
            "place": [item.place.ra, item.place.dec, item.place.radius] if item.place is not None else None,
        }
        for item, group in zip(items, group_names(items), strict=True)
    ]


def read_membership(rows: Sequence[Mapping[str, Any]]) -> tuple[list[SkyItem], dict[str, str]]:
    """The images and their splits from what `membership` gave; for `overlapping_splits`."""
    items = [
        SkyItem(
            name=row["name"],
            sky_group=row["sky_group"],
            place=SkyPlace(*row["place"]) if row["place"] is not None else None,
        )
        for row in rows
    ]
    return items, {row["name"]: row["split"] for row in rows}


def sky_cell(ra: float, dec: float, *, degrees: float = CELL_DEGREES) -> str:
    """Name of the cell that holds a position (ICRS degrees): rings of declination, cut in cells of equal width."""
    n_rings = max(1, round(180.0 / degrees))
    ring = min(int((dec + 90.0) / 180.0 * n_rings), n_rings - 1)
    middle = math.radians((ring + 0.5) * 180.0 / n_rings - 90.0)
    n_cells = max(1, round(360.0 * math.cos(middle) / degrees))
    return f"ring {ring} cell {min(int((ra % 360.0) / 360.0 * n_cells), n_cells - 1)}"


def _split_of_group(items: Sequence[SkyItem], *, shares: SplitShares, seed: int) -> str:
    allowed = [split for split in SPLITS if all(split in item.splits for item in items)]
    if not allowed:
        held = {split: next((item.name for item in items if split not in item.splits), "") for split in SPLITS}
        raise InputError(
            "SplitConflict",
            f"{items[0].name} and {len(items) - 1} other images show the same sky but may not go to the same split "
            f"({', '.join(f'{name} not to {split}' for split, name in held.items())}); leave some of them out",
        )
    if len(allowed) == 1:
        return allowed[0]
    weights = [shares.of(split) for split in allowed]
    if sum(weights) <= 0:
        raise UsageError("SplitShares", f"{items[0].name} may go to {', '.join(allowed)} alone, which have no share")
    # the lowest of the members' numbers: it stays the same for most images that join a group later
    place = min(_number(_sky_key(item), seed=seed) for item in items) * sum(weights)
    for split, edge in zip(allowed, np.cumsum(weights), strict=True):
        if place < edge:
            return split
    return allowed[-1]


def _sky_key(item: SkyItem) -> str:
    """What decides on the split of an image: its cell of the sky, or its group, or itself."""
    if item.place is not None:
        return sky_cell(item.place.ra, item.place.dec)
    return item.sky_group or item.name


def _number(word: str, *, seed: int) -> float:
    """A number in [0, 1) from a word."""
    return int.from_bytes(hashlib.sha256(f"{seed} {word}".encode()).digest()[:6], "little") / 2.0**48


def _joined_pairs(items: Sequence[SkyItem]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of images that show the same sky: every overlapping pair, and each member of a group with the first."""
    pairs = _overlapping_pairs(items)
    leaders: dict[str, int] = {}
    for row, item in enumerate(items):
        if item.sky_group and leaders.setdefault(item.sky_group, row) != row:
            pairs.append((leaders[item.sky_group], row))
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _overlapping_pairs(items: Sequence[SkyItem]) -> list[tuple[int, int]]:
    """Pairs of rows whose circles overlap."""
    rows = [row for row, item in enumerate(items) if item.place is not None]
    places = [item.place for item in items if item.place is not None]
    if len(rows) < 2:
        return []
    centres = _unit_vectors(np.array([[place.ra, place.dec] for place in places]))
    radii = np.radians([place.radius for place in places])
    tree, largest = KDTree(centres), float(radii.max())
    pairs = []
    for index, centre in enumerate(centres):
        reach = _chord(min(float(radii[index]) + largest, math.pi))
        for other in tree.query_ball_point(centre, reach * (1 + 1e-9) + 1e-15):
            if other > index and _angle(centre, centres[other]) < radii[index] + radii[other]:
                pairs.append((rows[index], rows[other]))
    return pairs


def _unit_vectors(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    ra, dec = np.radians(positions).T
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def _chord(angle: float) -> float:
    return 2.0 * math.sin(0.5 * angle)


def _angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Angle between unit vectors, accurate for small ones."""
    return 2.0 * math.asin(min(1.0, 0.5 * float(np.linalg.norm(one - other))))
