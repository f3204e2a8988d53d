"""From rows to what is grouped: single rows, or the islands of a catalogue as the sums of their components.

The network groups islands. Where a catalogue tells which components are of one island, they are put together before:
summed flux, brightest peak, flux-weighted centroid, and the second moments of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.association_rows import Rows
from neanias_ml.catalogue.reading_sources import SourceList
from neanias_ml.inference.sky_groups import sky_axes
from neanias_ml.maps import covariances_of_ellipses, ellipses_of_covariances, position_angle

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ARCSEC_PER_RADIAN = float(np.degrees(1.0) * 3600.0)


@dataclass(frozen=True)
class RowRoles:
    """Which rows are grouped, and as what.

    Attributes
    ----------
    island
        (N,) number of the thing that a row is part of, 0, 1, ... by first rows; -1 for rows that stay alone.
    counted
        (N,) whether the row is measured: islands inside islands are not, what they hold is in their mother's flux.
    """

    island: IntArray
    counted: NDArray[np.bool_]


def row_roles(sources: SourceList, usable: NDArray[np.bool_], *, join_islands: bool) -> RowRoles:
    """What each row is grouped as.

    Parameters
    ----------
    sources
        The catalogue.
    usable
        (N,) rows that have what it takes.
    join_islands
        Whether rows of one island of the catalogue are one thing. Islands inside islands of this program's own tables
        belong to their mothers either way, and its regions of diffuse emission stay alone.
    """
    keys: list[Any] = list(range(len(sources)))
    counted = np.array(usable)
    names = set(sources.table.colnames)
    if {"island_id", "parent_id", "level", "kind"} <= names:
        ids, parents, level = (np.asarray(sources.table[name]) for name in ("island_id", "parent_id", "level"))
        row_of = {int(island): row for row, island in enumerate(ids.tolist())}
        for row in np.argsort(level, kind="stable").tolist():  # mothers before their daughters
            if level[row] > 0 and int(parents[row]) in row_of:
                keys[row], counted[row] = keys[row_of[int(parents[row])]], False
        counted &= np.asarray(sources.table["kind"]) != "diffuse"
    elif join_islands and "island_id" in sources.values:
        keys = [_island_key(row, label) for row, label in enumerate(sources.values["island_id"].tolist())]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys[row] for row in np.flatnonzero(counted)))}
    island = np.array([numbers.get(key, -1) for key in keys], dtype=np.int64)
    island[~usable] = -1
    return RowRoles(island, counted)


def _island_key(row: int, label: Any) -> Any:
    """What rows of one island share; rows without an island share nothing."""
    without = label in (None, "", "--", -1) or (isinstance(label, float) and np.isnan(label))
    return row if without else f"island {label}"


def merged_rows(rows: Rows, roles: RowRoles) -> Rows:
    """One row per island, in the order of their numbers."""
    members = np.flatnonzero(roles.counted)
    part = rows.select(members)
    island = roles.island[members]
    count = int(island.max(initial=-1)) + 1
    first = np.unique(island, return_index=True)[1]
    weight = np.maximum(part.total_flux, 1e-3 * part.rms)
    share = weight / np.bincount(island, weights=weight, minlength=count)[island]

    def average(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(island, weights=share * values, minlength=count), dtype=np.float64)

    base = part.select(first)
    offset = offsets_from(part, base.select(island))
    centre = np.stack([average(offset[:, 0]), average(offset[:, 1])], axis=1)
    away = offset - centre[island]
    spread = covariances_of_ellipses(part.major, part.minor, 90.0 - part.pa) + away[:, :, None] * away[:, None, :]
    moments = np.stack([average(spread[:, i, j]) for i in (0, 1) for j in (0, 1)], axis=1).reshape(-1, 2, 2)
    major, minor, angle = ellipses_of_covariances(moments)
    peak = np.full(count, -np.inf)
    np.maximum.at(peak, island, part.peak_flux)
    return displaced(base, centre).replace(
        peak_flux=peak,
        total_flux=np.bincount(island, weights=part.total_flux, minlength=count),
        rms=average(part.rms),
        major=major,
        minor=minor,
        pa=position_angle(angle),
    )


def offsets_from(rows: Rows, base: Rows) -> FloatArray:
    """(N, 2) arcsec east and north of rows from those of (N,) others, on the plane that touches the sky there."""
    if not rows.on_sky:
        return np.stack([rows.east - base.east, rows.north - base.north], axis=1)
    east, north, _ = sky_axes(base.ra, base.dec)
    outward = sky_axes(rows.ra, rows.dec)[2]
    return ARCSEC_PER_RADIAN * np.stack([(outward * east).sum(axis=1), (outward * north).sum(axis=1)], axis=1)


def displaced(rows: Rows, offset: FloatArray) -> Rows:
    """Rows that lie (N, 2) arcsec east and north of where they were, on the planes that touch the sky there."""
    if not rows.on_sky:
        return rows.replace(east=rows.east + offset[:, 0], north=rows.north + offset[:, 1])
    east, north, outward = sky_axes(rows.ra, rows.dec)
    length = offset / ARCSEC_PER_RADIAN
    depth = np.sqrt(np.maximum(1.0 - (length**2).sum(axis=1), 0.0))
    x, y, z = (length[:, :1] * east + length[:, 1:] * north + depth[:, None] * outward).T
    return rows.replace(ra=np.degrees(np.arctan2(y, x)) % 360.0, dec=np.degrees(np.arcsin(np.clip(z, -1.0, 1.0))))
