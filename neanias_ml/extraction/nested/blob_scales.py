"""Blobs of every size inside an island: maxima of the Laplacian of Gaussian in position and scale.

The image is the island's significance, so that its noise is one everywhere and correlated over the beam. At scale
s it is smoothed by a round Gaussian of sigma s; ``-s^2`` times the Laplacian is strongest where s is the sigma of
the blob (Lindeberg 1998, IJCV 30). A ridge (the limb of a shell, a filament) is curved one way only: a blob must
also be curved significantly the other way, which the smaller curvature of the Hessian says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.nested.blob_continuation import continue_image
from neanias_ml.extraction.nested.blob_kernels import (
    PAD,
    SMOOTH_WEIGHT,
    box_in_tile,
    find_maxima,
    gaussian_kernel,
    kernel_radius,
    measure_maxima,
    paint,
    scale_space,
)

FloatArray = NDArray[np.float64]
Image = NDArray[np.float32]

SCALE_RATIO = math.sqrt(2.0)
"""Successive scales, about; a factor of 2 in area keeps a blob's response within 3 % of its best."""
TILE = 768
"""Side of the pieces in which a large island is filtered: memory stays a dozen such images."""
SMOOTH_RATIO = 3.0
"""The smooth emission around a blob of the finest scale is seen at about this many times that scale."""


@dataclass(frozen=True)
class ScaleSpace:
    """Scales at which blobs are sought and the noise of the filtered significance at each.

    Attributes
    ----------
    sigma
        (K,) sigma of the smoothing in pixels, ascending; the last is a guard: its maxima are not blobs of the
        range but the sign of something larger.
    laplacian_noise, curvature_noise
        (K,) standard deviation of the Laplacian and of the curvature along one direction.
    smooth
        Index of the scale that stands for the smooth emission around a blob of the finest one.
    excess_noise
        (2,) as the noises above for the finest scale less ``SMOOTH_WEIGHT`` times the smooth one.
    beam_sigma
        Sigma of the beam, geometric mean of its axes, pixels.
    point_contrast
        Height, in units of the noise, of a point source whose excess of the Laplacian equals its noise.
    """

    sigma: FloatArray
    laplacian_noise: FloatArray
    curvature_noise: FloatArray
    smooth: int
    excess_noise: FloatArray
    beam_sigma: float
    point_contrast: float

    @classmethod
    def for_beam(cls, beam_covariance: FloatArray, *, smallest: float, largest: float) -> ScaleSpace:
        """Scales from ``smallest`` to ``largest`` times the beam's sigma (geometric mean of its axes)."""
        beam_sigma = float(np.linalg.det(beam_covariance)) ** 0.25
        steps = round(math.log(largest / smallest) / math.log(SCALE_RATIO))
        ratio = (largest / smallest) ** (1.0 / steps) if steps else SCALE_RATIO
        sigma = beam_sigma * smallest * ratio ** np.arange(steps + 2)
        noise = np.sqrt([filtered_covariance(beam_covariance, scale, scale) for scale in sigma])
        smooth = int(np.argmin(np.abs(np.log(sigma / (SMOOTH_RATIO * sigma[0])))))
        fine, both, coarse = (
            filtered_covariance(beam_covariance, sigma[i], sigma[j]) for i, j in ((0, 0), (0, smooth), (smooth, smooth))
        )
        excess = np.sqrt(fine - 2.0 * SMOOTH_WEIGHT * both + SMOOTH_WEIGHT**2 * coarse)
        of_point = [_point_response(beam_covariance, scale) for scale in sigma[[0, smooth]]]
        point_contrast = float(excess[0]) / (of_point[0] - SMOOTH_WEIGHT * of_point[1])
        return cls(sigma, noise[:, 0], noise[:, 1], smooth, excess, beam_sigma, point_contrast)

    @property
    def reach(self) -> int:
        """Pixels around a place on which its response and its neighbours' depend."""
        return kernel_radius(float(self.sigma[-1])) + PAD

    @cached_property
    def kernels(self) -> tuple[Image, NDArray[np.int64]]:
        """(K, R) halves of the Gaussian kernels, their middle first, padded with zeros, and (K,) their radii."""
        radii = np.array([kernel_radius(float(sigma)) for sigma in self.sigma], dtype=np.int64)
        weights = np.zeros((len(radii), int(radii.max()) + 1), dtype=np.float32)
        for row, sigma in zip(weights, self.sigma, strict=True):
            half = gaussian_kernel(float(sigma))
            row[: len(half)] = half
        return weights, radii

    def excess_of_gaussian(self, scale: FloatArray, height: FloatArray) -> FloatArray:
        """Excess over its noise that a round Gaussian of a sigma and a height itself has at the finest scale."""
        fine, smooth = (2.0 * scale**2 / (scale**2 + sigma**2) ** 2 for sigma in self.sigma[[0, self.smooth]])
        return height * (fine - SMOOTH_WEIGHT * smooth) / self.excess_noise[0]


