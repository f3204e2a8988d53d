"""`TileStore`: all tiles of a folder of shards as one sequence, read one by one from the mapped files."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.shards import Shard, shard_paths
from neanias_ml.datasets.tiles import PreparedTile

IntArray = NDArray[np.int64]
OPEN_SHARDS = 256
"""Most shards that are mapped at a time, below the usual limit of 1024 open files of a process."""


class TileStore(Sequence[PreparedTile]):
    """Tiles of the shards of a folder, in the order of the files.

    Holds tables of classes and fields, and no pixels: those stay in the system's page cache, which all loader
    processes of a machine share. May be sent to other processes; each opens the files for itself.

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

    def __init__(self, directory: Path) -> None:
        self.paths = shard_paths(directory)
        self.labels: list[IntArray] = []
        self.fields: list[str] = []
        self._places: list[tuple[int, int]] = []
        for number, path in enumerate(self.paths):
            shard = Shard(path)
            self._places += [(number, row) for row in range(len(shard))]
            self.labels += shard.labels
            self.fields += shard.fields
        self._open: OrderedDict[int, Shard] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        number, row = self._places[index]
        return self._shard(number)[row]

    def every(self, step: int) -> TileStore:
        """Evenly spaced tiles of the store, as a store."""
        part = copy.copy(self)
        part.labels, part.fields = self.labels[::step], self.fields[::step]
        part._places, part._open = self._places[::step], OrderedDict()
        return part

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def _shard(self, number: int) -> Shard:
        shard = self._open.get(number)
        if shard is None:
            shard = self._open[number] = Shard(self.paths[number])
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        return shard
