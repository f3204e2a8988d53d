"""`neanias-ml extract`: islands and components of a map, without the network."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

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


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("extract", description="Find the islands and components of a radio map.")
    add_map_options(parser)
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
        extraction = finder(radio_map, progress=progress)
        run = RunRecord(
            command=("neanias-ml", "extract", *arguments),
            configuration=configuration(parser, options),
            timings=finder.timings,
            seed=options.seed,
            started=started,
        )
        progress("catalogue and pictures", 0, 1)
        files = write_catalogue(
            output,
            extraction=extraction,
            catalogue=None,
            run=run,
            overwrite=options.overwrite,
            save_maps=options.save_maps,
            parquet=options.parquet,
        )
        progress("catalogue and pictures", 1, 1)
    if not options.quiet:
        print_summary(extraction, None, files, stream=sys.stdout)
