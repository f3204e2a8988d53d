"""`run.json`: all that is needed to repeat a run and to check its files."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import neanias_ml
from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.text import printable
from neanias_ml.maps import RadioMap
from neanias_ml.maps.source import file_digest

FORMAT = "neanias_ml run"
FORMAT_VERSION = 1
VERSIONED = ("numpy", "scipy", "astropy", "scikit-image", "matplotlib", "torch", "torchvision")
"""Packages whose version may change a result; named where they are loaded."""
MODULES = {"scikit-image": "skimage"}


@dataclass(frozen=True)
class ModelIdentity:
    """A network of a run.

    Attributes
    ----------
    role
        What it was used for: ``detector``, ``association`` or ``morphology``.
    name
        Name of its bundle.
    digest
        sha256 that stands for every file of the bundle.
    """

    role: str
    name: str
    digest: str

    def __str__(self) -> str:
        return f"{self.role} {self.name} sha256:{self.digest}"


@dataclass(frozen=True)
class RunRecord:
    """What a command knows about its run beside the results.

    Attributes
    ----------
    command
        The command line, word by word.
    configuration
        Resolved settings: plain values, sequences, mappings or dataclasses of them.
    timings
        Seconds of each stage, in order.
    models
        Networks that were used; none for ``extract``.
    seed
        Seed of every random choice, or None.
    started
        Time at which the run began (with time zone), or None.
    warnings
        Sentences for the user, beside the flags of the map.
    counts
        What happened on the way, beside the numbers of rows (windows, detections, ...).
    """

    command: tuple[str, ...] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    models: tuple[ModelIdentity, ...] = ()
    seed: int | None = None
    started: datetime | None = None
    warnings: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def software(self) -> str:
        """Name and version of this program."""
        return f"neanias_ml {neanias_ml.__version__}"


def manifest(sources: Sources, run: RunRecord, *, files: Mapping[str, Path]) -> dict[str, Any]:
    """Content of ``run.json``.

    Parameters
    ----------
    sources
        Objects or islands with their map.
    run
        What the command knows.
    files
        Final name and present place of every other file of the run.
    """
    extraction = sources.extraction
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "stage": "extract" if sources.noun == "island" else "detect",
        "software": run.software,
        "command": [printable(word) for word in run.command],
        "started": run.started.isoformat(timespec="seconds") if run.started else None,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "input": describe_input(extraction.radio_map),
        "models": describe_models(run),
        "seed": run.seed,
        "configuration": plain(run.configuration),
        "versions": versions(),
        "platform": platform.platform(),
        "timings_s": {stage: round(float(seconds), 3) for stage, seconds in run.timings.items()},
        "peak_memory_bytes": peak_memory(),
        "counts": {
            "components": len(extraction.components),
            f"{sources.noun}s": len(sources),
            "islands": len(extraction.islands),
            "nested_islands": len(extraction.nested),
            "diffuse_regions": len(extraction.diffuse),
            **({} if extraction.negatives is None else {"negative_islands": len(extraction.negatives.table)}),
            "by_class": sources.counts(),
            **run.counts,
        },
        "flags": list(extraction.radio_map.flags),
        "warnings": [printable(warning) for warning in run.warnings],
        "files": [describe_file(name, path) for name, path in files.items()],
    }


def write_manifest(content: Mapping[str, Any], path: Path) -> None:
    """Write ``run.json``."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def describe_input(radio_map: RadioMap) -> dict[str, Any]:
    """The map of a run: where it was, its digest and what its header said."""
    source = radio_map.source
    return {
        "path": printable(source.path) if source.path is not None else None,
        "sha256": source.digest,
        "hdu": source.hdu,
        "shape": list(radio_map.shape),
        "unit": printable(radio_map.original_unit),
        "beam_deg": [radio_map.beam.major, radio_map.beam.minor, radio_map.beam.position_angle],
        "pixel_scale_deg": radio_map.pixel_scale,
        "frequency_hz": radio_map.frequency,
        "has_sky": radio_map.sky is not None,
    }


def describe_models(run: RunRecord) -> dict[str, dict[str, str]]:
    """Name and digest of the networks of a run by their role."""
    return {one.role: {"name": printable(one.name), "sha256": one.digest} for one in run.models}


def describe_file(name: str, path: Path) -> dict[str, Any]:
    """Name, size and sha256 of a written file."""
    return {"name": name, "bytes": path.stat().st_size, "sha256": file_digest(path)}


def versions() -> dict[str, str]:
    """Versions of Python and of the loaded packages that may change a result."""
    found = {"python": platform.python_version(), "neanias_ml": neanias_ml.__version__}
    for package in VERSIONED:
        if MODULES.get(package, package) in sys.modules:
            found[package] = metadata.version(package)
    return found


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def plain(value: Any) -> Any:
    """Settings as JSON values: dataclasses become mappings, paths text, numpy numbers Python's, NaN null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {printable(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float)) else printable(value)
