"""How the flux of an object lies along and across its longest direction: what tells jets from lobes.

Fanaroff & Riley (1974, MNRAS 167, 31P) divide radio galaxies by where their brightest parts lie between the middle and
the ends; few real galaxies are labelled, and a network learns that sooner from such numbers than from pictures alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

SHAPE_NAMES = (
    "within_20", "within_40", "within_60", "within_80", "spots", "peak_place", "flux_bend", "bend", "lopsided",
    "valley", "core", "flux_axis_ratio", "off_middle", "mean_radius", "central",
)  # fmt: skip
"""Along the axis of largest flux-weighted spread, from the middle (0) to the ends (1) of the islands:
``within_20`` ... ``within_80``, share of the flux within that percentage; ``spots``, distance of the brightest pixels
of both halves over the length; ``peak_place``, place of the brightest pixel; ``lopsided``, how much more than half of
the flux one half has; ``valley``, least over largest flux of the profile, least near the middle; ``core``, flux of the
middle fifth over that of the brightest end bin; ``off_middle``, distance of the mean from the middle.
Across it: ``flux_bend`` and ``bend``, how much the ridge is curved, with and without weights of flux;
``flux_axis_ratio``, minor over major flux-weighted spread. From the centre of the circle around the object, its radius
as unit: ``mean_radius`` of the flux, and ``central``, share of the flux within 0.25.
"""
BINS = 20
"""Of the profile along the axis."""
CENTRAL = 0.25


class _Axis(NamedTuple):
    """Pixels in the object's own axes."""

    along: FloatArray
    """(P,) -1 to 1, from end to end"""
    across: FloatArray
    """(P,) in half lengths"""
    half_length: float
    axis_ratio: float


def shape_numbers(own: Mask, significance: NDArray[np.floating], *, radius: float) -> FloatArray:
    """Numbers in the order of `SHAPE_NAMES`; of order one, the same (but for pixels) however the object is turned.

    Parameters
    ----------
    own
        (F, F) the object's islands, at least one pixel.
    significance
        (F, F) signal to noise; what is below 0 or NaN counts as 0.
    radius
        Of the circle around the object, about the middle of the frame, in pixels.
    """
    rows, cols = np.nonzero(own)
    points = np.stack([rows, cols], axis=1).astype(np.float64)
    flux = np.maximum(np.nan_to_num(np.asarray(significance[rows, cols], dtype=np.float64)), 0.0) + 1e-6
    share = flux / flux.sum()
    axis = _own_axes(points, share)
    place = np.abs(axis.along)
    profile = np.histogram(axis.along, bins=BINS, range=(-1, 1), weights=share)[0]
    end = max(float(profile[:6].max()), float(profile[-6:].max()), 1e-9)
    distance = np.hypot(*(points - (own.shape[0] - 1) / 2).T) / radius
    return np.array([
        *(float(share[place < limit].sum()) for limit in (0.2, 0.4, 0.6, 0.8)),
        _spots(points, flux, axis),
        float(place[flux.argmax()]),
        _curvature(axis, share),
        _curvature(axis, np.full(len(share), 1 / len(share))),
        abs(float(share[axis.along < 0].sum()) - 0.5),
        float(profile[7:13].min()) / max(float(profile.max()), 1e-9),
        float(profile[8:12].mean()) / end,
        axis.axis_ratio,
        abs(float((share * axis.along).sum())),
        float((share * distance).sum()),
        float(share[distance < CENTRAL].sum()),
    ])


def _own_axes(points: FloatArray, share: FloatArray) -> _Axis:
    """Pixels (P, 2) along and across the axis of largest flux-weighted spread."""
    offsets = points - share @ points
    moments = (offsets * share[:, None]).T @ offsets + np.eye(2) / 12
    variances, axes = np.linalg.eigh(moments)
    along, across = offsets @ axes[:, 1], offsets @ axes[:, 0]
    low, high = float(along.min()) - 0.5, float(along.max()) + 0.5
    half = (high - low) / 2
    return _Axis((along - (low + high) / 2) / half, across / half, half, math.sqrt(variances[0] / variances[1]))


def _spots(points: FloatArray, flux: FloatArray, axis: _Axis) -> float:
    """Distance of the brightest pixels of the two halves over the length; 0 where a half is empty."""
    one, other = np.flatnonzero(axis.along < 0), np.flatnonzero(axis.along >= 0)
    if not len(one) or not len(other):
        return 0.0
    first, second = points[one[flux[one].argmax()]], points[other[flux[other].argmax()]]
    return float(np.hypot(*(first - second))) / (2 * axis.half_length)


def _curvature(axis: _Axis, weights: FloatArray) -> float:
    """Size of the quadratic term of the ridge, across over along."""
    terms = np.stack([np.ones_like(axis.along), axis.along, axis.along**2], axis=1)
    normal = (terms * weights[:, None]).T @ terms + 1e-9 * np.eye(3)
    return abs(float(np.linalg.solve(normal, (terms * weights[:, None]).T @ axis.across)[2]))
