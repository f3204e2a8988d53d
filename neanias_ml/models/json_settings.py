"""Settings of networks as ``config.json``: frozen dataclasses of plain values, written and read without surprises."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any, TypeVar

from neanias_ml.errors import ModelError

FORMAT_PREFIX = "neanias_ml "
FORMAT_VERSION = 1

SettingsT = TypeVar("SettingsT")


def write_settings(settings: Any, *, network: str) -> str:
    """Text of the ``config.json`` of a kind of network.

    Raises
    ------
    ModelError
        ``ConfigInvalid`` for values that are not plain or not finite.
    """
    document = {"format": FORMAT_PREFIX + network, "format_version": FORMAT_VERSION, **dataclasses.asdict(settings)}
    try:
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ModelError(
            "ConfigInvalid", f"the settings cannot be written as JSON ({error}); use plain finite values only"
        ) from error


def read_settings(text: str, kind: type[SettingsT], *, network: str, where: str) -> SettingsT:
    """The settings in the text of a ``config.json``; ``where`` names the file in errors.

    Raises
    ------
    ModelError
        ``ConfigInvalid``, ``OtherNetwork``, ``ConfigVersion`` or ``ConfigUnknownKey``.
    """
    document = _document(text, where=where)
    held = document.pop("format").removeprefix(FORMAT_PREFIX)
    if held != network:
        raise ModelError("OtherNetwork", f"{where} describes a network of the kind {held}; {network} is needed here")
    version = document.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ModelError(
            "ConfigVersion",
            f"{where} has format version {version}, this package reads {FORMAT_VERSION}; "
            "install the version of neanias_ml that wrote the model, or export the model again",
        )
    return settings_of(document, kind, where=where)


def network_of(text: str, *, where: str) -> str:
    """Kind of network that the text of a ``config.json`` describes.

    Raises
    ------
    ModelError
        ``ConfigInvalid``.
    """
    return str(_document(text, where=where)["format"]).removeprefix(FORMAT_PREFIX)


def _document(text: str, *, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ModelError("ConfigInvalid", f"{where} is not JSON ({error}); download the model once more") from error
    if not isinstance(document, dict) or not str(document.get("format")).startswith(FORMAT_PREFIX):
        raise ModelError("ConfigInvalid", f"{where} is not the config.json of a network of this package")
    return document


def settings_of(values: Any, kind: type[SettingsT], *, where: str) -> SettingsT:
    """A dataclass from a JSON object: known keys only, each of the declared type.

    Raises
    ------
    ModelError
        ``ConfigInvalid`` or ``ConfigUnknownKey``.
    """
    if not isinstance(values, dict):
        raise ModelError("ConfigInvalid", f"{where}: expected an object, found {type(values).__name__}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise ModelError(
            "ConfigUnknownKey",
            f"{where} holds settings that this version does not know: {', '.join(unknown)}; "
            "install the version of neanias_ml that wrote the model",
        )
    converted = {name: _convert(hints[name], value, where=f"{where}: {name}") for name, value in values.items()}
    try:
        return kind(**converted)
    except (TypeError, ValueError) as error:
        raise ModelError("ConfigInvalid", f"{where}: {error}") from error


def _convert(hint: Any, value: Any, *, where: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return settings_of(value, typing.cast(type[Any], hint), where=where)
    if origin is tuple and isinstance(value, list):
        kinds = typing.get_args(hint)
        inner = kinds[0] if kinds[-1] is Ellipsis else None
        if inner is None and len(kinds) != len(value):
            raise ModelError("ConfigInvalid", f"{where} must hold {len(kinds)} values, not {len(value)}")
        pairs = zip([inner] * len(value) if inner is not None else kinds, value, strict=True)
        return tuple(_convert(kind, item, where=where) for kind, item in pairs)
    if origin is typing.Literal and value in typing.get_args(hint):
        return value
    if origin not in (tuple, typing.Literal, types.UnionType):
        accepted: dict[Any, Any] = {float: (int, float), int: int, str: str, bool: bool}
        if isinstance(value, accepted.get(hint, dict)) and isinstance(value, bool) == (hint is bool):
            return value * 1.0 if hint is float else value
    raise ModelError("ConfigInvalid", f"{where} has the value {value!r}, which does not fit its type")
