"""Shapes of islands, in pixels (`shape_table`) and on the sky (`sky_shapes`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.errors import UsageError
from neanias_ml.extraction.bands import in_order
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.shapes.geometry import (
    BOUNDARY_COLUMNS,
    BOX_COLUMNS,
    convex_hulls,
    measure_boundaries,
    measure_boxes,
)
from neanias_ml.extraction.shapes.moments import MOMENT_COLUMNS, measure_moments
from neanias_ml.maps import FWHM_PER_SIGMA, RadioMap, position_angle
from neanias_ml.maps.sky import tangent_offsets

FloatColumn = NDArray[np.float64]
IntColumn = NDArray[np.int64]
ARCSEC = 3600.0
HALF_PIXEL = 0.5
"""By so much an outline, which cuts the corners of its pixels, encloses less than they cover."""


@dataclass(frozen=True)
class ShapeTable(Columns):
    """One row per island, from its own pixels. Lengths in pixels, angles in degrees from +x towards +y in [0, 180).

    Columns are NaN where an island has no pixels, and statistics of equal fluxes have no skewness and kurtosis.
    """

    area: IntColumn
    """pixels"""
    filled_area: FloatColumn
    """pixels within the outer boundary, holes included"""
    hole_fraction: FloatColumn
    """part of ``filled_area`` that is holes: 0 for a filled island, towards 1 for a thin shell"""
    perimeter: FloatColumn
    """length of the outer boundary, corrected for its steps"""
    circularity: FloatColumn
    """4 pi filled_area / perimeter^2, at most 1: 1 for a circle"""
    bending_energy: FloatColumn
    """of the outer boundary, smoothed over a beam or more: 1 for a circle, more for all that is not"""
    major: FloatColumn
    """longer side of the smallest box (of any direction) around the pixels"""
    minor: FloatColumn
    angle: FloatColumn
    """of the box's longer side"""
    elongation: FloatColumn
    """1 - minor / major"""
    rectangularity: FloatColumn
    """filled_area over the area of the box"""
    roundness: FloatColumn
    """4 filled_area / (pi major^2)"""
    solidity: FloatColumn
    """area of the outline over that of its convex hull: 1 for a convex island"""
    diameter: FloatColumn
    """largest extent in any direction"""
    diameter_angle: FloatColumn
    eccentricity: FloatColumn
    """of the ellipse of equal second moments, every pixel counting the same"""
    tilt: FloatColumn
    """of that ellipse's major axis"""
    ridge_bend: FloatColumn
    """angle by which the flux's ridge turns from end to end, for a parabola along the principal axis"""
    flux_mean: FloatColumn
    """Jy/beam, as all statistics of the pixels' fluxes but the last two"""
    flux_std: FloatColumn
    flux_median: FloatColumn
    flux_mad: FloatColumn
    """median absolute deviation, as it is (not scaled to a standard deviation)"""
    flux_skewness: FloatColumn
    flux_kurtosis: FloatColumn
    """excess over a Gaussian's"""
    hu_1: FloatColumn
    """Hu's invariant moments of the shape, every pixel counting the same"""
    hu_2: FloatColumn
    hu_3: FloatColumn
    hu_4: FloatColumn
    hu_5: FloatColumn
    hu_6: FloatColumn
    hu_7: FloatColumn
    flux_hu_1: FloatColumn
    """Hu's invariant moments of the flux in units of its mean: those of the shape where the flux is uniform"""
    flux_hu_2: FloatColumn
    flux_hu_3: FloatColumn
    flux_hu_4: FloatColumn
    flux_hu_5: FloatColumn
    flux_hu_6: FloatColumn
    flux_hu_7: FloatColumn
    zernike_2_0: FloatColumn
    """magnitudes of the flux's Zernike moments, order and repetition"""
    zernike_2_2: FloatColumn
    zernike_3_1: FloatColumn
    zernike_3_3: FloatColumn
    zernike_4_0: FloatColumn
    zernike_4_2: FloatColumn
    zernike_4_4: FloatColumn
    zernike_5_1: FloatColumn
    zernike_5_3: FloatColumn
    zernike_5_5: FloatColumn
    zernike_6_0: FloatColumn
    zernike_6_2: FloatColumn
    zernike_6_4: FloatColumn
    zernike_6_6: FloatColumn


@dataclass(frozen=True)
class SkyShapeTable(Columns):
    """One row per island: its extent on the sky, as seen (the beam is not taken out)."""

    box_major: FloatColumn
    """longer side of the smallest box around the pixels, arcsec"""
    box_minor: FloatColumn
    box_pa: FloatColumn
    """of the box's longer side, degrees east of north in [0, 180)"""
    largest_size: FloatColumn
    """largest angular extent in any direction, arcsec"""
    largest_size_pa: FloatColumn
    """degrees east of north in [0, 180)"""
    sky_area: FloatColumn
    """of the convex hull, square arcsec"""