@dataclass(frozen=True)
class Blobs:
    """B maxima of the Laplacian response in position, strongest first.

    Attributes
    ----------
    y, x
        (B,) int32 pixel at which the response is strongest.
    summit
        (B, 2) int32 row and column of the highest pixel of the island within one scale of it.
    scale
        (B,) sigma of the blob as seen through the beam, pixels.
    height
        (B,) height of a round Gaussian of this scale with the same response, in units of the noise.
    snr, curvature_snr
        (B,) response over its noise of the Laplacian and in the least curved direction.
    excess_snr, excess_curvature_snr
        (B,) the same less what the smooth emission around has; zero beyond the finest scale.
    roundness
        (B,) weaker curvature over the stronger: 1 for a round blob, 0 for a straight ridge, negative on a saddle.
    of_own_scale
        (B,) whether the response is at a maximum in scale, too.
    """

    y: NDArray[np.int32]
    x: NDArray[np.int32]
    summit: NDArray[np.int32]
    scale: FloatArray
    height: FloatArray
    snr: FloatArray
    curvature_snr: FloatArray
    excess_snr: FloatArray
    excess_curvature_snr: FloatArray
    roundness: FloatArray
    of_own_scale: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.y)

    def select(self, rows: NDArray[np.bool_]) -> Blobs:
        """Some of the blobs."""
        return Blobs(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def filtered_covariance(beam_covariance: FloatArray, one: float, other: float) -> FloatArray:
    """(2,) covariance of unit noise, correlated over a beam, filtered at two scales.

    First that of the Laplacians, then that of the curvatures along a row or a column (the larger). Noise that was
    white before the beam B has the autocorrelation ``exp(-d B^-1 d / 4)``; smoothing turns it into a Gaussian of
    covariance ``2 B + (one^2 + other^2) I``. The covariance of finite differences is the sum of this function over
    all pairs of their taps, so that the step of one pixel is accounted for.
    """
    covariance = 2.0 * beam_covariance + (one**2 + other**2) * np.eye(2)
    height = math.sqrt(np.linalg.det(2.0 * beam_covariance) / np.linalg.det(covariance))
    taps = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], dtype=np.float64)
    apart = taps[:, None] - taps[None]
    correlation = height * np.exp(-0.5 * np.einsum("abi,ij,abj->ab", apart, np.linalg.inv(covariance), apart))
    laplacian = np.array([-4.0, 1.0, 1.0, 1.0, 1.0])
    curvatures = (np.array([-2.0, 1.0, 1.0, 0.0, 0.0]), np.array([-2.0, 0.0, 0.0, 1.0, 1.0]))
    largest = max(float(weights @ correlation @ weights) for weights in curvatures)
    return np.array([float(laplacian @ correlation @ laplacian), largest])


def _point_response(beam_covariance: FloatArray, scale: float) -> float:
    """Negative Laplacian of a point source of unit height at its place, smoothed at a scale."""
    seen = beam_covariance + scale**2 * np.eye(2)
    return math.sqrt(np.linalg.det(beam_covariance) / np.linalg.det(seen)) * float(np.trace(np.linalg.inv(seen)))


