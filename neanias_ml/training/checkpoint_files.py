"""Checkpoint files: safetensors with the structure as JSON, a digest over every byte, replaced as a whole.

The layout is that of safetensors (https://huggingface.co/docs/safetensors): eight bytes with the length of a JSON
header, the header, the tensors. It is written here, one tensor at a time, so that no second copy of a large checkpoint
is made and errors of the disk arrive as such; it is read by the safetensors library.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from neanias_ml.errors import ModelError, ResourceError
from neanias_ml.output_files import PARTIAL_PREFIX
from neanias_ml.training.checkpoint_values import SAFETENSORS_CODES, flatten, raw_bytes, restored, unflatten

CHECKPOINT_SUFFIX = ".safetensors"
FORMAT = "neanias_ml training checkpoint"
VERSION = 1
DESCRIPTION_KEY = "neanias"
"""Key of a checkpoint whose value is kept apart, so that `read_description` finds it without the rest."""
MapLocation = Callable[[Any, str], Any] | torch.device | str | Mapping[str, str] | None

_OPENING = b'{"__metadata__":{"sha256":"'
_DIGEST_AT = 8 + len(_OPENING)
_NO_DIGEST = b"0" * 64
_MAX_HEADER = 100_000_000  # the safetensors library reads no longer ones
_CHUNK = 1 << 24
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PICKLE_SUFFIXES = {".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".bin"}


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint; an earlier one at the same place is replaced when the new one is safely on the disk.

    Parameters
    ----------
    checkpoint
        Values as `neanias_ml.training.checkpoint_values.flatten` takes them. Tensors that share memory are stored one
        by one. At most one tensor is copied at a time.
    path
        The file; its folder is made where missing.

    Raises
    ------
    ModelError
        ``CheckpointNotStorable``.
    ResourceError
        ``DiskFull``, ``CheckpointNotWritten``. What was there before is untouched, nothing else is left behind.
    """
    header, tensors = _header(checkpoint)
    staging = path.with_name(f"{PARTIAL_PREFIX}{path.name}")  # one name: what a killed process left is overwritten
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging.unlink(missing_ok=True)
        _write_staged(staging, header, tensors)
        staging.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            staging.unlink(missing_ok=True)


def read_checkpoint(path: Path, *, map_location: MapLocation = None) -> dict[str, Any]:
    """The checkpoint of a file, after all of its bytes were checked.

    Parameters
    ----------
    map_location
        Where tensors go: a device, a dict from the devices that they were on to others, or a function of storage and
        former device, as for `torch.load`; None for the CPU.

    Raises
    ------
    ModelError
        ``CheckpointMissing``, ``CheckpointDamaged``, ``CheckpointVersion``, or ``PickleRefused``.
    """
    metadata = verify_checkpoint(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:

            def tensor_of(reference: Mapping[str, Any]) -> Tensor:
                tensor = restored(file.get_tensor(reference["name"]), reference)
                return _moved(tensor, map_location, str(reference.get("device", "cpu")))

            checkpoint = unflatten(metadata["structure"], tensor_of)
            description = unflatten(metadata["description"], tensor_of)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"its content cannot be put together: {error}") from error
    if not isinstance(checkpoint, dict):
        raise _damaged(path, "it holds no dictionary")
    return checkpoint if description is None else {**checkpoint, DESCRIPTION_KEY: description}


def verify_checkpoint(path: Path) -> dict[str, str]:
    """Check every byte of a file against its digest; returns the metadata of its header.

    Raises
    ------
    ModelError
        As `read_checkpoint`.
    """
    with _opened(path) as stream:
        start = _read_header(stream, path)
        given = start[_DIGEST_AT : _DIGEST_AT + 64]
        digest = hashlib.sha256(start[:_DIGEST_AT] + _NO_DIGEST + start[_DIGEST_AT + 64 :])
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest().encode() != given:
        raise _damaged(path, "its sha256 differs from the one that was written with it")
    return _metadata(start, path)


def read_description(path: Path) -> Any:
    """What a checkpoint says of itself (its value at `DESCRIPTION_KEY`), None if nothing; only its header is read.

    Raises
    ------
    ModelError
        As `read_checkpoint`, as far as the header shows it.
    """
    with _opened(path) as stream:
        text = _metadata(_read_header(stream, path), path)["description"]
    try:
        return unflatten(text, lambda reference: torch.empty(0))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"its description cannot be read: {error}") from error


def checkpoints_in(folder: Path) -> list[Path]:
    """Files of a folder that carry the suffix of checkpoints, by name; unfinished ones are left out."""
    paths = sorted(folder.glob(f"*{CHECKPOINT_SUFFIX}"))
    return [path for path in paths if path.is_file() and not path.name.startswith(PARTIAL_PREFIX)]


