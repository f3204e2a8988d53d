"""MiraBest in FIRST: radio galaxies of known Fanaroff-Riley class, grouped by Radio Galaxy Zoo.

300 x 300 pixels of 1.8 arcsec around 431 galaxies of Miraghaei & Best (2017, MNRAS 466, 4346; Porter & Scaife 2023,
RASTI 2, 293) in maps of FIRST (Becker et al. 1995). Two things say which islands make one object: components that
volunteers of Radio Galaxy Zoo gave to one source (Banfield et al. 2015; Wu et al. 2019), and, for the galaxy in the
middle, its largest angular size. Emission that neither speaks of is ignored, and so is a galaxy of which they disagree.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.labels.labelled import LabelledObject, SkyPlace
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.datasets.real.base import LabelledMap, MapEntry, RealSet, existing, labelled_image
from neanias_ml.datasets.real.pseudo_flux import EIGHT
from neanias_ml.datasets.real.regions import (
    MERGE_SNR,
    emission_regions,
    region_extent,
    regions_at,
    robust_significance,
    size_in_beams,
    unlabelled_object,
)
from neanias_ml.datasets.real.tables import number, read_rows
from neanias_ml.maps import RadioMap, read_map
from neanias_ml.simulation.truth import COMPACT_LIMIT

Row = dict[str, str]
LabelMap = NDArray[np.int32]

OBJECT_TABLE, COMPONENT_TABLE = "objects.csv", "rgz_components.csv"
OBJECT_COLUMNS = ("file", "fr", "confidence", "morph", "ra", "dec", "las_arcsec")
COMPONENT_COLUMNS = ("file", "rgz_catalog_id", "num_cpnts", "consensus", "x", "y")
SIDE, PIXEL_ARCSEC = 300, 1.8
REACH_BEAMS = 2.0
"""A component belongs to the island within this many beams of its position."""
CENTRE_REACH = 1.2
"""Islands within this part of half the angular size of the middle (and a beam) may belong to the galaxy there."""
SMALLEST_EXTENT = 0.7
"""Visible extent over angular size that is needed at least for a grouping to agree with the size."""
LARGEST_EXTENT = 2.5
"""Largest visible extent over angular size, which is measured from centre to centre of the outer parts ..."""
HALO_BEAMS = 4.0
"""... or, for small galaxies, so many beams more than the angular size: the wings of bright outer parts."""


@dataclass(frozen=True)
class Grouping:
    """Islands of one object.

    Attributes
    ----------
    regions
        Numbers of its islands.
    origin
        ``rgz`` or ``size``: who says so.
    agrees
        Whether nothing that is known contradicts.
    identifier
        Row of Radio Galaxy Zoo, or "".
    consensus
        Share of volunteers who agreed, 1 where none were asked.
    """

    regions: frozenset[int]
    origin: str
    agrees: bool = True
    identifier: str = ""
    consensus: float = 1.0


class MiraBest(RealSet):
    """MiraBest with Radio Galaxy Zoo, disconnected islands of an object as one mask."""

    name = "mirabest"
    label_files: ClassVar[tuple[str, ...]] = (OBJECT_TABLE, COMPONENT_TABLE)

    @cached_property
    def entries(self) -> tuple[MapEntry, ...]:
        """All maps, each at its galaxy's place."""
        path, radius = self.folder / OBJECT_TABLE, SIDE / 2 * math.sqrt(2.0) * PIXEL_ARCSEC / 3600
        return tuple(
            MapEntry(
                name=name.removesuffix(".fits.gz"),
                path=self.folder / "fits" / name,
                place=SkyPlace(number(row, "ra", path=path), number(row, "dec", path=path), radius),
            )
            for name, row in self._objects.items()
        )

    def read(self, entry: MapEntry, *, seed: int = 0) -> LabelledMap:
        """A map as it is, and its grouped islands; ``seed`` is not needed."""
        radio_map = read_map(existing(entry.path))
        significance = np.nan_to_num(robust_significance(radio_map.data))
        regions = emission_regions(significance, radio_map)
        row = self._objects[entry.path.name]
        size = number(row, "las_arcsec", path=self.folder / OBJECT_TABLE) / PIXEL_ARCSEC
        zoo = zoo_groupings(self._components[entry.path.name], regions, reach=REACH_BEAMS * radio_map.beam_fwhm)
        central, others = central_grouping(regions, zoo, size=size, beam=radio_map.beam_fwhm)
        facts = {"fr": row["fr"], "confidence": row["confidence"], "morphology": row["morph"]}
        objects = [_labelled(one, regions, significance, radio_map, {}) for one in others]
        if central is not None:
            objects.insert(0, _labelled(central, regions, significance, radio_map, facts))
        labelled = np.zeros(radio_map.shape, dtype=bool)
        for one in objects:
            labelled |= one.mask.pixels()
        objects.append(unlabelled_object(regions > 0, ndimage.binary_dilation(labelled, EIGHT)))
        return LabelledMap(radio_map, labelled_image(entry, radio_map.shape, objects, attributes=facts))

    @cached_property
    def _objects(self) -> dict[str, Row]:
        """Rows of the galaxies by file, the first where one is listed twice."""
        rows: dict[str, Row] = {}
        for row in read_rows(self.folder / OBJECT_TABLE, columns=OBJECT_COLUMNS):
            rows.setdefault(row["file"], row)
        return rows

    @cached_property
    def _components(self) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = defaultdict(list)
        for row in read_rows(self.folder / COMPONENT_TABLE, columns=COMPONENT_COLUMNS):
            rows[row["file"]].append(row)
        return rows