def shape_table(pixels: IslandPixels, *, beam_fwhm: float, workers: int = 1) -> ShapeTable:
    """Measure the shapes of N islands.

    Parameters
    ----------
    pixels
        8-connected islands; pixels of a margin are left out.
    beam_fwhm
        Geometric-mean full width at half maximum of the beam, pixels; boundaries are smoothed over it before their
        bending energy is taken.
    workers
        Threads; the result does not depend on them.

    Raises
    ------
    UsageError
        If ``beam_fwhm`` is not positive.
    """
    if not beam_fwhm > 0:
        raise UsageError("BeamFwhm", f"beam_fwhm must be a positive number of pixels, not {beam_fwhm}")
    inside = pixels.without_margin()
    measured = partial(_measured, smoothing=beam_fwhm / FWHM_PER_SIGMA)
    parts = list(in_order(measured, _parts(inside, workers), workers=workers))
    found = dict(zip(_MEASURED_COLUMNS, np.concatenate(parts).T, strict=True))
    area, filled, hull_area = inside.counts, found["filled_area"], found.pop("hull_area")
    return ShapeTable(
        area=area,
        hole_fraction=np.maximum(1.0 - area / filled, 0.0),
        circularity=np.minimum(4.0 * np.pi * filled / found["perimeter"] ** 2, 1.0),
        elongation=1.0 - found["minor"] / found["major"],
        rectangularity=filled / (found["major"] * found["minor"]),
        roundness=4.0 * filled / (np.pi * found["major"] ** 2),
        solidity=(filled - HALF_PIXEL) / hull_area,
        **found,
    )


def _parts(inside: IslandPixels, number: int) -> list[IslandPixels]:
    """Islands in some runs of about as many pixels each, without a copy."""
    shares = np.linspace(0, inside.offsets[-1], max(1, min(number, len(inside))) + 1)
    bounds = np.searchsorted(inside.offsets, shares)
    bounds[-1] = len(inside)  # islands without pixels at the end
    return [_run_of_islands(inside, int(first), int(last)) for first, last in pairwise(bounds)]


def _run_of_islands(inside: IslandPixels, first: int, last: int) -> IslandPixels:
    own = slice(int(inside.offsets[first]), int(inside.offsets[last]))
    return IslandPixels(
        inside.offsets[first : last + 1] - own.start,
        inside.y[own],
        inside.x[own],
        inside.flux[own],
        inside.noise[own],
        inside.inside[own],
    )


_MEASURED_COLUMNS = (*BOUNDARY_COLUMNS, *BOX_COLUMNS, *MOMENT_COLUMNS)


def _measured(inside: IslandPixels, *, smoothing: float) -> NDArray[np.float64]:
    """`_MEASURED_COLUMNS` of N islands, (N, 46), with boundaries smoothed by a sigma in pixels."""
    y, x, offsets = _contiguous(inside)
    boundaries = measure_boundaries(y, x, offsets, smoothing)
    boxes = measure_boxes(*convex_hulls(y, x, offsets))
    moments = measure_moments(y, x, np.ascontiguousarray(inside.flux, dtype=np.float32), offsets)
    return np.concatenate([boundaries, boxes, moments], axis=1)


def sky_shapes(pixels: IslandPixels, *, radio_map: RadioMap, workers: int = 1) -> SkyShapeTable:
    """Measure the extent of N islands on the sky.

    The corners of each island's convex hull are put on the plane that touches the sky in their middle, so that sizes
    and angles hold at any declination, for any projection and for islands of several degrees. Islands with a corner
    off the sky, and maps without WCS, take the geometry of the pixel in their middle (see `RadioMap.tangent_jacobian`).

    Parameters
    ----------
    pixels
        Islands; pixels of a margin are left out.
    radio_map
        Carries the geometry.
    workers
        Threads; the result does not depend on them.
    """
    parts = _parts(pixels.without_margin(), workers)
    hulls = list(in_order(lambda part: convex_hulls(*_contiguous(part)), parts, workers=workers))
    vertices = np.concatenate([corners for corners, _ in hulls])
    offsets = np.cumsum(np.concatenate([[0], *(np.diff(bounds) for _, bounds in hulls)]))
    plane = _on_tangent_planes(radio_map, vertices, offsets)
    boxes = dict(zip(BOX_COLUMNS, measure_boxes(plane, offsets).T, strict=True))
    return SkyShapeTable(
        box_major=boxes["major"] * ARCSEC,
        box_minor=boxes["minor"] * ARCSEC,
        box_pa=position_angle(boxes["angle"]),
        largest_size=boxes["diameter"] * ARCSEC,
        largest_size_pa=position_angle(boxes["diameter_angle"]),
        sky_area=boxes["hull_area"] * ARCSEC**2,
    )


def _on_tangent_planes(
    radio_map: RadioMap, vertices: NDArray[np.float64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Offsets (H, 2) east and north, degrees, of hull vertices from the mean of their own hull's."""
    counts = np.diff(offsets)
    island = np.repeat(np.arange(len(counts)), counts)
    sums = np.stack([np.bincount(island, axis, minlength=len(counts)) for axis in vertices.T], axis=1)
    middle = sums / np.maximum(counts, 1)[:, None]
    plane = np.full(vertices.shape, np.nan)
    if radio_map.sky is not None and len(vertices):
        ra, dec = radio_map.sky.to_sky(*np.concatenate([vertices, middle]).T)
        corner, centre = slice(0, len(vertices)), len(vertices) + island
        plane = np.stack(tangent_offsets(ra[centre], dec[centre], ra[corner], dec[corner]), axis=1)
    unknown = np.bincount(island, ~np.isfinite(plane).all(axis=1), minlength=len(counts)) > 0
    if unknown.any():
        jacobians = np.zeros((len(counts), 2, 2))
        jacobians[unknown] = radio_map.tangent_jacobian(*middle[unknown].T)
        there = unknown[island]
        plane[there] = np.einsum("hij,hj->hi", jacobians[island[there]], (vertices - middle[island])[there])
    return plane


def _contiguous(inside: IslandPixels) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Rows, columns and offsets in the one memory layout for which the kernels are compiled."""
    return (
        np.ascontiguousarray(inside.y, dtype=np.int32),
        np.ascontiguousarray(inside.x, dtype=np.int32),
        np.ascontiguousarray(inside.offsets, dtype=np.int64),
    )
