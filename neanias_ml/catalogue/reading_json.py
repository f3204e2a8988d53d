"""CAESAR's JSON catalogue as three tables: sources, islands, components."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from neanias_ml.errors import InputError

UNITS = {
    "ra": "deg", "dec": "deg", "ra_err": "deg", "dec_err": "deg", "x": "pix", "y": "pix", "x_err": "pix",
    "y_err": "pix", "S": "Jy", "S_err": "Jy", "Stot": "Jy", "Smax": "Jy/beam", "Speak": "Jy/beam",
    "rms": "Jy/beam", "Speak_err": "Jy/beam", "bmaj": "arcsec", "bmin": "arcsec", "pa": "deg", "bmaj_err": "arcsec",
    "bmin_err": "arcsec", "pa_err": "deg",
}  # fmt: skip


def read_json_tables(path: Path) -> dict[str, Table]:
    """Tables of a CAESAR JSON catalogue; ``meta["provenance"]`` has the frequency (Hz) and the beam (arcsec).

    Raises
    ------
    InputError
        ``CatalogueUnreadable`` if the file is JSON of another kind.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return {path.stem: _table(content, {})}
    sources = content.get("sources") if isinstance(content, dict) else None
    if not isinstance(sources, list):
        raise InputError(
            "CatalogueUnreadable", f"{path} is JSON but no catalogue: it has neither 'sources' nor a list of rows"
        )
    islands = [
        island | {"source": source.get("name", "")} for source in sources for island in source.get("islands", [])
    ]
    components = [
        {"rms": island.get("rms")} | component | {"island": island.get("name", "")}
        for island in islands
        for component in (island.get("fit_info") or {}).get("components", [])
    ]
    facts = _provenance(content.get("metadata") or {})
    tables = {
        "components": _table(components, facts),
        "islands": _table(islands, facts),
        "sources": _table(sources, facts),
    }
    return {name: table for name, table in tables.items() if len(table.colnames)} or {"sources": _table([], facts)}


def _provenance(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Frequency and beam; CAESAR gives the frequency in GHz and the beam in arcsec."""
    data = metadata.get("inputdata") or {}
    facts = {}
    for name, key, factor in (
        ("frequency_hz", "frequency", 1e9),
        ("beam_major_arcsec", "bmaj", 1.0),
        ("beam_minor_arcsec", "bmin", 1.0),
    ):
        value = data.get(key)
        if isinstance(value, (int, float)) and value > 0:
            facts[name] = value * factor
    return facts


def _table(rows: Iterable[Mapping[str, Any]], facts: Mapping[str, float]) -> Table:
    """Plain values only; what some rows lack is missing there."""
    rows = list(rows)
    names: dict[str, type] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, (bool, int, float, str)):
                kind = type(value)
                names[name] = kind if names.get(name, kind) is kind else (str if str in (kind, names[name]) else float)
    table = Table(meta={"provenance": dict(facts)})
    for name, kind in names.items():
        values = [row.get(name) for row in rows]
        if kind is str:
            table[name] = np.array(["" if value is None else str(value) for value in values], dtype=str)
        elif None in values or kind is float:
            table[name] = np.array([np.nan if value is None else float(value) for value in values])
        else:
            table[name] = np.array(values, dtype=kind)
        if name in UNITS:
            table[name].unit = UNITS[name]
    return table
