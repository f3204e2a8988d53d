"""Plan and manifest of a folder of prepared data; readable without the libraries of preparation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neanias_ml.errors import InputError

SPLITS = ("train", "validation", "test")
PLAN_FILE = "plan.json"
"""What is to be made; written first."""
MANIFEST_FILE = "manifest.json"
"""What was made; written last."""


def read_manifest(directory: Path | str) -> dict[str, Any]:
    """The manifest of a prepared folder.

    Raises
    ------
    InputError
        ``NotPrepared`` if there is none.
    """
    path = Path(directory) / MANIFEST_FILE
    if not path.is_file():
        raise InputError("NotPrepared", f"{path.parent} holds no {MANIFEST_FILE}; prepare the data first")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def write_manifest(directory: Path, document: dict[str, Any]) -> Path:
    """Write the manifest, whole or not at all, and return its path."""
    path = directory / MANIFEST_FILE
    staging = path.with_name(f".{path.name}.part")
    staging.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return staging.replace(path)


def check_plan(directory: Path, plan: dict[str, Any]) -> None:
    """Write the plan into a new folder, or make sure that an old one has the same.

    Raises
    ------
    InputError
        ``OtherData`` if the folder was prepared with other settings.
    """
    path = directory / PLAN_FILE
    if not path.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != plan:
        raise InputError(
            "OtherData", f"{directory} holds data prepared with other settings (see {PLAN_FILE}); name another folder"
        )
