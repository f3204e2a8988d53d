"""`BundleSettings`: what a detector needs besides its weights, and its form in ``config.json``."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from neanias_ml.errors import ModelError
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.models.config import WINDOW_STRIDE, IslandRCNNConfig

FORMAT_NAME = "neanias_ml island-rcnn"
FORMAT_VERSION = 1

SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True, kw_only=True)
class BundleSettings:
    """How the network of a bundle is built and fed, and how its outputs are read."""

    architecture: IslandRCNNConfig
    pixels_per_beam: float
    """sampling to which maps are brought, pixels per beam FWHM"""
    channels: tuple[str, ...]
    """names of the input channels in their order"""
    window_size: int
    """side in pixels of the windows that the network sees, a multiple of ``WINDOW_STRIDE``"""
    operating_point: OperatingPoint = field(default_factory=OperatingPoint)
    classes: tuple[str, ...] = CLASS_NAMES
    extractor: Mapping[str, Any] = field(default_factory=dict)
    """settings of the extraction and proposals with which the network was trained (plain JSON values)"""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """where the model comes from: version, data, metrics (plain JSON values)"""

    def __post_init__(self) -> None:
        if self.classes != CLASS_NAMES:
            raise ValueError(f"classes must be {CLASS_NAMES}, not {self.classes}")
        if len(self.channels) != self.architecture.in_channels:
            raise ValueError(
                f"{len(self.channels)} channels are named, the network takes {self.architecture.in_channels}"
            )
        if not self.pixels_per_beam > 0:
            raise ValueError(f"pixels_per_beam must be positive, not {self.pixels_per_beam}")
        if self.window_size <= 0 or self.window_size % WINDOW_STRIDE:
            raise ValueError(f"window_size must be a positive multiple of {WINDOW_STRIDE}, not {self.window_size}")


def settings_to_json(settings: BundleSettings) -> str:
    """Text of ``config.json``."""
    document = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, **dataclasses.asdict(settings)}
    try:
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ModelError(
            "ConfigInvalid", f"the settings cannot be written as JSON ({error}); use plain finite values only"
        ) from error


def settings_from_json(text: str, *, where: str) -> BundleSettings:
    """The settings in the text of a ``config.json``; ``where`` names the file in errors.

    Raises
    ------
    ModelError
        ``ConfigInvalid``, ``ConfigVersion`` or ``ConfigUnknownKey``.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ModelError("ConfigInvalid", f"{where} is not JSON ({error}); download the model once more") from error
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT_NAME:
        raise ModelError("ConfigInvalid", f"{where} is not the config.json of a detector of this package")
    version = document.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ModelError(
            "ConfigVersion",
            f"{where} has format version {version}, this package reads {FORMAT_VERSION}; "
            "install the version of neanias_ml that wrote the model, or export the model again",
        )
    return _build(BundleSettings, document, where=where)


def _build(kind: type[SettingsT], values: Any, *, where: str) -> SettingsT:
    """A dataclass from a JSON object: known keys only, each of the declared type."""
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
        return _build(typing.cast(type[Any], hint), value, where=where)
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
