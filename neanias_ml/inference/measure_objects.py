"""Measurements of objects on the union of their islands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from neanias_ml.extraction import Extraction
from neanias_ml.extraction.islands.measure import sky_positions
from neanias_ml.inference.association import IslandGroup
from neanias_ml.inference.objects import ObjectTable
from neanias_ml.maps import RadioMap
from neanias_ml.models.classes import CLASS_NAMES

FloatArray = NDArray[np.float64]
AnyArray = NDArray[Any]
ARCSEC = 3600.0


def measure_objects(
    extraction: Extraction,
    groups: list[IslandGroup],
    *,
    class_names: list[str],
    probabilities: FloatArray,
    association_probability: FloatArray,
) -> ObjectTable:
    """Table of objects, sorted by id (the smallest island id of each).

    Parameters
    ----------
    extraction
        The classical stage's result.
    groups
        Islands of each object, sorted by smallest island id.
    class_names, probabilities
        Decided class of each object and its (N, 5) class probabilities in the order of ``CLASS_NAMES``.
    association_probability
        (N,) probability of the joining detection, NaN for single islands.
    """
    islands = extraction.islands.table
    members = [np.array(group.island_ids) - 1 for group in groups]
    total = _each(islands.total_flux, members, np.sum)
    weight = np.maximum(islands.total_flux, islands.total_flux_err)
    x = _weighted_mean(islands.x, weight, members)
    y = _weighted_mean(islands.y, weight, members)
    ra, dec, _ = sky_positions(extraction.radio_map, x, y)
    extent = np.array([_largest_extent(extraction, rows) for rows in members]).reshape(-1, 2)
    columns = {f"p_{name.removeprefix('extended-')}": probabilities[:, i] for i, name in enumerate(CLASS_NAMES)}
    return ObjectTable(
        object_id=np.array([group.island_ids[0] for group in groups], dtype=np.int64),
        class_name=np.array(class_names, dtype=np.str_),
        **columns,
        morphology=np.full(len(groups), "", dtype="U16"),
        morphology_probability=np.full(len(groups), np.nan),
        n_islands=np.array([len(rows) for rows in members], dtype=np.int64),
        island_ids=np.array([",".join(map(str, group.island_ids)) for group in groups], dtype=np.str_),
        ra=ra,
        dec=dec,
        x=x,
        y=y,
        x0=_each(islands.x0, members, np.min),
        y0=_each(islands.y0, members, np.min),
        x1=_each(islands.x1, members, np.max),
        y1=_each(islands.y1, members, np.max),
        peak_flux=_each(islands.peak_flux, members, np.max),
        total_flux=total,
        total_flux_err=np.sqrt(_each(islands.total_flux_err**2, members, np.sum)),
        largest_angular_size=extent[:, 0],
        position_angle=extent[:, 1],
        snr=_each(islands.snr, members, np.max),
        association_probability=association_probability,
        flags=_each(islands.flags, members, np.bitwise_or.reduce),
    )


def _each(values: AnyArray, members: list[NDArray[np.int64]], reduce: Callable[[AnyArray], Any]) -> AnyArray:
    return np.array([reduce(values[rows]) for rows in members], dtype=values.dtype)


def _weighted_mean(values: FloatArray, weight: FloatArray, members: list[NDArray[np.int64]]) -> FloatArray:
    return np.array([np.average(values[rows], weights=weight[rows]) for rows in members], dtype=np.float64)


def _largest_extent(extraction: Extraction, rows: NDArray[np.int64]) -> tuple[float, float]:
    """Largest distance between two pixels of the islands (arcsec) and its position angle (degrees)."""
    corners = []
    for row in rows:
        islands = extraction.islands.table
        box = (slice(islands.y0[row], islands.y1[row]), slice(islands.x0[row], islands.x1[row]))
        y, x = np.nonzero(extraction.islands.labels[box] == islands.island_id[row])
        corners.append(hull_vertices(np.stack([x + islands.x0[row], y + islands.y0[row]], axis=1)))
    points = hull_vertices(np.concatenate(corners)).astype(np.float64)
    return extent_on_sky(extraction.radio_map, points)


def hull_vertices(points: AnyArray) -> AnyArray:
    """Vertices (K, 2) of the convex hull; the points themselves where they span no area."""
    if len(points) < 4:
        return points
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # all on one line
        return points


def extent_on_sky(radio_map: RadioMap, points: FloatArray) -> tuple[float, float]:
    """Largest separation (arcsec) among pixel positions (K, 2) x, y and its direction (degrees E of N, [0, 180))."""
    jacobian = radio_map.tangent_jacobian(*points.mean(axis=0))
    offsets = points @ jacobian.T * ARCSEC
    if len(offsets) < 2:
        return float(radio_map.pixel_scale * ARCSEC), 0.0
    distances = squareform(pdist(offsets))
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    east, north = offsets[second] - offsets[first]
    return float(distances[first, second]), float(np.degrees(np.arctan2(east, north)) % 180.0)
