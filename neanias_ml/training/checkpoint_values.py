"""The values of a checkpoint as JSON and tensors, and back: what pickle is otherwise used for."""

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neanias_ml.errors import ModelError

MAX_DEPTH = 100
"""Deeper values are taken for values that contain themselves; Lightning's are some ten levels deep."""
SAFETENSORS_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Types that every release of safetensors knows; others are stored as their bytes."""
_TENSOR_TYPES = (Tensor, nn.Parameter, nn.Buffer)
_PLAIN_TYPES = (type(None), bool, int, str)
_SEQUENCES: dict[type, str] = {list: "", tuple: "tuple", torch.Size: "size", set: "set", frozenset: "frozenset"}
_CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "dict": dict,
    "pairs": dict,
    "tuple": tuple,
    "size": torch.Size,
    "set": set,
    "frozenset": frozenset,
}
_NUMPY_KINDS = frozenset("biufcmMSU")


@dataclass
class Flattened:
    """A nested value taken apart.

    Attributes
    ----------
    tensors
        By their names in the file, which tell their place in the value. They are not copied.
    structure
        JSON text of the rest, with references to the tensors. One-key objects stand for everything that JSON does not
        know: ``{"tuple": [...]}``, ``{"dict": {...}}``, ``{"tensor": {"name": ...}}``.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    structure: str = "null"


def flatten(value: Any, *, name: str = "", into: dict[str, Tensor] | None = None) -> Flattened:
    """Take a nested value apart into tensors and JSON.

    Containers are dicts (subclasses become dict) with keys of any kind named here, lists, tuples, sets; leaves are
    tensors of any dense kind (parameters become tensors), numpy arrays and scalars, numbers, strings, bytes, None,
    `datetime.timedelta`, paths, `torch.Size`, `torch.dtype` and `torch.device`.

    Parameters
    ----------
    name
        Name of the value, with which those of its tensors begin.
    into
        Tensors of other values of the same file, to which those of this one are added.

    Raises
    ------
    ModelError
        ``CheckpointNotStorable`` with the place of the first value that is none of these.
    """
    tensors: dict[str, Tensor] = {} if into is None else into
    encoded = _encode(value, (name,) if name else (), tensors)
    return Flattened(tensors=tensors, structure=json.dumps(encoded, separators=(",", ":"), allow_nan=False))


def unflatten(structure: str, tensor_of: Callable[[Mapping[str, Any]], Tensor]) -> Any:
    """Put a value together again.

    Parameters
    ----------
    structure
        As `flatten` made it.
    tensor_of
        Gives the tensor of a reference; see `restored`.

    Raises
    ------
    ValueError, TypeError, KeyError, RecursionError
        If this is no such structure.
    """
    return _decode(json.loads(structure), tensor_of)


def restored(stored: Tensor, reference: Mapping[str, Any]) -> Tensor:
    """A copy of a stored tensor with the type, shape and strides that it had."""
    if "dtype" in reference:
        return stored.clone().view(_dtype(reference["dtype"])).reshape(reference["shape"])
    if "stride" in reference:
        return torch.empty_strided(stored.shape, reference["stride"], dtype=stored.dtype).copy_(stored)
    return stored.clone()


def raw_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in C order, copied only where they do not lie there like that in the CPU's memory."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    # dimensions of length 0 and 1 may have any stride
    return plain.as_strided((plain.numel(),), (1,)).view(torch.uint8).numpy().data


