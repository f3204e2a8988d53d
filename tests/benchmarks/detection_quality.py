"""The shipped model against the classical rule on simulated fields that training has not seen, as Markdown.

    python -m tests.benchmarks.detection_quality --model models/island-rcnn-small --fields 60

The figures are those of ``neanias-ml evaluate`` (docs/evaluation.md), in the form of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse

from neanias_ml.assessment.config import TEST_SEED, AssessmentConfig
from neanias_ml.assessment.findings import Findings, measure
from neanias_ml.assessment.run import ModelChoice, assess


def class_table(findings: Findings) -> str:
    """Precision, recall and F1 by class of both methods."""
    lines = [
        "| class | true | precision | recall | F1 [95 %] | classical precision | recall | F1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, ours in findings.classes.items():
        rule = findings.classical[name]
        lines.append(
            f"| {name} | {ours.true} | {ours.precision.value:.3f} | {ours.recall.value:.3f} | {ours.f1} "
            f"| {rule.precision.value:.3f} | {rule.recall.value:.3f} | {rule.f1.value:.3f} |"
        )
    return "\n".join(lines)


def grouping_table(findings: Findings) -> str:
    """How islands are joined, beside the baselines."""
    lines = [
        "| association | exact set, objects of 2+ islands | exact set, all | pair F1 | singles kept |",
        "|---|---|---|---|---|",
    ]
    for name, report in findings.groupings.items():
        columns = ("exact_set_multi", "exact_set_all", "pair_f1", "singles_kept")
        lines.append(f"| {name} | {' | '.join(str(report.metrics[column]) for column in columns)} |")
    return "\n".join([*lines, f"\nbest linking length {findings.linking_length:.2f} beams"])


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/island-rcnn-small")
    parser.add_argument("--association", default="")
    parser.add_argument("--fields", type=int, default=60)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--first-seed", type=int, default=TEST_SEED)
    options = parser.parse_args()
    config = AssessmentConfig(fields=options.fields, size=options.size, seed=options.first_seed)
    scored, source = assess(config, ModelChoice(detector=options.model, association=options.association))
    findings = measure(scored)
    print(f"{source.description}\n", class_table(findings), grouping_table(findings), sep="\n")


if __name__ == "__main__":
    main()
