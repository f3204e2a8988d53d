"""The prepared data of a run: found, checked against its recipe, or made where that is possible.

A machine without astropy cannot simulate or extract, but it can train on data that were prepared elsewhere. What
prepares data is therefore imported where it can be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from neanias_ml.datasets.manifest import missing_files, read_manifest
from neanias_ml.errors import InputError, UsageError


def preparation_type() -> Any:
    """Type of the settings of a preparation: its dataclass, or a mapping where data cannot be prepared."""
    try:
        from neanias_ml.datasets.prepare import PreparationConfig
    except ModuleNotFoundError:
        return dict[str, Any]
    return PreparationConfig


def ensure_prepared(
    preparation: Any,
    data: Path | str,
    *,
    real_data: Path | str | None = None,
    workers: int = 1,
    alone: bool = True,
    quiet: bool = False,
) -> Path:
    """Prepare what is missing of the data of a run.

    Parameters
    ----------
    preparation
        An instance of `preparation_type`.
    data
        Folder of the data. Existing data of the same settings are used again.
    real_data
        Folder of the real sets; by default the one that ``NEANIAS_REAL_DATA`` names.
    workers
        Processes.
    alone
        Whether this is the only process: several would prepare the same files at once.
    quiet
        Print nothing.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UsageError
        ``PreparationUnavailable`` if data are missing and cannot be made here.
    InputError
        ``OtherData`` if the folder holds data of other settings; as `neanias_ml.datasets.prepare.prepare_data`.
    """
    folder = Path(data)
    if isinstance(preparation, Mapping):
        _require_complete(folder, lack="to prepare data needs astropy, which is not installed here")
        check_preparation(preparation, folder)
        return folder
    from neanias_ml.datasets.prepare import is_prepared, prepare_data
    from neanias_ml.models.classes import CLASS_LABELS

    if is_prepared(preparation, folder, class_labels=CLASS_LABELS):
        return folder
    if not alone:
        _require_complete(folder, lack="several processes cannot prepare data at once (run it first, --prepare-only)")
    prepare_data(
        preparation,
        folder,
        class_labels=CLASS_LABELS,
        real_data=real_data,
        workers=workers,
        progress=None if quiet else lambda line: print(line, flush=True),
    )
    return folder


def dev_preparation(preparation: Any) -> Any:
    """The same settings for a few simulated maps: enough of every kind of object to try a recipe out."""
    if isinstance(preparation, Mapping):
        return preparation
    return dataclasses.replace(
        preparation,
        train_fields=4,
        validation_fields=3,
        test_fields=3,
        field_sizes=(512,),
        tiles_per_field=4,
        real=(),
    )


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


def _require_complete(folder: Path, *, lack: str) -> None:
    missing = missing_files(folder)
    if missing:
        raise UsageError(
            "PreparationUnavailable",
            f"{folder} lacks {missing[0]}, and {lack}; name a whole folder of prepared data with --data",
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
