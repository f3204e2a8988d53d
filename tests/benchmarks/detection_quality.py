"""A model against the classical rule on simulated fields that training has not seen.

    python -m tests.benchmarks.detection_quality --model models/island-rcnn-small --fields 60

Whole maps go through extraction, network and association, as in ``neanias-ml detect``; predicted instances are the
catalogue's objects with the union of their islands as mask. They are matched one-to-one within each class at mask
IoU 0.5. The classical rule is what the extraction alone can say: every island an object, compact or extended by
its flux. Objects of the catalogue that lie mostly on true sources or sidelobes below 5 sigma, lifted over the threshold
by noise, count neither as hit nor as false (they have no true mask). Intervals are 95 % bootstraps over fields.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neanias_ml.evaluation import (
    ClassCounts,
    FieldPair,
    Instances,
    bootstrap_interval,
    count_by_class,
    exact_set_fraction,
    pair_scores,
    stack_groupings,
)
from neanias_ml.extraction import Extraction, SourceFinder
from neanias_ml.inference.detector import ObjectDetector
from neanias_ml.models.bundle import load_bundle
from neanias_ml.models.classes import CLASS_LABELS, CLASS_NAMES
from neanias_ml.simulation import random_config
from neanias_ml.simulation.sky import SimulatedSky, simulate_sky

TEST_SEED = 9_000_000
"""First seed of the test fields: skies of their own, drawn apart from those of any training."""
IOU = 0.5
MAX_FAINT = 0.5


@dataclass(frozen=True)
class FieldResult:
    """Instances of one field, and the object of each island in truth and in both groupings."""

    network: FieldPair
    classical: FieldPair
    true_groups: NDArray[np.int64]
    network_groups: NDArray[np.int64]


def true_instances(sky: SimulatedSky) -> Instances:
    """The visible objects and artefacts of a field."""
    objects = sky.truth.objects.select(sky.truth.objects.visible)
    labels = [CLASS_LABELS[name] for name in objects.class_name]
    return Instances.from_label_map(sky.truth.object_labels, ids=objects.object_id, labels=labels)


def classical_instances(extraction: Extraction) -> Instances:
    """Every island an object, compact or extended."""
    table = extraction.islands.table
    labels = [CLASS_LABELS[kind] for kind in table.kind]
    return Instances.from_label_map(extraction.islands.labels, ids=table.island_id, labels=labels)


def without_faint(predicted: Instances, sky: SimulatedSky) -> Instances:
    """The instances of which no more than half lies on objects that are too faint for a true mask."""
    faint = (sky.truth.faint_labels.ravel() > 0).astype(np.float32)
    return predicted.select(predicted.membership @ faint <= MAX_FAINT * predicted.areas)


def true_object_of_islands(extraction: Extraction, sky: SimulatedSky) -> NDArray[np.int64]:
    """Object that owns most pixels of each found island; an id of its own for an island of noise."""
    inside = extraction.islands.labels > 0
    found, true = extraction.islands.labels[inside], sky.truth.object_labels[inside]
    owner = np.zeros(len(extraction.islands), dtype=np.int64)
    for row in range(len(owner)):
        ids, counts = np.unique(true[found == row + 1], return_counts=True)
        real = ids > 0
        owner[row] = ids[real][counts[real].argmax()] if real.any() else -row - 1
    return owner


def run_field(seed: int, *, size: int, detector: ObjectDetector) -> FieldResult:
    """Simulate, detect and compare one field."""
    sky = simulate_sky(random_config(np.random.default_rng(seed), size=size), seed=seed)
    extraction = SourceFinder()(sky.radio_map)
    catalogue = detector(extraction)
    objects = catalogue.objects
    lookup = np.concatenate([[0], catalogue.island_object_ids])
    predicted = Instances.from_label_map(
        lookup[extraction.islands.labels],
        ids=objects.object_id,
        labels=[CLASS_LABELS[name] for name in objects.class_name],
    )
    true = true_instances(sky)
    return FieldResult(
        network=FieldPair.of(true, without_faint(predicted, sky)),
        classical=FieldPair.of(true, without_faint(classical_instances(extraction), sky)),
        true_groups=true_object_of_islands(extraction, sky),
        network_groups=catalogue.island_object_ids,
    )


def table(results: list[FieldResult]) -> str:
    """Markdown: precision, recall and F1 per class of both methods."""
    network = count_by_class([r.network for r in results], n_classes=len(CLASS_NAMES), iou_threshold=IOU)
    classical = count_by_class([r.classical for r in results], n_classes=len(CLASS_NAMES), iou_threshold=IOU)
    lines = [
        "| class | true | precision | recall | F1 [95 %] | classical precision | recall | F1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ours, rule = network.total(), classical.total()
    for index, name in enumerate(CLASS_NAMES):
        lines.append(
            f"| {name} | {ours.true[index]} | {ours.precision[index]:.3f} | {ours.recall[index]:.3f} "
            f"| {f1_interval(network, index)} | {rule.precision[index]:.3f} | {rule.recall[index]:.3f} "
            f"| {rule.f1[index]:.3f} |"
        )
    return "\n".join(lines)


def f1_interval(counts: ClassCounts, index: int) -> str:
    """F1 of one class with its bootstrap interval over fields."""

    def f1(hits: NDArray[np.int64], true: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
        return float(2 * hits.sum() / max((true + predicted).sum(), 1))

    return str(bootstrap_interval(f1, counts.hits[:, index], counts.true[:, index], counts.predicted[:, index]))


def grouping_table(results: list[FieldResult]) -> str:
    """Markdown: how islands are joined, beside no association at all."""
    true = stack_groupings([r.true_groups for r in results])
    ours = stack_groupings([r.network_groups for r in results])
    alone = np.arange(len(true))
    lines = ["| association | exact set, objects of 2+ islands | exact set, all | pair F1 |", "|---|---|---|---|"]
    for name, groups in (("none", alone), ("masks of the network", ours)):
        lines.append(
            f"| {name} | {exact_set_fraction(true, groups):.3f} "
            f"| {exact_set_fraction(true, groups, min_islands=1):.3f} | {pair_scores(true, groups).f1:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/island-rcnn-small"))
    parser.add_argument("--fields", type=int, default=60)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--first-seed", type=int, default=TEST_SEED)
    options = parser.parse_args()
    detector = ObjectDetector(load_bundle(options.model))
    seeds = range(options.first_seed, options.first_seed + options.fields)
    results = [run_field(seed, size=options.size, detector=detector) for seed in seeds]
    print(f"{options.fields} fields of {options.size} x {options.size}, seeds from {options.first_seed}\n")
    print(table(results), "\n", grouping_table(results), sep="\n")


if __name__ == "__main__":
    main()
