"""The sortable table of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from neanias_ml.catalogue.display import common_flux_prefix
from neanias_ml.catalogue.html_parts import css_key, escaped
from neanias_ml.catalogue.sources import Sources

MOST_ROWS = 2000
"""Browsers stay quick with tables of this many rows; the files hold them all."""


@dataclass(frozen=True)
class ReportColumn:
    """One column: heading, text of each row, and the numbers it is sorted by (None: by its text)."""

    heading: str
    texts: Sequence[str]
    keys: NDArray[np.float64] | None = None


def table_html(sources: Sources, table: QTable, positions: Sequence[str]) -> str:
    """Rows of the brightest sources as an HTML table, brightest first.

    Parameters
    ----------
    sources
        Objects or islands.
    table
        Their table, in the same order.
    positions
        Position of every source in words.
    """
    columns = report_columns(sources, table, positions)
    head = "".join(
        f"<th scope='col' aria-sort='none' data-kind='{'number' if column.keys is not None else 'text'}'>"
        f"<button type='button'>{escaped(column.heading)}</button></th>"
        for column in columns
    )
    body = "".join(_rows(sources, columns))
    return f"<table id='sources'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _rows(sources: Sources, columns: Sequence[ReportColumn]) -> Iterator[str]:
    """Rows of the brightest sources."""
    chosen = sources.brightest(MOST_ROWS)
    keys = {name: css_key(name) for name in set(sources.rows.class_name.tolist())}
    names = sources.rows.class_name[chosen].tolist()
    cells = zip(*(_cells(column, chosen, names, keys) for column in columns), strict=True)
    snr = np.nan_to_num(sources.rows.snr[chosen]).tolist()
    for identity, name, value, row in zip(sources.rows.source_id[chosen].tolist(), names, snr, cells, strict=True):
        yield f"<tr id='row-{identity}' data-class='{keys[name]}' data-snr='{value:.6g}'>{''.join(row)}</tr>"


def _cells(
    column: ReportColumn, rows: NDArray[np.int64], class_names: Sequence[str], keys: Mapping[str, str]
) -> list[str]:
    """One column's cells of the chosen rows."""
    texts = [column.texts[row] for row in rows.tolist()]
    if column.keys is not None:  # numbers, in our own words
        numbers = column.keys[rows].tolist()
        return [
            f"<td class='number' data-key='{number:.9g}'>{text}</td>"
            for number, text in zip(numbers, texts, strict=True)
        ]
    safe = {text: escaped(text) for text in set(texts)}
    if column.heading == "class":
        return [
            f"<td><span class='tag {keys[name]}'>{safe[text]}</span></td>"
            for name, text in zip(class_names, texts, strict=True)
        ]
    return [f"<td>{safe[text]}</td>" for text in texts]


def report_columns(sources: Sources, table: QTable, positions: Sequence[str]) -> list[ReportColumn]:
    """The columns that are shown of objects or islands."""
    rows = sources.rows
    peak_factor, peak_prefix = common_flux_prefix(rows.peak_flux)
    flux_factor, flux_unit = common_flux_prefix(rows.total_flux)
    fluxes = zip(rows.total_flux * flux_factor, table["total_flux_err"].value * flux_factor, strict=True)
    columns = [
        _number(sources.noun, rows.source_id.astype(np.float64), "{:.0f}"),
        ReportColumn("class", [str(name) for name in rows.class_name]),
        _number("S/N", rows.snr, "{:.1f}"),
        ReportColumn(
            f"peak / {peak_prefix}Jy/beam", [four_digits(peak) for peak in rows.peak_flux * peak_factor], rows.peak_flux
        ),
        ReportColumn(
            f"flux / {flux_unit}Jy",
            [f"{four_digits(flux)} ± {error:.2g}" for flux, error in fluxes],
            rows.total_flux,
        ),
        ReportColumn("position (ICRS)" if sources.extraction.radio_map.sky else "position (pixels)", positions),
    ]
    if sources.noun == "object":
        columns += [
            _number("size / ″", table["largest_angular_size"].value, "{:.1f}"),
            _number("islands", np.asarray(table["n_islands"], dtype=np.float64), "{:.0f}"),
            _number("P(spurious)", np.asarray(table["p_spurious"]), "{:.2f}"),
            ReportColumn("morphology", [str(text) for text in table["morphology"]]),
        ]
    else:
        columns += [
            _number("size / ″", table["major"].value, "{:.1f}"),
            _number("components", np.asarray(table["n_components"], dtype=np.float64), "{:.0f}"),
        ]
    return [*columns, ReportColumn("flags", [str(text).replace(",", ", ") for text in table["flags"]])]


def _number(heading: str, values: NDArray[np.float64], form: str) -> ReportColumn:
    """A column of numbers; what is not a number is shown as a dash."""
    texts = [form.format(value) if np.isfinite(value) else "-" for value in values.tolist()]
    return ReportColumn(heading, texts, values)


def four_digits(value: float) -> str:
    """A number with four significant digits, without exponent where it is large."""
    return f"{value:.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def position_texts(sources: Sources) -> list[str]:
    """Position of every source: sexagesimal ICRS, or pixels where it has no sky coordinates."""
    rows = sources.rows
    on_sky = np.isfinite(rows.ra) & np.isfinite(rows.dec)
    if not on_sky.all():
        texts = [f"x {x:.1f}, y {y:.1f}" for x, y in zip(rows.x.tolist(), rows.y.tolist(), strict=True)]
    else:
        texts = [""] * len(rows)
    hours = np.rint(rows.ra[on_sky] / 15.0 * 3.6e5) % (24 * 3.6e5) / 3.6e5  # just under 24 h is written as 0 h
    ra = sexagesimal(hours, digits=2)
    dec = sexagesimal(np.abs(rows.dec[on_sky]), digits=1)
    signs = np.where(np.signbit(rows.dec[on_sky]), "-", "+").tolist()
    for place, first, sign, second in zip(np.flatnonzero(on_sky).tolist(), ra, signs, dec, strict=True):
        texts[place] = f"{first} {sign}{second}"
    return texts


def sexagesimal(values: NDArray[np.float64], *, digits: int) -> list[str]:
    """Values, not negative, as ``hh:mm:ss.s`` with some digits of the seconds, rounded as a whole."""
    parts = np.rint(values * (3600 * 10**digits)).astype(np.int64)
    seconds, fraction = np.divmod(parts, 10**digits)
    columns = (seconds // 3600, seconds // 60 % 60, seconds % 60, fraction)
    form = f"%02d:%02d:%02d.%0{digits}d"
    return [form % row for row in zip(*(column.tolist() for column in columns), strict=True)]
