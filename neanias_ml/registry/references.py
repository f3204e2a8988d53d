"""References to registered models: ``models:/NAME@ALIAS`` and ``models:/NAME/VERSION``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neanias_ml.errors import UsageError

PREFIX = "models:/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,49}")
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)


@dataclass(frozen=True)
class ModelReference:
    """A registered model by name, and one version of it by alias or number: exactly one of the two is set."""

    name: str
    alias: str | None = None
    version: int | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}@{self.alias}" if self.alias else f"{PREFIX}{self.name}/{self.version}"


def is_reference(text: str) -> bool:
    """Whether a text is meant as a reference and not as the path of a folder."""
    return text.startswith("models:")


def parse_reference(text: str) -> ModelReference:
    """The parts of a reference.

    Raises
    ------
    UsageError
        ``ModelReference`` if the text is none, ``ModelName``, ``ModelAlias`` or ``ModelVersion`` for what cannot exist.
    """
    rest = text.removeprefix(PREFIX)
    name, at, alias = rest.partition("@")
    if at and rest != text:
        return ModelReference(require_name(name), alias=require_alias(alias))
    name, slash, version = rest.partition("/")
    if not slash or rest == text:
        raise UsageError(
            "ModelReference",
            f"{text!r} is no reference to a registered model; write models:/NAME@ALIAS (models:/island-rcnn@champion) "
            "or models:/NAME/VERSION",
        )
    return ModelReference(require_name(name), version=parse_version(version))


def require_name(name: str) -> str:
    """The name of a registered model, if it is one that every MLflow takes and that needs no quoting in addresses.

    Raises
    ------
    UsageError
        ``ModelName``.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            "ModelName",
            f"{name!r} cannot be the name of a registered model; use 1 to 100 letters, digits, dots, dashes and "
            "underscores, a letter or digit first (island-rcnn)",
        )
    return name


def require_alias(alias: str) -> str:
    """An alias, if it is one that every MLflow takes.

    Raises
    ------
    UsageError
        ``ModelAlias``.
    """
    if not _ALIAS.fullmatch(alias) or _RESERVED_ALIAS.fullmatch(alias):
        raise UsageError(
            "ModelAlias",
            f"{alias!r} cannot be an alias; use 1 to 50 letters, digits, dashes and underscores, a letter first, but "
            "not 'latest' and not v1, v2, ... (champion, candidate)",
        )
    return alias


def parse_version(text: str | int) -> int:
    """The number of a version.

    Raises
    ------
    UsageError
        ``ModelVersion``.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,8}", str(text)):
        raise UsageError("ModelVersion", f"{text!r} is no version of a model; versions are 1, 2, 3, ...")
    return int(text)
