"""A prepared folder of toy fields, without simulation."""

import json

import pytest

from neanias_ml.datasets.graph_store import GRAPH_SUFFIX, graph_settings, write_graphs
from neanias_ml.datasets.manifest import SPLITS
from tests.training.association.toy import toy_field

COUNTS = {"train": 160, "validation": 60, "test": 60}


@pytest.fixture(scope="session")
def graph_folder(tmp_path_factory):
    """Toy fields in two files a split, with a manifest."""
    folder = tmp_path_factory.mktemp("graphs")
    splits = {}
    for number, split in enumerate(SPLITS):
        graphs = [toy_field(10_000 * number + seed) for seed in range(COUNTS[split])]
        half = len(graphs) // 2
        for name, part in (("simulated-0000", graphs[:half]), ("simulated-0001", graphs[half:])):
            write_graphs(folder / split / (name + GRAPH_SUFFIX), part)
        splits[split] = {
            "fields": len(graphs),
            "sources": {"simulated": {"maps": len(graphs)}},
            "grouped": sum(graph.n_grouped for graph in graphs),
            "pairs": sum(len(graph.pairs) for graph in graphs),
            "shards": {},
            "graphs": {f"simulated-000{part}{GRAPH_SUFFIX}": "" for part in (0, 1)},
        }
    configuration = {"finder": {"seed_threshold": 5.0}}
    document = {
        "configuration": configuration, "graphs": graph_settings(), "splits": splits, "digest": "0" * 64
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder
