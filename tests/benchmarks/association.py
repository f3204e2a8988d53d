"""The graph networks on held-out maps: by source, by decoder, and by signal to noise, beside linking lengths.

    python -m tests.benchmarks.association --data DATA

``DATA`` is a folder that was prepared with ``configs/train/association_small.yaml``; its test maps are scored, and
those of validation where a source has few. The linking length is the best one on the very maps that are scored, which
is generous to it; thresholds of the decoders are chosen on the validation maps.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from neanias_ml.datasets.field_names import CROWDED_SUFFIX, source_of_field
from neanias_ml.datasets.graph_store import GraphStore
from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.models.association.bundle import GraphBundle, load_graph_bundle
from neanias_ml.models.association.grouping import graph_outputs, groups_of
from neanias_ml.training.association.baselines import best_linking_length, linked
from neanias_ml.training.association.scores import GroupedField, total_metric

IntArray = NDArray[np.int64]
Groups = Sequence[IntArray]
METRICS = ("exact_set_multi", "exact_set_f1", "pair_f1", "singles_kept")
SNR_EDGES = (5.0, 7.0, 10.0, 15.0, 25.0, 50.0, np.inf)
COMPONENT_THRESHOLDS = np.arange(0.1, 0.95, 0.05)


def groups_by(bundle: GraphBundle, graphs: Sequence[IslandGraph]) -> list[IntArray]:
    """Objects of the islands of each graph as a network groups them."""
    return [
        groups_of(len(g), g.pairs, np.asarray(graph_outputs(bundle.model, g).pairs), settings=bundle.settings)
        for g in graphs
    ]


def components(bundle: GraphBundle, graphs: Sequence[IslandGraph], *, threshold: float) -> list[IntArray]:
    """The same by connected components of the pairs above a probability."""
    limit = float(np.log(threshold / (1.0 - threshold))) * bundle.settings.temperature
    result = []
    for graph in graphs:
        ends = graph.pairs[np.asarray(graph_outputs(bundle.model, graph).pairs) > limit]
        links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(graph), len(graph)))
        result.append(connected_components(links, directed=False)[1].astype(np.int64))
    return result


def fields(graphs: Sequence[IslandGraph], groups: Groups) -> list[GroupedField]:
    """Groups beside the truth."""
    return [GroupedField.of(graph, found) for graph, found in zip(graphs, groups, strict=True)]


def row(name: str, graphs: Sequence[IslandGraph], groups: Groups) -> str:
    """A row of markdown with all metrics."""
    scored = fields(graphs, groups)
    return f"| {name} | " + " | ".join(f"{total_metric(metric, scored):.3f}" for metric in METRICS) + " |"


def by_linking(graphs: Sequence[IslandGraph]) -> tuple[str, list[IntArray]]:
    """The best linking length on some maps, in words, and what it joins."""
    length = best_linking_length(graphs)
    return f"linking length, {length:.1f} beams", [linked(graph, length=length) for graph in graphs]


def source_tables(
    test: Sequence[IslandGraph], validation: Sequence[IslandGraph], bundles: dict[str, GraphBundle]
) -> str:
    """A table for each source of maps."""
    of = source_of_field
    sets = {
        "simulated": [g for g in test if of(g.field) == "simulated"],
        "simulated, crowded": [g for g in test if g.field.endswith(CROWDED_SUFFIX)],
        "radiogalaxynet": [g for g in test if of(g.field) == "radiogalaxynet"],
        "mirabest, with validation": [g for g in [*validation, *test] if of(g.field) == "mirabest"],
    }
    lines = []
    for name, graphs in sets.items():
        objects = sum(graph.n_grouped for graph in graphs)
        lines += [f"\n{name}: {len(graphs)} maps, {objects} objects of several islands\n"]
        lines += ["| grouping | " + " | ".join(METRICS) + " |", "|---" * (len(METRICS) + 1) + "|"]
        linking, joined = by_linking(graphs)
        lines += [row(linking, graphs, joined)]
        lines += [row(kind, graphs, groups_by(bundle, graphs)) for kind, bundle in bundles.items()]
    return "\n".join(lines)


def decoder_table(test: Sequence[IslandGraph], validation: Sequence[IslandGraph], bundle: GraphBundle) -> str:
    """Correlation clustering against connected components."""
    scores = [
        total_metric("exact_set_f1", fields(validation, components(bundle, validation, threshold=float(threshold))))
        for threshold in COMPONENT_THRESHOLDS
    ]
    threshold = float(COMPONENT_THRESHOLDS[int(np.argmax(scores))])
    lines = ["| decoder, all test maps | " + " | ".join(METRICS) + " |", "|---" * (len(METRICS) + 1) + "|"]
    lines += [row("correlation clustering", test, groups_by(bundle, test))]
    lines += [row(f"connected components above {threshold:.2f}", test, components(bundle, test, threshold=threshold))]
    return "\n".join(lines)


def snr_table(graphs: Sequence[IslandGraph], bundle: GraphBundle) -> str:
    """Exact sets of simulated objects of several islands by the signal to noise of their faintest island."""
    found, joined = groups_by(bundle, graphs), by_linking(graphs)[1]
    rows = []
    for graph, groups, chain in zip(graphs, found, joined, strict=True):
        for number in np.unique(graph.instance[graph.instance > 0]):
            own = graph.instance == number
            if own.sum() >= 2:
                exact = [np.array_equal(groups_ == groups_[own][0], own) for groups_ in (groups, chain)]
                rows.append((graph.islands.peak_snr[own].min(), *exact))
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    lines = ["| S/N of the faintest island | objects | network | linking length |", "|---|---|---|---|"]
    for low, high in pairwise(SNR_EDGES):
        part = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        if len(part):
            lines.append(f"| {low:g} to {high:g} | {len(part)} | {part[:, 1].mean():.2f} | {part[:, 2].mean():.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--map-network", type=Path, default=Path("models/island-graph-small"))
    parser.add_argument("--catalogue-network", type=Path, default=Path("models/island-graph-catalogue"))
    options = parser.parse_args()
    validation, test = (list(GraphStore(options.data / split)) for split in ("validation", "test"))
    bundles = {
        "network, map": load_graph_bundle(options.map_network),
        "network, catalogue": load_graph_bundle(options.catalogue_network),
    }
    simulated = [graph for graph in test if source_of_field(graph.field) == "simulated"]
    print(source_tables(test, validation, bundles))
    print("\n" + decoder_table(test, validation, bundles["network, map"]))
    print("\n" + snr_table(simulated, bundles["network, map"]))


if __name__ == "__main__":
    main()
