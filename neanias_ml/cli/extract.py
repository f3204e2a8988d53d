"""`neanias-ml extract`: islands and components of a map, without the network."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from neanias_ml.cli.map_options import add_extraction_options, add_map_options, add_result_options
from neanias_ml.cli.map_run import MapRun
from neanias_ml.cli.options import silent_libraries, verb_parser


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("extract", description="Find the islands and components of a radio map.")
    add_map_options(parser)
    add_result_options(parser)
    add_extraction_options(parser)
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    run = MapRun("extract", parser=build_parser(), arguments=arguments)
    with silent_libraries():
        run.write(run.extract())
