"""A catalogue as positions, fluxes and errors in fixed units, whatever finder wrote it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table
from numpy.typing import NDArray

from neanias_ml.catalogue.reading import RUN_TABLES, nearest_names, read_table
from neanias_ml.catalogue.reading_conventions import PLAIN, ROLES, UNITS, Convention, column_of, convention_of
from neanias_ml.errors import InputError, UsageError

FloatArray = NDArray[np.float64]
_NAMED_UNIT = re.compile(r"^(?P<name>.*?)\s*\[(?P<unit>[^\]]*)\]$")
_FLUXES = ("peak_flux", "peak_flux_err", "total_flux", "total_flux_err", "local_rms")
_SHAPES = ("minor", "pa")
_ERRORS = ("ra_err", "dec_err", "x_err", "y_err", "peak_flux_err", "total_flux_err")


@dataclass(frozen=True)
class CatalogueColumns:
    """Columns of a catalogue that its finder's convention does not tell; each may be ``NAME`` or ``NAME [UNIT]``."""

    table: str | None = None
    """Which table of a file or run folder: its name, or its number from 0; default: the only one, or the sources."""
    ra: str | None = None
    """Right ascension (degrees; text with colons or blanks: hours, minutes, seconds)."""
    dec: str | None = None
    """Declination (degrees, or text)."""
    x: str | None = None
    """Pixel column; used where a catalogue has no sky positions."""
    y: str | None = None
    """Pixel row."""
    ra_err: str | None = None
    """1-sigma error along right ascension, an arc on the sky (arcsec where neither file nor option says else)."""
    dec_err: str | None = None
    """1-sigma error along declination (arcsec where neither file nor option says else)."""
    x_err: str | None = None
    """1-sigma error along the pixel columns."""
    y_err: str | None = None
    """1-sigma error along the pixel rows."""
    peak_flux: str | None = None
    """Peak brightness."""
    peak_flux_err: str | None = None
    """Its 1-sigma error."""
    total_flux: str | None = None
    """Flux density."""
    total_flux_err: str | None = None
    """Its 1-sigma error."""
    local_rms: str | None = None
    """Noise at the source; with the peak it makes the signal to noise where no column holds that."""
    snr: str | None = None
    """Signal to noise."""
    major: str | None = None
    """Full width at half maximum, major axis; tells the beam where nothing else does."""
    minor: str | None = None
    """Full width at half maximum, minor axis."""
    pa: str | None = None
    """Position angle of the major axis, east of north."""
    island_id: str | None = None
    """Label of the row's island in the label map."""
    flux_unit: str | None = None
    """Jy, mJy or uJy: the unit of fluxes for which neither file nor convention names one (peaks are per beam)."""
    frequency: float | None = None
    """Observing frequency, Hz, for spectral indices; default: what the catalogue says."""
    islands: str | None = None
    """Label map (FITS) of the catalogue's islands, for ``by: overlap``; default: islands.fits beside the catalogue."""

    def __post_init__(self) -> None:
        if self.flux_unit not in (None, "Jy", "mJy", "uJy"):
            raise UsageError("FluxUnit", f"flux_unit must be Jy, mJy or uJy, not {self.flux_unit!r}")
        if self.frequency is not None and not self.frequency > 0:
            raise UsageError("Frequency", f"frequency must be positive (Hz), not {self.frequency}")


@dataclass(frozen=True)
class SourceList:
    """A catalogue's rows in the units of `reading_conventions.UNITS`.

    Attributes
    ----------
    table
        The rows as they were read.
    values
        Role to (N,) floats; NaN where missing, errors that are not positive among them. Roles that the catalogue lacks
        are absent. ``island_id`` is kept as it is in the table.
    used
        Role to the column it was read from.
    convention
        Name of the finder whose columns were recognised.
    notes
        What was assumed or could not be used, for the user.
    """

    table: Table
    path: Path | None
    values: dict[str, Any]
    used: dict[str, str]
    convention: str
    frequency: float | None
    beam_arcsec: float | None
    pixel_scale_arcsec: float | None
    label_map: Path | None = None
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.table)

    @property
    def has_sky(self) -> bool:
        """Whether some row has a position on the sky."""
        if "ra" not in self.values or "dec" not in self.values:
            return False
        return len(self) == 0 or bool(self.finite("ra", "dec").any())

    @property
    def has_pixels(self) -> bool:
        """Whether there are pixel positions."""
        return "x" in self.values and "y" in self.values

    def get(self, role: str) -> FloatArray:
        """Values (N,) of a role; all NaN where the catalogue lacks it."""
        return self.values.get(role, np.full(len(self), np.nan))

    def finite(self, *roles: str) -> NDArray[np.bool_]:
        """Rows (N,) in which all roles have a value."""
        return np.logical_and.reduce([np.isfinite(self.get(role)) for role in roles])

    @property
    def snr(self) -> FloatArray:
        """Signal to noise (N,): its column, else peak over noise, else a flux over its error; NaN where none is."""
        for above, below in (
            ("snr", None), ("peak_flux", "local_rms"), ("peak_flux", "peak_flux_err"), ("total_flux", "total_flux_err"),
        ):  # fmt: skip
            if above in self.values and (below is None or below in self.values):
                ratio = self.get(above).copy()
                if below is not None:
                    noise = self.get(below)
                    ratio = np.divide(ratio, noise, out=np.full(len(self), np.nan), where=noise > 0)
                return ratio
        return np.full(len(self), np.nan)


