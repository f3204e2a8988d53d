"""Batches: what the network is given for a tile, and how often tiles are drawn."""

import numpy as np
import torch

from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.models.proposals import island_proposals
from neanias_ml.training.batches import (
    TileDataset,
    class_counts,
    collate,
    repeat_factors,
    tile_proposals,
    tile_target,
)
from neanias_ml.training.data_module import TileDataModule
from tests.training.conftest import SIZE, make_tile


def test_target_holds_the_instances_and_no_ignored_pixel():
    tile = make_tile(1)
    target = tile_target(tile)
    assert target["masks"].shape == (len(tile.labels), SIZE, SIZE)
    for row, (mask, box) in enumerate(zip(target["masks"].numpy(), target["boxes"].numpy(), strict=True)):
        np.testing.assert_array_equal(mask, tile.instances == row + 1)
        rows, cols = np.nonzero(mask)
        assert box.tolist() == [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
        assert not mask[tile.instances == IGNORED].any()


def test_ignored_islands_are_no_proposals_in_training_but_at_inference():
    tile = make_tile(2)
    sample = TileDataset([tile], pixels_per_beam=6.0)[0]
    everything = tile_proposals(tile, pixels_per_beam=6.0)
    assert everything.n_islands == 4
    kept = island_proposals(
        tile.island_boxes[:3], pixels_per_beam=6.0, fluxes=tile.island_fluxes[:3], shape=(SIZE, SIZE)
    )
    np.testing.assert_array_equal(sample.proposals.numpy(), kept.boxes)


def test_augmented_samples_keep_masks_boxes_and_proposals_together():
    torch.manual_seed(0)
    dataset = TileDataset([make_tile(3)], pixels_per_beam=6.0, augment=True)
    images = set()
    for _ in range(24):
        image, proposals, target = dataset[0]
        images.add(image[3].numpy().tobytes())
        for mask, box in zip(target["masks"], target["boxes"], strict=True):
            rows, cols = torch.nonzero(mask, as_tuple=True)
            assert box.tolist() == [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
            padded = torch.tensor([-0.75, -0.75, 0.75, 0.75]) + box
            assert (proposals - padded.clamp(0, SIZE)).abs().max(dim=1).values.min() < 1.5
    assert 4 <= len(images) <= 8


def test_noise_jitter_changes_significance_within_its_limits():
    torch.manual_seed(0)
    tile = make_tile(4)
    dataset = TileDataset([tile], pixels_per_beam=6.0, augment=True, noise_jitter=0.1)
    original = float(tile.channels[0].astype(np.float32).sum())
    ratios = [float(dataset[0].image[0].sum()) / original for _ in range(20)]
    assert min(ratios) >= 0.85 and max(ratios) <= 1.15 and np.std(ratios) > 0.01


def test_batches_are_stacked_channels_last():
    dataset = TileDataset([make_tile(5), make_tile(6, n=2)], pixels_per_beam=6.0)
    batch = collate([dataset[0], dataset[1]])
    assert batch.images.shape == (2, 5, SIZE, SIZE)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert [len(target["labels"]) for target in batch.targets] == [3, 1]


def test_repeat_factors_follow_the_rarest_class():
    tiles = [make_tile(number) for number in range(8)]
    common = [tile.replace(labels=np.full(3, 2)) for tile in tiles[:6]]
    rare = [tile.replace(labels=np.array([2, 1, 2])) for tile in tiles[6:]]
    factors = repeat_factors([*common, *rare], threshold=0.5)
    np.testing.assert_allclose(factors, [1] * 6 + [np.sqrt(0.5 / 0.25)] * 2)
    empty = tiles[0].replace(labels=np.empty(0, np.int64))
    assert repeat_factors([empty, *common], threshold=0.5)[0] == 1.0
    assert class_counts([*common, *rare]) == (2, 22, 0, 0, 0)


def test_data_module_serves_the_prepared_folder(prepared_folder):
    module = TileDataModule(prepared_folder, batch_size=5, validation_tiles=3)
    train = list(module.train_dataloader())
    assert [len(batch.images) for batch in train] == [5] * 4
    assert sum(len(batch.images) for batch in module.val_dataloader()) == 3
    assert len(module.tiles("test")) == 8
