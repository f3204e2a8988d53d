"""`TileDataModule`: loaders of prepared tiles for Lightning."""

from __future__ import annotations

from pathlib import Path

import lightning
import torch
from torch.utils.data import DataLoader, WeightedRandomSampler

from neanias_ml.datasets.manifest import read_manifest
from neanias_ml.datasets.shards import read_tiles
from neanias_ml.datasets.tiles import PreparedTile
from neanias_ml.training.batches import TileDataset, TileSample, TileTransform, collate, repeat_factors


class TileDataModule(lightning.LightningDataModule):
    """Training and validation tiles of a prepared folder, held in memory.

    Parameters
    ----------
    directory
        Folder with ``manifest.json``.
    batch_size
        Tiles per step.
    workers
        Loader processes; 0 loads in the training process.
    repeat_threshold
        Classes in fewer than this share of the tiles are drawn more often; see `repeat_factors`.
    noise_jitter
        Largest relative error of the noise estimate that is simulated.
    validation_tiles
        At most so many validation tiles are used while training.
    transform
        Further augmentation of the training tiles.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        batch_size: int = 8,
        workers: int = 0,
        repeat_threshold: float = 0.3,
        noise_jitter: float = 0.1,
        validation_tiles: int = 64,
        transform: TileTransform | None = None,
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.batch_size = batch_size
        self.workers = workers
        self.repeat_threshold = repeat_threshold
        self.noise_jitter = noise_jitter
        self.validation_tiles = validation_tiles
        self.transform = transform
        self.pixels_per_beam = float(read_manifest(directory)["configuration"]["pixels_per_beam"])
        self._tiles: dict[str, list[PreparedTile]] = {}

    def tiles(self, split: str) -> list[PreparedTile]:
        """All tiles of ``train``, ``validation`` or ``test``, read at first use."""
        if split not in self._tiles:
            self._tiles[split] = read_tiles(self.directory / split)
        return self._tiles[split]

    def train_dataloader(self) -> DataLoader[TileSample]:
        """Endless variety: tiles drawn with repetition, turned and mirrored."""
        tiles = self.tiles("train")
        dataset = TileDataset(
            tiles,
            pixels_per_beam=self.pixels_per_beam,
            augment=True,
            transform=self.transform,
            noise_jitter=self.noise_jitter,
        )
        weights = repeat_factors(tiles, threshold=self.repeat_threshold).tolist()
        sampler = WeightedRandomSampler(weights, num_samples=len(tiles), replacement=True)
        return self._loader(dataset, sampler=sampler)

    def val_dataloader(self) -> DataLoader[TileSample]:
        """Evenly spaced validation tiles, as they are."""
        tiles = self.tiles("validation")
        step = max(1, -(-len(tiles) // self.validation_tiles))
        dataset = TileDataset(tiles[::step], pixels_per_beam=self.pixels_per_beam)
        return self._loader(dataset, sampler=None)

    def _loader(self, dataset: TileDataset, *, sampler: WeightedRandomSampler | None) -> DataLoader[TileSample]:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            collate_fn=collate,
            drop_last=sampler is not None and len(dataset) >= self.batch_size,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

