"""What extraction hands over: islands, components, and the whole `Extraction` of a map."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.maps import RadioMap

if TYPE_CHECKING:
    from neanias_ml.extraction.background import NoiseModel

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


def flag_text(flags: int) -> str:
    """Lower-case names of the set flags, joined by commas; empty when there are none."""
    return ",".join(flag.name.lower() for flag in SourceFlag(flags) if flag.name is not None)


@dataclass(frozen=True)
class IslandTable(Columns):
    """One row per island. Pixels are 0-based, fluxes Jy/beam (peak) and Jy (total), boxes half-open."""

    island_id: IntColumn
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
    """background-subtracted sum over the island, Jy"""
    total_flux_err: FloatColumn
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
    """``compact`` or ``extended``"""
    flags: IntColumn


@dataclass(frozen=True)
class ComponentTable(Columns):
    """One row per fitted Gaussian. Positions in pixels and ICRS degrees, sizes in arcsec, angles deg E of N."""

    component_id: IntColumn
    island_id: IntColumn
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
    dc_minor: FloatColumn
    """deconvolved; an upper limit where SIZE_UPPER_LIMIT or MINOR_UPPER_LIMIT is set"""
    dc_pa: FloatColumn
    local_rms: FloatColumn
    local_background: FloatColumn
    snr: FloatColumn
    fit_quality: IntColumn
    """3 good, 2 acceptable, 1 poor, 0 no fit (moments)"""
    flags: IntColumn


@dataclass(frozen=True)
class Islands:
    """Island label map (0 = none, else ``island_id``) with the table of its islands.

    Attributes
    ----------
    labels
        (ny, nx) int32.
    table
        One row per island, sorted by ``island_id`` (1, 2, ... in order of the first pixel met row by row).
    """

    labels: NDArray[np.int32]
    table: IslandTable

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True)
class Extraction:
    """All that the classical stage found in one map."""

    radio_map: RadioMap
    noise: NoiseModel
    islands: Islands
    components: ComponentTable
