"""Tracking of runs and the registry of models, both on MLflow: ``models:/NAME@ALIAS`` to a verified bundle folder."""

from __future__ import annotations

from pathlib import Path

__all__ = ["model_folder"]


def model_folder(reference: str, *, tracking_uri: str | None = None, cache: Path | str | None = None) -> Path:
    """Folder of the verified model bundle that a reference stands for.

    Parameters
    ----------
    reference
        ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
    tracking_uri
        Where the registry is; see `neanias_ml.registry.location.tracking_uri`.
    cache
        Folder of the models that were fetched before; see `neanias_ml.registry.cache.cache_folder`.

    Returns
    -------
    Path
        A folder of the cache, not to be changed; it also serves when the registry cannot be reached.

    Raises
    ------
    UsageError, InputError, ResourceError, ModelError
        As `neanias_ml.registry.model_registry.ModelRegistry.pull`.

    Examples
    --------
    ``model_folder("models:/island-rcnn@champion")``
    """
    from neanias_ml.registry.model_registry import ModelRegistry

    return ModelRegistry(tracking_uri, cache=cache).pull(reference)
