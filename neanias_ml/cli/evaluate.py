"""`neanias-ml evaluate`: how good the networks are on maps of known content."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from neanias_ml.assessment.config import ALL, TEST_SEED, AssessmentConfig
from neanias_ml.cli.model_reference import model_folder_of
from neanias_ml.cli.options import instantiated, parse_options, require_output, silent_libraries, verb_parser
from neanias_ml.cli.progress import ProgressLine
from neanias_ml.cli.shipped_models import ASSOCIATION, DETECTOR, optional_model
from neanias_ml.datasets.field_names import SIMULATED
from neanias_ml.datasets.labels.statistics import table_lines
from neanias_ml.datasets.manifest import SPLITS
from neanias_ml.datasets.real import REAL_SETS
from neanias_ml.errors import UsageError
from neanias_ml.evaluation.report import Metric
from neanias_ml.extraction import FinderConfig
from neanias_ml.output_files import require_room
from neanias_ml.simulation.surveys import SURVEYS


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("evaluate", description="Measure how good the networks are on maps of known content.")
    # "resolve": the seed of this verb says which fields there are
    maps = parser.add_argument_group("maps", conflict_handler="resolve")
    maps.add_argument("-o", "--output", type=str, help="folder for the results (required)")
    maps.add_argument(
        "--set",
        type=str,
        default=SIMULATED,
        help=f"{SIMULATED}, {', '.join(REAL_SETS)}, or labels of your own: COCO, CAESAR sidecars, DS9, simulated",
    )
    maps.add_argument(
        "--split",
        choices=(*SPLITS, ALL),
        default=None,
        help="part of a labelled set (default: test of a known set, all of your own labels)",
    )
    maps.add_argument(
        "--real-data", type=str, default=None, help="folder of the real sets (default: NEANIAS_REAL_DATA)"
    )
    maps.add_argument(
        "--exhaustive",
        action="store_true",
        help="your own labels name all emission: islands without a label are spurious, not unknown",
    )
    maps.add_argument("--fields", type=int, default=30, help="number of simulated fields")
    maps.add_argument(
        "--seed", type=int, default=TEST_SEED, help="seed of the first simulated field, then one more for each"
    )
    maps.add_argument("--size", type=int, default=512, help="side of a simulated field, pixels")
    maps.add_argument("--survey", choices=tuple(SURVEYS), default=None, help="simulated fields like those of a survey")
    parser.add_argument(
        "--model", type=str, default=str(DETECTOR), help="detector: folder of a bundle, or models:/NAME@ALIAS"
    )
    parser.add_argument(
        "--association",
        type=str,
        default=str(ASSOCIATION),
        help="network that groups islands: folder, models:/NAME@ALIAS, or none: masks of the detector join them",
    )
    parser.add_argument(
        "--association-threshold", type=float, default=None, help="as in detect (default: the model's own)"
    )
    parser.add_argument("--tracking-uri", type=str, default=None, help="MLflow server or database of models:/ names")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, or a GPU such as cuda:0")
    parser.add_argument("--workers", type=int, default=1, help="processes; the figures do not depend on their number")
    parser.add_argument("--finder", type=FinderConfig, default=FinderConfig())
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    parser = build_parser()
    options = parse_options(parser, arguments)
    output = Path(require_output(options))
    config = assessment_of(parser, options)
    if options.workers < 1:
        raise UsageError("Workers", f"--workers must be at least 1, not {options.workers}")
    from neanias_ml.assessment.output import OUTPUT_FILES, write_assessment

    require_room(output, names=OUTPUT_FILES, overwrite=options.overwrite)
    progress = ProgressLine(quiet=options.quiet)
    with silent_libraries():
        from neanias_ml.assessment.findings import measure
        from neanias_ml.assessment.run import ModelChoice, assess, open_model
        from neanias_ml.cli.detect import choose_device

        grouping = optional_model(
            options.association, role="association", shipped=ASSOCIATION, tracking_uri=options.tracking_uri
        )
        choice = ModelChoice(
            detector=str(model_folder_of(options.model, tracking_uri=options.tracking_uri)),
            association="" if grouping.folder is None else str(grouping.folder),
            association_threshold=options.association_threshold,
            device=choose_device(options.device),
        )
        opened = open_model(choice)  # also where other processes load it again: a bad model is told at once
        detect = choice if options.workers > 1 else opened.detect
        scored, source = assess(config, detect, workers=options.workers, progress=progress)
        progress("metrics", 0, 1)
        findings = measure(scored)
        progress("metrics", 1, 1)
        report = write_assessment(
            output,
            findings,
            scored,
            source,
            model_name=Path(options.model).name,
            digests=opened.digests,
            details=_details(options, config, warnings=grouping.warnings),
        )
    if not options.quiet:
        for warning in grouping.warnings:
            print(f"warning: {warning}")
        print(source.description)
        print("\n".join(_summary(report.metrics)))
        print(f"written: {output / 'report.html'} and {len(OUTPUT_FILES) - 1} more files")


def assessment_of(parser: ArgumentParser, options: Namespace) -> AssessmentConfig:
    """The configuration that the options describe.

    Raises
    ------
    UsageError
        ``SimulatedOnly`` if an option of simulated fields is given beside another set, and what the configuration says.
    """
    plain = {name: parser.get_default(name) for name in ("fields", "size", "survey")}
    useless = [f"--{name}" for name, default in plain.items() if getattr(options, name) != default]
    if options.set != SIMULATED and useless:
        raise UsageError(
            "SimulatedOnly", f"{', '.join(useless)} describe simulated fields, not {options.set}; leave that out"
        )
    return AssessmentConfig(
        labelled_set=options.set,
        split=options.split,
        real_data=options.real_data,
        exhaustive=options.exhaustive,
        fields=options.fields,
        seed=options.seed,
        size=options.size,
        survey=options.survey or "",
        finder=instantiated(parser, options).finder,
    )


def _details(options: Namespace, config: AssessmentConfig, *, warnings: tuple[str, ...]) -> dict[str, object]:
    """What the report says of the run."""
    from neanias_ml import __version__

    return {
        "software": f"neanias_ml {__version__}",
        "set": options.set,
        "seed": config.seed,
        "finder": dataclasses.asdict(config.finder),
        "warnings": list(warnings),
    }


def _summary(metrics: Mapping[str, Metric]) -> list[str]:
    """The chief figures as a table."""
    rows = [["figure", "value", "95 % interval"]]
    for name in HEADLINES:
        if (one := metrics.get(name)) is not None:
            interval = "" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"
            rows.append([name, f"{one.value:.3f}", interval])
    return table_lines(rows)


HEADLINES = (
    "f1_all", "f1_spurious", "f1_compact", "f1_extended", "f1_extended-multisland", "f1_flagged",
    "completeness_extended_or_multisland", "exact_set_multi", "pair_f1", "singles_kept", "spurious_rejected",
    "caesar_completeness", "caesar_reliability",
)  # fmt: skip
"""Figures that are printed; the files have all."""
