"""`neanias-ml simulate`: labelled maps for training and tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser

from neanias_ml.cli.options import require_output, silent_libraries, verb_parser
from neanias_ml.cli.progress import ProgressLine
from neanias_ml.errors import UsageError
from neanias_ml.simulation.config import SkyConfig, random_config
from neanias_ml.simulation.files import write_simulation
from neanias_ml.simulation.sky import simulate_sky


def build_parser() -> ArgumentParser:
    """The options of the verb."""
    parser = verb_parser("simulate", description="Make radio maps with known sources and artefacts.")
    parser.add_argument("-o", "--output", type=str, help="folder for the fields (required)")
    parser.add_argument("--fields", type=int, default=1, help="number of fields; several get one folder each")
    parser.add_argument(
        "--vary", action="store_true", help="draw beam, telescope, noise, densities and errors anew for every field"
    )
    parser.add_argument("--truth-maps", action="store_true", help="write the true noise, model and artefact maps too")
    parser.add_argument("--sky", type=SkyConfig, default=SkyConfig())
    return parser


def main(arguments: list[str]) -> None:
    """Run the verb."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    output = Path(require_output(options))
    if options.fields < 1:
        raise UsageError("Fields", f"--fields must be at least 1, not {options.fields}")
    names = ["."] if options.fields == 1 else [f"field_{index:04d}" for index in range(options.fields)]
    held = [output / name for name in names if (output / name / "truth.json").exists()]
    if held and not options.overwrite:
        raise UsageError(
            "OutputExists", f"{held[0]} holds a simulated field; choose another folder or pass --overwrite"
        )
    config = parser.instantiate(options).sky
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


def _varied(config: SkyConfig, seed: int) -> SkyConfig:
    """A random field of the configured size and position on the sky."""
    drawn = random_config(np.random.default_rng(seed), size=config.size)
    return dataclasses.replace(drawn, right_ascension=config.right_ascension)