def zoo_groupings(rows: list[Row], regions: LabelMap, *, reach: float) -> list[Grouping]:
    """Objects of Radio Galaxy Zoo by the islands at their components, the one with the highest consensus first.

    An island belongs to one object: of two that claim it, the one that more volunteers agreed on is kept. An object of
    which a component has no island within ``reach`` pixels is kept as one that does not agree with the map.
    """
    by_identifier: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_identifier[row["rgz_catalog_id"]].append(row)
    ordered = sorted(by_identifier.items(), key=lambda item: (-float(item[1][0]["consensus"]), item[0]))
    kept: list[Grouping] = []
    for identifier, parts in ordered:
        at = [regions_at(regions, x=float(part["x"]), y=float(part["y"]), reach=reach) for part in parts]
        found = frozenset(at) - {0}
        if not found or any(found & other.regions for other in kept):
            continue
        complete = 0 not in at and len(parts) == int(parts[0]["num_cpnts"])
        kept.append(Grouping(found, "rgz", complete, identifier, float(parts[0]["consensus"])))
    return kept


def central_grouping(
    regions: LabelMap, zoo: list[Grouping], *, size: float, beam: float
) -> tuple[Grouping | None, list[Grouping]]:
    """The galaxy in the middle of a map, and the other objects.

    Parameters
    ----------
    regions
        (ny, nx) numbers of islands.
    zoo
        Objects of Radio Galaxy Zoo.
    size
        Largest angular size of the galaxy in pixels.
    beam
        Width of the beam in pixels.
    """
    ny, nx = regions.shape
    y, x = np.nonzero(regions)
    near = np.hypot(x - (nx - 1) / 2, y - (ny - 1) / 2) <= CENTRE_REACH * size / 2 + beam
    inside = frozenset(np.unique(regions[y[near], x[near]]).tolist())
    chosen = max(zoo, key=lambda one: len(one.regions & inside), default=None)
    if chosen is not None and not chosen.regions & inside:
        chosen = None
    others = [one for one in zoo if one is not chosen]
    claimed = frozenset[int]().union(*(one.regions for one in others))
    central = chosen if chosen is not None else Grouping(inside - claimed, "size")
    if not central.regions:
        return None, others
    extent = region_extent(np.isin(regions, sorted(central.regions)))
    longest = max(LARGEST_EXTENT * size, size + HALO_BEAMS * beam)
    agrees = central.agrees and SMALLEST_EXTENT * size <= extent <= longest
    return Grouping(central.regions, central.origin, agrees, central.identifier, central.consensus), others


def _labelled(
    grouping: Grouping,
    regions: LabelMap,
    significance: NDArray[np.float32],
    radio_map: RadioMap,
    facts: dict[str, Any],
) -> LabelledObject:
    """The islands of a grouping as one object."""
    mask = np.isin(regions, sorted(grouping.regions))
    if len(grouping.regions) >= 2:
        word = "extended-multisland"
    else:
        size = size_in_beams(significance, mask, beam_area=radio_map.beam_area, merge=MERGE_SNR)
        word = "extended" if size > COMPACT_LIMIT else "compact"
    return LabelledObject(
        class_name=word,
        mask=RunLengthMask.of(mask),
        name=grouping.identifier,
        ignored=not grouping.agrees,
        attributes={"grouping": grouping.origin, "consensus": grouping.consensus, **facts},
    )
