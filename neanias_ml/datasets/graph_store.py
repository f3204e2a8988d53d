"""Files of island graphs beside the shards of tiles, and `GraphStore`, which reads those of a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.array_files import ArrayFile, ArrayFormat
from neanias_ml.datasets.graph_bridges import Bridges
from neanias_ml.datasets.graphs import EVIDENCE, MAX_SEPARATION, NEIGHBOURS, GraphIslands, IslandGraph

GRAPH_SUFFIX = ".graphs.safetensors"
FORMAT = ArrayFormat(
    name="neanias_ml island graphs 2",
    note="graphs",
    suffix=GRAPH_SUFFIX,
    arrays=(
        *("islands", "evidence", "crops", "instance", "object_class", "island_ends"),
        *("pairs", "bridges", "pair_ends"),
    ),
    texts=("fields",),
    title="file of island graphs",
    content="island graphs",
    damaged="GraphsDamaged",
    missing="NoGraphs",
)


def graph_settings() -> dict[str, Any]:
    """How graphs are made, for the plan of a prepared folder (plain JSON values)."""
    return {
        "format": FORMAT.name,
        "neighbours": NEIGHBOURS,
        "max_separation_beams": MAX_SEPARATION,
        "evidence": list(EVIDENCE),
    }


def write_graphs(path: Path, graphs: Sequence[IslandGraph]) -> None:
    """Write the graphs of some fields; the file appears whole or not at all."""
    FORMAT.write(path, _packed(graphs), {"fields": [graph.field for graph in graphs]})


def read_graphs(path: Path) -> list[IslandGraph]:
    """The graphs of a file in the order in which they were written, after a check of its digest.

    Raises
    ------
    InputError
        ``GraphsDamaged`` if the file is not what was written.
    """
    file = ArrayFile(path, FORMAT)
    arrays = file.verified()
    return [_graph(arrays, row, field) for row, field in enumerate(file.texts["fields"])]


def graph_paths(directory: Path) -> list[Path]:
    """Files of graphs in a folder, in name order.

    Raises
    ------
    InputError
        ``NoGraphs`` if there is none.
    """
    return FORMAT.paths(directory)


class GraphStore(Sequence[IslandGraph]):
    """All graphs of a folder in the order of the files, in memory: some hundred kilobytes for each field.

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
    none = IslandGraph.empty()
    crops = [graph.crops for graph in graphs if len(graph)] or [none.crops]
    return {
        "islands": _matrix(islands),
        "evidence": np.concatenate([none.evidence, *(graph.evidence for graph in graphs)]),
        "crops": np.concatenate(crops),
        "instance": np.concatenate([none.instance, *(graph.instance for graph in graphs)]).astype(np.int32),
        "object_class": np.concatenate([none.object_class, *(graph.object_class for graph in graphs)]).astype(np.int8),
        "island_ends": np.cumsum([0, *(len(graph) for graph in graphs)]),
        "pairs": np.concatenate([none.pairs, *(graph.pairs for graph in graphs)]).astype(np.int32),
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
        evidence=arrays["evidence"][nodes],
        crops=arrays["crops"][nodes],
        instance=arrays["instance"][nodes].astype(np.int64),
        object_class=arrays["object_class"][nodes].astype(np.int64),
        field=field,
    )
