"""The bundles that are shipped with the project, and networks that a command may do without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neanias_ml.catalogue import ModelIdentity
from neanias_ml.cli.model_reference import model_folder_of

SHIPPED = Path(__file__).resolve().parents[2] / "models"
DETECTOR = SHIPPED / "island-rcnn-small"
ASSOCIATION = SHIPPED / "island-graph-small"
CATALOGUE_ASSOCIATION = SHIPPED / "island-graph-catalogue"
MORPHOLOGY = SHIPPED / "morphology-small"

NONE = "none"
"""Word on the command line for doing without a network."""


@dataclass(frozen=True)
class OptionalModel:
    """A network that a command uses where it has it.

    Attributes
    ----------
    folder
        Folder of its bundle, or None for doing without.
    warnings
        Why the command does without although nobody asked it to.
    """

    folder: Path | None
    warnings: tuple[str, ...] = ()


def optional_model(text: str, *, role: str, shipped: Path, tracking_uri: str | None) -> OptionalModel:
    """The network that an option means: a folder, a name in the registry, ``none``, or the shipped one if it is there.

    Parameters
    ----------
    text
        Value of the option.
    role
        Name of the option, for the warning.
    shipped
        The bundle that is its default.

    Raises
    ------
    ResourceError, InputError, ModelError
        As `neanias_ml.cli.model_reference.model_folder_of`.
    """
    if text == NONE:
        return OptionalModel(None)
    if Path(text) == shipped and not shipped.is_dir():
        return OptionalModel(
            None, (f"there is no {shipped.name} among the shipped models, so the run did without --{role}",)
        )
    return OptionalModel(model_folder_of(text, tracking_uri=tracking_uri))


def identity(role: str, text: str, digest: str) -> ModelIdentity:
    """A network as the manifest names it: by the last part of what was given."""
    return ModelIdentity(role, Path(text).name, digest)
