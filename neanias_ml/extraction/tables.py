"""What extraction hands over: islands, components, and the whole `Extraction` of a map."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.maps import RadioMap, Window

if TYPE_CHECKING:
    from neanias_ml.extraction.artefacts.evidence import ArtefactEvidence
    from neanias_ml.extraction.noise.model import NoiseModel
    from neanias_ml.extraction.shapes.measure import ShapeTable, SkyShapeTable

FloatColumn = NDArray[np.float64]
IntColumn = NDArray[np.int64]
TextColumn = NDArray[np.str_]


class SourceFlag(IntFlag):
    """Conditions that an astronomer should know about a row."""

    EDGE = 1
    """touches the edge of the map"""
    BLANKED = 2
    """touches blank pixels"""
    FIT_FAILED = 4
    """no acceptable Gaussian fit; values are from moments"""
    SIZE_UPPER_LIMIT = 8
    """not resolved: both deconvolved axes are upper limits"""
    OFF_SKY = 16
    """the position has no sky coordinates"""
    MANY_COMPONENTS = 32
    """more peaks than are fitted at once; the fainter ones are left out"""
    MINOR_UPPER_LIMIT = 64
    """resolved along one axis only: the deconvolved minor axis is an upper limit"""
    REMAINDER = 128
    """what an extended island holds beside the sources inside it; size and position are moments"""
    ON_EXTENDED = 256
    """lies on extended emission, a plane of which was fitted underneath"""


def flag_text(flags: int) -> str:
    """Lower-case names of the set flags, joined by commas; empty when there are none."""
    return ",".join(flag.name.lower() for flag in SourceFlag(flags) if flag.name is not None)


@dataclass(frozen=True)
class IslandTable(Columns):
    """One row per island. Pixels are 0-based, fluxes Jy/beam (peak) and Jy (total), boxes half-open."""

    island_id: IntColumn
    parent_id: IntColumn
    """island that directly encloses this one; 0: none"""
    level: IntColumn
    """0 for islands of the map, 1, 2, ... for nested ones"""
    x: FloatColumn
    """flux-weighted centroid, pixels"""
    y: FloatColumn
    peak_x: IntColumn
    peak_y: IntColumn
    ra: FloatColumn
    """ICRS degrees of the centroid; NaN without WCS"""
    dec: FloatColumn
    x0: IntColumn
    y0: IntColumn
    x1: IntColumn
    y1: IntColumn
    n_pixels: IntColumn
    peak_flux: FloatColumn
    """background-subtracted, Jy/beam"""
    total_flux: FloatColumn
    """background-subtracted sum over the island with the wings around it, Jy; what its children hold is included"""
    total_flux_err: FloatColumn
    own_flux: FloatColumn
    """total flux without that of the children, Jy: its sum over all rows counts every source once"""
    snr: FloatColumn
    """largest signal to noise of its pixels"""
    local_rms: FloatColumn
    """mean over the island, Jy/beam"""
    local_background: FloatColumn
    major: FloatColumn
    """full width at half maximum from second moments, pixels"""
    minor: FloatColumn
    pixel_angle: FloatColumn
    """angle of the major axis from +x towards +y, degrees in [0, 180)"""
    n_beams: FloatColumn
    """area in beam areas"""
    n_components: IntColumn
    kind: TextColumn
    """``compact``, ``extended``, ``diffuse`` (found by the search for extended emission) or ``nested``"""
    p_spurious: FloatColumn
    """probability of an imaging artefact by the evidence around it; NaN where that was not looked at"""
    flags: IntColumn


@dataclass(frozen=True)
class ComponentTable(Columns):
    """One row per fitted Gaussian. Positions in pixels and ICRS degrees, sizes in arcsec, angles deg E of N."""

    component_id: IntColumn
    island_id: IntColumn
    nested_id: IntColumn
    """nested island that it was fitted in; 0: the island as a whole"""
    ra: FloatColumn
    dec: FloatColumn
    ra_err: FloatColumn
    """error along right ascension on the sky (times cos dec), degrees"""
    dec_err: FloatColumn
    x: FloatColumn
    y: FloatColumn
    x_err: FloatColumn
    y_err: FloatColumn
    peak_flux: FloatColumn
    peak_flux_err: FloatColumn
    total_flux: FloatColumn
    total_flux_err: FloatColumn
    major: FloatColumn
    major_err: FloatColumn
    minor: FloatColumn
    minor_err: FloatColumn
    pa: FloatColumn
    pa_err: FloatColumn
    dc_major: FloatColumn
    """deconvolved; an upper limit where SIZE_UPPER_LIMIT is set"""
    dc_major_err: FloatColumn
    """NaN for limits, as the next two"""
    dc_minor: FloatColumn
    """deconvolved; an upper limit where SIZE_UPPER_LIMIT or MINOR_UPPER_LIMIT is set"""
    dc_minor_err: FloatColumn
    dc_pa: FloatColumn
    dc_pa_err: FloatColumn
    shape: TextColumn
    """``beam`` where a free shape does not describe the pixels better and the beam's was used, else ``free``"""
    local_rms: FloatColumn
    local_background: FloatColumn
    snr: FloatColumn
    residual_rms: FloatColumn
    """root mean square residual of the island's fit in units of the noise; NaN without a fit"""
    fit_quality: IntColumn
    """3 good: converged, residual at the noise or below 2 per cent of the peak; 2 acceptable: converged, residual below
    2.5 sigma or 8 per cent; 1 poor: not converged, at a limit, or a larger residual; 0 no fit: moments"""
    flags: IntColumn