def _header(checkpoint: Mapping[str, Any]) -> tuple[bytes, list[Tensor]]:
    """Length and header of the file, with zeros for the digest, and the tensors in their order in the file."""
    rest = {key: value for key, value in checkpoint.items() if key != DESCRIPTION_KEY}
    flat = flatten(rest)
    description = flatten(checkpoint.get(DESCRIPTION_KEY), name=DESCRIPTION_KEY, into=flat.tensors)
    metadata = {
        "sha256": _NO_DIGEST.decode(),
        "format": FORMAT,
        "version": str(VERSION),
        "description": description.structure,
        "structure": flat.structure,
    }
    entries: dict[str, Any] = {"__metadata__": metadata}
    # wide types come first, so that every tensor lies at a multiple of the size of its numbers
    order = sorted(flat.tensors, key=lambda name: -_stored_width(flat.tensors[name]))
    offset = 0
    for name in order:
        tensor = flat.tensors[name]
        end = offset + tensor.numel() * tensor.element_size()
        code = SAFETENSORS_CODES.get(tensor.dtype)
        shape = list(tensor.shape) if code else [end - offset]
        entries[name] = {"dtype": code or "U8", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    if len(text) > _MAX_HEADER:
        raise ModelError(
            "CheckpointNotStorable",
            f"the values of the checkpoint that are no tensors take {len(text) / 1e6:.0f} MB, more than "
            f"{_MAX_HEADER / 1e6:.0f} MB; keep long lists of numbers as tensors",
        )
    return len(text).to_bytes(8, "little") + text, [flat.tensors[name] for name in order]


def _stored_width(tensor: Tensor) -> int:
    return tensor.element_size() if tensor.dtype in SAFETENSORS_CODES else 1


def _write_staged(staging: Path, header: bytes, tensors: list[Tensor]) -> None:
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        digest = hashlib.sha256(header)
        _write_all(descriptor, memoryview(header))
        for tensor in tensors:
            view = raw_bytes(tensor)
            digest.update(view)
            _write_all(descriptor, view)
        os.lseek(descriptor, _DIGEST_AT, os.SEEK_SET)
        _write_all(descriptor, memoryview(digest.hexdigest().encode()))
        os.fsync(descriptor)  # delayed errors of the disk surface here
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, view: memoryview) -> None:
    while len(view):
        view = view[os.write(descriptor, view[:_CHUNK]) :]


def _sync_folder(folder: Path) -> None:
    """Make the new name durable; network file systems that cannot do that keep the file nonetheless."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise ModelError(
            "CheckpointMissing", f"there is no checkpoint {path}; name one that exists, or start the run without one"
        ) from error
    except OSError as error:
        raise _damaged(path, f"it cannot be read: {error.strerror}") from error


def _read_header(stream: IO[bytes], path: Path) -> bytes:
    """Length and header; files of other kinds are refused by their first bytes."""
    start = stream.read(_DIGEST_AT)
    if start[8:] != _OPENING:
        if start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] <= b"\x05") or path.suffix in _PICKLE_SUFFIXES:
            raise ModelError(
                "PickleRefused",
                f"{path} is a pickle, which can run any code when it is opened, and is not loaded; give a checkpoint "
                "that this program wrote (last.safetensors in the checkpoints folder of a run)",
            )
        raise _damaged(path, "it is no checkpoint of this program, or its beginning is lost")
    length = int.from_bytes(start[:8], "little")
    rest = stream.read(length - len(_OPENING)) if len(_OPENING) + 64 < length <= _MAX_HEADER else b""
    if len(start) + len(rest) != 8 + length:
        raise _damaged(path, "it is truncated")
    return start + rest


def _metadata(start: bytes, path: Path) -> dict[str, str]:
    try:
        metadata: dict[str, str] = json.loads(start[8:])["__metadata__"]
        version = int(metadata["version"])
        known = metadata["format"] == FORMAT and isinstance(metadata["structure"] + metadata["description"], str)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"its header cannot be read: {error}") from error
    if not known:
        raise _damaged(path, "it is no checkpoint of this program")
    if version != VERSION:
        raise ModelError(
            "CheckpointVersion",
            f"{path} has version {version} of the format, this program reads {VERSION}; go on with the version of "
            "neanias_ml that wrote it",
        )
    return metadata


def _moved(tensor: Tensor, location: MapLocation, former: str) -> Tensor:
    if location is None:
        return tensor
    if isinstance(location, Mapping):
        return tensor.to(location.get(former, former))
    if not callable(location):
        return tensor.to(location)
    storage = location(tensor.untyped_storage(), former)
    if storage is None:
        return tensor
    return torch.empty(0, dtype=tensor.dtype, device=storage.device).set_(storage, 0, tensor.shape, tensor.stride())


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(
        "CheckpointDamaged",
        f"the checkpoint {path} cannot be used: {reason}; copy it once more, go on from another checkpoint of the "
        "run, or start it anew",
    )


def _not_written(path: Path, error: OSError) -> ResourceError:
    held = [other.name for other in checkpoints_in(path.parent)]
    rest = f"{', '.join(held)} of before {'is' if len(held) == 1 else 'are'} untouched" if held else "there is none yet"
    if error.errno in _DISK_FULL:
        return ResourceError(
            "DiskFull",
            f"no room is left for the checkpoint {path} ({error.strerror}); {rest}: free some, or raise the quota or "
            "file size limit, and go on with --resume",
        )
    return ResourceError(
        "CheckpointNotWritten",
        f"the checkpoint {path} could not be written ({error.strerror or error}); {rest}: mend the folder or its "
        "permissions and go on with --resume",
    )
