"""State dicts as safetensors files, in shards where large, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from neanias_ml.errors import ModelError

Storage = Literal["float32", "float16", "bfloat16"]

SHARD_BYTES = 15_000_000
"""A shard stays under 16 MB with its header."""
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


def save_weights(state: Mapping[str, Tensor], directory: Path, *, storage: Storage = "float16") -> None:
    """Write a state dict as ``model.safetensors``, or as numbered shards with an index where larger than a shard.

    Only tensors of two and more dimensions are stored in half precision: normalisation statistics keep float32.

    Raises
    ------
    ModelError
        ``WeightsNotFinite`` if a weight is NaN or infinite, also after conversion.
    """
    stored = {name: _stored(tensor, storage) for name, tensor in state.items()}
    _require_finite(stored, "the model to be saved")
    shards = _shards(stored)
    if len(shards) == 1:
        (directory / SINGLE_FILE).write_bytes(save(shards[0]))
        return
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        (directory / name).write_bytes(save(shard))
        weight_map.update(dict.fromkeys(shard, name))
    total = sum(_n_bytes(tensor) for tensor in stored.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / INDEX_FILE).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def load_weights(directory: Path) -> dict[str, Tensor]:
    """All tensors of a folder written by `save_weights`, floating point as float32, on the CPU.

    Raises
    ------
    ModelError
        ``BundleIncomplete`` for a missing file, ``WeightsDamaged`` for an unreadable one, ``WeightsNotFinite``.
    """
    state: dict[str, Tensor] = {}
    for name in weight_files(directory):
        path = directory / name
        if not path.is_file():
            raise ModelError(
                "BundleIncomplete", f"{path} is missing; copy or download the whole model folder once more"
            )
        try:
            state.update(load_file(path))
        except (SafetensorError, OSError) as error:
            raise ModelError(
                "WeightsDamaged", f"{path} cannot be read ({error}); copy or download the model folder once more"
            ) from error
    _require_finite(state, str(directory))
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def weight_files(directory: Path) -> list[str]:
    """Names of the weight files of a folder: the single file or the shards that the index names."""
    index = directory / INDEX_FILE
    if not index.is_file():
        return [SINGLE_FILE]
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            "WeightsDamaged", f"{index} is not an index of weights ({error}); download the model folder once more"
        ) from error
    if not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise ModelError("WeightsDamaged", f"{index} names files outside its folder; do not use this model")
    return names


def fill_model(model: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Load a state dict into a model, every tensor of the same name and shape.

    Raises
    ------
    ModelError
        ``WeightsMismatch`` naming the first differences.
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    differences = [
        f"{name}: model {own.get(name, 'has none')}, file {given.get(name, 'has none')}"
        for name in sorted(own.keys() | given.keys())
        if own.get(name) != given.get(name)
    ]
    if differences:
        shown = "; ".join(differences[:3]) + ("; ..." if len(differences) > 3 else "")
        raise ModelError(
            "WeightsMismatch",
            f"the weights in {where} do not fit the architecture in its config.json ({shown}); "
            "use the two files of one and the same model",
        )
    model.load_state_dict(dict(state))


def _stored(tensor: Tensor, storage: Storage) -> Tensor:
    plain = tensor.detach().cpu()
    if plain.is_floating_point():
        plain = plain.to(getattr(torch, storage) if plain.ndim >= 2 else torch.float32)
    return plain.clone(memory_format=torch.contiguous_format)


def _shards(state: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    room = SHARD_BYTES
    for name, tensor in state.items():
        size = _n_bytes(tensor)
        if size > room and shards[-1]:
            shards.append({})
            room = SHARD_BYTES
        shards[-1][name] = tensor
        room -= size
    return shards


def _n_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _require_finite(state: Mapping[str, Any], where: str) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(
                "WeightsNotFinite",
                f"{name} of {where} holds values that are not finite; take an earlier checkpoint or retrain",
            )