def read_sources(
    path: Path | str, *, columns: CatalogueColumns | None = None, preferred: tuple[str, ...] = RUN_TABLES
) -> SourceList:
    """Read a catalogue of any finder (`reading.read_table`) and recognise its columns.

    Raises
    ------
    InputError, UsageError
        As `reading.read_table` and `sources_of`.
    """
    columns = columns or CatalogueColumns()
    return sources_of(read_table(path, table=columns.table, preferred=preferred), columns=columns, path=Path(path))


def sources_of(table: Table, *, columns: CatalogueColumns | None = None, path: Path | None = None) -> SourceList:
    """Positions, fluxes and errors of a table.

    Raises
    ------
    UsageError
        ``ColumnMissing`` if an option names a column that is not there.
    InputError
        ``NoPositions`` if there are neither sky nor pixel positions, ``PositionsUnusable``, ``UnitUnusable``.
    """
    columns = columns or CatalogueColumns()
    reader = _Reader(table, columns, label=str(path) if path else "the catalogue")
    values = {role: reader.value(role) for role in ROLES if reader.found(role)}
    values = {role: value for role, value in values.items() if value is not None}
    _require_positions(values, reader)
    provenance = table.meta.get("provenance") or {}
    return SourceList(
        table=table,
        path=path,
        values=values,
        used=reader.used,
        convention=reader.convention.name,
        frequency=columns.frequency or _frequency(values, provenance),
        beam_arcsec=_positive(provenance.get("beam_major_arcsec")),
        pixel_scale_arcsec=_positive(provenance.get("pixel_scale_arcsec")),
        label_map=Path(columns.islands) if columns.islands else None,
        notes=tuple(reader.notes),
    )


class _Reader:
    """Finds the column of each role and brings it to its unit."""

    def __init__(self, table: Table, columns: CatalogueColumns, *, label: str) -> None:
        self.table, self.columns, self.label = table, columns, label
        self.convention: Convention = convention_of(table.colnames)
        self.used: dict[str, str] = {}
        self.notes: list[str] = []
        self._units: dict[str, str] = {}

    def found(self, role: str) -> bool:
        """Look for the role's column, by option first; remember its name and the unit to assume."""
        named = getattr(self.columns, role, None) if role != "frequency" else None
        if named:
            split = _NAMED_UNIT.match(named)
            name, unit = (split["name"], split["unit"]) if split else (named, "")
            if name not in self.table.colnames:
                raise UsageError(
                    "ColumnMissing",
                    f"{self.label} has no column {name!r} for {role} ({nearest_names(name, self.table.colnames)})",
                )
            self.used[role] = name
            self._units[role] = f"={unit}" if unit else ("?" if role in _FLUXES else UNITS[role])
            return True
        known = column_of(self.convention, role, self.table.colnames)
        if known:
            self.used[role], self._units[role] = known
        return known is not None

    def value(self, role: str) -> Any:
        """The column in the role's unit, or None (with a note) where its unit cannot be known."""
        try:
            return self._value(role)
        except InputError:
            if role not in _SHAPES or getattr(self.columns, role):
                raise
            del self.used[role]  # such a name means something else there; who needs the shape says so
            return None

    def _value(self, role: str) -> Any:
        column = self.table[self.used[role]]
        if role == "island_id":
            return np.asarray(column)
        if role in ("ra", "dec") and column.dtype.kind in "US":
            return _sexagesimal(column, role, label=self.label)
        if column.dtype.kind not in "fiub":
            raise InputError(
                "ColumnUnusable", f"column {self.used[role]!r} of {self.label} should hold numbers for {role}, not text"
            )
        numbers = np.ma.filled(np.ma.masked_array(column, dtype=np.float64), np.nan).astype(np.float64)
        converted = self._in_unit(role, numbers, str(column.unit or ""))
        if converted is None:
            del self.used[role]
            return None
        if role in _ERRORS:
            converted[~(converted > 0)] = np.nan  # zero and -1 are how finders say "not measured"
        return converted

    def _in_unit(self, role: str, numbers: FloatArray, stated: str) -> FloatArray | None:
        """Numbers in the unit of the role: by option, by the file, by convention, in this order."""
        implied, target = self._units[role], UNITS[role]
        if not target:
            return numbers
        unit_text = implied[1:] if implied.startswith("=") else (stated or implied)
        if unit_text == "?":
            if role in _FLUXES and self.columns.flux_unit:
                unit_text = self.columns.flux_unit
            elif role in ("ra_err", "dec_err") or role in _FLUXES or role in ("major", "minor", "frequency"):
                if role not in ("major", "minor"):  # who needs them says so
                    remedy = "flux_unit: mJy" if role in _FLUXES else f"{role}: '{self.used[role]} [arcsec]'"
                    self.notes.append(
                        f"{self.used[role]} of {self.label} is not used: its unit is nowhere stated (say so: {remedy})"
                    )
                return None
            else:
                unit_text = target
        return self._converted(role, numbers, unit_text)

    def _converted(self, role: str, numbers: FloatArray, unit_text: str) -> FloatArray:
        unit = u.Unit(unit_text, parse_strict="silent")
        target = u.Unit(UNITS[role])
        if role == "ra" and unit in (u.hourangle, u.hour):
            return numbers * 15.0
        if role == "ra_err" and unit == u.second:  # VizieR's seconds of time; along the parallel
            return numbers * 15.0 * np.cos(np.radians(self.value("dec"))) if self.found("dec") else numbers * np.nan
        if role in ("x", "y", "x_err", "y_err"):
            return numbers
        for wanted in (target, u.Jy, u.Jy / u.beam) if role in _FLUXES else (target,):
            if unit.is_equivalent(wanted):
                scaled = numbers * float(unit.to(wanted))
                per_beam = wanted == u.Jy / u.beam and role.startswith("total_flux")
                return self._over_beam(role, scaled) if per_beam else scaled
        raise InputError(
            "UnitUnusable",
            f"column {self.used[role]!r} of {self.label} is in {unit_text!r}, which is no unit for {role}; "
            f"name the right one: --a.{role} or --b.{role} (--columns.{role}) '{self.used[role]} [{UNITS[role]}]'",
        )

    def _over_beam(self, role: str, numbers: FloatArray) -> FloatArray:
        """A sum of Jy/beam over pixels as Jy, where the catalogue says how many pixels a beam has (CAESAR)."""
        if "beamArea" in self.table.colnames:
            return numbers / np.asarray(self.table["beamArea"], dtype=np.float64)
        self.notes.append(f"{self.used[role]} of {self.label} is in Jy/beam and was taken as Jy (an unresolved source)")
        return numbers


