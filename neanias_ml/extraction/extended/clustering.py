"""Agglomeration of superpixels: neighbours of like level and spread without an edge between them become one region."""

from __future__ import annotations

import heapq
import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.extraction.extended.blocks import Block
from neanias_ml.extraction.extended.coarse import CoarseBlock
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.evidence import log_odds, negative_spread
from neanias_ml.extraction.extended.starlet import starlet_transform
from neanias_ml.extraction.extended.superpixels import Superpixels

FloatMap = NDArray[np.float32]
Edges = dict[int, tuple[float, int]]
"""Neighbour -> sum of the edge strengths along the common border, and its length."""


def clustering_odds(block: Block, config: ExtendedConfig) -> FloatMap:
    """Log-odds of emission of the regions that superpixels merge to, float32 (ny, nx)."""
    starlet = starlet_transform(block.values, scales=config.min_scale)
    coarse = CoarseBlock.of_block(block, starlet, config=config)
    superpixels = Superpixels.of_block(
        coarse, side=min(config.superpixel_beams) * coarse.beam, compactness=config.superpixel_compactness
    )
    merged = merge_superpixels(superpixels, coarse, config=config)
    regions = Superpixels.of_labels(coarse, merged[superpixels.labels])
    level = np.where(regions.count > 0, regions.mean / coarse.error_of_mean(regions.count), 0.0)
    level /= max(1.0, _usual_excess(superpixels, coarse))
    return coarse.spread(log_odds(level)[regions.labels], block.values.shape)


def _usual_excess(superpixels: Superpixels, coarse: CoarseBlock) -> float:
    """Spread of the superpixels' negative levels in their own errors: superpixels follow the noise."""
    level = superpixels.mean / coarse.error_of_mean(superpixels.count)
    return negative_spread(level[superpixels.count > 0], default=1.0)


def merge_superpixels(superpixels: Superpixels, coarse: CoarseBlock, *, config: ExtendedConfig) -> NDArray[np.int64]:
    """(N,) region, numbered from 0, that each superpixel ends in.

    The two most alike neighbours merge first, and again until no two are closer than ``config.dissimilarity``.
    """
    merger = _Merger(superpixels, coarse, edge_weight=config.edge_weight)
    merger.run(config.dissimilarity)
    return merger.regions()


class _Merger:
    """Statistics of the regions while they merge, and a queue of the neighbours by dissimilarity."""

    def __init__(self, superpixels: Superpixels, coarse: CoarseBlock, *, edge_weight: float) -> None:
        self.count = superpixels.count.tolist()
        self.mean = superpixels.mean.tolist()
        self.square = (superpixels.std**2 + superpixels.mean**2).tolist()
        self.parent = list(range(len(self.count)))
        self.version = [0] * len(self.count)
        self.edge_weight = edge_weight
        self.variance = coarse.pixel_noise**2
        self.noise_area = coarse.noise_area
        self.neighbours = _border_edges(superpixels, coarse)

    def run(self, limit: float) -> None:
        """Merge until the most alike neighbours differ by ``limit``."""
        queue = [
            (self.dissimilarity(a, b), a, b, 0, 0) for a in range(len(self.parent)) for b in self.neighbours[a] if a < b
        ]
        heapq.heapify(queue)
        while queue and queue[0][0] < limit:
            _, a, b, version_a, version_b = heapq.heappop(queue)
            if self.version[a] != version_a or self.version[b] != version_b:
                continue
            self.merge(a, b)
            for other in self.neighbours[a]:
                pair = (a, other) if a < other else (other, a)
                versions = self.version[pair[0]], self.version[pair[1]]
                heapq.heappush(queue, (self.dissimilarity(*pair), *pair, *versions))

    def dissimilarity(self, a: int, b: int) -> float:
        """Difference of level and spread in standard errors, shared with the strength of the edge between."""
        independent_a = max(self.count[a] / self.noise_area, 1.0)
        independent_b = max(self.count[b] / self.noise_area, 1.0)
        error = self.variance * (1 / independent_a + 1 / independent_b)
        level = (self.mean[a] - self.mean[b]) ** 2 / error
        spread = 2 * (self.std(a) - self.std(b)) ** 2 / error
        strength, length = self.neighbours[a][b]
        return (1 - self.edge_weight) * math.sqrt(level + spread) + self.edge_weight * strength / length

    def std(self, region: int) -> float:
        """Spread of a region's bins."""
        return math.sqrt(max(self.square[region] - self.mean[region] ** 2, 0.0))

    def merge(self, a: int, b: int) -> None:
        """Let region ``a`` swallow ``b``."""
        total = self.count[a] + self.count[b]
        share = self.count[b] / total if total > 0 else 0.5
        self.mean[a] += share * (self.mean[b] - self.mean[a])
        self.square[a] += share * (self.square[b] - self.square[a])
        self.count[a] = total
        self.parent[b] = a
        self.version[a] += 1
        self.version[b] = -1
        for other, (strength, length) in self.neighbours[b].items():
            del self.neighbours[other][b]
            if other == a:
                continue
            so_far, so_long = self.neighbours[a].get(other, (0.0, 0))
            joint = (so_far + strength, so_long + length)
            self.neighbours[a][other] = joint
            self.neighbours[other][a] = joint
        self.neighbours[b] = {}

    def regions(self) -> NDArray[np.int64]:
        """Region of each superpixel, numbered from 0."""
        roots = np.array(self.parent)
        while not np.array_equal(roots, roots[roots]):
            roots = roots[roots]
        return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def _border_edges(superpixels: Superpixels, coarse: CoarseBlock) -> list[Edges]:
    """Edges of every superpixel; strength is the gradient of the smoothed map in units of its noise."""
    smooth = ndimage.gaussian_filter(coarse.values, coarse.beam)
    gradient = np.hypot(ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1)).ravel()
    usual = float(np.median(gradient[coarse.valid.ravel()])) or 1.0
    first, second, place = superpixels.borders()
    low, high = np.minimum(first, second), np.maximum(first, second)
    number = len(superpixels.count)
    pairs, inverse, length = np.unique(low * number + high, return_inverse=True, return_counts=True)
    strength = np.bincount(inverse, gradient[place] / usual)
    edges: list[Edges] = [{} for _ in range(number)]
    for pair, total, bins in zip(pairs.tolist(), strength.tolist(), length.tolist(), strict=True):
        a, b = divmod(pair, number)
        edges[a][b] = edges[b][a] = (total, bins)
    return edges
