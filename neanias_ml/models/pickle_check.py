"""A look at the bytes of a bundle's files: what is called safetensors must be safetensors, and nothing a pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

from neanias_ml.errors import ModelError
from neanias_ml.models.bundle_folder import PICKLE_SUFFIXES

SAFETENSORS = ".safetensors"
_PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


def require_no_pickle(folder: Path | str) -> None:
    """Refuse a bundle folder that holds a pickle under whatever name; no file is unpickled for it.

    The digests of a bundle tell that its files are those that somebody wrote, not what they are.

    Raises
    ------
    ModelError
        ``PickleRefused`` for a pickle or a file called like one, ``WeightsDamaged`` for a ``.safetensors`` file that
        is not one.
    """
    for path in sorted(Path(folder).rglob("*")):
        if not path.is_file():
            continue
        suffix = path.suffix.lower()
        # The length of its header, which comes first, can make a sound file of weights look like a pickle.
        fault = _safetensors_fault(path) if suffix == SAFETENSORS else None
        if suffix in PICKLE_SUFFIXES or ((fault or suffix != SAFETENSORS) and _looks_pickled(path)):
            raise ModelError(
                "PickleRefused",
                f"{path} is a pickle or called like one, and opening a pickle can run any code; a bundle holds its "
                "weights as safetensors alone: save the model once more with neanias_ml",
            )
        if fault:
            raise ModelError(
                "WeightsDamaged",
                f"{path} is not in the safetensors format ({fault}); copy or download the model folder once more",
            )


def _safetensors_fault(path: Path) -> str | None:
    try:
        with safe_open(path, framework="numpy") as tensors:
            tensors.keys()
    except (SafetensorError, OSError) as error:
        return str(error) or type(error).__name__
    return None


def _looks_pickled(path: Path) -> bool:
    """Whether the bytes start a pickle, or a zip archive as torch writes it around one."""
    with path.open("rb") as stream:
        return stream.read(2) in _PICKLE_STARTS or zipfile.is_zipfile(path)
