"""Tiles: cutting, ignored instances, shards, symmetries, rotation."""

import numpy as np
import pytest

from neanias_ml.datasets.channels import CHANNEL_NAMES, channels_from_significance
from neanias_ml.datasets.dihedral import scale_noise, transform_array, transform_boxes, transform_tile
from neanias_ml.datasets.shards import read_shard, read_tiles, write_shard
from neanias_ml.datasets.tiles import IGNORED, PreparedTile, keep_instances, label_boxes
from neanias_ml.errors import InputError, UsageError

SIZE = 64


def random_tile(seed, *, size=SIZE, n=5):
    """A tile of rectangles: every instance is one island, one island is ignored, one reaches beyond the edge."""
    rng = np.random.default_rng(seed)
    instances, islands = np.zeros((size, size), np.int16), np.zeros((size, size), np.int16)
    for number in range(1, n + 1):
        y, x = 10 * number, int(rng.integers(5, size - 16))
        islands[y : y + 5, x : x + int(rng.integers(4, 12))] = number
    instances[:] = islands
    instances[islands == n] = IGNORED
    snr = rng.normal(size=(size, size)).astype(np.float32) + 8 * (islands > 0)
    boxes = label_boxes(islands, n)
    boxes[0, 0] -= 30
    return PreparedTile(
        channels=channels_from_significance(snr, islands > 0, beam_fwhm_pixels=6.0).astype(np.float16),
        instances=instances,
        labels=rng.integers(1, 6, size=n - 1),
        islands=islands,
        island_boxes=boxes,
        island_fluxes=rng.random(n).astype(np.float32),
        island_instance=np.array([*range(1, n), IGNORED]),
        field=f"field-{seed}",
    )