def find_blobs(pixels: IslandPixels, significance: Image, *, scales: ScaleSpace, threshold: float) -> Blobs:
    """Blobs of one island.

    Beyond the known pixels the image goes on with the lowest values near by: at an edge where the island fades these
    are the merge threshold, at a hole of blank pixels or a cut edge they are the island's own, so that neither is a
    step. Pixels of a margin take part with their own values. Large islands are filtered piece by piece on a grid
    anchored to the map, with the same result as in one piece.

    Parameters
    ----------
    pixels
        One island, row by row.
    significance
        (P,) float32 flux over noise.
    threshold
        Least response of the Laplacian over its noise.
    """
    tables = [_blobs_of_tile(pixels, significance, tile, scales, threshold) for tile in _occupied_tiles(pixels)]
    table = np.concatenate(tables)
    table = table[np.lexsort((table[:, 1], table[:, 0], -table[:, 5]))]
    places = table[:, :4].astype(np.int32)
    return Blobs(
        y=places[:, 0],
        x=places[:, 1],
        summit=places[:, 2:],
        scale=table[:, 4],
        snr=table[:, 5],
        curvature_snr=table[:, 6],
        excess_snr=table[:, 7],
        excess_curvature_snr=table[:, 8],
        roundness=table[:, 9],
        of_own_scale=table[:, 10] > 0,
        height=table[:, 11],
    )


def _occupied_tiles(pixels: IslandPixels) -> list[tuple[int, int]]:
    """First rows and columns of the tiles that hold pixels of the island."""
    top, bottom = int(pixels.y[0]) // TILE, int(pixels.y[-1]) // TILE
    left, right = int(pixels.x.min()) // TILE, int(pixels.x.max()) // TILE
    if (top, left) == (bottom, right):
        return [(top * TILE, left * TILE)]
    rows, cols = pixels.y[pixels.inside] // TILE, pixels.x[pixels.inside] // TILE
    first_row, first_col = int(rows.min()), int(cols.min())
    occupied = np.zeros((int(rows.max()) - first_row + 1, int(cols.max()) - first_col + 1), dtype=bool)
    occupied[rows - first_row, cols - first_col] = True
    return [((int(row) + first_row) * TILE, (int(col) + first_col) * TILE) for row, col in np.argwhere(occupied)]


def _blobs_of_tile(
    pixels: IslandPixels,
    significance: Image,
    tile: tuple[int, int],
    scales: ScaleSpace,
    threshold: float,
) -> FloatArray:
    """(B, 12) blobs whose place is in a tile, with the columns of `measure_maxima`."""
    halo = scales.reach
    begin, end = np.searchsorted(pixels.y, [tile[0] - halo, tile[0] + TILE + halo])
    y, x, inside = pixels.y[begin:end], pixels.x[begin:end], pixels.inside[begin:end]
    top, bottom, left, right = box_in_tile(y, x, inside, tile, TILE)
    shape = (bottom - top + 2 * halo, right - left + 2 * halo)
    image, of_island = np.full(shape, np.inf, dtype=np.float32), np.zeros(shape, dtype=bool)
    paint((y, x, significance[begin:end], inside), (top - halo, left - halo), image, of_island)
    continue_image(image, max(2, round(1.5 * scales.beam_sigma)), halo)
    images = scale_space(image, scales.kernels, halo, scales.sigma**2)
    maxima = find_maxima(images[1], of_island, halo, scales.sigma**2 * scales.laplacian_noise * threshold)
    noise = np.stack([scales.laplacian_noise, scales.curvature_noise])
    noises = (scales.smooth, scales.sigma, noise, scales.excess_noise)
    measured = measure_maxima(image, of_island, images, maxima, halo, noises)
    measured[:, [0, 2]] += top - halo
    measured[:, [1, 3]] += left - halo
    return measured
