"""`report.html` of an assessment: one self-contained page, tables and pictures and the worst mistakes."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from neanias_ml.assessment.figures import PICTURES
from neanias_ml.assessment.findings import Findings
from neanias_ml.assessment.mistakes import KINDS, Mistake, Outline
from neanias_ml.assessment.tables import Cell, Table
from neanias_ml.catalogue.html_parts import css_key, escaped, key_value_table
from neanias_ml.catalogue.png import png_address
from neanias_ml.evaluation import Interval
from neanias_ml.models.class_styles import style_of
from neanias_ml.models.classes import CLASS_NAMES

NOT_ON_THE_PAGE = ("metrics", "maps")
"""Tables that are in their files alone: long ones, or ones that repeat others."""


@dataclass(frozen=True)
class PageContent:
    """What the page shows.

    Attributes
    ----------
    title, subtitle
        Headings.
    findings, tables
        What was measured.
    pictures
        Folder of the PNG files; those that are not there are left out.
    mistakes
        The worst, as `neanias_ml.assessment.mistakes.worst_of_all` chose them.
    provenance
        Facts on the run.
    files
        Names of the files beside the page.
    """

    title: str
    subtitle: str
    findings: Findings
    tables: Sequence[Table]
    pictures: Path
    mistakes: Sequence[Mistake]
    provenance: Mapping[str, str]
    files: Sequence[str]


def write_page(content: PageContent, path: Path) -> None:
    """Write the page (UTF-8)."""
    style = _asset("neanias_ml.catalogue", "report.css") + _asset("neanias_ml.assessment", "page.css") + _class_styles()
    script = _asset("neanias_ml.assessment", "page.js")
    fields = {
        "policy": f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
        "style": style,
        "script": script,
        "title": escaped(content.title),
        "subtitle": escaped(content.subtitle),
        "tiles": _tiles(content.findings),
        "counts": key_value_table(content.findings.counts.items()),
        "tables": "".join(_table(table) for table in content.tables if table.name not in NOT_ON_THE_PAGE),
        "pictures": "".join(_pictures(content.pictures)),
        "legend": " ".join(f"<span class='tag {css_key(name)}'>{escaped(name)}</span>" for name in CLASS_NAMES),
        "gallery": gallery(content.mistakes),
        "provenance": key_value_table(content.provenance.items()),
        "files": "".join(f"<li><a href='{escaped(name)}'>{escaped(name)}</a></li>" for name in content.files),
    }
    page = Template(_asset("neanias_ml.assessment", "page.html")).substitute(fields)
    path.write_text(page, encoding="utf-8")


def _tiles(findings: Findings) -> str:
    """Numbers at the top of the page."""
    network = findings.groupings["network"].metrics
    shown = {
        "F1, all classes": findings.f1["network"],
        "extended and multi-island objects found": findings.completeness["extended_or_multisland"],
        "exact sets of several islands": network["exact_set_multi"],
        "spurious rejected at 95 % kept": findings.rejection["network"],
        "calibration error, class": findings.calibration["class"],
        "calibration error, P(spurious)": findings.calibration["p_spurious"],
    }
    return "".join(
        f"<div class='tile'><b>{_value(one.value)}</b><span>{escaped(name)}</span></div>" for name, one in shown.items()
    )


def _table(table: Table) -> str:
    heading = "".join(f"<th scope='col'>{escaped(column)}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return (
        f"<section><h2>{escaped(table.title)}</h2><p class='soft'>{escaped(table.note)}</p>"
        f"<div class='scroll'><table class='findings'><thead><tr>{heading}</tr></thead><tbody>{rows}</tbody></table>"
        "</div></section>"
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, Interval):
        if not math.isfinite(cell.low):
            return _value(cell.value)
        return f"{_value(cell.value)} <span class='range'>{_value(cell.low)} to {_value(cell.high)}</span>"
    return escaped("-" if cell is None else cell)


def _value(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _pictures(folder: Path) -> Iterable[str]:
    for name, title in PICTURES.items():
        path = folder / name
        if path.is_file():
            image = f"<img alt='{escaped(title)}' src='{png_address(path.read_bytes())}'>"
            yield f"<div><h3>{escaped(title)}</h3>{image}</div>"


def gallery(mistakes: Sequence[Mistake]) -> str:
    """Cut-outs of mistakes under a heading for each kind; a kind without any says so."""
    parts = []
    for kind, heading in KINDS.items():
        own = [one for one in mistakes if one.kind == kind]
        body = f"<div class='gallery'>{''.join(map(_figure, own))}</div>" if own else "<p class='none'>none</p>"
        parts.append(f"<h3>{escaped(heading)}</h3>{body}")
    return "".join(parts)


def _figure(mistake: Mistake) -> str:
    address = png_address(mistake.picture)
    sides = "".join(
        _side(mistake, outlines, address, f"{name} of {mistake.map_name}: {mistake.caption}")
        for name, outlines in (("truth", mistake.true), ("catalogue", mistake.predicted))
    )
    place = f"{mistake.map_name}, x {mistake.place[0]}, y {mistake.place[1]}"
    return (
        f"<figure><div class='sides'>{sides}</div><figcaption>{escaped(mistake.caption)}"
        f"<br><span class='soft'>{escaped(place)}</span></figcaption></figure>"
    )


def _side(mistake: Mistake, outlines: Sequence[Outline], address: str, label: str) -> str:
    height, width = mistake.shape
    shapes = "".join(_polygon(outline, height) for outline in outlines)
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{escaped(label)}'>"
        f"<image width='{width}' height='{height}' preserveAspectRatio='none' href='{address}'/>{shapes}</svg>"
    )


def _polygon(outline: Outline, height: int) -> str:
    """An outline in the coordinates of a picture whose rows count from the top."""
    points = " ".join(f"{x + 0.5:.1f},{height - 0.5 - y:.1f}" for x, y in outline.polygon)
    style = style_of(outline.class_name)
    dashes = f" stroke-dasharray='{' '.join(f'{2 * length:g}' for length in style.dashes)}'" if style.dashes else ""
    return (
        f"<polygon points='{points}' stroke='{style.colour}'{dashes}><title>{escaped(outline.class_name)}</title>"
        "</polygon>"
    )


def _class_styles() -> str:
    return "".join(f".{css_key(name)}{{--class:{style_of(name).colour}}}" for name in CLASS_NAMES)


def _asset(package: str, name: str) -> str:
    """A text file shipped with the package."""
    return resources.files(package).joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Digest by which the content policy lets an inline style or script pass."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