def assert_same(one, other):
    for name in ("channels", "instances", "labels", "islands", "island_boxes", "island_fluxes", "island_instance"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.field == other.field


def test_boxes_of_labels_hold_exactly_their_pixels():
    tile = random_tile(0)
    for number, (x0, y0, x1, y1) in enumerate(tile.true_boxes.astype(int), start=1):
        inside = np.zeros((SIZE, SIZE), bool)
        inside[y0:y1, x0:x1] = True
        assert (tile.instances == number).sum() > 0
        assert not (tile.instances == number)[~inside].any()
    np.testing.assert_array_equal(label_boxes(tile.instances, 7)[5:], 0)


def test_cut_instances_are_ignored_below_half_and_kept_from_half():
    whole = np.zeros((20, 40), np.int32)
    whole[2:6, 16:26] = 1  # 4 of 10 columns inside the cut
    whole[8:12, 15:25] = 2  # 5 of 10 columns
    whole[14:18, 30:35] = 3  # outside
    whole[0, 0] = IGNORED
    sizes = np.bincount(np.maximum(whole, 0).ravel())[1:]
    kept = keep_instances(whole[:20, :20], sizes)
    assert kept.rows.tolist() == [1]
    assert kept.lookup.tolist() == [0, IGNORED, 1, IGNORED]
    assert (kept.instances[2:6, 16:20] == IGNORED).all() and kept.instances[0, 0] == IGNORED
    assert (kept.instances == 1).sum() == 20


def test_shards_return_what_was_written(tmp_path):
    tiles = [random_tile(seed, n=seed % 4 + 2) for seed in range(7)]
    nothing = np.zeros((SIZE, SIZE), np.int16)
    tiles.append(
        tiles[0].replace(
            instances=nothing,
            labels=np.empty(0, np.int64),
            islands=nothing,
            island_boxes=np.empty((0, 4), np.float32),
            island_fluxes=np.empty(0, np.float32),
            island_instance=np.empty(0, np.int64),
        )
    )
    write_shard(tmp_path / "b.npz", tiles[4:])
    write_shard(tmp_path / "a.npz", tiles[:4])
    restored = read_tiles(tmp_path)
    assert len(restored) == len(tiles)
    for one, other in zip(tiles, restored, strict=True):
        assert_same(one, other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_damaged_and_missing_shards_are_reported(tmp_path):
    write_shard(tmp_path / "a.npz", [random_tile(0)])
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="not a readable shard") as caught:
        read_shard(tmp_path / "a.npz")
    assert caught.value.code == "ShardDamaged"
    with pytest.raises(InputError, match="prepare the data first"):
        read_tiles(tmp_path / "nothing")
    with pytest.raises(ValueError, match="at least one tile"):
        write_shard(tmp_path / "c.npz", [])


def test_tile_refuses_maps_that_do_not_fit():
    tile = random_tile(0)
    with pytest.raises(ValueError, match="do not fit"):
        tile.replace(islands=np.zeros((3, 3), np.int16))
    with pytest.raises(ValueError, match="as many boxes"):
        tile.replace(island_fluxes=np.zeros(2, np.float32))


@pytest.mark.parametrize("symmetry", range(8))
def test_symmetries_move_boxes_with_their_pixels(symmetry):
    tile = random_tile(3)
    moved = transform_tile(tile, symmetry)
    inside = moved.island_boxes[1:]
    np.testing.assert_array_equal(label_boxes(moved.islands, len(tile.island_boxes))[1:], inside)
    assert (
        np.bincount(moved.instances[moved.instances > 0]).tolist()
        == np.bincount(tile.instances[tile.instances > 0]).tolist()
    )
    np.testing.assert_array_equal(np.sort(moved.channels, axis=None), np.sort(tile.channels, axis=None))


def test_symmetries_are_eight_different_ones_and_the_first_is_the_identity():
    square = np.arange(9).reshape(3, 3)
    images = {transform_array(square, symmetry).tobytes() for symmetry in range(8)}
    assert len(images) == 8
    np.testing.assert_array_equal(transform_array(square, 0), square)
    boxes = np.array([[1.0, 2, 3, 7]])
    for symmetry in range(8):
        area = np.prod(np.diff(transform_boxes(boxes, symmetry, size=10).reshape(2, 2), axis=0))
        assert area == 10
    with pytest.raises(ValueError, match="from 0 to 7"):
        transform_tile(random_tile(0), 8)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_noise_factor_equals_channels_of_rescaled_significance(factor):
    rng = np.random.default_rng(0)
    snr = (rng.normal(size=(96, 96)) * 5).astype(np.float32)
    support = snr > 3
    expected = channels_from_significance(snr * np.float32(factor), support, beam_fwhm_pixels=6.0)
    scaled = scale_noise(channels_from_significance(snr, support, beam_fwhm_pixels=6.0), factor)
    np.testing.assert_allclose(scaled, expected, atol=2e-5)


def test_rotation_keeps_boxes_islands_and_instances_together():
    pytest.importorskip("albumentations", reason="rotation is done by albumentations")
    from neanias_ml.datasets.augment import GeometricAugmentation

    augmentation = GeometricAugmentation(scale_change=0.05, seed=1)
    for seed in range(4):
        tile = random_tile(seed)
        turned = augmentation(tile)
        assert turned.channels.shape == tile.channels.shape and turned.channels.dtype == np.float16
        assert set(np.unique(turned.channels[CHANNEL_NAMES.index("valid")])) <= {0.0, 1.0}
        np.testing.assert_array_equal(turned.island_boxes, label_boxes(turned.islands, len(turned.island_instance)))
        for row, owner in enumerate(turned.island_instance, start=1):
            pixels = turned.instances[turned.islands == row]
            assert (pixels == owner).mean() > 0.9
        survivors = turned.instances[turned.instances > 0]
        assert len(np.unique(survivors)) == len(turned.labels)
        blank = turned.channels[CHANNEL_NAMES.index("valid")] == 0
        assert not turned.channels[:, blank].any()


def test_rotation_by_a_strong_change_of_scale_is_refused():
    pytest.importorskip("albumentations", reason="rotation is done by albumentations")
    from neanias_ml.datasets.augment import GeometricAugmentation

    with pytest.raises(UsageError, match="scale_change"):
        GeometricAugmentation(scale_change=0.5)