def _encode(value: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    if len(path) > MAX_DEPTH:
        raise _not_storable(path[:4], f"it is nested deeper than {MAX_DEPTH} levels, or contains itself")
    kind = type(value)
    if kind in _PLAIN_TYPES:
        return value
    if kind in _TENSOR_TYPES:
        return _encode_tensor(value, path, tensors)
    if isinstance(value, (np.generic, np.ndarray)):
        return _encode_numpy(value, path, tensors)
    if isinstance(value, dict):
        return _encode_dict(value, path, tensors)
    return _encode_sequence(value, path, tensors) if kind in _SEQUENCES else _encode_leaf(value, path)


def _encode_sequence(value: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    items = [_encode(item, (*path, str(index)), tensors) for index, item in enumerate(value)]
    word = _SEQUENCES[type(value)]
    if word in {"set", "frozenset"}:
        items.sort(key=json.dumps)  # their order differs between processes
    return {word: items} if word else items


def _encode_leaf(value: Any, path: tuple[str, ...]) -> Any:
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if kind is complex:
        return {"complex": [_encode_leaf(value.real, path), _encode_leaf(value.imag, path)]}
    if kind is bytes:
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if kind is datetime.timedelta:
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if kind in {torch.dtype, torch.device}:
        return {kind.__name__: str(value).removeprefix("torch.")}
    raise _not_storable(path, f"a {kind.__module__}.{kind.__qualname__} is no plain value")


def _encode_dict(value: dict[Any, Any], path: tuple[str, ...], tensors: dict[str, Tensor]) -> dict[str, Any]:
    if all(type(key) is str for key in value):
        return {"dict": {key: _encode(item, (*path, key), tensors) for key, item in value.items()}}
    pairs = [
        [_encode(key, (*path, f"key {key!r}"), tensors), _encode(item, (*path, str(key)), tensors)]
        for key, item in value.items()
    ]
    return {"pairs": pairs}


def _encode_tensor(value: Tensor, path: tuple[str, ...], tensors: dict[str, Tensor]) -> dict[str, Any]:
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        raise _not_storable(path, "a tensor that is sparse, quantised or without data")
    reference: dict[str, Any] = {"name": _unused("/".join(path), tensors)}
    tensor = value.detach()
    if tensor.device.type != "cpu":
        reference["device"] = str(tensor.device)
    if tensor.dtype not in SAFETENSORS_CODES:
        reference |= {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
    elif not tensor.is_contiguous() and _is_dense(tensor):
        # optimizers compute in the strides of their states, and may round otherwise in others
        reference["stride"] = list(tensor.stride())
    tensors[reference["name"]] = tensor
    return {"tensor": reference}


def _is_dense(tensor: Tensor) -> bool:
    """Whether the numbers fill their part of the memory once, in whatever order of the dimensions."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _encode_numpy(
    value: np.generic | np.ndarray[Any, Any], path: tuple[str, ...], tensors: dict[str, Tensor]
) -> dict[str, Any]:
    if value.dtype.kind not in _NUMPY_KINDS or type(value) not in {np.ndarray, value.dtype.type}:
        raise _not_storable(path, f"a {type(value).__name__} of {value.dtype} is no plain array")
    if isinstance(value, np.generic):
        return {"numpy": [value.dtype.str, value.tobytes().hex()]}
    flat = torch.from_numpy(np.frombuffer(bytearray(value.tobytes()), dtype=np.uint8)) if value.size else torch.empty(0)
    name = _unused("/".join(path), tensors)
    tensors[name] = flat.to(torch.uint8)
    return {"array": {"name": name, "dtype": value.dtype.str, "shape": list(value.shape)}}


def _decode(encoded: Any, tensor_of: Callable[[Mapping[str, Any]], Tensor]) -> Any:
    if isinstance(encoded, list):
        return [_decode(item, tensor_of) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    ((word, content),) = encoded.items()
    if word == "tensor":
        return tensor_of(content)
    if word == "array":
        return tensor_of({"name": content["name"]}).numpy().view(_numpy(content["dtype"])).reshape(content["shape"])
    return _decode_container(word, content, tensor_of) if word in _CONTAINERS else _decode_leaf(word, content)


def _decode_container(word: str, content: Any, tensor_of: Callable[[Mapping[str, Any]], Tensor]) -> Any:
    if word == "dict":
        return {key: _decode(item, tensor_of) for key, item in content.items()}
    if word == "pairs":
        return {_decode(key, tensor_of): _decode(item, tensor_of) for key, item in content}
    return _CONTAINERS[word](_decode(item, tensor_of) for item in content)


def _decode_leaf(word: str, content: Any) -> Any:
    makers: dict[str, Callable[[Any], Any]] = {
        "float": float,
        "complex": lambda parts: complex(*(_decode(part, lambda _: torch.empty(0)) for part in parts)),
        "bytes": lambda text: base64.b64decode(text, validate=True),
        "timedelta": lambda parts: datetime.timedelta(*parts),
        "path": Path,
        "dtype": _dtype,
        "device": torch.device,
        "numpy": lambda parts: np.frombuffer(bytes.fromhex(parts[1]), dtype=_numpy(parts[0]))[0],
    }
    return makers[word](content)


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"no type of tensors is called {name}")
    return dtype


def _numpy(text: str) -> np.dtype[Any]:
    dtype = np.dtype(text)
    if dtype.kind not in _NUMPY_KINDS:
        raise ValueError(f"arrays of {text} are never stored")
    return dtype


def _unused(name: str, tensors: Mapping[str, Tensor]) -> str:
    """Different places can have one name: a key may hold the character that separates keys."""
    candidate, number = name, 1
    while candidate in tensors or candidate in {"", "__metadata__"}:
        number += 1
        candidate = f"{name}#{number}"
    return candidate


def _not_storable(path: tuple[str, ...], reason: str) -> ModelError:
    return ModelError(
        "CheckpointNotStorable",
        f"the value at {'/'.join(path) or 'the top'} cannot be kept in a checkpoint: {reason}; let the state_dict, "
        "on_save_checkpoint or hyper parameters that put it there give numbers, strings, tensors, lists and dicts only",
    )
