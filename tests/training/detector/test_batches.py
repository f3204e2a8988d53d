"""Batches: what the network is given for a tile, and what decides how it is varied."""

import numpy as np
import pytest
import torch

from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.datasets.variation.augmentation import AugmentConfig, TileAugmentation
from neanias_ml.datasets.variation.reobserve import IslandRule
from neanias_ml.errors import UsageError
from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.models.proposals import island_proposals
from neanias_ml.training.detector.batches import TileDataset, TileView, class_counts, collate, tile_target
from neanias_ml.training.detector.feed import TileFeedConfig
from neanias_ml.training.sampling import Draw
from tests.training.conftest import SIZE, make_tile

VIEW = TileView(pixels_per_beam=6.0)


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
    sample = TileDataset([tile], view=VIEW)[0]
    everything = VIEW.proposals(tile)
    assert everything.n_islands == 4
    kept = island_proposals(
        tile.island_boxes[:3], pixels_per_beam=6.0, fluxes=tile.island_fluxes[:3], shape=(SIZE, SIZE)
    )
    np.testing.assert_array_equal(sample.proposals.numpy(), kept.boxes)


def augmentation(**settings):
    return TileAugmentation(AugmentConfig(**settings), islands=IslandRule(), class_labels=CLASS_LABELS)


def test_augmented_samples_keep_masks_boxes_and_proposals_together():
    dataset = TileDataset([make_tile(3)], view=VIEW, augmentation=augmentation())
    images = set()
    for position in range(24):
        image, proposals, target = dataset[Draw(0, position=position)]
        images.add(image[3].numpy().tobytes())
        for mask, box in zip(target["masks"], target["boxes"], strict=True):
            rows, cols = torch.nonzero(mask, as_tuple=True)
            assert box.tolist() == [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
            padded = torch.tensor([-0.75, -0.75, 0.75, 0.75]) + box
            assert (proposals - padded.clamp(0, SIZE)).abs().max(dim=1).values.min() < 1.5
    assert 4 <= len(images) <= 8


def test_noise_jitter_changes_significance_within_its_limits():
    tile = make_tile(4)
    dataset = TileDataset([tile], view=VIEW, augmentation=augmentation(noise_jitter=0.1))
    original = float(tile.channels[0].astype(np.float32).sum())
    ratios = [float(dataset[Draw(0, position=number)].image[0].sum()) / original for number in range(20)]
    assert min(ratios) >= 0.85 and max(ratios) <= 1.15 and np.std(ratios) > 0.01


def test_a_sample_follows_from_seed_and_draw_alone():
    tiles = [make_tile(number) for number in range(3)]
    vary = augmentation(fade=1.0, paste_objects=0.5)

    def image(seed, *draw):
        return TileDataset(tiles, view=VIEW, augmentation=vary, seed=seed)[Draw(*draw)].image

    torch.testing.assert_close(image(1, 0, 2, 5), image(1, 0, 2, 5), rtol=0, atol=0)
    others = [image(2, 0, 2, 5), image(1, 1, 2, 5), image(1, 0, 3, 5), image(1, 0, 2, 6)]
    assert all(not torch.equal(image(1, 0, 2, 5), other) for other in others)


def test_partners_hold_what_is_wanted():
    tiles = [make_tile(number).replace(labels=np.full(3, number % 3 + 2)) for number in range(9)]
    dataset = TileDataset(tiles, view=VIEW)
    rng = np.random.default_rng(0)
    found = [dataset.partner(rng, (4,)) for _ in range(20)]
    assert all(4 in tile.labels for tile in found) and len({id(tile) for tile in found}) == 3
    assert dataset.partner(rng, (1,)) is None


def test_batches_are_stacked_channels_last():
    dataset = TileDataset([make_tile(5), make_tile(6, n=2)], view=VIEW)
    batch = collate([dataset[0], dataset[1]])
    assert batch.images.shape == (2, 5, SIZE, SIZE)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert [len(target["labels"]) for target in batch.targets] == [3, 1]


def test_class_counts_sum_over_tiles():
    tiles = [make_tile(number).replace(labels=np.array([2, number % 5 + 1, 2])) for number in range(5)]
    assert class_counts(tiles) == (1, 11, 1, 1, 1)
    assert class_counts([]) == (0, 0, 0, 0, 0)


def test_a_view_of_some_channels_and_no_unions():
    tile = make_tile(7)
    some = TileView(pixels_per_beam=6.0, channels=("valid", "snr"), unions_per_tile=0)
    np.testing.assert_array_equal(some.image(tile).numpy(), tile.channels[[4, 0]].astype(np.float32))
    assert len(some.proposals(tile)) == 2 * 4 < len(VIEW.proposals(tile))
    assert collate([TileDataset([tile], view=some)[0]]).images.shape == (1, 2, SIZE, SIZE)


@pytest.mark.parametrize("channels", [(), ("snr", "snr"), ("redshift",)])
def test_channels_that_are_not_made_are_refused(channels):
    with pytest.raises(UsageError, match=r"feed.channels must be different ones of snr, asinh_snr"):
        TileFeedConfig(channels=channels)
