"""`neanias-ml detect`: classified objects of a map, the main job."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from jsonargparse import ArgumentParser

from neanias_ml.catalogue import OutputDirectory, RunRecord, write_catalogue
from neanias_ml.cli.options import (
    add_map_options,
    add_result_options,
    open_map,
    require_output,
    silent_libraries,
    verb_parser,
)
from neanias_ml.cli.progress import ProgressLine
from neanias_ml.cli.report import configuration, print_summary
from neanias_ml.extraction import FinderConfig, SourceFinder

DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "models" / "island-rcnn-small"
"""The bundle that is shipped with the project."""


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("detect", description="Find, group and classify the sources of a radio map.")
    add_map_options(parser)
    parser.add_argument("--model", type=str, default=str(DEFAULT_MODEL), help="folder of a model bundle")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, or a GPU such as cuda:0")
    parser.add_argument(
        "--association-threshold",
        type=float,
        default=None,
        help="least probability with which islands are joined into one object (default: the model's own)",
    )
    add_result_options(parser)
    parser.add_argument("--finder", type=FinderConfig, default=FinderConfig())
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    started = datetime.now(UTC)
    parser = build_parser()
    options = parser.parse_args(arguments)
    output = require_output(options)
    OutputDirectory(output, overwrite=options.overwrite)  # refuse before the work, not after it
    finder = SourceFinder(parser.instantiate(options).finder)
    progress = ProgressLine(quiet=options.quiet)
    with silent_libraries():
        radio_map = open_map(options)
        from neanias_ml.inference.detector import ObjectDetector
        from neanias_ml.models.bundle import load_bundle

        bundle = load_bundle(options.model, device=_device(options.device))
        detector = ObjectDetector(bundle, association_threshold=options.association_threshold)
        extraction = finder(radio_map, progress=progress)
        catalogue = detector(extraction, progress=progress)
        run = RunRecord(
            command=("neanias-ml", "detect", *arguments),
            configuration=configuration(parser, options),
            timings={**finder.timings, **detector.timings},
            model_name=Path(options.model).name,
            model_digest=bundle.digest,
            seed=options.seed,
            started=started,
            warnings=detector.warnings(),
        )
        progress("catalogue and pictures", 0, 1)
        files = write_catalogue(
            output,
            extraction=extraction,
            catalogue=catalogue,
            run=run,
            overwrite=options.overwrite,
            save_maps=options.save_maps,
            parquet=options.parquet,
        )
        progress("catalogue and pictures", 1, 1)
    if not options.quiet:
        print_summary(extraction, catalogue, files, stream=sys.stdout)


def _device(name: str) -> str:
    """The device of an option: a GPU where there is one and ``auto`` is asked."""
    import torch

    from neanias_ml.errors import UsageError

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError("Device", f"--device {name} cannot be used here; choose auto or cpu") from error
    return name
