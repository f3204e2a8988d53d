"""Truth of a simulated field: tables of objects, components and islands, and their label maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns

FloatColumn = NDArray[np.float64]
IntColumn = NDArray[np.int64]
BoolColumn = NDArray[np.bool_]
TextColumn = NDArray[np.str_]

MAX_POLLUTION = 0.3
"""A one-island object with more artefact than this, relative to its model, is flagged."""
COMPACT_LIMIT = 1.0
"""Largest intrinsic size of a compact object, beam FWHM."""
MORPHOLOGIES = {
    "point": "point",
    "gauss": "resolved",
    "FR-I": "FR-I",
    "FR-II": "FR-II",
    "wide-angle tail": "bent",
    "narrow-angle tail": "bent",
    "head-tail": "bent",
    "double-double": "double-double",
    "X-shaped": "winged",
    "Z-shaped": "winged",
    "remnant": "remnant",
    "spiral": "spiral",
    "SNR shell": "SNR",
    "SNR filled": "SNR",
    "SNR composite": "SNR",
    "HII irregular": "HII",
    "HII shell": "HII",
    "HII cometary": "HII",
    "PN disk": "PN",
    "PN ring": "PN",
    "PN bipolar": "PN",
    "relic": "relic",
    "halo": "halo",
    "ORC": "ORC",
    "filament": "filament",
}
"""Morphology of each kind of object that the simulation draws."""


@dataclass(frozen=True)
class ObjectTruth(Columns):
    """One row per physical object or artefact. Pixels 0-based, positions ICRS degrees."""

    object_id: IntColumn
    """value in ``Truth.object_labels``"""
    class_name: TextColumn
    """spurious, compact, extended, extended-multisland or flagged (rule: `classify`)"""
    kind: TextColumn
    """fine morphology, a key of `MORPHOLOGIES`, or artefact"""
    visible: BoolColumn
    """has a mask: some pixel of its own exceeds 5 local rms"""
    x: FloatColumn
    """flux-weighted centroid"""
    y: FloatColumn
    ra: FloatColumn
    dec: FloatColumn
    total_flux: FloatColumn
    """intrinsic, Jy, whether or not all of it lies inside the map"""
    peak_flux: FloatColumn
    """of the convolved model, Jy/beam"""
    snr: FloatColumn
    """largest ratio of the convolved model and the local rms"""
    n_islands: IntColumn
    """pieces above 2.6 rms that hold a pixel above 5 rms; 0 when not visible"""
    n_pixels: IntColumn
    """pixels of the mask"""
    size_beams: FloatColumn
    """intrinsic FWHM along the longest axis, from second moments, in beam FWHM"""
    pollution: FloatColumn
    """sum of |artefact| over the sum of the model, in the mask; NaN for artefacts and when not visible"""
    culprit_id: IntColumn
    """for artefacts: the object whose sidelobe, ghost or alias it is, 0 for interference; 0 for real objects"""

    @property
    def morphology(self) -> TextColumn:
        """Morphology (N,) that a network can learn: that of the kind by `MORPHOLOGIES`, or else the kind itself."""
        return np.array([MORPHOLOGIES.get(kind, kind) for kind in self.kind.tolist()], dtype=str)


@dataclass(frozen=True)
class ComponentTruth(Columns):
    """One row per Gaussian of an object; a diffuse patch is one row of its moments."""

    component_id: IntColumn
    object_id: IntColumn
    x: FloatColumn
    y: FloatColumn
    ra: FloatColumn
    dec: FloatColumn
    peak_flux: FloatColumn
    """after convolution with the beam, Jy/beam"""
    total_flux: FloatColumn
    """Jy"""
    major: FloatColumn
    """intrinsic FWHM, arcsec; 0 for a point"""
    minor: FloatColumn
    pa: FloatColumn
    """degrees east of north"""


@dataclass(frozen=True)
class IslandTruth(Columns):
    """One row per true island: a connected region of emission, real or false."""

    island_id: IntColumn
    """value in ``Truth.island_labels``"""
    object_id: IntColumn
    """the object with most of its flux: the island-to-object map"""
    x: FloatColumn
    """flux-weighted centroid, pixels"""
    y: FloatColumn
    peak_flux: FloatColumn
    """Jy/beam"""
    total_flux: FloatColumn
    """sum over the island, Jy"""
    snr: FloatColumn
    n_pixels: IntColumn
    n_objects: IntColumn
    """objects that own pixels of it"""


@dataclass(frozen=True)
class Truth:
    """What is really in a simulated map.

    Attributes
    ----------
    object_labels
        (ny, nx) int32: instance masks, the id of the object that dominates a pixel, 0 for none.
    island_labels
        (ny, nx) int32: ids of the connected islands, 0 for none.
    faint_labels
        (ny, nx) int32: ids of objects below the visibility limit (5 rms) where they exceed 2.6 rms. Noise lifts
        some of them above a detection threshold; what is found there is neither missing from the truth nor false.
    objects, components, islands
        Tables sorted by their ids.
    """

    object_labels: NDArray[np.int32]
    island_labels: NDArray[np.int32]
    faint_labels: NDArray[np.int32]
    objects: ObjectTruth
    components: ComponentTruth
    islands: IslandTruth

    def __post_init__(self) -> None:
        for name in ("object_labels", "island_labels", "faint_labels"):
            labels = np.ascontiguousarray(getattr(self, name), dtype=np.int32)
            labels.flags.writeable = False
            object.__setattr__(self, name, labels)
        if not self.object_labels.shape == self.island_labels.shape == self.faint_labels.shape:
            raise ValueError("label maps of one field differ in shape")


def classify(*, spurious: bool, n_islands: int, size_beams: float, pollution: float) -> str:
    """Class of an instance in CAESAR's vocabulary.

    1. *spurious*: a connected region of sidelobes outside the masks of real objects;
    2. *extended-multisland*: a real object of two or more islands (pieces of it above 2.6 rms, 8-connected,
       each with a pixel above 5 rms);
    3. *flagged*: a real object of one island whose mask is polluted: the sum of |artefact| over it exceeds
       30 % of the sum of its model;
    4. *extended*: its intrinsic size (FWHM along the longest axis) exceeds one beam;
    5. *compact*: all the rest.
    """
    if spurious:
        return "spurious"
    if n_islands >= 2:
        return "extended-multisland"
    if pollution > MAX_POLLUTION:
        return "flagged"
    return "extended" if size_beams > COMPACT_LIMIT else "compact"
