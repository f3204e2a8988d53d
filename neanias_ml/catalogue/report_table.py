"""The sortable table of the report."""

from __future__ import annotations

from collections.abc import Sequence
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
    body = "".join(_row(sources, columns, int(row)) for row in sources.brightest(MOST_ROWS))
    return f"<table id='sources'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(sources: Sources, columns: Sequence[ReportColumn], row: int) -> str:
    """One row of the table."""
    name = str(sources.rows.class_name[row])
    cells = []
    for column in columns:
        text = escaped(column.texts[row])
        if column.heading == "class":
            cells.append(f"<td><span class='tag {css_key(name)}'>{text}</span></td>")
        elif column.keys is None:
            cells.append(f"<td>{text}</td>")
        else:
            cells.append(f"<td class='number' data-key='{column.keys[row]:.9g}'>{text}</td>")
    identity = sources.rows.source_id[row]
    snr = np.nan_to_num(sources.rows.snr[row])
    return f"<tr id='row-{identity}' data-class='{css_key(name)}' data-snr='{snr:.6g}'>{''.join(cells)}</tr>"


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
    texts = [f"x {x:.1f}, y {y:.1f}" for x, y in zip(rows.x, rows.y, strict=True)]
    on_sky = np.flatnonzero(np.isfinite(rows.ra) & np.isfinite(rows.dec))
    if on_sky.size:
        from astropy import units as u
        from astropy.coordinates import Angle

        ra = Angle(rows.ra[on_sky] * u.deg).to_string(unit=u.hourangle, sep=":", precision=2, pad=True)
        dec = Angle(rows.dec[on_sky] * u.deg).to_string(sep=":", precision=1, pad=True, alwayssign=True)
        for place, (first, second) in zip(on_sky, zip(np.atleast_1d(ra), np.atleast_1d(dec), strict=True), strict=True):
            texts[place] = f"{first} {second}"
    return texts
