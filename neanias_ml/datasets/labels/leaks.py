"""The same sky in two splits: by group, by position, by identical pixels, by content that is nearly the same."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neanias_ml.datasets.labels.images import ImageFile
from neanias_ml.datasets.labels.labelled import SkyPlace

FloatArray = NDArray[np.float32]
THUMBNAIL = 48
"""Side of the reduced images that are compared."""
FEWEST_BRIGHT = 12
"""Reduced images with fewer pixels above their noise say too little to be called alike."""
SOFTENING = 2.0
"""Intensities are compared on an asinh scale, linear up to so many times the noise."""
_CHUNK = 1024


@dataclass(frozen=True)
class Sight:
    """What is known of one image for comparison with others.

    Attributes
    ----------
    split
        Name of its split.
    path
        The file.
    sky_group, place
        Where it is on the sky, as far as that is known.
    digest
        Of its pixels; "" where they cannot be read.
    thumbnail
        (`THUMBNAIL`, `THUMBNAIL`) float32 of mean 0 and norm 1, or None where there is nothing to compare.
    """

    split: str
    path: Path
    sky_group: str = ""
    place: SkyPlace | None = None
    digest: str = ""
    thumbnail: FloatArray | None = None


@dataclass(frozen=True)
class SharedSky:
    """Two images that show the same sky.

    Attributes
    ----------
    reason
        ``SamePixels``, ``SameGroup``, ``SamePlace``, ``TouchingPlaces`` or ``NearDuplicate``.
    first, second
        The images.
    text
        How it is known.
    """

    reason: str
    first: Sight
    second: Sight
    text: str


def sight_of(image: ImageFile | None, *, split: str, path: Path, sky_group: str, place: SkyPlace | None) -> Sight:
    """Look at an image; None where its file is missing."""
    if image is None:
        return Sight(split, path, sky_group, place)
    pixels = image.pixels()
    digest = hashlib.sha256(str(pixels.shape).encode() + np.nan_to_num(pixels, nan=-0.0).tobytes()).hexdigest()
    return Sight(split, path, sky_group, place, digest, thumbnail_of(pixels))


def thumbnail_of(pixels: FloatArray) -> FloatArray | None:
    """The image reduced by block means of asinh(S/N), of mean 0 and norm 1; None where little stands out."""
    finite = np.isfinite(pixels)
    if not finite.any():
        return None
    middle = float(np.median(pixels[finite]))
    noise = 1.4826 * float(np.median(np.abs(pixels[finite] - middle)))
    if noise == 0.0:  # most of the image was set to one value: the faintest of the others stands for the noise
        others = np.abs(pixels[finite] - middle)
        others = others[others > 0]
        if others.size == 0:
            return None
        noise = float(np.quantile(others, 0.05))
    stretched = np.arcsinh(np.where(finite, pixels - middle, 0.0) / (SOFTENING * noise))
    reduced = _block_means(stretched)
    rest = reduced - reduced.mean()
    spread = 1.4826 * float(np.median(np.abs(reduced - np.median(reduced))))
    if np.count_nonzero(np.abs(rest) > max(3.0 * spread, 1e-6)) < FEWEST_BRIGHT:
        return None
    return np.asarray(rest / np.linalg.norm(rest), dtype=np.float32)


def _block_means(image: NDArray[np.floating]) -> FloatArray:
    """(`THUMBNAIL`, `THUMBNAIL`) means of blocks; the nearest pixels of images that are smaller."""
    result = np.asarray(image, dtype=np.float64)
    for axis in (0, 1):
        length = result.shape[axis]
        if length < THUMBNAIL:
            result = np.take(result, np.arange(THUMBNAIL) * length // THUMBNAIL, axis=axis)
            continue
        edges = np.arange(THUMBNAIL + 1) * length // THUMBNAIL
        widths = np.diff(edges).reshape((-1, 1) if axis == 0 else (1, -1))
        result = np.add.reduceat(result, edges[:-1], axis=axis) / widths
    return result.astype(np.float32)


def shared_sky(sights: Sequence[Sight], *, correlation: float, within: bool = False) -> list[SharedSky]:
    """Pairs of images that show the same sky, the surest reason of each pair.

    Parameters
    ----------
    correlation
        Normalised cross-correlation of thumbnails, in the best of eight orientations, from which two images are taken
        for the same.
    within
        Compare images of one split by their pixels and content: that they are of the same sky is no fault there.
        Otherwise those of different splits.
    """
    found: dict[tuple[int, int], SharedSky] = {}
    for reason, pairs in (
        ("SamePixels", _equal({row: sight.digest for row, sight in enumerate(sights)})),
        ("SameGroup", () if within else _equal({row: sight.sky_group for row, sight in enumerate(sights)})),
        ("SamePlace", () if within else _near(sights, reach=1 / math.sqrt(2.0))),
        ("TouchingPlaces", () if within else _near(sights, reach=1.0)),
        ("NearDuplicate", _alike(sights, correlation)),
    ):
        for first, second, text in pairs:
            pair = (min(first, second), max(first, second))
            same_split = sights[first].split == sights[second].split
            if same_split == within and pair not in found:
                found[pair] = SharedSky(reason, sights[pair[0]], sights[pair[1]], text)
    return [found[pair] for pair in sorted(found)]


def _equal(values: Mapping[int, Hashable]) -> Iterator[tuple[int, int, str]]:
    """Pairs of rows with the same value that says something."""
    rows: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row, value in values.items():
        if value:
            rows[value].append(row)
    for value, members in rows.items():
        text = f"group {value}" if len(str(value)) < 64 else "identical pixels"
        yield from ((first, second, text) for first, second in combinations(members, 2))


def _near(sights: Sequence[Sight], *, reach: float) -> Iterator[tuple[int, int, str]]:
    """Pairs closer than a part ``reach`` of the sum of their radii.

    Squares whose circles just touch share nothing unless their corners meet; inside 1/sqrt(2), the circles inscribed in
    them overlap, and so do they in any orientation.
    """
    placed = [(row, sight.place) for row, sight in enumerate(sights) if sight.place is not None]
    if len(placed) < 2:
        return
    ra, dec, radius = np.array([(place.ra, place.dec, place.radius) for _, place in placed]).T
    a, d = np.radians(ra), np.radians(dec)
    vectors = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)
    farthest = 2.0 * math.sin(min(math.radians(2.0 * reach * float(radius.max())), math.pi) / 2.0)
    pairs = cKDTree(vectors).query_pairs(farthest, output_type="ndarray")
    for first, second in pairs.tolist():
        chord = float(np.linalg.norm(vectors[first] - vectors[second]))
        apart = math.degrees(2.0 * math.asin(min(chord / 2.0, 1.0)))
        if apart < reach * (radius[first] + radius[second]):
            yield placed[first][0], placed[second][0], f"centres {apart * 60:.2f} arcmin apart"


def _alike(sights: Sequence[Sight], correlation: float) -> Iterator[tuple[int, int, str]]:
    """Pairs whose thumbnails correlate, one of them turned and mirrored in all eight ways."""
    rows = [row for row, sight in enumerate(sights) if sight.thumbnail is not None]
    if len(rows) < 2:
        return
    images = np.stack([sight.thumbnail for sight in sights if sight.thumbnail is not None])
    flat = images.reshape(len(rows), -1)
    for start in range(0, len(rows), _CHUNK):
        best = np.full((len(rows), min(_CHUNK, len(rows) - start)), -1.0, dtype=np.float32)
        for turned in orientations(images[start : start + _CHUNK]):
            np.maximum(best, flat @ turned.reshape(len(turned), -1).T, out=best)
        for first, second in np.argwhere(best >= correlation).tolist():
            if first < second + start:
                text = f"correlation {best[first, second]:.3f}"
                yield rows[first], rows[second + start], text


def orientations(images: FloatArray) -> Iterator[FloatArray]:
    """Images (N, s, s) in all eight orientations."""
    for mirrored in (images, images[:, :, ::-1]):
        for turns in range(4):
            yield np.ascontiguousarray(np.rot90(mirrored, turns, axes=(1, 2)))
