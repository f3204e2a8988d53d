"""Prepared tiles as batches of the network: proposals, targets and augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.tile_store import TileStore
from neanias_ml.datasets.tiles import PreparedTile
from neanias_ml.datasets.variation.augmentation import TileAugmentation
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.models.proposals import UNIONS_PER_TILE, ProposalSet, island_proposals
from neanias_ml.models.region_training import WindowTarget
from neanias_ml.models.settings import channel_rows
from neanias_ml.training.draw_dataset import DrawDataset

IntArray = NDArray[np.int64]


class TileSample(NamedTuple):
    """One tile ready for the network."""

    image: Tensor
    """(C, S, S) float32"""
    proposals: Tensor
    """(P, 4) float32 xyxy pixels"""
    target: WindowTarget


@dataclass(frozen=True, kw_only=True)
class TileView:
    """What of a tile the network is given; the same at training, scoring and inference."""

    pixels_per_beam: float
    """sampling of the tiles"""
    channels: tuple[str, ...] = CHANNEL_NAMES
    """names of the channels in their order"""
    unions_per_tile: int = UNIONS_PER_TILE
    """see `neanias_ml.models.config.IslandRCNNConfig`"""

    def image(self, tile: PreparedTile) -> Tensor:
        """Channels (C, S, S) float32 of a tile."""
        rows = channel_rows(self.channels)
        return torch.from_numpy(tile.channels[rows].astype(np.float32))

    def proposals(self, tile: PreparedTile, *, islands: NDArray[np.bool_] | None = None) -> ProposalSet:
        """Proposals of a tile's islands (all of them by default), made as at inference."""
        rows = slice(None) if islands is None else islands
        return island_proposals(
            tile.island_boxes[rows],
            pixels_per_beam=self.pixels_per_beam,
            fluxes=tile.island_fluxes[rows],
            shape=(tile.size, tile.size),
            unions_per_tile=self.unions_per_tile,
        )


class TileBatch(NamedTuple):
    """Samples of equal size, stacked."""

    images: Tensor
    """(B, C, S, S) float32, channels last in memory"""
    proposals: list[Tensor]
    targets: list[WindowTarget]


class TileDataset(DrawDataset[TileSample]):
    """Tiles as samples of the network, varied at random when training.

    Parameters
    ----------
    tiles
        Prepared tiles, in memory or read one by one (`neanias_ml.datasets.tile_store.TileStore`).
    view
        What of them the network is given.
    augmentation
        How tiles are varied; None leaves them as they are.
    seed
        Seed of the variation.
    """

    def __init__(
        self,
        tiles: Sequence[PreparedTile],
        *,
        view: TileView,
        augmentation: TileAugmentation | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(tiles, is_varied=augmentation is not None, seed=seed)
        self.tiles = tiles
        self.view = view
        self.augmentation = augmentation
        self._holders: dict[tuple[int, ...], IntArray] = {}

    def sample(self, row: int, rng: np.random.Generator | None) -> TileSample:
        """See `DrawDataset.sample`."""
        tile = self.tiles[row]
        if self.augmentation is not None and rng is not None:
            tile = self.augmentation(tile, rng, partners=self.partner)
        proposals = self.view.proposals(tile, islands=tile.learnable_islands)
        return TileSample(self.view.image(tile), torch.from_numpy(proposals.boxes), tile_target(tile))

    def partner(self, rng: np.random.Generator, classes: tuple[int, ...]) -> PreparedTile | None:
        """A random tile that holds one of some classes, None where there is none."""
        if classes not in self._holders:
            present = [np.isin(labels, classes).any() for labels in tile_labels(self.tiles)]
            self._holders[classes] = np.flatnonzero(present)
        holders = self._holders[classes]
        return self.tiles[int(rng.choice(holders))] if len(holders) else None


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


def tile_labels(tiles: Sequence[PreparedTile]) -> list[IntArray]:
    """Class labels of each tile; those of a store are known without reading its tiles."""
    return tiles.labels if isinstance(tiles, TileStore) else [tile.labels for tile in tiles]


def class_counts(tiles: Sequence[PreparedTile]) -> tuple[int, ...]:
    """Number of instances of each class, in the order of ``CLASS_NAMES``."""
    labels = np.concatenate([np.empty(0, np.int64), *tile_labels(tiles)])
    return tuple(int(count) for count in np.bincount(labels, minlength=len(CLASS_NAMES) + 1)[1:])
