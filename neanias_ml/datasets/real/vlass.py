"""Islands of VLASS quick-look maps, known to be real or not by three epochs (Lacy et al. 2020, PASP 132, 035001).

30 positions of some 6 arcmin, three maps each at 3 GHz. An island above 5 sigma is real when its flux is there in the
other epochs too and spurious when it is in neither. Whether neighbouring real islands belong to one object is not
known, so those teach nothing; nor do islands that are ambiguous or at the edge of a map.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.labels.labelled import LabelledObject, SkyPlace
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.datasets.real.base import LabelledMap, MapEntry, RealSet, existing, labelled_image
from neanias_ml.datasets.real.pseudo_flux import EIGHT
from neanias_ml.datasets.real.regions import (
    emission_regions,
    robust_significance,
    size_in_beams,
    unlabelled_object,
)
from neanias_ml.datasets.real.tables import number, read_rows
from neanias_ml.maps import RadioMap, read_map
from neanias_ml.simulation.truth import COMPACT_LIMIT

Row = dict[str, str]
FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]

MAP_TABLE, ISLAND_TABLE = "files.csv", "islands_persistence.csv"
MAP_COLUMNS = ("file", "nx", "ny", "ra", "dec")
ISLAND_COLUMNS = ("position", "epoch", "file", "xpeak", "ypeak", "x0", "y0", "x1", "y1", "snr_peak", "label")
MERGE_SNR = 2.6
"""Level at which the islands of the table end."""
NEIGHBOUR_ARCSEC = 60.0
"""Real islands closer than this may be parts of one object."""
PIXEL_ARCSEC = 1.0


class Vlass(RealSet):
    """VLASS islands labelled by persistence; one position is one sky group."""

    name = "vlass"
    label_files: ClassVar[tuple[str, ...]] = (MAP_TABLE, ISLAND_TABLE)

    @cached_property
    def entries(self) -> tuple[MapEntry, ...]:
        """All maps, three to a position."""
        path = self.folder / MAP_TABLE
        return tuple(
            MapEntry(
                name=row["file"].removesuffix(".fits.fz"),
                path=self.folder / "fits" / row["file"],
                sky_group=row["file"].split("_")[0],
                place=SkyPlace(
                    number(row, "ra", path=path),
                    number(row, "dec", path=path),
                    math.hypot(number(row, "nx", path=path), number(row, "ny", path=path)) / 2 * PIXEL_ARCSEC / 3600,
                ),
            )
            for row in read_rows(path, columns=MAP_COLUMNS)
        )

    def read(self, entry: MapEntry, *, seed: int = 0) -> LabelledMap:
        """A map as it is, and its labelled islands; ``seed`` is not needed."""
        radio_map = read_map(existing(entry.path))
        significance = np.nan_to_num(robust_significance(radio_map.data))
        rows = self._islands[entry.path.name]
        objects = [self._labelled(row, rows, significance, radio_map) for row in rows]
        labelled = np.zeros(radio_map.shape, dtype=bool)
        for one in objects:
            labelled |= one.mask.pixels()
        emission = emission_regions(significance, radio_map, merge=MERGE_SNR) > 0
        objects.append(unlabelled_object(emission, ndimage.binary_dilation(labelled, EIGHT)))
        return LabelledMap(radio_map, labelled_image(entry, radio_map.shape, objects))

    def _labelled(self, row: Row, rows: list[Row], significance: FloatMap, radio_map: RadioMap) -> LabelledObject:
        """One island of the table, its pixels taken from the map."""
        mask = self._island_mask(row, significance)
        label = row["label"]
        alone = label != "real" or not any(other is not row and self._are_close(row, other) for other in rows)
        if label == "real":
            size = size_in_beams(significance, mask, beam_area=radio_map.beam_area, merge=MERGE_SNR)
            word = "extended" if size > COMPACT_LIMIT else "compact"
        else:
            word = "spurious" if label == "spurious" else label
        return LabelledObject(
            class_name=word,
            mask=RunLengthMask.of(mask),
            ignored=label not in ("real", "spurious") or not alone,
            attributes={"persistence": label, "epoch": row["epoch"], "snr": self._number(row, "snr_peak")},
        )

    def _island_mask(self, row: Row, significance: FloatMap) -> Mask:
        """Pixels above the merge level in the island's box that hang together with its peak."""
        x0, y0, x1, y1 = (int(self._number(row, column)) for column in ("x0", "y0", "x1", "y1"))
        x, y = int(self._number(row, "xpeak")), int(self._number(row, "ypeak"))
        mask = np.zeros(significance.shape, dtype=bool)
        pieces, _ = ndimage.label(significance[y0:y1, x0:x1] >= MERGE_SNR, structure=EIGHT)
        if y0 <= y < y1 and x0 <= x < x1 and pieces[y - y0, x - x0]:
            mask[y0:y1, x0:x1] = pieces == pieces[y - y0, x - x0]
        return mask

    def _are_close(self, one: Row, other: Row) -> bool:
        """Whether two islands may be parts of one real object."""
        dx = self._number(one, "xpeak") - self._number(other, "xpeak")
        dy = self._number(one, "ypeak") - self._number(other, "ypeak")
        return other["label"] == "real" and math.hypot(dx, dy) * PIXEL_ARCSEC < NEIGHBOUR_ARCSEC

    def _number(self, row: Row, column: str) -> float:
        return number(row, column, path=self.folder / ISLAND_TABLE)

    @cached_property
    def _islands(self) -> dict[str, list[Row]]:
        by_file: dict[str, list[Row]] = defaultdict(list)
        for row in read_rows(self.folder / ISLAND_TABLE, columns=ISLAND_COLUMNS):
            by_file[row["file"]].append(row)
        return by_file
