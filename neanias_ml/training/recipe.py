"""The whole recipe of the detector: simulate and prepare data where they are missing, then train to a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jsonargparse import ArgumentParser, set_parsing_settings
from lightning.pytorch.loggers import Logger

from neanias_ml.datasets.prepare import PreparationConfig, is_prepared, prepare_data
from neanias_ml.errors import UsageError
from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.training.fit import FitConfig, FittedDetector, train_detector


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe:
    """Data, network and training of a detector."""

    name: str = "island-rcnn"
    """name in the model card"""
    preparation: PreparationConfig = field(default_factory=PreparationConfig)
    """simulated data"""
    model: IslandRCNNConfig = field(default_factory=IslandRCNNConfig)
    """network"""
    fit: FitConfig = field(default_factory=lambda: FitConfig(max_minutes=60.0))
    """training"""


def run_recipe(
    recipe: DetectorRecipe,
    output: Path | str,
    *,
    data: Path | str | None = None,
    prepare_workers: int = 1,
    prepare_only: bool = False,
    resume: bool = False,
    loggers: Sequence[Logger] = (),
) -> FittedDetector | None:
    """Prepare what is missing and train.

    Parameters
    ----------
    output
        Folder of the run.
    data
        Folder of the prepared data; ``output/data`` by default. Existing data of the same settings are used again.
    prepare_workers
        Processes of the preparation.
    prepare_only
        Stop when the data are there.
    resume
        Go on from the last checkpoint.
    loggers
        Further loggers of Lightning.
    """
    folder = Path(output)
    data_folder = Path(data) if data is not None else folder / "data"
    if recipe.model.box_reference != recipe.preparation.pixels_per_beam:
        raise UsageError(
            "BeamReference",
            f"model.box_reference ({recipe.model.box_reference:g}) must equal preparation.pixels_per_beam "
            f"({recipe.preparation.pixels_per_beam:g}): both are the beam in pixels",
        )
    if not is_prepared(recipe.preparation, data_folder, class_labels=CLASS_LABELS):
        prepare_data(
            recipe.preparation,
            data_folder,
            class_labels=CLASS_LABELS,
            workers=prepare_workers,
            progress=lambda line: print(line, flush=True),
        )
    if prepare_only:
        return None
    return train_detector(
        data_folder, folder, model=recipe.model, fit=recipe.fit, resume=resume, loggers=loggers, name=recipe.name
    )


def recipe_parser() -> ArgumentParser:
    """Options of the recipe: ``--config FILE`` and an override for every value of `DetectorRecipe`."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog="island_rcnn", description="Train the detector on simulated fields.")
    parser.add_argument("--config", action="config", help="YAML file of the recipe; later options override it")
    parser.add_argument("-o", "--output", type=str, required=True, help="folder of the run")
    parser.add_argument("--data", type=str, default=None, help="folder of the prepared data (default: OUTPUT/data)")
    parser.add_argument("--prepare-workers", type=int, default=1, help="processes of the preparation")
    parser.add_argument("--prepare-only", action="store_true", help="stop when the data are prepared")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the folder")
    parser.add_class_arguments(DetectorRecipe)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe from a command line."""
    parser = recipe_parser()
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    values = parser.instantiate(options)
    recipe = DetectorRecipe(name=values.name, preparation=values.preparation, model=values.model, fit=values.fit)
    Path(options.output).mkdir(parents=True, exist_ok=True)
    run_recipe(
        recipe,
        options.output,
        data=options.data,
        prepare_workers=options.prepare_workers,
        prepare_only=options.prepare_only,
        resume=options.resume,
    )
