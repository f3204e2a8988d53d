"""Plan and manifest of a folder of prepared data; readable without the libraries of preparation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neanias_ml.errors import InputError
from neanias_ml.output_files import replace_text

SPLITS = ("train", "validation", "test")
PLAN_FILE = "plan.json"
"""What is to be made; written first."""
SOURCES_FILE = "sources.json"
"""Digests of the real maps and labels that are used; written before the first shard."""
MANIFEST_FILE = "manifest.json"
"""What was made; written last."""
LISTED = ("shards", "graphs", "cutouts")
"""Keys of a split's summary that hold files with their digests: tiles, islands as graphs, objects one by one."""


def read_manifest(directory: Path | str) -> dict[str, Any]:
    """The manifest of a prepared folder.

    ``digest`` names the data: it is that of everything else in the manifest. ``configuration``, ``class_labels``,
    ``channels``, ``graphs``, ``cutouts``, ``extractor`` and ``sources`` say how and of what they were made, ``splits``
    what came of it with the digest of each file, ``sky`` which maps of which place and group went to which split.

    Raises
    ------
    InputError
        ``NotPrepared`` if there is none, ``PlanDamaged`` if it is no JSON.
    """
    path = Path(directory) / MANIFEST_FILE
    if not path.is_file():
        raise InputError("NotPrepared", f"{path.parent} holds no {MANIFEST_FILE}; prepare the data first")
    return _read_json(path)


def missing_files(directory: Path | str) -> list[str]:
    """What a folder lacks to be complete prepared data: the manifest, or files that it lists."""
    folder = Path(directory)
    if not (folder / MANIFEST_FILE).is_file():
        return [MANIFEST_FILE]
    splits = read_manifest(folder)["splits"]
    names = [f"{split}/{file}" for split in SPLITS for key in LISTED for file in splits[split].get(key, {})]
    return [name for name in names if not (folder / name).is_file()]


def split_summaries(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What came of each split with numbers of files in place of their names and digests: for bundles and cards."""
    return {
        split: {**content, **{key: len(content[key]) for key in LISTED if key in content}}
        for split, content in manifest["splits"].items()
    }


def write_manifest(directory: Path, document: dict[str, Any]) -> Path:
    """Write the manifest with its digest, whole or not at all, and return its path."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return write_json(directory / MANIFEST_FILE, {**document, "digest": digest})


def check_plan(directory: Path, plan: dict[str, Any], *, name: str = PLAN_FILE) -> None:
    """Write the plan into a new folder, or make sure that an old one has the same.

    Parameters
    ----------
    plan
        JSON values.
    name
        File of the plan within the folder.

    Raises
    ------
    InputError
        ``OtherData`` if the folder was prepared with other settings, ``PlanDamaged`` if its file is no JSON.
    """
    path = directory / name
    if not path.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        write_json(path, plan)
    elif _read_json(path) != plan:
        raise InputError(
            "OtherData", f"{directory} holds data prepared with other settings (see {name}); name another folder"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError("PlanDamaged", f"{path} is damaged ({error}); name a new folder and prepare again") from error
    return document


def write_json(path: Path, document: dict[str, Any]) -> Path:
    """Write a document, whole or not at all, and return its path."""
    return replace_text(path, json.dumps(document, indent=1) + "\n")
