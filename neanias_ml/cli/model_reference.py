"""Models named on the command line: a folder, or a name in the registry."""

from __future__ import annotations

from pathlib import Path

from neanias_ml.registry.references import is_reference


def model_folder_of(text: str, *, tracking_uri: str | None) -> Path:
    """Folder of the bundle that is meant; ``models:/...`` is looked up in the registry.

    Raises
    ------
    ResourceError, InputError, ModelError
        As `neanias_ml.registry.model_folder`.
    """
    if not is_reference(text):
        return Path(text)
    from neanias_ml.registry import model_folder

    return model_folder(text, tracking_uri=tracking_uri)
