"""The recipe of the detector as a command: data, network and training from one YAML file, up to a bundle.

A machine without astropy cannot simulate or extract, but it can train: on data that were prepared elsewhere. What
prepares data is therefore in `neanias_ml.training.simulated`, which is imported where it can be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, set_parsing_settings

from neanias_ml.datasets.manifest import MANIFEST_FILE, SPLITS, read_manifest
from neanias_ml.errors import InputError, NeaniasError, UsageError
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.training.fit import train_detector
from neanias_ml.training.fit_config import FitConfig

PROGRAM = "island_rcnn"


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """Network and training of a detector."""

    name: str = "island-rcnn"
    """name in the model card"""
    model: IslandRCNNConfig = field(default_factory=IslandRCNNConfig)
    """network"""
    fit: FitConfig = field(default_factory=lambda: FitConfig(max_minutes=60.0))
    """training"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from a command line and return its exit code.

    0 done, 2 wrong usage, 3 bad input, 4 resource trouble, 5 model trouble.
    """
    try:
        run(list(sys.argv[1:] if arguments is None else arguments))
    except NeaniasError as error:
        print(f"{PROGRAM}: {error.message} [{error.qualified_code}]", file=sys.stderr)
        return error.exit_code
    return 0


def run(words: list[str]) -> None:
    """Simulate, prepare and train; where what that needs is not installed, train on the data that ``--data`` names.

    Raises
    ------
    UsageError
        ``PreparationUnavailable`` if data are missing and cannot be made here.
    """
    try:
        from neanias_ml.training.simulated import simulate_and_train
    except ModuleNotFoundError as error:
        _require_prepared(_data_option(words), absent=error.name or "astropy")
        train_on_prepared(words)
    else:
        simulate_and_train(words)


def train_on_prepared(words: list[str]) -> None:
    """Train on the folder of ``--data``; what the options say of the preparation must agree with it."""
    parser = run_parser(TrainingRecipe)
    parser.add_argument("--preparation", type=dict[str, Any], default={}, help="how the data were prepared")
    options = parser.parse_args(words)
    check_preparation(options.preparation, options.data)
    recipe = instantiated(parser, options)
    if not options.prepare_only:
        train_detector(
            options.data,
            options.output,
            model=recipe.model,
            fit=recipe.fit,
            resume=options.resume,
            overwrite=options.overwrite,
            name=recipe.name,
        )


def run_parser(kind: type[TrainingRecipe]) -> ArgumentParser:
    """Options of a run: ``--config FILE`` and an override for every value of a recipe."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s --config FILE -o FOLDER [options]",
        description="Train the detector on simulated fields.",
    )
    parser.add_argument("--config", action="config", help="YAML file of the recipe; later options override it")
    parser.add_argument("-o", "--output", type=str, required=True, help="folder of the run")
    parser.add_argument("--data", type=str, default=None, help="folder of the prepared data (default: OUTPUT/data)")
    parser.add_argument(
        "--real-data", type=str, default=None, help="folder of the real sets that the preparation names "
        "(default: the environment variable NEANIAS_REAL_DATA)"
    )
    parser.add_argument("--prepare-workers", type=int, default=1, help="processes of the preparation")
    parser.add_argument("--prepare-only", action="store_true", help="stop when the data are prepared")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the folder")
    parser.add_argument("--overwrite", action="store_true", help="replace bundle and checkpoints of another run")
    parser.add_class_arguments(kind)
    return parser


def instantiated(parser: ArgumentParser, options: Any) -> Any:
    """The options with their groups as dataclasses.

    Raises
    ------
    UsageError
        ``Recipe`` if a value is outside its range.
    """
    try:
        return parser.instantiate(options)
    except (TypeError, ValueError) as error:
        raise UsageError("Recipe", f"a value of the recipe cannot be used: {' '.join(str(error).split())}") from error


def missing_files(data: Path | str) -> list[str]:
    """What a folder lacks to be complete prepared data: the manifest, or shards that it lists."""
    folder = Path(data)
    if not (folder / MANIFEST_FILE).is_file():
        return [MANIFEST_FILE]
    splits = read_manifest(folder)["splits"]
    names = [f"{split}/{shard}" for split in SPLITS for shard in splits[split]["shards"]]
    return [name for name in names if not (folder / name).is_file()]


def check_preparation(given: Mapping[str, Any], data: Path | str) -> None:
    """Make sure that prepared data were made with the settings that a recipe states.

    Raises
    ------
    InputError
        ``OtherData`` with the first setting that differs.
    """
    stored = _flat(read_manifest(data)["configuration"])
    for name, value in _flat(given).items():
        if name not in stored or stored[name] != value:
            held = f"{stored[name]} there" if name in stored else "no setting of theirs"
            raise InputError(
                "OtherData",
                f"{data} holds data prepared with other settings (preparation.{name} is {value} here and {held}); "
                "name another folder with --data",
            )


def _require_prepared(data: str | None, *, absent: str) -> None:
    missing = missing_files(data) if data is not None else []
    if data is None or missing:
        lack = f"{data} lacks {missing[0]}" if missing else "no prepared data are named with --data FOLDER"
        raise UsageError(
            "PreparationUnavailable",
            f"{lack}, and to prepare data needs {absent}, which is not installed here; copy a whole folder of prepared "
            "data, or install all dependencies of neanias_ml",
        )


def _flat(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, prefix=f"{prefix}{name}.")
        else:
            # overrides of single settings arrive as text
            flat[prefix + name] = yaml.safe_load(value) if isinstance(value, str) else value
    return flat


def _data_option(words: list[str]) -> str | None:
    """The value of ``--data``, found before it is known which other options there are."""
    scout = argparse.ArgumentParser(prog=PROGRAM, add_help=False, allow_abbrev=False)
    scout.add_argument("--data")
    data: str | None = scout.parse_known_args(words)[0].data
    return data
