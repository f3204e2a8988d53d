"""Position cross-match of two catalogues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class CrossMatch:
    """Pairs of rows, sorted by the first catalogue's row.

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

    def select(self, pairs: Any) -> CrossMatch:
        """Some of the pairs, by boolean mask, slice or index array."""
        return CrossMatch(self.first[pairs], self.second[pairs], self.separation[pairs])


def match_pixels(x1: ArrayLike, y1: ArrayLike, x2: ArrayLike, y2: ArrayLike, *, radius: float) -> CrossMatch:
    """Pair plane positions within ``radius`` one-to-one, nearest pairs first; NaN positions match nothing."""
    return one_to_one(pixel_pairs(x1, y1, x2, y2, radius=radius))


def match_sky(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike, *, radius_arcsec: float) -> CrossMatch:
    """Pair sky positions (degrees) within a radius one-to-one, nearest pairs first; separations in arcsec.

    Works on unit vectors, so it is exact at the poles and across right ascension 0.
    """
    return one_to_one(sky_pairs(ra1, dec1, ra2, dec2, radius_arcsec=radius_arcsec))


def pixel_pairs(x1: ArrayLike, y1: ArrayLike, x2: ArrayLike, y2: ArrayLike, *, radius: float) -> CrossMatch:
    """Every pair of plane positions within ``radius``; a row may be in several."""
    _check_radius(radius)
    return _near(np.stack([_column(x1), _column(y1)], axis=1), np.stack([_column(x2), _column(y2)], axis=1), radius)


def sky_pairs(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike, *, radius_arcsec: float) -> CrossMatch:
    """Every pair of sky positions (degrees) within a radius, separations in arcsec; a row may be in several."""
    _check_radius(radius_arcsec)
    chord = 2.0 * np.sin(np.radians(min(radius_arcsec / 3600.0, 180.0)) / 2.0)
    pairs = _near(_unit_vectors(ra1, dec1), _unit_vectors(ra2, dec2), float(chord))
    angle = np.degrees(2.0 * np.arcsin(np.minimum(pairs.separation / 2.0, 1.0))) * 3600.0
    return CrossMatch(pairs.first, pairs.second, angle)


def one_to_one(pairs: CrossMatch) -> CrossMatch:
    """The pairs that stay when every row is used once: nearest first, equally near ones by row number."""
    taken1: set[int] = set()
    taken2: set[int] = set()
    chosen = []
    order = np.lexsort((pairs.second, pairs.first, pairs.separation))
    rows = zip(order.tolist(), pairs.first[order].tolist(), pairs.second[order].tolist(), strict=True)
    for position, first, second in rows:
        if first not in taken1 and second not in taken2:
            taken1.add(first)
            taken2.add(second)
            chosen.append(position)
    kept = np.array(chosen, dtype=np.int64)
    return pairs.select(kept[np.argsort(pairs.first[kept], kind="stable")])


def sky_offsets(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Offsets (K,) east and north from the first to the second position of each pair, arcsec.

    Their length is the great-circle distance and their direction that of the great circle at the first position
    (degrees), so they hold at the poles and across right ascension 0.
    """
    alpha, delta = np.radians(_column(ra1)), np.radians(_column(dec1))
    second, zeros = _unit_vectors(ra2, dec2), np.zeros_like(alpha)
    to_east = np.stack([-np.sin(alpha), np.cos(alpha), zeros], axis=1)
    to_north = np.stack([-np.sin(delta) * np.cos(alpha), -np.sin(delta) * np.sin(alpha), np.cos(delta)], axis=1)
    east, north = (second * to_east).sum(axis=1), (second * to_north).sum(axis=1)
    sine, cosine = np.hypot(east, north), (second * _unit_vectors(ra1, dec1)).sum(axis=1)
    scale = np.divide(np.arctan2(sine, cosine), sine, out=np.ones_like(sine), where=sine > 0)
    arcsec = np.degrees(scale) * 3600.0
    return east * arcsec, north * arcsec


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


def _near(first: FloatArray, second: FloatArray, radius: float) -> CrossMatch:
    rows1 = np.flatnonzero(np.isfinite(first).all(axis=1))
    rows2 = np.flatnonzero(np.isfinite(second).all(axis=1))
    if len(rows1) == 0 or len(rows2) == 0:
        return CrossMatch(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    near = cKDTree(first[rows1]).sparse_distance_matrix(cKDTree(second[rows2]), radius, output_type="ndarray")
    near = near[np.lexsort((near["j"], near["i"]))]
    return CrossMatch(rows1[near["i"]], rows2[near["j"]], near["v"].astype(np.float64))
