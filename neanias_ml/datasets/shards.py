"""Shard files: many tiles in one compressed ``.npz`` without pickle, readable with numpy alone."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.tiles import PreparedTile
from neanias_ml.errors import InputError

SHARD_SUFFIX = ".npz"
_STACKED = ("channels", "instances", "islands")
_JOINED = ("labels", "island_boxes", "island_fluxes", "island_instance")
_COUNTS = ("label_counts", "island_counts")


def write_shard(path: Path, tiles: Sequence[PreparedTile]) -> None:
    """Write tiles of one size; the file appears whole or not at all.

    Raises
    ------
    ValueError
        If there is no tile or the tiles differ in size.
    """
    if not tiles or len({tile.channels.shape for tile in tiles}) != 1:
        raise ValueError("a shard holds at least one tile, all of one size")
    arrays: dict[str, NDArray[Any]] = {
        name: np.stack([getattr(tile, name) for tile in tiles]) for name in _STACKED
    }
    arrays |= {name: np.concatenate([getattr(tile, name) for tile in tiles]) for name in _JOINED}
    arrays["label_counts"] = np.array([len(tile.labels) for tile in tiles])
    arrays["island_counts"] = np.array([len(tile.island_instance) for tile in tiles])
    arrays["field"] = np.array([tile.field for tile in tiles])
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.part")
    with staging.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    staging.replace(path)


def read_shard(path: Path) -> list[PreparedTile]:
    """Tiles of a shard, in the order in which they were written.

    Raises
    ------
    InputError
        ``ShardDamaged`` if the file is not a whole shard.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in (*_STACKED, *_JOINED, *_COUNTS, "field")}
        return _unpack(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            "ShardDamaged", f"{path} is not a readable shard of tiles ({error}); delete it and prepare the data again"
        ) from error


def _unpack(arrays: dict[str, NDArray[Any]]) -> list[PreparedTile]:
    ends = {name: np.cumsum(arrays[name]).tolist() for name in _COUNTS}
    tiles = []
    for row, field in enumerate(arrays["field"].tolist()):
        spans = {name: slice(ends[name][row - 1] if row else 0, ends[name][row]) for name in _COUNTS}
        island_span = spans["island_counts"]
        tiles.append(
            PreparedTile(
                channels=arrays["channels"][row],
                instances=arrays["instances"][row],
                labels=arrays["labels"][spans["label_counts"]],
                islands=arrays["islands"][row],
                island_boxes=arrays["island_boxes"][island_span],
                island_fluxes=arrays["island_fluxes"][island_span],
                island_instance=arrays["island_instance"][island_span],
                field=str(field),
            )
        )
    return tiles


def shard_paths(directory: Path) -> list[Path]:
    """Shards of a folder in name order.

    Raises
    ------
    InputError
        ``NoShards`` if there is none.
    """
    paths = sorted(path for path in directory.glob(f"*{SHARD_SUFFIX}") if not path.name.startswith("."))
    if not paths:
        raise InputError("NoShards", f"{directory} holds no prepared tiles (*.npz); prepare the data first")
    return paths


def read_tiles(directory: Path) -> list[PreparedTile]:
    """All tiles of the shards in a folder."""
    return [tile for path in shard_paths(directory) for tile in read_shard(path)]
