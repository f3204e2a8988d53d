"""Prepared tiles as batches of the network: proposals, targets, augmentation and sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from neanias_ml.datasets.dihedral import N_SYMMETRIES, scale_noise, transform_tile
from neanias_ml.datasets.tiles import PreparedTile
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.models.proposals import ProposalSet, island_proposals
from neanias_ml.models.region_training import WindowTarget

TileTransform = Callable[[PreparedTile], PreparedTile]


class TileSample(NamedTuple):
    """One tile ready for the network."""

    image: Tensor
    """(5, S, S) float32"""
    proposals: Tensor
    """(P, 4) float32 xyxy pixels"""
    target: WindowTarget


class TileBatch(NamedTuple):
    """Samples of equal size, stacked."""

    images: Tensor
    """(B, 5, S, S) float32, channels last in memory"""
    proposals: list[Tensor]
    targets: list[WindowTarget]


class TileDataset(Dataset[TileSample]):
    """Tiles in memory, augmented at random when training.

    Parameters
    ----------
    tiles
        Prepared tiles; their arrays are not copied.
    pixels_per_beam
        Sampling of the tiles.
    augment
        Turn, mirror and change the noise level at random.
    transform
        Further change of a tile before that, for example `neanias_ml.datasets.augment.GeometricAugmentation`.
    noise_jitter
        Largest relative error of the noise estimate that is simulated.
    """

    def __init__(
        self,
        tiles: Sequence[PreparedTile],
        *,
        pixels_per_beam: float,
        augment: bool = False,
        transform: TileTransform | None = None,
        noise_jitter: float = 0.1,
    ) -> None:
        self.tiles = tiles
        self.pixels_per_beam = pixels_per_beam
        self.augment = augment
        self.transform = transform
        self.noise_jitter = noise_jitter

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, index: int) -> TileSample:
        tile, factor = self.tiles[index], 1.0
        if self.augment:
            if self.transform is not None:
                tile = self.transform(tile)
            # torch's generator is seeded differently in every worker and epoch
            tile = transform_tile(tile, int(torch.randint(N_SYMMETRIES, ())))
            factor = 1.0 + self.noise_jitter * (2.0 * float(torch.rand(())) - 1.0)
        proposals = tile_proposals(tile, pixels_per_beam=self.pixels_per_beam, islands=tile.learnable_islands)
        return TileSample(tile_image(tile, noise_factor=factor), torch.from_numpy(proposals.boxes), tile_target(tile))


def tile_image(tile: PreparedTile, *, noise_factor: float = 1.0) -> Tensor:
    """Channels (5, S, S) float32 of a tile."""
    channels = tile.channels.astype(np.float32)
    return torch.from_numpy(scale_noise(channels, noise_factor) if noise_factor != 1.0 else channels)


def tile_proposals(
    tile: PreparedTile, *, pixels_per_beam: float, islands: NDArray[np.bool_] | None = None
) -> ProposalSet:
    """Proposals of a tile's islands (all of them by default), made as at inference."""
    rows = slice(None) if islands is None else islands
    return island_proposals(
        tile.island_boxes[rows],
        pixels_per_beam=pixels_per_beam,
        fluxes=tile.island_fluxes[rows],
        shape=(tile.size, tile.size),
    )


def tile_target(tile: PreparedTile) -> WindowTarget:
    """True boxes, labels and masks of a tile's instances."""
    numbers = np.arange(1, len(tile.labels) + 1, dtype=np.int16)
    masks = torch.from_numpy(tile.instances[None] == numbers[:, None, None])
    labels = torch.from_numpy(tile.labels.copy())
    return WindowTarget(boxes=torch.from_numpy(tile.true_boxes), labels=labels, masks=masks)


def collate(samples: Sequence[TileSample]) -> TileBatch:
    """Stack samples into a batch."""
    images = torch.stack([sample.image for sample in samples])
    return TileBatch(
        images=images.contiguous(memory_format=torch.channels_last),
        proposals=[sample.proposals for sample in samples],
        targets=[sample.target for sample in samples],
    )


def class_counts(tiles: Sequence[PreparedTile]) -> tuple[int, ...]:
    """Number of instances of each class, in the order of ``CLASS_NAMES``."""
    labels = np.concatenate([tile.labels for tile in tiles] or [np.empty(0, np.int64)])
    return tuple(int(count) for count in np.bincount(labels, minlength=len(CLASS_NAMES) + 1)[1:])


def repeat_factors(tiles: Sequence[PreparedTile], *, threshold: float) -> NDArray[np.float64]:
    """How often each tile is to be drawn: sqrt(threshold / f) of its rarest class, at least 1.

    f is the share of tiles that hold the class. Gupta, Dollar and Girshick 2019 (LVIS, arXiv:1908.03195).
    """
    holds = np.zeros((len(tiles), len(CLASS_NAMES)), dtype=bool)
    for row, tile in enumerate(tiles):
        holds[row, tile.labels - 1] = True
    share = np.maximum(holds.mean(axis=0), 1e-9) if len(tiles) else np.ones(len(CLASS_NAMES))
    by_class = np.array([max(1.0, math.sqrt(threshold / part)) for part in share])
    return np.where(holds, by_class, 1.0).max(axis=1, initial=1.0)
