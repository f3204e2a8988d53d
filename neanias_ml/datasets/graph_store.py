"""Files of island graphs beside the shards of tiles, and `GraphStore`, which reads those of a folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from neanias_ml.datasets.graph_bridges import Bridges
from neanias_ml.datasets.graphs import MAX_SEPARATION, NEIGHBOURS, GraphIslands, IslandGraph
from neanias_ml.errors import InputError

GRAPH_SUFFIX = ".graphs.safetensors"
FORMAT = "neanias_ml island graphs 1"
_NOTE = "graphs"
"""The one entry of the file's metadata: safetensors writes several in any order, and equal data make equal files."""
_ARRAYS = ("islands", "instance", "island_ends", "pairs", "bridges", "pair_ends")


def graph_settings() -> dict[str, Any]:
    """How graphs are made, for the plan of a prepared folder (plain JSON values)."""
    return {"format": FORMAT, "neighbours": NEIGHBOURS, "max_separation_beams": MAX_SEPARATION}


def write_graphs(path: Path, graphs: Sequence[IslandGraph]) -> None:
    """Write the graphs of some fields; the file appears whole or not at all."""
    arrays, fields = _packed(graphs), [graph.field for graph in graphs]
    note = json.dumps({"format": FORMAT, "fields": fields, "sha256": _digest(arrays, fields)})
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.part")
    try:
        save_file(arrays, staging, metadata={_NOTE: note})
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def read_graphs(path: Path) -> list[IslandGraph]:
    """The graphs of a file in the order in which they were written, after a check of its digest.

    Raises
    ------
    InputError
        ``GraphsDamaged`` if the file is not what was written.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            note = json.loads((file.metadata() or {}).get(_NOTE, "{}"))
            if note.get("format") != FORMAT:
                raise ValueError(f"its format is {note.get('format', 'not stated')}, not {FORMAT}")
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        if _digest(arrays, note["fields"]) != note["sha256"]:
            raise ValueError("its content is not what was written")
        return [_graph(arrays, row, field) for row, field in enumerate(note["fields"])]
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            "GraphsDamaged",
            f"{path} is not a readable file of island graphs ({error}); delete it with its shard and prepare again",
        ) from error


def graph_paths(directory: Path) -> list[Path]:
    """Files of graphs in a folder, in name order.

    Raises
    ------
    InputError
        ``NoGraphs`` if there is none.
    """
    paths = sorted(path for path in directory.glob(f"*{GRAPH_SUFFIX}") if not path.name.startswith("."))
    if not paths:
        raise InputError("NoGraphs", f"{directory} holds no island graphs (*{GRAPH_SUFFIX}); prepare the data again")
    return paths


class GraphStore(Sequence[IslandGraph]):
    """All graphs of a folder in the order of the files, in memory: some ten kilobytes for each field.

    Parameters
    ----------
    directory
        Folder with at least one file of graphs.

    Raises
    ------
    InputError
        ``NoGraphs`` or ``GraphsDamaged``.
    """

    def __init__(self, directory: Path) -> None:
        self._graphs = [graph for path in graph_paths(directory) for graph in read_graphs(path)]

    def __len__(self) -> int:
        return len(self._graphs)

    def __getitem__(self, index: Any) -> Any:
        return self._graphs[index]


def _packed(graphs: Sequence[IslandGraph]) -> dict[str, NDArray[Any]]:
    """Tables of all graphs joined, with (G + 1,) ends."""
    islands = GraphIslands.joined([GraphIslands.empty(), *(graph.islands for graph in graphs)])
    bridges = Bridges.joined([Bridges.empty(), *(graph.bridges for graph in graphs)])
    pairs = [np.empty((0, 2), dtype=np.int64), *(graph.pairs for graph in graphs)]
    instance = [np.empty(0, dtype=np.int64), *(graph.instance for graph in graphs)]
    return {
        "islands": _matrix(islands),
        "instance": np.concatenate(instance).astype(np.int32),
        "island_ends": np.cumsum([0, *(len(graph) for graph in graphs)]),
        "pairs": np.concatenate(pairs).astype(np.int32),
        "bridges": _matrix(bridges),
        "pair_ends": np.cumsum([0, *(len(graph.pairs) for graph in graphs)]),
    }


def _matrix(table: GraphIslands | Bridges) -> NDArray[np.float32]:
    """Columns of a table side by side."""
    columns = [getattr(table, field.name) for field in dataclasses.fields(table)]
    return np.stack(columns, axis=1).astype(np.float32)


def _graph(arrays: Mapping[str, NDArray[Any]], row: int, field: str) -> IslandGraph:
    nodes = slice(int(arrays["island_ends"][row]), int(arrays["island_ends"][row + 1]))
    edges = slice(int(arrays["pair_ends"][row]), int(arrays["pair_ends"][row + 1]))
    return IslandGraph(
        islands=GraphIslands(*arrays["islands"][nodes].T.astype(np.float64)),
        pairs=arrays["pairs"][edges].astype(np.int64),
        bridges=Bridges(*arrays["bridges"][edges].T.astype(np.float64)),
        instance=arrays["instance"][nodes].astype(np.int64),
        field=field,
    )


def _digest(arrays: Mapping[str, NDArray[Any]], fields: Sequence[str]) -> str:
    """SHA-256 of names, shapes, types and bytes of all arrays, and of the fields' names."""
    total = hashlib.sha256(json.dumps(list(fields)).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()
