"""`TileDataModule`: loaders of prepared tiles for Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.manifest import read_manifest
from neanias_ml.datasets.tile_store import TileStore
from neanias_ml.datasets.variation.augmentation import AugmentConfig, TileAugmentation
from neanias_ml.datasets.variation.reobserve import IslandRule
from neanias_ml.models.classes import CLASS_LABELS, CLASS_NAMES
from neanias_ml.models.proposals import UNIONS_PER_TILE
from neanias_ml.training.detector.batches import TileDataset, TileView, collate, tile_labels
from neanias_ml.training.draw_module import DrawModule, stride
from neanias_ml.training.loader import DrawLoader
from neanias_ml.training.sampling import ProcessPlace, repeat_factors

RARE_CLASSES = ("spurious", "flagged")
"""The classes without which a network does not learn what is false."""


class TileDataModule(DrawModule[TileStore]):
    """Training, validation and test tiles of a prepared folder, read from disk as they are needed.

    Parameters
    ----------
    directory
        Folder with ``manifest.json``.
    augment
        How training tiles are varied.
    channels, unions_per_tile
        What of a tile the network is given; see `neanias_ml.training.detector.batches.TileView`.
    repeat_threshold
        Classes in fewer than this share of the tiles are drawn more often; see `repeat_factors`.
    rare_share
        Least share of draws with something spurious or flagged, as far as the data have any.
    validation_tiles
        At most so many validation tiles are used while training.
    most_tiles
        At most so many tiles of a split, evenly spaced: to try things out.
    batch_size, workers, seed, place
        See `neanias_ml.training.draw_module.DrawModule`.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        batch_size: int = 8,
        workers: int = 0,
        augment: AugmentConfig | None = None,
        channels: tuple[str, ...] = CHANNEL_NAMES,
        unions_per_tile: int = UNIONS_PER_TILE,
        repeat_threshold: float = 0.3,
        rare_share: float = 0.15,
        validation_tiles: int = 64,
        seed: int = 0,
        most_tiles: int | None = None,
        place: ProcessPlace | None = None,
    ) -> None:
        super().__init__(directory, collate=collate, batch_size=batch_size, workers=workers, seed=seed, place=place)
        self.augment = augment or AugmentConfig()
        self.repeat_threshold = repeat_threshold
        self.rare_share = rare_share
        self.validation_tiles = validation_tiles
        self.most_tiles = most_tiles
        self._configuration: dict[str, Any] = read_manifest(directory)["configuration"]
        self.view = TileView(
            pixels_per_beam=float(self._configuration["pixels_per_beam"]),
            channels=channels,
            unions_per_tile=unions_per_tile,
        )

    def tiles(self, split: str) -> TileStore:
        """All tiles of ``train``, ``validation`` or ``test``."""
        return self.rows(split)

    def read_split(self, split: str) -> TileStore:
        """See `DrawModule.read_split`."""
        tiles = TileStore(self.directory / split)
        return tiles.every(stride(len(tiles), self.most_tiles))

    def train_dataloader(self) -> DrawLoader:
        """An epoch of tiles in random order, rare classes more often, each draw varied anew."""
        tiles = self.tiles("train")
        factors = repeat_factors(
            tile_labels(tiles),
            n_classes=len(CLASS_NAMES),
            threshold=self.repeat_threshold,
            rare=[CLASS_LABELS[name] for name in RARE_CLASSES],
            rare_share=self.rare_share,
        )
        augmentation = TileAugmentation(
            self.augment, islands=IslandRule.of(self._configuration), class_labels=CLASS_LABELS
        )
        dataset = TileDataset(tiles, view=self.view, augmentation=augmentation, seed=self.seed)
        return self.draws(dataset, factors)

    def val_dataloader(self) -> DrawLoader:
        """Evenly spaced validation tiles, as they are."""
        tiles = self.tiles("validation")
        chosen = tiles.every(stride(len(tiles), self.validation_tiles))
        return self.draws(TileDataset(chosen, view=self.view))

    def test_dataloader(self) -> DrawLoader:
        """All test tiles, as they are."""
        return self.draws(TileDataset(self.tiles("test"), view=self.view))
