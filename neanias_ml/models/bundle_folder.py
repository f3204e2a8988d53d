"""The folder of a model bundle: weights, ``config.json``, ``MODEL_CARD.md`` and ``DIGESTS``, whatever the network."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from neanias_ml.errors import ModelError
from neanias_ml.models.json_settings import SettingsT, network_of, read_settings, write_settings
from neanias_ml.models.weights import Storage, fill_model, load_weights, save_weights, weight_files

CONFIG_FILE = "config.json"
CARD_FILE = "MODEL_CARD.md"
DIGESTS_FILE = "DIGESTS"
PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin")

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def save_network(
    model: nn.Module,
    directory: Path | str,
    *,
    settings: Any,
    network: str,
    card: str,
    storage: Storage,
    overwrite: bool,
) -> str:
    """Write the bundle of a network, all or nothing, and return its digest.

    Parameters
    ----------
    model
        Its configuration must be ``settings.architecture``.
    settings
        Content of ``config.json``; see `neanias_ml.models.json_settings.write_settings`.
    network
        Kind of network.
    card, storage, overwrite
        See `write_bundle_folder`.

    Raises
    ------
    ModelError
        ``BundleExists``, ``ConfigInvalid`` or ``WeightsNotFinite``; nothing is left behind.
    """
    if model.config != settings.architecture:
        raise ModelError("ConfigInvalid", "settings.architecture differs from the configuration of the model")
    config = write_settings(settings, network=network)
    return write_bundle_folder(
        directory, state=model.state_dict(), config=config, card=card, storage=storage, overwrite=overwrite
    )


def read_bundle_settings(directory: Path | str, kind: type[SettingsT], *, network: str) -> tuple[SettingsT, str]:
    """Check every file of a bundle folder against ``DIGESTS``; returns its settings and its digest.

    Raises
    ------
    ModelError
        As `verify_bundle` and `neanias_ml.models.json_settings.read_settings`.
    """
    digest = verify_bundle(directory)
    config = Path(directory) / CONFIG_FILE
    return read_settings(config.read_text(encoding="utf-8"), kind, network=network, where=str(config)), digest


def with_weights_of(directory: Path | str, model: NetworkT, *, device: torch.device | str) -> NetworkT:
    """A network with the weights of a bundle folder, on a device, in evaluation mode.

    Raises
    ------
    ModelError
        ``BundleIncomplete``, ``WeightsDamaged``, ``WeightsNotFinite`` or ``WeightsMismatch``.
    """
    fill_model(model, load_weights(Path(directory)), where=str(directory))
    return model.to(device).eval()


def write_bundle_folder(
    directory: Path | str,
    *,
    state: Mapping[str, Tensor],
    config: str,
    card: str,
    storage: Storage = "float16",
    overwrite: bool = False,
) -> str:
    """Write a bundle folder, all or nothing, and return its digest.

    Parameters
    ----------
    state
        Weights by name.
    config
        Text of ``config.json``.
    card
        Text of ``MODEL_CARD.md``.
    storage
        Precision of the stored weights; half precision halves the size.
    overwrite
        Replace an existing bundle; a folder that is no bundle is never replaced.

    Raises
    ------
    ModelError
        ``BundleExists`` or ``WeightsNotFinite``; nothing is left behind.
    """
    target = Path(directory)
    _refuse_pickle(target)
    if target.exists() and not (overwrite and (target / DIGESTS_FILE).is_file()):
        raise ModelError(
            "BundleExists", f"{target} exists; name another folder, or pass overwrite=True to replace a model bundle"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with folder_replaced(target) as staging:
        save_weights(state, staging, storage=storage)
        (staging / CONFIG_FILE).write_text(config, encoding="utf-8")
        (staging / CARD_FILE).write_text(card if card.endswith("\n") else card + "\n", encoding="utf-8")
        write_digests(staging)
        return bundle_digest(staging)


@contextlib.contextmanager
def folder_replaced(target: Path) -> Iterator[Path]:
    """Write a folder, all or nothing.

    Yields an empty folder beside it, which takes its name when the block ends. What had the name before goes then; it
    stays, and nothing else does, after an exception.
    """
    with tempfile.TemporaryDirectory(
        prefix=f".{target.name[:12]}-", dir=target.parent, ignore_cleanup_errors=True
    ) as place:
        new, old = Path(place, "new"), Path(place, "old")
        new.mkdir()  # with the permissions that the process gives to new folders
        yield new
        try:
            if target.exists():
                target.replace(old)
            new.replace(target)
        except BaseException:
            if old.exists() and not target.exists():
                old.replace(target)
            raise


def bundle_network(directory: Path | str) -> str:
    """Kind of network in a bundle folder: ``island-rcnn``, ``island-graph``, ``morphology``.

    Raises
    ------
    ModelError
        ``BundleMissing`` or ``ConfigInvalid``.
    """
    config = Path(directory) / CONFIG_FILE
    if not config.is_file():
        raise ModelError("BundleMissing", f"there is no {config}; name the folder of a model bundle")
    return network_of(config.read_text(encoding="utf-8", errors="replace"), where=str(config))


def verify_bundle(directory: Path | str) -> str:
    """Check that a bundle folder is complete and unchanged; returns its digest.

    Raises
    ------
    ModelError
        ``BundleMissing``, ``BundleIncomplete``, ``PickleRefused`` or ``WeightsDamaged``.
    """
    folder = Path(directory)
    _refuse_pickle(folder)
    if not folder.is_dir():
        raise ModelError(
            "BundleMissing",
            f"there is no model folder {folder}; name one with --model FOLDER (it holds {CONFIG_FILE}, {DIGESTS_FILE} "
            "and the weights), or train one as train/README.md tells",
        )
    digests = read_digests(folder)
    required = [CONFIG_FILE, CARD_FILE, *weight_files(folder)]
    missing = [name for name in dict.fromkeys([*required, *digests]) if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            "BundleIncomplete", f"{folder} lacks {', '.join(missing)}; copy or download the whole model folder again"
        )
    for name in required:
        if name not in digests:
            raise ModelError("WeightsDamaged", f"{folder / name} is not listed in {DIGESTS_FILE}; do not use the model")
    for name, expected in digests.items():
        if _file_digest(folder / name) != expected:
            raise ModelError(
                "WeightsDamaged",
                f"{folder / name} has changed since the model was written (its sha256 differs from {DIGESTS_FILE}); "
                "copy or download the model folder once more",
            )
    return bundle_digest(folder)


def write_digests(directory: Path) -> None:
    """Write ``DIGESTS``: sha256 and name of every file of the folder, as ``sha256sum`` writes it."""
    names = sorted(path.name for path in directory.iterdir() if path.is_file() and path.name != DIGESTS_FILE)
    lines = [f"{_file_digest(directory / name)}  {name}\n" for name in names]
    (directory / DIGESTS_FILE).write_text("".join(lines), encoding="utf-8")


def bundle_digest(directory: Path | str) -> str:
    """sha256 of ``DIGESTS``, one number for the whole bundle."""
    return _file_digest(Path(directory) / DIGESTS_FILE)


def read_digests(folder: Path) -> dict[str, str]:
    """sha256 of each file of a bundle by name, as ``DIGESTS`` lists them; ``DIGESTS`` itself is not among them.

    Raises
    ------
    ModelError
        ``BundleIncomplete`` without ``DIGESTS``, ``WeightsDamaged`` if a line is no digest of a file of the folder.
    """
    path = folder / DIGESTS_FILE
    if not path.is_file():
        raise ModelError(
            "BundleIncomplete", f"{folder} has no {DIGESTS_FILE}, so it is not a whole model bundle; fetch it once more"
        )
    digests = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or Path(name).name != name:
            raise ModelError("WeightsDamaged", f"{path} has a line that is no digest: {line[:80]!r}")
        digests[name] = digest
    return digests


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refuse_pickle(path: Path) -> None:
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise ModelError(
            "PickleRefused",
            f"{path} looks like a pickled checkpoint, which can run any code when opened; "
            "give a model bundle folder instead (training leaves one beside its checkpoints)",
        )