def _sexagesimal(column: Any, role: str, *, label: str) -> FloatArray:
    """Text like 05 34 31.9 or 05:34:31.9 (hours for right ascension) in degrees; empty text is missing."""
    from astropy.coordinates import Angle

    text = np.array([str(value).strip() for value in np.ma.filled(column, "")], dtype=str)
    degrees = np.full(len(text), np.nan)
    given = np.array([bool(value) and value not in ("--", "nan") for value in text], dtype=bool)
    try:
        plain = all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value) for value in text[given])
        unit = u.hourangle if role == "ra" and not plain else u.deg
        if given.any():
            degrees[given] = Angle(text[given], unit=unit).deg
    except (ValueError, u.UnitsError) as error:
        raise InputError(
            "PositionsUnusable", f"column {column.name!r} of {label} holds text that is no {role} ({error})"
        ) from error
    return degrees


def _require_positions(values: dict[str, Any], reader: _Reader) -> None:
    names = reader.table.colnames
    sky, pixels = {"ra", "dec"} <= set(values), {"x", "y"} <= set(values)
    if not sky and not pixels:
        raise InputError(
            "NoPositions",
            f"{reader.label} has no position columns that are known here (it has {', '.join(names[:12])}"
            f"{', ...' if len(names) > 12 else ''}); name them with --a.ra and --a.dec (or --b., or --columns.; x and "
            "y for pixels)",
        )
    if sky:
        dec, ra = values["dec"], values["ra"]
        if _largest(dec) > 90.0 or _largest(ra) > 720.0:
            raise InputError(
                "PositionsUnusable",
                f"{reader.used['ra']} and {reader.used['dec']} of {reader.label} are no positions in degrees (beyond "
                "720 or 90); name their unit, as in --a.dec 'DEC [rad]', or the right columns",
            )
    if reader.convention is PLAIN:
        positions = [reader.used[role] for role in (("ra", "dec") if sky else ("x", "y"))]
        reader.notes.append(f"positions of {reader.label} are taken from its columns {' and '.join(positions)}")


def _largest(values: FloatArray) -> float:
    """Largest absolute value; 0 where there is none."""
    return float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0))


def _frequency(values: dict[str, Any], provenance: dict[str, Any]) -> float | None:
    """The one frequency of a catalogue, Hz."""
    stated = _positive(provenance.get("frequency_hz"))
    if stated is None and "frequency" in values and np.isfinite(values["frequency"]).any():
        stated = _positive(np.nanmedian(values["frequency"]))
    return stated


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None
