"""Shard files: many tiles in one container of plain arrays that is mapped into memory, not read.

Any tile of a shard is one copy of four maps away. Of the five channels it keeps the two that say all: signal to noise,
not clipped (NaN where blank), and its smoothed map; the others follow from them and the islands.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.array_files import ArrayFile, ArrayFormat
from neanias_ml.datasets.channels import SNR_CLIP, significance_of_asinh
from neanias_ml.datasets.tiles import PreparedTile

SHARD_SUFFIX = ".safetensors"
_MAPS = ("asinh_snr", "asinh_smoothed", "instances", "islands")
_TABLES = ("labels", "island_boxes", "island_fluxes", "island_instance", "label_ends", "island_ends")
FORMAT = ArrayFormat(
    name="neanias_ml tiles 1",
    note="tiles",
    suffix=SHARD_SUFFIX,
    arrays=(*_MAPS, *_TABLES),
    texts=("fields",),
    title="shard of tiles",
    content="prepared tiles",
    damaged="ShardDamaged",
    missing="NoShards",
)
_BLANK_BITS = 0x7E00
"""Bits of the float16 NaN that marks a blank pixel."""
_ONE_BITS = 0x3C00
"""Bits of the float16 one."""


def write_shard(path: Path, tiles: Sequence[PreparedTile]) -> None:
    """Write tiles of one size; the file appears whole or not at all.

    Raises
    ------
    ValueError
        If there is no tile or the tiles differ in size.
    """
    if not tiles or len({tile.channels.shape for tile in tiles}) != 1:
        raise ValueError("a shard holds at least one tile, all of one size")
    FORMAT.write(path, _packed(tiles), {"fields": [tile.field for tile in tiles]})


def read_shard(path: Path) -> list[PreparedTile]:
    """Tiles of a shard, in the order in which they were written, after a check of its digest.

    Raises
    ------
    InputError
        ``ShardDamaged`` if the file is not the whole shard that was written.
    """
    shard = Shard(path)
    shard.verify()
    return [shard[row] for row in range(len(shard))]


class Shard(Sequence[PreparedTile]):
    """The tiles of a shard file, each read when it is asked for.

    Parameters
    ----------
    path
        The file. It is mapped, and stays open as long as this object lives.

    Attributes
    ----------
    labels
        Class labels of each tile, without reading the tile.
    fields
        Name of the sky field of each tile.

    Raises
    ------
    InputError
        ``ShardDamaged`` if the file is not a whole shard.
    """

    def __init__(self, path: Path) -> None:
        self._file = ArrayFile(path, FORMAT)
        self._tables = {name: self._file.array(name) for name in _TABLES}
        self.fields: list[str] = self._file.texts["fields"]

    def __len__(self) -> int:
        return len(self.fields)

    @cached_property
    def labels(self) -> list[NDArray[np.int64]]:
        """Class labels of the tiles."""
        return [self._rows("label", row)["labels"] for row in range(len(self))]

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        place = range(len(self))[row]
        maps = {name: self._file.mapped[name][place] for name in _MAPS}
        return PreparedTile(
            channels=_channels(maps["asinh_snr"], maps["asinh_smoothed"], maps["islands"]),
            instances=maps["instances"],
            islands=maps["islands"],
            field=self.fields[place],
            **self._rows("label", place),
            **self._rows("island", place),
        )

    def verify(self) -> None:
        """Compare the content with the digest that was taken when it was written.

        Raises
        ------
        InputError
            ``ShardDamaged`` if they differ.
        """
        self._file.verified()

    def _rows(self, kind: str, row: int) -> dict[str, NDArray[Any]]:
        ends = self._tables[f"{kind}_ends"]
        span = slice(int(ends[row]), int(ends[row + 1]))
        names = ("labels",) if kind == "label" else ("island_boxes", "island_fluxes", "island_instance")
        return {name: self._tables[name][span] for name in names}


def _packed(tiles: Sequence[PreparedTile]) -> dict[str, NDArray[Any]]:
    """Arrays of a shard: maps stacked, tables joined with (T + 1,) ends."""
    channels = np.stack([tile.channels[1:3] for tile in tiles])
    blank = np.stack([~tile.valid for tile in tiles])
    channels[:, 0][blank] = np.uint16(_BLANK_BITS).view(np.float16)
    arrays: dict[str, NDArray[Any]] = {
        "asinh_snr": np.ascontiguousarray(channels[:, 0], dtype=np.float16),
        "asinh_smoothed": np.ascontiguousarray(channels[:, 1], dtype=np.float16),
        "instances": np.stack([tile.instances for tile in tiles]).astype(np.int16),
        "islands": np.stack([tile.islands for tile in tiles]).astype(np.int16),
    }
    columns = {"labels": np.int64, "island_boxes": np.float32, "island_fluxes": np.float32, "island_instance": np.int64}
    for name, kind in columns.items():
        arrays[name] = np.concatenate([getattr(tile, name) for tile in tiles]).astype(kind)
    arrays["label_ends"] = np.cumsum([0, *(len(tile.labels) for tile in tiles)])
    arrays["island_ends"] = np.cumsum([0, *(len(tile.island_instance) for tile in tiles)])
    return arrays


def _channels(
    asinh_snr: NDArray[np.float16], asinh_smoothed: NDArray[np.float16], islands: NDArray[np.int16]
) -> NDArray[np.float16]:
    """The five channels (5, S, S) float16."""
    valid = asinh_snr.view(np.uint16) != _BLANK_BITS
    channels = np.empty((5, *asinh_snr.shape), dtype=np.float16)
    channels[1] = asinh_snr if valid.all() else np.where(valid, asinh_snr, np.float16(0))
    channels[0] = np.clip(significance_of_asinh(channels[1]), *SNR_CLIP) / np.float32(SNR_CLIP[1])
    channels[2] = asinh_smoothed
    bits = channels.view(np.uint16)
    np.multiply((islands > 0) & valid, np.uint16(_ONE_BITS), out=bits[3])
    np.multiply(valid, np.uint16(_ONE_BITS), out=bits[4])
    return channels


def shard_paths(directory: Path) -> list[Path]:
    """Shards of a folder in name order; files of other things have a word before the suffix.

    Raises
    ------
    InputError
        ``NoShards`` if there is none.
    """
    return FORMAT.paths(directory)


def read_tiles(directory: Path) -> list[PreparedTile]:
    """All tiles of the shards in a folder, in memory."""
    return [tile for path in shard_paths(directory) for tile in read_shard(path)]
