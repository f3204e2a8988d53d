"""Regions for the network from the islands of the classical extraction: themselves, enlarged, and united."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neanias_ml.models.config import tiles_in

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

REDUNDANT_GROWTH = 1.05
"""a union not larger than this times its largest member says nothing that the member does not"""

UNIONS_PER_TILE = 64
"""most unions per tile (`neanias_ml.models.config.TILE_SIDE`) of a window in which islands are sparse"""

UNIONS_PER_ISLAND = 2
"""where islands are crowded, as many unions for each of them: more neighbours must not mean fewer unions"""


@dataclass(frozen=True)
class ProposalSet:
    """Regions to hand to the network.

    Attributes
    ----------
    boxes
        (P, 4) float32 xyxy pixels, half-open. The first I rows are the islands' own padded boxes in input order.
    island_index
        (P,) int64: 0 .. I - 1 for the first I rows, -1 for enlarged boxes and unions.
    n_unions_left_out
        Unions of neighbours that were less plausible than those that the limit let in.
    """

    boxes: NDArray[np.float32]
    island_index: IntArray
    n_unions_left_out: int = 0

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def n_islands(self) -> int:
        """Number of islands I."""
        return int((self.island_index >= 0).sum())


def island_proposals(
    boxes: NDArray[Any],
    *,
    pixels_per_beam: float,
    scales: tuple[float, ...] = (1.0, 1.3),
    unions_per_tile: int = UNIONS_PER_TILE,
    fluxes: NDArray[Any] | None = None,
    shape: tuple[int, int] | None = None,
    padding_beams: float = 0.125,
    n_neighbours: int = 8,
    reach_beams: float = 60.0,
) -> ProposalSet:
    """Proposals of one window.

    Besides every island's own box there are its enlargements and the most plausible unions of two and three islands
    that are mutual neighbours. The set does not depend on the order of the islands.

    Parameters
    ----------
    boxes
        (I, 4) xyxy pixels, half-open, of the islands.
    pixels_per_beam
        Beam FWHM in pixels.
    scales
        Factors on the sides of the own boxes; 1 is the own box, which is always there.
    unions_per_tile
        Most unions per 256 x 256 pixels of ``shape`` (of one such tile without it), so that windows of any size get
        proposals of the same density, or `UNIONS_PER_ISLAND` for each island where that is more. The least plausible
        are left out and counted. 0 for no unions.
    fluxes
        (I,) total fluxes; without them the ranking goes by geometry alone.
    shape
        Rows and columns of the window, to clip to.
    padding_beams
        Margin on every side of the own boxes, in beams. Small: a compact source's IoU halves with half a beam.
    n_neighbours, reach_beams
        Islands are neighbours if each is among the other's nearest so many, within so many beams.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, or a setting is out of range.
    """
    islands = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) if np.size(boxes) == 0 else np.asarray(boxes, float)
    brightness = np.ones(len(islands)) if fluxes is None else np.asarray(fluxes, dtype=np.float64)
    _check(islands, brightness, pixels_per_beam, scales, unions_per_tile)
    own = _scaled(islands, 1.0, padding=padding_beams * pixels_per_beam, min_side=pixels_per_beam)
    canonical = np.lexsort((brightness, *own.T[::-1]))
    ordered = own[canonical]
    enlarged = [_scaled(ordered, scale, padding=0.0, min_side=pixels_per_beam) for scale in scales if scale != 1.0]
    reach = reach_beams * pixels_per_beam
    limit = most_unions(shape, len(islands), per_tile=unions_per_tile)
    unions = np.empty((0, 4))
    if limit:
        unions = _ranked_unions(ordered, brightness[canonical], n_neighbours=n_neighbours, reach=reach)
    combined = np.concatenate([own, *enlarged, unions[:limit]])
    if shape is not None:
        combined = _clipped(combined, shape)
    index = np.full(len(combined), -1, dtype=np.int64)
    index[: len(own)] = np.arange(len(own))
    return ProposalSet(combined.astype(np.float32), index, max(len(unions) - limit, 0))


def most_unions(shape: tuple[int, int] | None, n_islands: int, *, per_tile: int = UNIONS_PER_TILE) -> int:
    """Limit on the unions of a window: as many per area as in the windows of training, more where it is crowded."""
    if per_tile == 0:
        return 0
    tiles = 1.0 if shape is None else tiles_in(shape)
    return max(round(per_tile * tiles), UNIONS_PER_ISLAND * n_islands)


def _check(
    boxes: FloatArray, fluxes: FloatArray, pixels_per_beam: float, scales: tuple[float, ...], unions_per_tile: int
) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have the shape (I, 4), not {boxes.shape}")
    if fluxes.shape != (len(boxes),):
        raise ValueError(f"{len(boxes)} islands need as many fluxes, not {fluxes.shape}")
    if not (np.isfinite(boxes).all() and np.isfinite(fluxes).all()):
        raise ValueError("island boxes and fluxes must be finite")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError("an island box has its upper corner below its lower one; boxes are x0, y0, x1, y1")
    if not pixels_per_beam > 0 or unions_per_tile < 0 or not all(scale > 0 for scale in scales):
        raise ValueError("pixels_per_beam and scales must be positive and unions_per_tile not negative")


def _scaled(boxes: FloatArray, scale: float, *, padding: float, min_side: float) -> FloatArray:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum((boxes[:, 2:] - boxes[:, :2]) / 2 * scale + padding, min_side / 2)
    return np.concatenate([centre - half, centre + half], axis=1)


def _clipped(boxes: FloatArray, shape: tuple[int, int]) -> FloatArray:
    limits = np.array([shape[1], shape[0]] * 2, dtype=np.float64)
    return np.clip(boxes, 0.0, limits)


def _ranked_unions(boxes: FloatArray, fluxes: FloatArray, *, n_neighbours: int, reach: float) -> FloatArray:
    """(U, 4) bounding boxes of pairs and triples of neighbours, the most plausible first."""
    neighbours = _mutual_neighbours(boxes, n_neighbours, reach)
    pairs = _pairs(neighbours)
    triples = _triples(neighbours)
    if not len(pairs):
        return np.empty((0, 4))
    unions = np.concatenate([_union(boxes, pairs), _union(boxes, triples)])
    costs = np.concatenate([_pair_cost(boxes, fluxes, pairs), _triple_cost(boxes, fluxes, triples)])
    largest = np.concatenate([_area(boxes)[pairs].max(axis=1), _area(boxes)[triples].max(axis=1, initial=0.0)])
    useful = _area(unions) > REDUNDANT_GROWTH * largest
    unions, costs = unions[useful], np.round(costs[useful], 9)
    best_first = np.lexsort((*unions.T[::-1], costs))
    unions = unions[best_first]
    _, first = np.unique(unions, axis=0, return_index=True)
    return unions[np.sort(first)]


def _mutual_neighbours(boxes: FloatArray, n_neighbours: int, reach: float) -> IntArray:
    """(I, k) indices of mutual neighbours, -1 where fewer. Distances are between centres."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    k = min(n_neighbours, len(boxes) - 1)
    if k < 1:
        return np.empty((len(boxes), 0), dtype=np.int64)
    distance, index = cKDTree(centres).query(centres, k=k + 1)
    rows = np.arange(len(boxes))[:, None]
    near = (index != rows) & (distance <= reach)
    directed = np.unique(np.stack([np.broadcast_to(rows, index.shape)[near], index[near]], axis=1), axis=0)
    keys = directed @ np.array([len(boxes), 1])
    mutual = np.isin(keys, directed[:, ::-1] @ np.array([len(boxes), 1]))
    listed = np.full((len(boxes), k + 1), -1, dtype=np.int64)
    sources, targets = directed[mutual].T
    starts = np.searchsorted(sources, np.arange(len(boxes)))
    listed[sources, np.arange(len(sources)) - starts[sources]] = targets
    return listed


