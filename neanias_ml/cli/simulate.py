"""`neanias-ml simulate`: labelled maps for training and tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from neanias_ml.cli.options import parse_options, require_output, silent_libraries, verb_parser
from neanias_ml.cli.progress import ProgressLine
from neanias_ml.errors import UsageError
from neanias_ml.simulation.config import SkyConfig, random_config
from neanias_ml.simulation.field_folder import require_room
from neanias_ml.simulation.files import field_files, write_simulation
from neanias_ml.simulation.sky import simulate_sky

SET_WITH_VARY = ("size", "right_ascension")
"""Options of ``--sky`` that ``--vary`` leaves as they are; it draws all others."""


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("simulate", description="Make radio maps with known sources and artefacts.")
    # "resolve": the seed of this verb replaces that of all verbs, whose help names another file
    fields = parser.add_argument_group("fields", conflict_handler="resolve")
    fields.add_argument("-o", "--output", type=str, help="folder for the fields (required)")
    fields.add_argument("--fields", type=int, default=1, help="number of fields; several get one folder each")
    fields.add_argument(
        "--seed", type=int, default=0, help="seed of the first field, then one more for each; kept in truth.json"
    )
    fields.add_argument(
        "--vary",
        action="store_true",
        help="draw beam, telescope, declination, noise, densities and errors anew for every field: "
        "all of --sky but size and right_ascension",
    )
    fields.add_argument("--truth-maps", action="store_true", help="write the true noise, model and artefact maps too")
    parser.add_argument("--sky", type=SkyConfig, default=SkyConfig())
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    parser = build_parser()
    options = parse_options(parser, arguments)
    output = Path(require_output(options))
    config: SkyConfig = parser.instantiate(options).sky
    _require_sensible(options, config)
    names = ["."] if options.fields == 1 else [f"field_{index:04d}" for index in range(options.fields)]
    for name in names:
        require_room(output / name, names=field_files(), overwrite=options.overwrite)
    progress = ProgressLine(quiet=options.quiet)
    with silent_libraries():
        for index, name in enumerate(names):
            progress("fields", index, len(names))
            field = _varied(config, options.seed + index) if options.vary else config
            sky = simulate_sky(field, seed=options.seed + index)
            write_simulation(sky, output / name, truth_maps=options.truth_maps)
        progress("fields", len(names), len(names))
    if not options.quiet:
        print(f"{len(names)} field(s) with truth in {output}")


def _require_sensible(options: Namespace, config: SkyConfig) -> None:
    """Refuse numbers out of range, and settings that ``--vary`` would draw anew."""
    if options.fields < 1:
        raise UsageError("Fields", f"--fields must be at least 1, not {options.fields}")
    if options.seed < 0:
        raise UsageError("Seed", f"--seed must be at least 0, not {options.seed}")
    if not options.vary:
        return
    plain = SkyConfig()
    lost = [
        f"--sky.{field.name}"
        for field in dataclasses.fields(SkyConfig)
        if field.name not in SET_WITH_VARY and getattr(config, field.name) != getattr(plain, field.name)
    ]
    if lost:
        raise UsageError(
            "VaryAndSky",
            f"--vary draws {', '.join(lost)} anew for every field, so what is set would be lost; leave that out or "
            f"leave out --vary, which goes together with --sky.{' and --sky.'.join(SET_WITH_VARY)} only",
        )


def _varied(config: SkyConfig, seed: int) -> SkyConfig:
    """A random field: of ``config`` it keeps what `SET_WITH_VARY` names, everything else is drawn."""
    drawn = random_config(np.random.default_rng(seed), size=config.size)
    return dataclasses.replace(drawn, right_ascension=config.right_ascension)
