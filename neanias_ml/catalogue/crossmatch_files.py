"""The files of a cross-match, written together or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neanias_ml.catalogue.crossmatch import MatchConfig, MatchedPairs
from neanias_ml.catalogue.crossmatch_chance import ChanceMatches
from neanias_ml.catalogue.crossmatch_tables import matches_table, unmatched_table
from neanias_ml.catalogue.directory import RESULT_FILES
from neanias_ml.catalogue.manifest import RunRecord, describe_file, peak_memory, plain, versions, write_manifest
from neanias_ml.catalogue.reading_sources import SourceList
from neanias_ml.catalogue.table_files import write_ecsv_table, write_votable_table
from neanias_ml.catalogue.text import printable
from neanias_ml.errors import UsageError
from neanias_ml.maps.source import file_digest
from neanias_ml.output_files import replaced_together, require_room

MATCH_FILES = (
    "matches.ecsv", "matches.vot", "unmatched_a.ecsv", "unmatched_b.ecsv", "summary.json", "match.png", "run.json",
)  # fmt: skip
"""Names that a match writes, the manifest last."""


def require_match_room(directory: Path, *, inputs: tuple[Path, ...], overwrite: bool) -> None:
    """Refuse a folder that cannot take the results, before the work.

    Raises
    ------
    UsageError
        ``OutputExists``, ``InputIsOutput``, ``OutputNotADirectory``.
    ResourceError
        If nothing can be written there.
    """
    foreign = [name for name in RESULT_FILES if name != "run.json" and os.path.lexists(directory / name)]
    if foreign:
        raise UsageError(
            "OutputExists",
            f"{directory} holds results of extract or detect ({', '.join(foreign[:3])}), whose manifest a match would "
            "replace; choose another folder with -o",
        )
    for path in inputs:
        for name in MATCH_FILES:
            if (directory / name).exists() and path.exists() and (directory / name).samefile(path):
                raise UsageError(
                    "InputIsOutput", f"the results would overwrite the input {path}; choose another folder with -o"
                )
    require_room(directory, names=MATCH_FILES, overwrite=overwrite)


def write_match(
    directory: Path,
    *,
    a: SourceList,
    b: SourceList,
    matched: MatchedPairs,
    chance: ChanceMatches | None,
    content: Mapping[str, Any],
    config: MatchConfig,
    run: RunRecord,
) -> list[Path]:
    """Write tables, summary, picture and manifest of a match; all files appear together, or none does.

    Returns
    -------
    list of Path
        The files, the manifest last.
    """
    from neanias_ml.catalogue.crossmatch_picture import write_match_picture

    with replaced_together(directory, names=MATCH_FILES) as folder:
        pairs = matches_table(a, b, matched)
        write_ecsv_table(pairs, folder / "matches.ecsv")
        write_votable_table(pairs, folder / "matches.vot")
        for letter, sources, rows in (("a", a, matched.pairs.first), ("b", b, matched.pairs.second)):
            alone = unmatched_table(sources, rows, name=f"unmatched_{letter}")
            write_ecsv_table(alone, folder / f"unmatched_{letter}.ecsv")
        text = json.dumps(plain(content), indent=2, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        write_match_picture(a, b, matched, chance, folder / "match.png", overlap=config.by == "overlap")
        files = {name: folder / name for name in MATCH_FILES[:-1]}
        counts = {"rows_a": len(a), "rows_b": len(b), "matched": len(matched)}
        write_manifest(table_manifest("match", run, inputs=(a, b), counts=counts, files=files), folder / "run.json")
    return [directory / name for name in MATCH_FILES]


def table_manifest(
    stage: str,
    run: RunRecord,
    *,
    inputs: tuple[SourceList, ...] | tuple[Path, ...],
    counts: Mapping[str, Any],
    files: Mapping[str, Path],
) -> dict[str, Any]:
    """Content of the manifest of a command that reads catalogues: inputs with digests, settings, versions, files."""
    return {
        "format": "neanias_ml run",
        "format_version": 1,
        "stage": stage,
        "software": run.software,
        "command": [printable(word) for word in run.command],
        "started": run.started.isoformat(timespec="seconds") if run.started else None,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [_described(one) for one in inputs],
        "seed": run.seed,
        "configuration": plain(run.configuration),
        "versions": versions(),
        "timings_s": {name: round(float(seconds), 3) for name, seconds in run.timings.items()},
        "peak_memory_bytes": peak_memory(),
        "counts": plain(counts),
        "warnings": [printable(warning) for warning in run.warnings],
        "files": [describe_file(name, path) for name, path in files.items()],
    }


def _described(one: SourceList | Path) -> dict[str, Any]:
    """An input: its path, and its digest if it is a file."""
    path = one if isinstance(one, Path) else one.path
    if path is None:
        return {"path": None, "sha256": None}
    return {"path": printable(path), "sha256": file_digest(path) if path.is_file() else None}
