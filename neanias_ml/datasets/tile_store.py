"""`TileStore`: all tiles of a folder of shards as one sequence, read one by one from the mapped files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.array_files import FileStore
from neanias_ml.datasets.shards import Shard, shard_paths
from neanias_ml.datasets.tiles import PreparedTile

IntArray = NDArray[np.int64]


class TileStore(FileStore[PreparedTile]):
    """Tiles of the shards of a folder, in the order of the files; see `neanias_ml.datasets.array_files.FileStore`.

    Parameters
    ----------
    directory
        Folder with at least one shard.

    Attributes
    ----------
    labels
        (N,) class labels of each tile, known without reading it.
    fields
        Name of the sky field of each tile.

    Raises
    ------
    InputError
        ``NoShards`` or ``ShardDamaged``.
    """

    columns = ("labels", "fields")
    labels: list[IntArray]
    fields: list[str]

    def __init__(self, directory: Path) -> None:
        super().__init__(shard_paths(directory))

    @staticmethod
    def open_file(path: Path) -> Shard:
        """A shard."""
        return Shard(path)
