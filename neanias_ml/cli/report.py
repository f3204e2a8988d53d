"""What a verb tells at its end, and its settings as they were resolved."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, TextIO

from jsonargparse import Namespace

from neanias_ml.extraction import Extraction
from neanias_ml.inference.objects import ObjectCatalogue


def configuration(options: Namespace) -> dict[str, Any]:
    """The resolved settings as plain values, without what only steers the command."""
    settings: dict[str, Any] = options.as_dict()
    return {name: value for name, value in settings.items() if name not in ("config", "quiet", "overwrite")}


def print_summary(
    extraction: Extraction, catalogue: ObjectCatalogue | None, files: list[Path], *, stream: TextIO
) -> None:
    """Counts, and where to look first."""
    radio_map = extraction.radio_map
    print(f"map: {radio_map.shape[1]} x {radio_map.shape[0]} pixels, beam {radio_map.beam}", file=stream)
    if radio_map.flags:
        print(f"repaired or assumed: {', '.join(radio_map.flags)}", file=stream)
    print(f"found: {_found(extraction)}", file=stream)
    if extraction.negatives is not None and len(extraction.islands):
        check = extraction.negatives
        print(
            f"islands of the inverted map: {len(check.table)} above the same {check.seed_threshold:.3g} sigma "
            f"(purity {max(check.purity, 0.0):.1%})",
            file=stream,
        )
    if catalogue is not None:
        counts = Counter(catalogue.objects.class_name.tolist())
        by_class = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        print(f"objects: {len(catalogue.objects)} ({by_class or 'none'})", file=stream)
    by_name = {path.name: path for path in files}
    print("look first at:", file=stream)
    for name, text in _FIRST_LOOK.items():
        if name in by_name:
            print(f"  {text:<10} {by_name[name]}", file=stream)


def _found(extraction: Extraction) -> str:
    """Numbers of what was found, without what there is none of."""
    counts = {
        "islands": len(extraction.islands),
        "components": len(extraction.components),
        "nested islands": len(extraction.nested),
        "diffuse regions": len(extraction.diffuse),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count or name in ("islands", "components"))


_FIRST_LOOK = {
    "overview.png": "picture",
    "report.html": "report",
    "objects.ecsv": "objects",
    "islands.ecsv": "islands",
    "components.ecsv": "components",
    "catalogue.vot": "catalogue",
}
