"""The whole recipe of the detector: simulate and prepare data where they are missing, then train to a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jsonargparse import ArgumentParser
from lightning.pytorch.loggers import Logger

from neanias_ml.datasets.prepare import PreparationConfig, is_prepared, prepare_data
from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.training.fit import FittedDetector, require_beam_reference, train_detector
from neanias_ml.training.recipe import TrainingRecipe, instantiated, run_parser
from neanias_ml.training.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe(TrainingRecipe):
    """Data, network and training of a detector."""

    preparation: PreparationConfig = field(default_factory=PreparationConfig)
    """simulated data"""


def run_recipe(
    recipe: DetectorRecipe,
    output: Path | str,
    *,
    data: Path | str | None = None,
    real_data: Path | str | None = None,
    prepare_workers: int = 1,
    prepare_only: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    loggers: Sequence[Logger] = (),
) -> FittedDetector | None:
    """Prepare what is missing and train.

    Parameters
    ----------
    output
        Folder of the run.
    data
        Folder of the prepared data; ``output/data`` by default. Existing data of the same settings are used again.
    real_data
        Folder of the real sets; by default the one that ``NEANIAS_REAL_DATA`` names.
    prepare_workers
        Processes of the preparation.
    prepare_only
        Stop when the data are there.
    resume
        Go on from the last checkpoint.
    overwrite
        Replace bundle and checkpoints of another run in ``output``.
    loggers
        Further loggers of Lightning.

    Raises
    ------
    UsageError
        If the folder holds another run, or network and data disagree on the beam.
    InputError
        If the data were prepared with other settings, or there is nothing to resume.
    """
    folder = Path(output)
    data_folder = Path(data) if data is not None else folder / "data"
    require_beam_reference(recipe.model, pixels_per_beam=recipe.preparation.pixels_per_beam)
    if not prepare_only:
        RunFolder(folder).require_usable(resume=resume, overwrite=overwrite)
    if not is_prepared(recipe.preparation, data_folder, class_labels=CLASS_LABELS):
        prepare_data(
            recipe.preparation,
            data_folder,
            class_labels=CLASS_LABELS,
            real_data=real_data,
            workers=prepare_workers,
            progress=lambda line: print(line, flush=True),
        )
    if prepare_only:
        return None
    return train_detector(
        data_folder,
        folder,
        model=recipe.model,
        fit=recipe.fit,
        resume=resume,
        overwrite=overwrite,
        loggers=loggers,
        name=recipe.name,
    )


def recipe_parser() -> ArgumentParser:
    """Options of the whole recipe."""
    return run_parser(DetectorRecipe)


def simulate_and_train(words: list[str]) -> None:
    """Run the whole recipe with the options of a command line."""
    parser = recipe_parser()
    options = parser.parse_args(words)
    values = instantiated(parser, options)
    recipe = DetectorRecipe(name=values.name, preparation=values.preparation, model=values.model, fit=values.fit)
    run_recipe(
        recipe,
        options.output,
        data=options.data,
        real_data=options.real_data,
        prepare_workers=options.prepare_workers,
        prepare_only=options.prepare_only,
        resume=options.resume,
        overwrite=options.overwrite,
    )
