"""`TileDataModule`: loaders of prepared tiles for Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch

from neanias_ml.datasets.manifest import read_manifest
from neanias_ml.datasets.tile_store import TileStore
from neanias_ml.datasets.variation.augmentation import AugmentConfig, TileAugmentation
from neanias_ml.datasets.variation.reobserve import IslandRule
from neanias_ml.models.classes import CLASS_LABELS, CLASS_NAMES
from neanias_ml.training.detector.batches import TileDataset, collate, tile_labels
from neanias_ml.training.loader import DrawLoader, draw_loader
from neanias_ml.training.sampling import ProcessPlace, TileSampler, repeat_factors

RARE_CLASSES = ("spurious", "flagged")
"""The classes without which a network does not learn what is false."""


class TileDataModule(lightning.LightningDataModule):
    """Training, validation and test tiles of a prepared folder, read from disk as they are needed.

    What is drawn, in which order and how it is varied follows from the seed, the epoch and the number of training
    processes; the number of loader processes changes nothing.

    Parameters
    ----------
    directory
        Folder with ``manifest.json``.
    batch_size
        Tiles per step and training process.
    workers
        Loader processes of each training process; 0 loads in the training process. They end with `teardown`.
    augment
        How training tiles are varied.
    repeat_threshold
        Classes in fewer than this share of the tiles are drawn more often; see `repeat_factors`.
    rare_share
        Least share of draws with something spurious or flagged, as far as the data have any.
    validation_tiles
        At most so many validation tiles are used while training.
    seed
        Seed of draws and augmentation.
    most_tiles
        At most so many tiles of a split, evenly spaced: to try things out.
    place
        This process among those that train together; None to ask Lightning, ``torch.distributed`` or Horovod's
        environment when a loader is made.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        batch_size: int = 8,
        workers: int = 0,
        augment: AugmentConfig | None = None,
        repeat_threshold: float = 0.3,
        rare_share: float = 0.15,
        validation_tiles: int = 64,
        seed: int = 0,
        most_tiles: int | None = None,
        place: ProcessPlace | None = None,
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.batch_size = batch_size
        self.workers = workers
        self.augment = augment or AugmentConfig()
        self.repeat_threshold = repeat_threshold
        self.rare_share = rare_share
        self.validation_tiles = validation_tiles
        self.seed = seed
        self.most_tiles = most_tiles
        self._configuration: dict[str, Any] = read_manifest(directory)["configuration"]
        self.pixels_per_beam = float(self._configuration["pixels_per_beam"])
        self._place = place
        self._stores: dict[str, TileStore] = {}
        self._loaders: list[DrawLoader] = []

    @property
    def place(self) -> ProcessPlace:
        """Where this process stands among those that train together."""
        return self._place or ProcessPlace.current(self.trainer)

    def tiles(self, split: str) -> TileStore:
        """All tiles of ``train``, ``validation`` or ``test``."""
        if split not in self._stores:
            tiles = TileStore(self.directory / split)
            step = 1 if self.most_tiles is None else max(1, -(-len(tiles) // self.most_tiles))
            self._stores[split] = tiles.every(step)
        return self._stores[split]

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
        dataset = TileDataset(tiles, pixels_per_beam=self.pixels_per_beam, augmentation=augmentation, seed=self.seed)
        return self._loader(dataset, TileSampler(len(tiles), factors=factors, place=self.place, seed=self.seed))

    def val_dataloader(self) -> DrawLoader:
        """Evenly spaced validation tiles, as they are."""
        tiles = self.tiles("validation")
        return self._evaluation_loader(tiles.every(max(1, -(-len(tiles) // self.validation_tiles))))

    def test_dataloader(self) -> DrawLoader:
        """All test tiles, as they are."""
        return self._evaluation_loader(self.tiles("test"))

    def teardown(self, stage: str | None = None) -> None:
        """End all loader processes."""
        while self._loaders:
            self._loaders.pop().close()

    def _evaluation_loader(self, tiles: TileStore) -> DrawLoader:
        dataset = TileDataset(tiles, pixels_per_beam=self.pixels_per_beam)
        return self._loader(dataset, TileSampler(len(tiles), place=self.place))

    def _loader(self, dataset: TileDataset, sampler: TileSampler) -> DrawLoader:
        loader = draw_loader(
            dataset,
            sampler,
            batch_size=self.batch_size,
            workers=self.workers,
            pin_memory=self._on_cuda(),
            collate=collate,
        )
        self._loaders.append(loader)
        return loader

    def _on_cuda(self) -> bool:
        """Whether batches go to a CUDA device."""
        if self.trainer is not None:
            return bool(self.trainer.strategy.root_device.type == "cuda")
        return torch.cuda.is_available()
