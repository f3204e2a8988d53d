"""Shards: what was written comes back, from any place, in any process; damage is told."""

import multiprocessing
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from neanias_ml.datasets.shards import FORMAT, Shard, read_shard, read_tiles, shard_paths, write_shard
from neanias_ml.datasets.tile_store import TileStore
from neanias_ml.errors import InputError
from tests.datasets.tile_makers import TABLES, assert_same, sky_tile

NAME = "shard-0000.safetensors"


def empty_tile():
    return sky_tile(0, sources=0).replace(
        islands=np.zeros((96, 96), np.int16),
        instances=np.zeros((96, 96), np.int16),
        island_boxes=np.empty((0, 4), np.float32),
        island_fluxes=np.empty(0, np.float32),
        island_instance=np.empty(0, np.int64),
    )


def assert_restored(one, other):
    """Everything to the last bit but the clipped channel, which is made anew from the asinh channel in float16."""
    for name in ("instances", "islands", *TABLES):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert getattr(one, name).dtype == getattr(other, name).dtype
    np.testing.assert_array_equal(one.channels[1:3], other.channels[1:3])
    np.testing.assert_array_equal(one.channels[4], other.channels[4])
    np.testing.assert_allclose(one.channels[0].astype(float), other.channels[0].astype(float), atol=2e-3)
    assert one.field == other.field


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards")
    tiles = [sky_tile(seed, sources=seed % 4, blank=seed % 2 == 1, field=f"field-{seed}") for seed in range(7)]
    write_shard(path / "b.safetensors", [*tiles[4:], empty_tile()])
    write_shard(path / "a.safetensors", tiles[:4])
    return path, [*tiles, empty_tile()]


def test_shards_return_what_was_written(folder):
    path, tiles = folder
    restored = read_tiles(path)
    assert len(restored) == len(tiles)
    for one, other in zip(tiles, restored, strict=True):
        assert_restored(one, other)
    assert sorted(file.name for file in path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_writing_again_what_was_read_changes_nothing(folder, tmp_path):
    first = read_shard(folder[0] / "b.safetensors")
    write_shard(tmp_path / NAME, first)
    assert (tmp_path / NAME).read_bytes() == (folder[0] / "b.safetensors").read_bytes()
    for one, other in zip(first, read_shard(tmp_path / NAME), strict=True):
        assert_same(one, other)


@settings(max_examples=40, deadline=None)
@given(index=st.integers(-8, 7), start=st.integers(-9, 9), stop=st.integers(-9, 9), step=st.integers(1, 3))
def test_a_store_is_the_sequence_of_its_tiles(folder, index, start, stop, step):
    path, tiles = folder
    store = TileStore(path)
    assert len(store) == len(tiles) == 8
    assert_restored(tiles[index], store[index])
    assert [tile.field for tile in store[start:stop:step]] == [tile.field for tile in tiles[start:stop:step]]
    assert [tile.field for tile in store.every(step)] == [tile.field for tile in tiles[::step]]
    assert store.every(step).fields == [tile.field for tile in tiles[::step]]


def test_a_store_knows_classes_and_fields_without_reading_tiles(folder):
    path, tiles = folder
    store = TileStore(path)
    assert store.fields == [tile.field for tile in tiles]
    for labels, tile in zip(store.labels, tiles, strict=True):
        np.testing.assert_array_equal(labels, tile.labels)
    with pytest.raises(IndexError):
        store[8]


def _sums(store, rows, queue):
    queue.put([float(store[row].channels.astype(np.float64).sum()) for row in rows])


def test_many_processes_read_one_store(folder):
    store = TileStore(folder[0])
    expected = [float(tile.channels.astype(np.float64).sum()) for tile in store]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    readers = [context.Process(target=_sums, args=(store, range(8), queue)) for _ in range(3)]
    for reader in readers:
        reader.start()
    results = [queue.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join()
    assert results == [expected] * 3
    sent = pickle.loads(pickle.dumps(store))
    assert [float(tile.channels.astype(np.float64).sum()) for tile in sent] == expected


def test_only_so_many_shards_are_open(folder, monkeypatch):
    monkeypatch.setattr("neanias_ml.datasets.array_files.OPEN_FILES", 1)
    store = TileStore(folder[0])
    fields = [store[row].field for row in (0, 7, 1, 6, 0)]
    assert fields == [folder[1][row].field for row in (0, 7, 1, 6, 0)]
    assert len(store._open) == 1


def test_damaged_shards_are_reported(tmp_path):
    path = tmp_path / NAME
    write_shard(path, [sky_tile(0)])
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:4], b"", b"PK" + content[2:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a readable shard") as caught:
            Shard(path)
        assert caught.value.code == "ShardDamaged"
    flipped = bytearray(content)
    flipped[-1000] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(InputError, match="not what was written"):
        read_shard(path)
    save_file({"x": np.zeros(3)}, path)
    with pytest.raises(InputError, match=f"not {FORMAT.name}"):
        Shard(path)


def test_a_shard_is_plain_arrays_for_any_reader(tmp_path):
    tile = sky_tile(3, blank=True)
    write_shard(tmp_path / NAME, [tile])
    arrays = load_file(tmp_path / NAME)
    np.testing.assert_array_equal(arrays["instances"][0], tile.instances)
    np.testing.assert_array_equal(np.isnan(arrays["asinh_snr"][0]), ~tile.valid)
    assert arrays["island_ends"].tolist() == [0, len(tile.island_instance)]


def test_missing_and_empty_shards_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no prepared tiles"):
        shard_paths(tmp_path / "nothing")
    with pytest.raises(ValueError, match="at least one tile"):
        write_shard(tmp_path / NAME, [])
    with pytest.raises(ValueError, match="one size"):
        write_shard(tmp_path / NAME, [sky_tile(0), sky_tile(0, size=64)])
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_no_file_and_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / NAME
    write_shard(path, [sky_tile(0)])
    before = path.read_bytes()

    def full(arrays, target, metadata):
        target.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("neanias_ml.datasets.array_files.save_file", full)
    with pytest.raises(OSError, match="no space"):
        write_shard(path, [sky_tile(1)])
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == [NAME]
