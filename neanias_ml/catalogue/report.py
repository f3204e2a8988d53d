"""`report.html`: one self-contained page on a run, for people.

Pictures, style and script are inside the page; its content policy forbids everything else, so that opening it
never reaches the network and text that came with a file can never run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from neanias_ml.catalogue.display import common_flux_prefix, describe_map, flux_prefix, typical_noise
from neanias_ml.catalogue.gallery import gallery_html
from neanias_ml.catalogue.html_parts import css_key, escaped, histogram_svg, key_value_table
from neanias_ml.catalogue.manifest import RunRecord, plain, versions
from neanias_ml.catalogue.outlines import Polygon
from neanias_ml.catalogue.png import png_address
from neanias_ml.catalogue.report_table import MOST_ROWS, position_texts, table_html
from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.tables import CatalogueTables
from neanias_ml.catalogue.text import printable
from neanias_ml.catalogue.wording import FILES, explain_map_flag, explain_source_flag
from neanias_ml.extraction.tables import SourceFlag
from neanias_ml.models.class_styles import in_order, style_of


@dataclass(frozen=True)
class ReportContent:
    """What the page shows.

    Attributes
    ----------
    sources, outlines
        Objects or islands, and the polygon of every island in the order of the island table.
    tables
        The tables of the run.
    run
        What the command knows.
    overview
        PNG file of the overview.
    files
        Names of the files of the run, linked from the page.
    title
        Heading, such as the name of the map.
    """

    sources: Sources
    outlines: Sequence[Polygon]
    tables: CatalogueTables
    run: RunRecord
    overview: Path
    files: tuple[str, ...]
    title: str


def write_report(content: ReportContent, path: Path) -> None:
    """Write the page (UTF-8)."""
    sources = content.sources
    noise = typical_noise(sources.extraction)
    positions = position_texts(sources)
    factor, prefix = common_flux_prefix(sources.rows.total_flux)
    style, script = _asset("report.css") + _class_styles(sources), _asset("report.js")
    fields = {
        "policy": f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
        "style": style,
        "script": script,
        "title": escaped(content.title),
        "subtitle": " · ".join(escaped(phrase) for phrase in describe_map(sources.extraction.radio_map, noise=noise)),
        "tiles": _tiles(content, noise),
        "notes": _notes(content),
        "overview": png_address(content.overview.read_bytes()),
        "snr_chart": histogram_svg(sources, sources.rows.snr, label="peak over noise"),
        "flux_chart": histogram_svg(sources, sources.rows.total_flux * factor, label=f"total flux / {prefix}Jy"),
        "gallery": gallery_html(sources, content.outlines, positions),
        "filters": _filters(sources),
        "table": table_html(sources, content.tables.main, positions),
        "table_note": _table_note(sources),
        "noun": escaped(sources.noun),
        "source_flags": _source_flags(content),
        "files": _files(content.files),
        "provenance": _provenance(content),
        "timings": key_value_table((stage, f"{seconds:.2f} s") for stage, seconds in content.run.timings.items()),
        "configuration": escaped_block(json.dumps(plain(content.run.configuration), indent=2, ensure_ascii=False)),
    }
    path.write_text(Template(_asset("report.html")).substitute(fields), encoding="utf-8")


def escaped_block(text: str) -> str:
    """Several lines of text, each escaped."""
    return "\n".join(escaped(line) for line in text.splitlines())


def _tiles(content: ReportContent, noise: float) -> str:
    """Numbers at the top of the page."""
    sources, rows = content.sources, content.sources.rows
    factor, prefix = flux_prefix(noise)
    tiles: list[tuple[str, str]] = [(f"{len(sources)}", f"{sources.noun}{'' if len(sources) == 1 else 's'}")]
    tiles += [(f"{count}", name) for name, count in _ordered_counts(sources)]
    tiles.append((f"{noise * factor:.3g} {prefix}Jy/beam", "typical noise"))
    if len(sources):
        total_factor, total_prefix = flux_prefix(float(np.nansum(rows.total_flux)))
        tiles.append((f"{np.nansum(rows.total_flux) * total_factor:.4g} {total_prefix}Jy", "sum of fluxes"))
        tiles.append((f"{np.nanmax(rows.snr):.0f}", "highest S/N"))
    if content.run.timings:
        tiles.append((f"{sum(content.run.timings.values()):.1f} s", "run time"))
    parts = (f"<div class='tile'><b>{escaped(value)}</b><span>{escaped(name)}</span></div>" for value, name in tiles)
    return "".join(parts)


def _ordered_counts(sources: Sources) -> list[tuple[str, int]]:
    """Number of sources of each class, in the order of the classes."""
    counts = sources.counts()
    return [(name, counts[name]) for name in in_order(counts)]


def _notes(content: ReportContent) -> str:
    """What was repaired or assumed, and warnings of the run."""
    flags = content.sources.extraction.radio_map.flags
    notes = [f"<b>{escaped(flag)}</b> {escaped(explain_map_flag(flag))}" for flag in flags]
    notes += [escaped(warning) for warning in content.run.warnings]
    if not notes:
        return ""
    return f"<section class='notes'><h2>Notes</h2><ul>{''.join(f'<li>{note}</li>' for note in notes)}</ul></section>"


def _filters(sources: Sources) -> str:
    """A switch for each class."""
    return "".join(
        f"<label><input type='checkbox' checked data-class='{css_key(name)}'>"
        f"<span class='tag {css_key(name)}'>{escaped(name)}</span> {count}</label>"
        for name, count in _ordered_counts(sources)
    )


def _table_note(sources: Sources) -> str:
    """Says when rows are left out."""
    if len(sources) <= MOST_ROWS:
        return ""
    return f"<p class='soft'>The {MOST_ROWS} of highest S/N out of {len(sources)}; the files hold all.</p>"


def _source_flags(content: ReportContent) -> str:
    """Flags that occur, with their number and meaning."""
    extraction = content.sources.extraction
    groups = (content.sources.rows.flags, extraction.components.flags)
    rows: list[tuple[str, object]] = []
    for flag in SourceFlag:
        first, second = (int(np.count_nonzero(values & int(flag))) for values in groups)
        if first or second:
            counted = f"{first} {content.sources.noun}s, {second} components"
            rows.append((str(flag.name).lower(), f"{explain_source_flag(flag)} ({counted})"))
    return f"<h3>Flags in the tables</h3>{key_value_table(rows)}" if rows else ""


def _files(names: Sequence[str]) -> str:
    """Links to the files beside the page."""
    return "".join(f"<li><a href='{escaped(name)}'>{escaped(name)}</a> {escaped(FILES[name])}</li>" for name in names)


def _provenance(content: ReportContent) -> str:
    """Where the input came from and what was run."""
    run, source = content.run, content.sources.extraction.radio_map.source
    facts: list[tuple[str, object]] = [
        ("map", source.path if source.path is not None else "array in memory"),
        ("sha256 of the map", source.digest or "not known"),
        ("software", run.software),
        ("command", " ".join(run.command) or "called as a library"),
    ]
    for model in run.models:
        facts += [(model.role, model.name), (f"sha256 of the {model.role}", model.digest)]
    if run.seed is not None:
        facts.append(("seed", run.seed))
    if run.started is not None:
        facts.append(("started", run.started.isoformat(sep=" ", timespec="seconds")))
    facts += [(package, version) for package, version in versions().items() if package != "neanias_ml"]
    return key_value_table((key, printable(value)) for key, value in facts)


def _class_styles(sources: Sources) -> str:
    """Colours of the classes that occur."""
    return "".join(f".{css_key(name)}{{--class:{style_of(name).colour}}}" for name, _ in _ordered_counts(sources))


def _asset(name: str) -> str:
    """A text file shipped with the package."""
    return resources.files("neanias_ml.catalogue").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Digest by which the content policy lets an inline style or script pass."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
