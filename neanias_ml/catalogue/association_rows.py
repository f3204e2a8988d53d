"""What grouping needs to know of the rows of a catalogue of any finder: places, fluxes, noise and shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.reading_sources import SourceList
from neanias_ml.columns import Columns
from neanias_ml.errors import InputError, UsageError
from neanias_ml.maps import Beam

FloatArray = NDArray[np.float64]
ARCSEC = 3600.0
RESOLVABLE = 0.5
"""Axes below this many beam widths are no measures of a map with that beam (zero: not fitted; deconvolved sizes)."""


@dataclass(frozen=True, kw_only=True)
class AssociationOptions:
    """What a catalogue may not say of itself.

    Attributes
    ----------
    beam
        The map's beam; by default what the catalogue says.
    rms
        Noise, Jy/beam, for rows without one.
    pixel_scale
        Size of a pixel, arcsec, for catalogues with pixel positions only.
    join_islands
        Whether rows of one island of the catalogue are one thing from the start.
    """

    beam: Beam | None = None
    rms: float | None = None
    pixel_scale: float | None = None
    join_islands: bool = True

    def __post_init__(self) -> None:
        for name, value in (("--rms", self.rms), ("--pixel-scale", self.pixel_scale)):
            if value is not None and not 0 < value < np.inf:
                raise UsageError("AssociationOption", f"{name} must be positive, not {value}")


@dataclass(frozen=True)
class Rows(Columns):
    """Rows of a catalogue as they are grouped; NaN in rows that cannot be."""

    ra: FloatArray
    """degrees; NaN where there are only pixels"""
    dec: FloatArray
    east: FloatArray
    """arcsec on the plane of the map where there are only pixels, else NaN"""
    north: FloatArray
    peak_flux: FloatArray
    """Jy/beam"""
    total_flux: FloatArray
    """Jy"""
    rms: FloatArray
    """Jy/beam"""
    major: FloatArray
    """full width at half maximum, arcsec, with the beam"""
    minor: FloatArray
    pa: FloatArray
    """degrees east of north"""

    @property
    def on_sky(self) -> bool:
        """Whether places are positions on the sky."""
        return len(self) == 0 or bool(np.isnan(self.east).all())

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(N,) rows that have a place and a flux."""
        placed = np.isfinite(self.ra + self.dec) | np.isfinite(self.east + self.north)
        usable: NDArray[np.bool_] = placed & np.isfinite(self.peak_flux + self.total_flux) & (self.rms > 0)
        return usable


def rows_of(sources: SourceList, *, options: AssociationOptions) -> tuple[Rows, Beam, tuple[str, ...]]:
    """Rows to group, the beam, and what was assumed.

    Raises
    ------
    InputError
        ``BeamUnknown``, ``PixelScaleUnknown``, ``FluxMissing``, ``NoiseMissing``, ``ShapeMissing``: something that
        grouping needs is missing; the sentence names the column and the option.
    """
    beam = beam_of(sources, given=options.beam)
    notes: list[str] = []
    major, minor, pa = _axes(sources, beam, notes)
    peak, total = _fluxes(sources, major * minor / (beam.major * beam.minor * ARCSEC**2), notes)
    nothing = np.full(len(sources), np.nan)
    east, north = (nothing, nothing) if sources.has_sky else _plane(sources, options)
    rows = Rows(
        ra=sources.get("ra") if sources.has_sky else nothing,
        dec=sources.get("dec") if sources.has_sky else nothing,
        east=east,
        north=north,
        peak_flux=peak,
        total_flux=total,
        rms=_noise(sources, peak, options),
        major=major,
        minor=minor,
        pa=pa,
    )
    lost = int((~rows.usable).sum())
    if lost:
        notes.append(f"{lost} rows have no position, flux or noise and stay alone")
    return rows, beam, tuple(notes)