def _pairs(neighbours: IntArray) -> IntArray:
    """(M, 2) pairs i < j."""
    rows = np.broadcast_to(np.arange(len(neighbours))[:, None], neighbours.shape)
    kept = neighbours > rows
    return np.stack([rows[kept], neighbours[kept]], axis=1)


def _triples(neighbours: IntArray) -> IntArray:
    """(M, 3) triples (end, middle, end): both ends are neighbours of the middle."""
    columns = np.array(list(combinations(range(neighbours.shape[1]), 2)), dtype=np.int64).reshape(-1, 2)
    ends = neighbours[:, columns]
    middles = np.broadcast_to(np.arange(len(neighbours))[:, None], ends.shape[:2])
    kept = (ends >= 0).all(axis=2)
    return np.stack([ends[..., 0][kept], middles[kept], ends[..., 1][kept]], axis=1)


def _pair_cost(boxes: FloatArray, fluxes: FloatArray, pairs: IntArray) -> FloatArray:
    """Small for islands that are close for their size, and alike in size and flux.

    The lobes of a radio galaxy are of similar extent and brightness, and the larger the pair, the larger the lobes;
    an unrelated neighbour is as likely to be anything.
    """
    first, second = pairs[:, 0], pairs[:, 1]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sizes = np.hypot(*(boxes[:, 2:] - boxes[:, :2]).T)
    distance = np.hypot(*(centres[first] - centres[second]).T)
    flux = np.maximum(np.abs(fluxes), 1e-30)
    closeness = np.log(np.maximum(distance, 1e-6) / (sizes[first] + sizes[second]))
    unlike_size = np.abs(np.log(sizes[first] / sizes[second]))
    unlike_flux = np.abs(np.log(flux[first] / flux[second]))
    return np.asarray(closeness + 0.25 * unlike_size + 0.25 * unlike_flux)


def _triple_cost(boxes: FloatArray, fluxes: FloatArray, triples: IntArray) -> FloatArray:
    """Small for two plausible links that go on in one direction: lobe, core, lobe.

    The two ends are compared as a pair (lobes are alike), the middle only by its distances.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    first = centres[triples[:, 0]] - centres[triples[:, 1]]
    second = centres[triples[:, 2]] - centres[triples[:, 1]]
    lengths = np.maximum(np.hypot(*first.T) * np.hypot(*second.T), 1e-12)
    bend = 1 + (first * second).sum(axis=1) / lengths
    return np.asarray(_pair_cost(boxes, fluxes, triples[:, [0, 2]]) + bend)


def _union(boxes: FloatArray, members: IntArray) -> FloatArray:
    chosen = boxes[members]
    return np.concatenate([chosen[..., :2].min(axis=1), chosen[..., 2:].max(axis=1)], axis=1)


def _area(boxes: FloatArray) -> FloatArray:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
