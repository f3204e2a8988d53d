"""Checkpoints of a run: how Lightning stores them, which one to go on from, and whether it fits the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import CheckpointIO

from neanias_ml.errors import InputError, ModelError, UsageError
from neanias_ml.training.checkpoint_files import (
    CHECKPOINT_SUFFIX,
    MapLocation,
    checkpoints_in,
    read_checkpoint,
    read_description,
    verify_checkpoint,
    write_checkpoint,
)

LAST_CHECKPOINT = f"last{CHECKPOINT_SUFFIX}"
BEST_CHECKPOINT = f"best{CHECKPOINT_SUFFIX}"


class SafeCheckpointIO(CheckpointIO):
    """Lightning's checkpoints as safetensors files without pickle, for ``Trainer(plugins=[SafeCheckpointIO()])``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint, all or nothing; see `write_checkpoint`.

        Raises
        ------
        ModelError
            ``CheckpointNotStorable``.
        ResourceError
            ``DiskFull``, ``CheckpointNotWritten``.
        UsageError
            ``CheckpointPlace`` for an address instead of a path, ``StorageOptions`` if any are given.
        """
        if storage_options is not None:
            raise UsageError("StorageOptions", "checkpoints are files and know no storage_options; leave them out")
        write_checkpoint(checkpoint, _local(path))

    def load_checkpoint(
        self, path: str | Path, map_location: MapLocation = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint of a file, checked; see `read_checkpoint`.

        Parameters
        ----------
        weights_only
            Changes nothing: there is never any code in these files.

        Raises
        ------
        ModelError
            ``CheckpointMissing``, ``CheckpointDamaged``, ``CheckpointVersion``, or ``PickleRefused``.
        """
        return read_checkpoint(_local(path), map_location=map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint file, if it is there."""
        _local(path).unlink(missing_ok=True)


def newest_checkpoint(folder: Path | str) -> Path | None:
    """The checkpoint that a run goes on from: ``last.safetensors``, else the one with the most steps; None if none.

    It is not checked whether it is whole; `require_checkpoint` does.
    """
    held = checkpoints_in(Path(folder))
    return max(held, key=lambda path: (path.name == LAST_CHECKPOINT, _steps_of(path)), default=None)


def require_checkpoint(folder: Path | str) -> Path:
    """The checkpoint that a run goes on from, whole.

    Raises
    ------
    InputError
        ``NoCheckpoint`` if there is none.
    ModelError
        ``CheckpointDamaged``, ``CheckpointVersion`` or ``PickleRefused``; whole ones beside it are named. None of them
        is taken unasked, because they are older.
    """
    newest = newest_checkpoint(folder)
    if newest is None:
        raise InputError("NoCheckpoint", f"there is no checkpoint in {folder} to resume from; start without --resume")
    try:
        verify_checkpoint(newest)
    except ModelError as error:
        others = [path for path in checkpoints_in(Path(folder)) if path != newest and _is_whole(path)]
        if not others:
            raise
        other = max(others, key=_steps_of)
        steps = f" (step {_steps_of(other)})" if _steps_of(other) >= 0 else ""
        raise ModelError(
            error.code, f"{error.message}; {other}{steps} is whole: remove {newest.name} and --resume goes on from it"
        ) from error
    return newest


def checkpoint_description(*, network: str, architecture: Mapping[str, Any], step: int) -> dict[str, Any]:
    """What a checkpoint says of itself, for ``checkpoint["neanias"]``.

    Parameters
    ----------
    network
        Kind of network, for example ``island-rcnn``.
    architecture
        Its settings, JSON values.
    step
        Optimizer steps done.
    """
    settings = json.loads(json.dumps(architecture))
    text = json.dumps(settings, sort_keys=True)
    return {
        "network": network,
        "architecture": settings,
        "architecture_digest": hashlib.sha256(text.encode()).hexdigest(),
        "step": step,
    }


def check_architecture(
    description: Mapping[str, Any] | None, expected: Mapping[str, Any], *, where: Path | str = "the checkpoint"
) -> None:
    """Make sure that a checkpoint is one of the network that is to be trained.

    Parameters
    ----------
    description
        What the checkpoint says of itself: `read_description`, or ``checkpoint.get("neanias")``.
    expected
        `checkpoint_description` of the network that is to be trained.
    where
        Its file, for the error.

    Raises
    ------
    ModelError
        ``CheckpointMismatch`` with the first settings that differ.
    """
    if not isinstance(description, Mapping) or not isinstance(description.get("architecture"), Mapping):
        raise ModelError(
            "CheckpointMismatch",
            f"{where} does not say which network it is of; give a checkpoint that training of this program left",
        )
    if description.get("network") != expected["network"]:
        raise ModelError(
            "CheckpointMismatch",
            f"{where} is of the network {description.get('network')}, not {expected['network']}; give a checkpoint of "
            "the latter, or train with the recipe of the former",
        )
    there, here = (dict(_settings(one["architecture"])) for one in (description, expected))
    absent = object()
    differing = [name for name in here | there if here.get(name, absent) != there.get(name, absent)]
    if not differing:
        return
    shown = "; ".join(
        f"{name} is {there.get(name, 'not set')} in the checkpoint, {here.get(name, 'not set')} in the recipe"
        for name in differing[:3]
    )
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    raise ModelError(
        "CheckpointMismatch",
        f"{where} is of another architecture: {shown}{more}; set them in the recipe as the checkpoint has them, or "
        "start a new run in another folder",
    )


def _settings(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested settings."""
    if isinstance(value, Mapping) and (value or not name):
        for key, item in value.items():
            yield from _settings(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _steps_of(path: Path) -> int:
    """Steps that the header of a checkpoint names; -1 if it names none or cannot be read."""
    try:
        step = read_description(path)["step"]
    except (ModelError, KeyError, TypeError):
        return -1
    return step if isinstance(step, int) else -1


def _is_whole(path: Path) -> bool:
    try:
        verify_checkpoint(path)
    except ModelError:
        return False
    return True


def _local(path: str | Path) -> Path:
    if "://" in str(path):
        raise UsageError("CheckpointPlace", f"{path} is no path of a file; keep checkpoints in a mounted folder")
    return Path(path)
