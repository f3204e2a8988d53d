"""Nested options as the flat, short parameters that MLflow takes, and what changed when a run goes on."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

KEY_LIMIT = 250
PARAMETER_LIMIT = 6000
TAG_LIMIT = 5000  # characters; newer servers take 8000
BATCH_LIMIT = 100
"""Parameters or tags that one request may hold."""
_REQUEST_CHARACTERS = 500_000  # half of what a server takes in one request
_NOT_IN_KEYS = re.compile(r"[^\w.\- /]")


def flat_parameters(nested: Mapping[str, Any]) -> dict[str, str]:
    """Nested options as parameters: ``{"fit": {"max_steps": 100}}`` becomes ``{"fit.max_steps": "100"}``.

    Texts stay as they are; all other values, lists among them, are written as JSON. Keys and values that are too long
    for MLflow are cut as `shortened` does it; characters that it refuses in keys become ``_``.

    Parameters
    ----------
    nested
        Mappings in mappings, with plain values; an empty mapping is kept as ``{}``.
    """
    return {safe_key(key): shortened(_text(value), PARAMETER_LIMIT) for key, value in _leaves(nested, prefix="")}


def flat_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Tags with names and values that MLflow takes; those without a value are left out."""
    return {safe_key(key): shortened(_text(value), TAG_LIMIT) for key, value in tags.items() if value is not None}


def safe_key(key: str) -> str:
    """The name of a parameter, metric or tag with what MLflow refuses in names replaced by ``_``."""
    allowed = _NOT_IN_KEYS.sub("_", key)
    if posixpath.normpath(allowed) != allowed or allowed.startswith(("..", "/")) or allowed == ".":
        allowed = allowed.replace("/", "_").replace("..", "__").strip(".") or "_"
    return shortened(allowed, KEY_LIMIT, mark="_sha256_{digest}")


def shortened(text: str, limit: int, *, mark: str = "... ({length} characters, sha256 {digest})") -> str:
    """A text of at most ``limit`` characters; a longer one is cut and ends with its length and digest."""
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    end = mark.format(length=len(text), digest=digest)
    return text[: limit - len(end)] + end


def changed_parameters(
    logged: Mapping[str, str], parameters: Mapping[str, str], *, history: str | None
) -> dict[str, list[str]]:
    """Every value that a run's changed parameters have had, oldest first.

    MLflow never lets a parameter change; a run that goes on with other options keeps the first values as parameters
    and these lists in a tag.

    Parameters
    ----------
    logged
        Parameters of the run.
    parameters
        Those it goes on with.
    history
        What this function gave the last time, as JSON.
    """
    changes = _read_history(history)
    for key, value in parameters.items():
        values = changes.get(key, [logged[key]] if key in logged else [])
        if values and values[-1] != value:
            changes[key] = [*values, value]
    return changes


def changes_text(changes: Mapping[str, Sequence[str]]) -> str:
    """The changes as JSON that fits into a tag; long values are cut further where there are many."""
    for limit in (PARAMETER_LIMIT, 200, 70):
        text = json.dumps({key: [shortened(value, limit) for value in values] for key, values in changes.items()})
        if len(text) <= TAG_LIMIT:
            return text
    return shortened(text, TAG_LIMIT)


def batches(items: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Parameters or tags in requests of a size that MLflow takes."""
    batch: dict[str, str] = {}
    characters = 0
    for key, value in items.items():
        size = len(json.dumps([key, value]))
        if batch and (len(batch) == BATCH_LIMIT or characters + size > _REQUEST_CHARACTERS):
            yield batch
            batch, characters = {}, 0
        batch[key] = value
        characters += size
    if batch:
        yield batch


def _leaves(nested: Mapping[str, Any], *, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # a file name may hold what is no text


def _read_history(history: str | None) -> dict[str, list[str]]:
    """The history of a tag; one that was cut, or that somebody edited, is given up."""
    try:
        read = json.loads(history or "{}")
    except json.JSONDecodeError:
        return {}
    if not isinstance(read, dict) or not all(isinstance(values, list) and values for values in read.values()):
        return {}
    return {key: [str(value) for value in values] for key, values in read.items()}
