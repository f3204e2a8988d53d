"""`neanias-ml simulate`: labelled maps for training and tests, and pictures of what can be simulated."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from neanias_ml.cli.options import parse_options, require_output, silent_libraries, verb_parser
from neanias_ml.cli.progress import ProgressLine
from neanias_ml.errors import UsageError
from neanias_ml.output_files import require_room
from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.files import field_files, write_simulation
from neanias_ml.simulation.random_config import random_config
from neanias_ml.simulation.sky import simulate_sky
from neanias_ml.simulation.surveys import SURVEYS, survey_config

SET_WITH_VARY = ("size", "right_ascension")
"""Options of ``--sky`` that ``--vary`` and ``--survey`` leave as they are; they draw all others."""


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
    fields.add_argument(
        "--survey",
        choices=tuple(SURVEYS),
        default=None,
        help="draw every field as this survey's maps are: its beam, pixels, frequency, noise, array and source counts",
    )
    fields.add_argument(
        "--gallery",
        action="store_true",
        help="draw pictures of every kind of source, every imaging fault and some fields, with true outlines, "
        "instead of fields",
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
    progress = ProgressLine(quiet=options.quiet)
    if options.gallery:
        _write_gallery(output, options, progress)
        return
    names = ["."] if options.fields == 1 else [f"field_{index:04d}" for index in range(options.fields)]
    for name in names:
        require_room(output / name, names=field_files(), overwrite=options.overwrite)
    with silent_libraries():
        for index, name in enumerate(names):
            progress("fields", index, len(names))
            field = _drawn(config, options, seed=options.seed + index)
            sky = simulate_sky(field, seed=options.seed + index)
            write_simulation(sky, output / name, truth_maps=options.truth_maps)
        progress("fields", len(names), len(names))
    if not options.quiet:
        print(f"{len(names)} field(s) with truth in {output}")


def _write_gallery(output: Path, options: Namespace, progress: ProgressLine) -> None:
    """The pictures, and where they are."""
    from neanias_ml.models.class_styles import STYLES
    from neanias_ml.simulation.gallery.pages import gallery_files, write_gallery

    require_room(output, names=gallery_files(), overwrite=options.overwrite)
    with silent_libraries():
        paths = write_gallery(output, looks=STYLES, seed=options.seed, progress=progress)
    if not options.quiet:
        print("\n".join(str(path) for path in paths))


def _require_sensible(options: Namespace, config: SkyConfig) -> None:
    """Refuse numbers out of range, and settings that would be drawn anew."""
    if options.fields < 1:
        raise UsageError("Fields", f"--fields must be at least 1, not {options.fields}")
    if options.seed < 0:
        raise UsageError("Seed", f"--seed must be at least 0, not {options.seed}")
    if options.gallery:
        _require_plain(options, config)
    if options.vary and options.survey:
        raise UsageError("VaryAndSurvey", "--vary draws fields of any kind, --survey those of one survey; choose one")
    drawing = "--vary" if options.vary else "--survey"
    lost = [name for name in _changed(config) if name not in SET_WITH_VARY]
    if lost and (options.vary or options.survey):
        raise UsageError(
            "VaryAndSky",
            f"{drawing} draws {_named(lost)} anew for every field, so what is set would be lost; leave that out or "
            f"leave out {drawing}, which goes together with {_named(SET_WITH_VARY, ' and ')} only",
        )


def _require_plain(options: Namespace, config: SkyConfig) -> None:
    """Refuse what has no effect beside ``--gallery``."""
    chosen = {
        "--vary": options.vary,
        "--survey": options.survey,
        "--fields": options.fields != 1,
        "--truth-maps": options.truth_maps,
        **{f"--sky.{name}": True for name in _changed(config)},
    }
    useless = [name for name, given in chosen.items() if given]
    if useless:
        raise UsageError(
            "GalleryAlone", f"--gallery draws fields of its own, so {', '.join(useless)} would be lost; leave that out"
        )


def _changed(config: SkyConfig) -> list[str]:
    """Options of ``--sky`` that differ from their defaults."""
    plain, chosen = _options(dataclasses.asdict(SkyConfig())), _options(dataclasses.asdict(config))
    return [name for name in chosen if chosen[name] != plain[name]]


def _named(names: Sequence[str], joint: str = ", ") -> str:
    return joint.join(f"--sky.{name}" for name in names)


def _options(values: dict[str, Any]) -> dict[str, Any]:
    """Options of a configuration by dotted name, those of its parts (``population.``, ``imaging.``) included."""
    options: dict[str, Any] = {}
    for name, value in values.items():
        parts = _options(value) if isinstance(value, dict) else {}
        options |= {f"{name}.{part}": inner for part, inner in parts.items()} or {name: value}
    return options


def _drawn(config: SkyConfig, options: Namespace, *, seed: int) -> SkyConfig:
    """The field that the options ask for; a random one keeps of ``config`` what `SET_WITH_VARY` names."""
    rng = np.random.default_rng(seed)
    if options.survey:
        drawn = survey_config(options.survey, rng, size=config.size)
    elif options.vary:
        drawn = random_config(rng, size=config.size)
    else:
        return config
    return dataclasses.replace(drawn, right_ascension=config.right_ascension)
