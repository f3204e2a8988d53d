"""Objects of a grouped catalogue: where they are, how large, how bright, and the links that hold them together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform

from neanias_ml.catalogue.association_nodes import displaced, offsets_from
from neanias_ml.catalogue.association_rows import Rows
from neanias_ml.columns import Columns
from neanias_ml.inference.measure_objects import hull_vertices

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OUTLINE_POINTS = 24
"""Corners of an ellipse at half maximum: the largest size is right to one per cent."""
MOST_LINKED = 2000
"""Objects of more rows are linked to their brightest row, not in the shortest way, which needs all distances."""


@dataclass(frozen=True)
class ObjectRows(Columns):
    """One row per object, in the order of their numbers 1, 2, ..."""

    object_id: IntArray
    n_members: IntArray
    """rows of the catalogue"""
    ra: FloatArray
    """flux-weighted centroid, degrees; NaN where there are only pixels"""
    dec: FloatArray
    east: FloatArray
    """the same on the plane of a map without sky, arcsec; else NaN"""
    north: FloatArray
    peak_flux: FloatArray
    """brightest row, Jy/beam"""
    total_flux: FloatArray
    """Jy"""
    largest_angular_size: FloatArray
    """largest distance between two points of its rows' ellipses at half maximum, arcsec"""
    position_angle: FloatArray
    """direction of that distance, degrees east of north in [0, 180)"""
    association_probability: FloatArray
    """least probability of the links that hold it together; NaN without any"""


def measured_objects(
    rows: Rows, object_id: IntArray, *, counted: NDArray[np.bool_], probability: FloatArray
) -> ObjectRows:
    """Measure objects on their rows.

    Parameters
    ----------
    rows
        (N,) all rows.
    object_id
        (N,) object of each, 1, 2, ... by first rows.
    counted
        (N,) rows that are measured; what has none of them is measured on all of its rows.
    probability
        (N,) probability of each row's object.
    """
    number = object_id - 1
    count = int(object_id.max(initial=0))
    first = np.unique(number, return_index=True)[1]
    has_counted = np.bincount(number[counted], minlength=count) > 0
    basis = np.flatnonzero(counted | ~has_counted[number])
    part, of_part = rows.select(basis), number[basis]
    weight = np.where(part.total_flux > 1e-3 * part.rms, part.total_flux, 1e-3 * np.nan_to_num(part.rms, nan=1.0))
    share = weight / _summed(weight, of_part, count)[of_part]
    base = rows.select(basis[np.unique(of_part, return_index=True)[1]])
    offset = offsets_from(part, base.select(of_part))
    centre = np.stack([_summed(share * axis, of_part, count) for axis in offset.T], axis=1)
    place = displaced(base, centre)
    size, angle = _sizes(part, of_part, offset)
    peak = np.full(count, -np.inf)
    np.fmax.at(peak, of_part, part.peak_flux)
    return ObjectRows(
        object_id=np.arange(1, count + 1),
        n_members=np.bincount(number, minlength=count),
        ra=place.ra,
        dec=place.dec,
        east=place.east,
        north=place.north,
        peak_flux=np.where(np.isfinite(peak), peak, np.nan),
        total_flux=_summed(part.total_flux, of_part, count),
        largest_angular_size=size,
        position_angle=angle,
        association_probability=probability[first],
    )


def _summed(values: FloatArray, number: IntArray, count: int) -> FloatArray:
    """Sums (K,) of the values (N,) of each object."""
    return np.asarray(np.bincount(number, weights=values, minlength=count), dtype=np.float64)


def _sizes(rows: Rows, number: IntArray, offset: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Largest size (arcsec) and its direction (degrees) of objects, from the ellipses of their rows."""
    first = np.unique(number, return_index=True)[1]
    size, angle = rows.major[first].copy(), rows.pa[first] % 180.0
    for members in _objects_of_several(number):
        points = _outlines(rows.select(members), offset[members])
        points = points[np.isfinite(points).all(axis=1)]
        corners = hull_vertices(points)
        distances = squareform(pdist(corners))
        one, other = np.unravel_index(int(distances.argmax()), distances.shape)
        east, north = corners[other] - corners[one]
        place = number[members[0]]
        size[place] = distances[one, other]
        angle[place] = np.degrees(np.arctan2(east, north)) % 180.0
    return size, angle


def _outlines(rows: Rows, centre: FloatArray) -> FloatArray:
    """Corners (P, 2) of the ellipses of rows, arcsec east and north."""
    turn = np.linspace(0.0, 2.0 * np.pi, OUTLINE_POINTS, endpoint=False)
    along = 0.5 * rows.major[:, None] * np.cos(turn)
    across = 0.5 * rows.minor[:, None] * np.sin(turn)
    sin, cos = np.sin(np.radians(rows.pa))[:, None], np.cos(np.radians(rows.pa))[:, None]
    east, north = along * sin + across * cos, along * cos - across * sin
    return np.stack([(centre[:, :1] + east).ravel(), (centre[:, 1:] + north).ravel()], axis=1)


def links_of(rows: Rows, object_id: IntArray, *, counted: NDArray[np.bool_]) -> IntArray:
    """Pairs (L, 2) of rows that hold the objects of several rows together: their minimum spanning trees."""
    measured = np.flatnonzero(counted)
    links = []
    for members in _objects_of_several(object_id[measured]):
        own = measured[members]
        part = rows.select(own)
        offset = offsets_from(part, part.select(np.zeros(len(own), dtype=np.int64)))
        if len(own) > MOST_LINKED:
            brightest = int(part.peak_flux.argmax())
            links.append(np.stack([np.full(len(own) - 1, own[brightest]), np.delete(own, brightest)], axis=1))
            continue
        # zero distances would count as no edge
        tree = minimum_spanning_tree(squareform(pdist(offset)) + 1e-9).tocoo()
        links.append(np.sort(np.stack([own[tree.row], own[tree.col]], axis=1), axis=1))
    return np.concatenate(links).astype(np.int64) if links else np.empty((0, 2), dtype=np.int64)


def _objects_of_several(number: IntArray) -> Iterator[IntArray]:
    """Rows of each object that has at least two, ascending."""
    order = np.argsort(number, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        if len(members) > 1:
            yield members
