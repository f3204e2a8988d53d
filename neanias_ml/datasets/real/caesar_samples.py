"""Three cut-outs that CAESAR's authors use as examples, of SCORPIO and FIRST maps, labelled by what they show.

Their headers lack the pixel size (two give an invalid CTYPE1), so it is that of the cut-outs' survey.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.labels.labelled import LabelledObject
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.datasets.real.base import LabelledMap, MapEntry, RealSet, existing, labelled_image
from neanias_ml.datasets.real.pseudo_flux import EIGHT
from neanias_ml.datasets.real.regions import emission_regions, regions_at, robust_significance, unlabelled_object
from neanias_ml.maps import read_map

Position = tuple[int, int]
"""x, y of a pixel."""


@dataclass(frozen=True)
class SampleObject:
    """One object of a sample: its class and a pixel on each of its islands."""

    class_name: str
    islands: tuple[Position, ...]


@dataclass(frozen=True)
class Sample:
    """One sample: pixel size in arcsec and its objects."""

    pixel_arcsec: float
    objects: tuple[SampleObject, ...]
    seed: float = 5.0
    """signal to noise that an island needs; lower where the artefacts are faint"""


SAMPLES = {
    "galaxy0001": Sample(1.5, (SampleObject("extended-multisland", ((40, 52), (64, 67), (104, 84))),)),
    "galaxy0002": Sample(1.375, (SampleObject("extended-multisland", ((119, 37), (65, 65), (23, 83))),)),
    "sidelobe0001": Sample(
        4.0, (SampleObject("compact", ((61, 82),)), SampleObject("spurious", ((66, 66),))), seed=3.5
    ),
}
REACH = 3.0
"""A pixel of a label may lie so many pixels beside its island."""


class CaesarSamples(RealSet):
    """A bent triple, a double with a core, and a bright source with rings."""

    name = "caesar_samples"
    label_files: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def entries(self) -> tuple[MapEntry, ...]:
        """The three samples."""
        return tuple(MapEntry(name=name, path=self.folder / f"{name}.fits", sky_group=name) for name in SAMPLES)

    def read(self, entry: MapEntry, *, seed: int = 0) -> LabelledMap:
        """A sample as it is, and the islands of its objects; ``seed`` is not needed."""
        sample = SAMPLES[entry.name]
        radio_map = read_map(existing(entry.path), pixel_scale=sample.pixel_arcsec / 3600)
        significance = np.nan_to_num(robust_significance(radio_map.data))
        regions = emission_regions(significance, radio_map, seed=sample.seed)
        objects = [_labelled(one, regions) for one in sample.objects]
        labelled = np.zeros(radio_map.shape, dtype=bool)
        for one in objects:
            labelled |= one.mask.pixels()
        objects.append(unlabelled_object(regions > 0, ndimage.binary_dilation(labelled, EIGHT)))
        return LabelledMap(radio_map, labelled_image(entry, radio_map.shape, objects))


def _labelled(sample: SampleObject, regions: NDArray[np.int32]) -> LabelledObject:
    numbers = {regions_at(regions, x=x, y=y, reach=REACH) for x, y in sample.islands} - {0}
    return LabelledObject(sample.class_name, RunLengthMask.of(np.isin(regions, sorted(numbers))))
