"""`neanias-ml match`: two catalogues matched, with the statistics of their agreement."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from jsonargparse import ArgumentParser

from neanias_ml.catalogue import RunRecord
from neanias_ml.catalogue.crossmatch import MatchConfig, match_catalogues
from neanias_ml.catalogue.crossmatch_chance import chance_matches
from neanias_ml.catalogue.crossmatch_files import require_match_room, write_match
from neanias_ml.catalogue.crossmatch_summary import summary, summary_lines
from neanias_ml.catalogue.reading_sources import CatalogueColumns, read_sources
from neanias_ml.cli.options import parse_options, require_output, silent_libraries, verb_parser
from neanias_ml.cli.progress import ProgressLine
from neanias_ml.cli.report import configuration
from neanias_ml.errors import UsageError


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("match", description="Match two catalogues one-to-one and measure how well they agree.")
    parser.add_argument("cat_a", type=str, help="catalogue A: of any finder, or the folder of a run")
    parser.add_argument("cat_b", type=str, help="catalogue B, the reference; ratios are B over A, offsets B minus A")
    parser.add_argument("-o", "--output", type=str, help="folder for the results (required)")
    parser.add_argument("--match", type=MatchConfig, default=MatchConfig())
    parser.add_argument("--a", type=CatalogueColumns, default=CatalogueColumns())
    parser.add_argument("--b", type=CatalogueColumns, default=CatalogueColumns())
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    started, clock = datetime.now(UTC), time.perf_counter()
    parser = build_parser()
    options = parse_options(parser, arguments)
    output = Path(require_output(options))
    if options.seed < 0:
        raise UsageError("Seed", f"--seed must be at least 0, not {options.seed}")
    paths = (Path(options.cat_a), Path(options.cat_b))
    settings = parser.instantiate(options)
    config: MatchConfig = settings.match
    require_match_room(output, inputs=paths, overwrite=options.overwrite)
    progress = ProgressLine(quiet=options.quiet)
    with silent_libraries():
        progress("catalogues read", 0, 1)
        a, b = read_sources(paths[0], columns=settings.a), read_sources(paths[1], columns=settings.b)
        progress("catalogues read", 1, 1)
        timings = {"reading": time.perf_counter() - clock}
        matched = match_catalogues(a, b, config=config)
        chance = None
        if config.by == "position" and config.trials:
            chance = chance_matches(a, b, config=config, rule=matched.rule, seed=options.seed)
        content = summary(a, b, matched, chance, config=config)
        timings["match"] = time.perf_counter() - clock - timings["reading"]
        run = RunRecord(
            command=("neanias-ml", "match", *arguments),
            configuration=configuration(options),
            timings=timings,
            seed=options.seed,
            started=started,
            warnings=(*a.notes, *b.notes),
        )
        write_match(output, a=a, b=b, matched=matched, chance=chance, content=content, config=config, run=run)
    if not options.quiet:
        print("\n".join([*summary_lines(content), *(f"note: {note}" for note in run.warnings)]))
        print(f"look first at:\n  picture    {output / 'match.png'}\n  pairs      {output / 'matches.ecsv'}")
