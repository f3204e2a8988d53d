"""Position cross-match of two catalogues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class CrossMatch:
    """One-to-one pairs of rows, sorted by the first catalogue's row.

    Attributes
    ----------
    first, second
        (K,) row numbers in the two catalogues.
    separation
        (K,) distance in the unit of the radius.
    """

    first: IntArray
    second: IntArray
    separation: FloatArray

    def __len__(self) -> int:
        return len(self.first)


def match_pixels(x1: ArrayLike, y1: ArrayLike, x2: ArrayLike, y2: ArrayLike, *, radius: float) -> CrossMatch:
    """Pair plane positions within ``radius`` one-to-one, nearest pairs first; NaN positions match nothing."""
    _check_radius(radius)
    return _match(np.stack([_column(x1), _column(y1)], axis=1), np.stack([_column(x2), _column(y2)], axis=1), radius)


def match_sky(
    ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike, *, radius_arcsec: float
) -> CrossMatch:
    """Pair sky positions (degrees) within a radius one-to-one, nearest pairs first; separations in arcsec.

    Works on unit vectors, so it is exact at the poles and across right ascension 0.
    """
    _check_radius(radius_arcsec)
    chord = 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0)
    pairs = _match(_unit_vectors(ra1, dec1), _unit_vectors(ra2, dec2), float(chord))
    angle = np.degrees(2.0 * np.arcsin(np.minimum(pairs.separation / 2.0, 1.0))) * 3600.0
    return CrossMatch(pairs.first, pairs.second, angle)


def flux_ratios(match: CrossMatch, first_flux: ArrayLike, second_flux: ArrayLike) -> FloatArray:
    """Second flux over first flux of each pair, shape (K,); NaN where the first flux is not positive."""
    below, above = _column(first_flux)[match.first], _column(second_flux)[match.second]
    ratios = np.full(len(match), np.nan)
    np.divide(above, below, out=ratios, where=below > 0)
    return ratios


def _check_radius(radius: float) -> None:
    if not radius > 0:
        raise ValueError(f"the match radius must be positive, not {radius}")


def _column(values: ArrayLike) -> FloatArray:
    return np.atleast_1d(np.asarray(values, dtype=np.float64))


def _unit_vectors(ra: ArrayLike, dec: ArrayLike) -> FloatArray:
    alpha, delta = np.radians(_column(ra)), np.radians(_column(dec))
    return np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)], axis=1)


def _match(first: FloatArray, second: FloatArray, radius: float) -> CrossMatch:
    rows1 = np.flatnonzero(np.isfinite(first).all(axis=1))
    rows2 = np.flatnonzero(np.isfinite(second).all(axis=1))
    if len(rows1) == 0 or len(rows2) == 0:
        return CrossMatch(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    near = cKDTree(first[rows1]).sparse_distance_matrix(cKDTree(second[rows2]), radius, output_type="ndarray")
    near = near[np.lexsort((near["j"], near["i"], near["v"]))]
    free1, free2 = np.ones(len(rows1), dtype=bool), np.ones(len(rows2), dtype=bool)
    chosen = []
    for position, (i, j) in enumerate(zip(near["i"].tolist(), near["j"].tolist(), strict=True)):
        if free1[i] and free2[j]:
            free1[i] = free2[j] = False
            chosen.append(position)
    pairs = near[chosen]
    pairs = pairs[np.argsort(pairs["i"])]
    return CrossMatch(rows1[pairs["i"]], rows2[pairs["j"]], pairs["v"].astype(np.float64))