@dataclass(frozen=True)
class Islands:
    """Islands of one layer: their pixels as runs and the table of their measures.

    Attributes
    ----------
    runs
        Region k of the runs is the island of row k.
    table
        One row per island, sorted by ``island_id``; those of the map are numbered 1, 2, ... in order of the first pixel
        met row by row.
    shape
        Rows and columns of the map.
    """

    runs: Runs
    table: IslandTable
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.table)

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Islands:
        """No islands."""
        return cls(Runs.none(), IslandTable.empty(), shape)

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """(ny, nx) int32 row number + 1 of the island in each pixel, 0 for none: a whole map, made at first use."""
        return self.labels_in(Window(0, self.shape[0], 0, self.shape[1]))

    def labels_in(self, window: Window) -> NDArray[np.int32]:
        """The same of a window, without making the map of all."""
        if "labels" in self.__dict__:
            return self.labels[window.slices]
        return self.runs.paint(window)

    def mask(self, row: int) -> NDArray[np.bool_]:
        """Pixels of one island within its box."""
        table = self.table
        box = Window(int(table.y0[row]), int(table.y1[row]), int(table.x0[row]), int(table.x1[row]))
        return self.runs.only(row).paint(box) > 0


@dataclass(frozen=True)
class NegativeCheck:
    """Islands of the inverted map: what noise and artefacts alone bring above the thresholds.

    Attributes
    ----------
    table
        Their measures, fluxes positive.
    seed_threshold
        Seed threshold that was used, for both signs.
    n_positive
        Islands of the map above the same thresholds.
    """

    table: IslandTable
    seed_threshold: float
    n_positive: int

    @property
    def purity(self) -> float:
        """One minus negative over positive islands; NaN without any positive one."""
        return 1.0 - len(self.table) / self.n_positive if self.n_positive else float("nan")


@dataclass(frozen=True)
class Extraction:
    """All that the classical stage found in one map.

    Attributes
    ----------
    radio_map, noise
        The map and its noise model.
    islands
        Islands of the map: disjoint, in the label map.
    components
        Gaussians; those of an island describe it, or hold what was found inside it and the rest.
    nested
        Islands inside islands, at any number of levels; ids continue after those of ``islands`` and ``diffuse``.
    diffuse
        Regions that the search for extended emission added; islands inside them name them as parents.
    negatives
        The same thresholds on the inverted map, or None where that was not looked at.
    shapes, sky_shapes, evidence
        Descriptors of ``islands``, row by row, or None where they were not measured.
    """

    radio_map: RadioMap
    noise: NoiseModel
    islands: Islands
    components: ComponentTable
    nested: Islands
    diffuse: Islands
    negatives: NegativeCheck | None = None
    shapes: ShapeTable | None = None
    sky_shapes: SkyShapeTable | None = None
    evidence: ArtefactEvidence | None = None

    @property
    def layers(self) -> tuple[Islands, Islands, Islands]:
        """Islands of the map, diffuse regions, nested islands: in the order of their ids."""
        return self.islands, self.diffuse, self.nested

    @property
    def all_islands(self) -> IslandTable:
        """The islands of all layers in one table, sorted by id."""
        return IslandTable.joined([layer.table for layer in self.layers])