def beam_of(sources: SourceList, *, given: Beam | None) -> Beam:
    """The beam of a catalogue's map: by option, by what it says of the map, by its columns (Aegean's ``psf_a``).

    Raises
    ------
    InputError
        ``BeamUnknown``.
    """
    if given is not None:
        return given
    facts = sources.table.meta.get("provenance") or {}
    for names, unit in ((("beam_major_arcsec", "beam_minor_arcsec"), 1 / ARCSEC), (("bmaj", "bmin"), 1.0)):
        major = _positive(facts.get(names[0]))
        if major is not None:
            return Beam(major * unit, (_positive(facts.get(names[1])) or major) * unit, 0.0)
    columns = [name for name in ("psf_a", "psf_b") if name in sources.table.colnames]
    values = [np.asarray(sources.table[name], dtype=np.float64) for name in columns]
    if len(values) == 2 and (np.isfinite(values[0]) & (values[0] > 0)).any():
        major, minor = (float(np.nanmedian(axis[axis > 0])) / ARCSEC for axis in values)
        return Beam(major, minor, 0.0)
    raise InputError(
        "BeamUnknown",
        f"{_name(sources)} does not say what beam its map has, and lengths are counted in beams; give it: "
        "--beam MAJOR [MINOR [PA]] (arcsec, arcsec, degrees)",
    )


def _plane(sources: SourceList, options: AssociationOptions) -> tuple[FloatArray, FloatArray]:
    """Offsets (N,) in arcsec of pixel positions, east to the left."""
    scale = options.pixel_scale or sources.pixel_scale_arcsec
    if scale is None:
        raise InputError(
            "PixelScaleUnknown",
            f"{_name(sources)} has pixel positions only, and does not say how large a pixel is; give it: "
            "--pixel-scale ARCSEC, or name sky positions with --columns.ra and --columns.dec",
        )
    return -scale * sources.get("x"), scale * sources.get("y")


def _axes(sources: SourceList, beam: Beam, notes: list[str]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Axes (arcsec) and position angles of rows; those of the beam where a row has none."""
    for role, what, unit in (
        ("major", "the major axis", "arcsec"), ("minor", "the minor axis", "arcsec"),
        ("pa", "the position angle", "deg"),
    ):  # fmt: skip
        if role not in sources.values:
            raise InputError(
                "ShapeMissing",
                f"{_name(sources)} has no column for {what} of its rows (full width at half maximum, with the beam) "
                f"that is known here, or not its unit; name it: --columns.{role} 'NAME [{unit}]', or take a table of "
                "the file that has it: --columns.table NAME",
            )
    major, minor = (np.array(sources.get(role)) for role in ("major", "minor"))
    major, minor = np.maximum(major, minor), np.minimum(major, minor)
    pa = np.nan_to_num(sources.get("pa"))
    bare = ~(minor >= RESOLVABLE * beam.minor * ARCSEC) | ~np.isfinite(major)
    if bare.any():
        count = int(bare.sum())
        notes.append(f"{count} rows without axes, or with smaller ones than the beam, were taken as unresolved")
        major[bare], minor[bare], pa[bare] = beam.major * ARCSEC, beam.minor * ARCSEC, beam.position_angle
    return major, minor, pa


def _fluxes(sources: SourceList, area: FloatArray, notes: list[str]) -> tuple[FloatArray, FloatArray]:
    """Peak (Jy/beam) and total (Jy) of rows; one from the other and the area in beams where only one is given."""
    given = [role for role in ("peak_flux", "total_flux") if role in sources.values]
    if not given:
        raise InputError(
            "FluxMissing",
            f"{_name(sources)} has no column for fluxes that is known here, or their unit is nowhere stated; name one: "
            "--columns.total_flux 'NAME [mJy]' or --columns.peak_flux 'NAME [mJy/beam]', or --columns.flux_unit mJy",
        )
    if len(given) == 1:
        notes.append(f"{given[0]} is the only flux; the other one was taken from it and the axes")
    peak, total = sources.get("peak_flux"), sources.get("total_flux")
    return np.where(np.isfinite(peak), peak, total / area), np.where(np.isfinite(total), total, peak * area)


def _noise(sources: SourceList, peak: FloatArray, options: AssociationOptions) -> FloatArray:
    """Noise (N,) in Jy/beam: its column, else peak over signal to noise, else the option."""
    rms = np.array(sources.get("local_rms"))
    with np.errstate(invalid="ignore", divide="ignore"):
        rms = np.where(rms > 0, rms, peak / sources.get("snr"))
    rms = np.where(rms > 0, rms, np.nan if options.rms is None else options.rms)
    if len(rms) and not (rms > 0).any():
        raise InputError(
            "NoiseMissing",
            f"{_name(sources)} has no column for the noise that is known here, or not its unit; name it: "
            "--columns.local_rms 'NAME [mJy/beam]', or give one noise for all: --rms JY_PER_BEAM",
        )
    return rms


def _positive(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if np.isfinite(number) and number > 0 else None


def _name(sources: SourceList) -> str:
    return str(sources.path) if sources.path is not None else "the catalogue"
