"""How the catalogues of known finders and surveys call their columns, and which units they leave unsaid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ROLES = (
    "ra", "dec", "ra_err", "dec_err", "x", "y", "x_err", "y_err", "peak_flux", "peak_flux_err", "total_flux",
    "total_flux_err", "major", "minor", "pa", "local_rms", "snr", "island_id", "frequency",
)  # fmt: skip
"""What a match or an association may use of a row, by the names of this program's own columns."""

UNITS = {
    "ra": "deg", "dec": "deg", "ra_err": "arcsec", "dec_err": "arcsec", "x": "pix", "y": "pix", "x_err": "pix",
    "y_err": "pix", "peak_flux": "Jy/beam", "peak_flux_err": "Jy/beam", "total_flux": "Jy", "total_flux_err": "Jy",
    "major": "arcsec", "minor": "arcsec", "pa": "deg", "local_rms": "Jy/beam", "snr": "", "island_id": "",
    "frequency": "Hz",
}  # fmt: skip
"""The unit in which each of them is kept."""

Names = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Convention:
    """Columns of one finder.

    Attributes
    ----------
    name
        For the user.
    signature
        Alternatives of columns whose presence tells the finder.
    columns
        Role to column name and the unit meant where the file states none; ``""`` for pure numbers.
    synonyms
        Other names of a role's column, tried after the first.
    """

    name: str
    signature: tuple[frozenset[str], ...]
    columns: Names
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def fits(self, names: Iterable[str]) -> bool:
        """Whether a table with these columns comes from the finder."""
        return any(alternative <= set(names) for alternative in self.signature)


def _signature(*alternatives: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(names.split()) for names in alternatives)


_PYBDSF_NAMES = {
    "ra": "RA", "dec": "DEC", "ra_err": "E_RA", "dec_err": "E_DEC", "peak_flux": "Peak_flux",
    "peak_flux_err": "E_Peak_flux", "total_flux": "Total_flux", "total_flux_err": "E_Total_flux", "major": "Maj",
    "minor": "Min", "pa": "PA", "local_rms": "Isl_rms", "island_id": "Isl_id",
}  # fmt: skip


def _pybdsf(*, angle: str, jansky: str) -> dict[str, tuple[str, str]]:
    """PyBDSF's columns with its sizes and errors in ``angle`` and its fluxes in ``jansky``."""
    units = {
        "ra": "deg", "dec": "deg", "ra_err": angle, "dec_err": angle, "major": angle, "minor": angle, "pa": "deg",
        "island_id": "",
    }  # fmt: skip
    flux = {"total_flux": jansky, "total_flux_err": jansky}
    return {role: (name, units.get(role, flux.get(role, f"{jansky}/beam"))) for role, name in _PYBDSF_NAMES.items()}


CONVENTIONS = (
    Convention(
        "neanias_ml",
        _signature(
            "island_id ra dec x y total_flux", "object_id ra dec x y total_flux", "component_id ra dec total_flux"
        ),
        {role: (role, "deg" if role in ("ra_err", "dec_err") else UNITS[role]) for role in ROLES},
    ),
    Convention(
        "LoTSS release (PyBDSF, arcsec and mJy)",
        _signature("RA DEC Total_flux E_RA_tot", "RA DEC Total_flux Mosaic_ID"),
        _pybdsf(angle="arcsec", jansky="mJy"),
    ),
    Convention(
        "PyBDSF",
        _signature("RA DEC Total_flux Isl_id", "RA DEC Total_flux Peak_flux E_RA"),
        _pybdsf(angle="deg", jansky="Jy")
        | {"x": ("Xposn", "pix"), "y": ("Yposn", "pix"), "x_err": ("E_Xposn", "pix"), "y_err": ("E_Yposn", "pix")},
    ),
    Convention(
        "Selavy",
        _signature("ra_deg_cont dec_deg_cont"),
        {
            "ra": ("ra_deg_cont", "deg"), "dec": ("dec_deg_cont", "deg"), "ra_err": ("ra_err", "arcsec"),
            "dec_err": ("dec_err", "arcsec"), "peak_flux": ("flux_peak", "mJy/beam"),
            "peak_flux_err": ("flux_peak_err", "mJy/beam"), "total_flux": ("flux_int", "mJy"),
            "total_flux_err": ("flux_int_err", "mJy"), "major": ("maj_axis", "arcsec"),
            "minor": ("min_axis", "arcsec"), "pa": ("pos_ang", "deg"), "local_rms": ("rms_image", "mJy/beam"),
            "frequency": ("freq", "MHz"), "island_id": ("island_id", ""),
        },
    ),
    Convention(
        "Aegean",
        _signature("ra dec int_flux peak_flux"),
        {
            "ra": ("ra", "deg"), "dec": ("dec", "deg"), "ra_err": ("err_ra", "deg"), "dec_err": ("err_dec", "deg"),
            "peak_flux": ("peak_flux", "Jy/beam"), "peak_flux_err": ("err_peak_flux", "Jy/beam"),
            "total_flux": ("int_flux", "Jy"), "total_flux_err": ("err_int_flux", "Jy"), "major": ("a", "arcsec"),
            "minor": ("b", "arcsec"), "pa": ("pa", "deg"), "local_rms": ("local_rms", "Jy/beam"),
            "island_id": ("island", ""),
        },
    ),
    Convention(
        "CAESAR components",
        _signature("x_wcs y_wcs Speak", "ra dec Speak"),
        {
            "ra": ("x_wcs", "deg"), "dec": ("y_wcs", "deg"), "ra_err": ("x_wcs_err", "deg"),
            "dec_err": ("y_wcs_err", "deg"), "x": ("x", "pix"), "y": ("y", "pix"), "x_err": ("x_err", "pix"),
            "y_err": ("y_err", "pix"), "peak_flux": ("Speak", "Jy/beam"), "peak_flux_err": ("Speak_err", "Jy/beam"),
            "total_flux": ("S", "Jy"), "total_flux_err": ("S_err", "Jy"), "major": ("bmaj_wcs", "arcsec"),
            "minor": ("bmin_wcs", "arcsec"), "pa": ("pa_wcs", "deg"), "frequency": ("nu", "GHz"),
            "local_rms": ("rms", "Jy/beam"), "island_id": ("island", ""),
        },
        synonyms={
            "ra": ("ra",), "dec": ("dec",), "ra_err": ("ra_err",), "dec_err": ("dec_err",), "major": ("bmaj",),
            "minor": ("bmin",), "pa": ("pa",),
        },
    ),
    Convention(
        "CAESAR islands",
        _signature("x_wcs y_wcs Smax", "ra dec Smax"),
        {
            "ra": ("x_w_wcs", "deg"), "dec": ("y_w_wcs", "deg"), "x": ("x_w", "pix"), "y": ("y_w", "pix"),
            "peak_flux": ("Smax", "Jy/beam"), "total_flux": ("S", "Jy"), "total_flux_err": ("SErr", "Jy"),
            "frequency": ("nu", "GHz"), "local_rms": ("rms", "Jy/beam"),
        },
        synonyms={
            "ra": ("x_wcs", "ra"), "dec": ("y_wcs", "dec"), "x": ("x",), "y": ("y",),
            "total_flux_err": ("Serr", "S_err"),
        },
    ),
)  # fmt: skip
"""Tried in this order."""

PLAIN = Convention(
    "usual names",
    _signature(""),
    {role: (role, UNITS[role] if role in ("ra", "dec", "x", "y", "pa") else "?") for role in ROLES},
    synonyms={
        "ra": ("raj2000", "_raj2000", "ra_j2000", "ra_icrs", "radeg", "ra_deg", "ra_d", "alpha_j2000", "ra_cent"),
        "dec": (
            "dej2000", "_dej2000", "decj2000", "dec_j2000", "de_icrs", "dec_icrs", "dedeg", "decdeg", "dec_deg",
            "dec_d", "delta_j2000", "dec_cent",
        ),
        "ra_err": ("e_ra", "e_raj2000", "err_ra", "ra_error"),
        "dec_err": ("e_dec", "e_dej2000", "e_decj2000", "err_dec", "dec_error"),
        "x": ("xcentroid", "xpos"),
        "y": ("ycentroid", "ypos"),
        "peak_flux": ("peak", "fpeak", "f_peak", "speak", "s_peak"),
        "peak_flux_err": ("e_peak_flux", "e_fpeak", "e_speak", "peak_err"),
        "total_flux": ("int_flux", "flux_int", "fint", "f_int", "sint", "s_int", "s_total", "stot", "s1.4", "flux"),
        "total_flux_err": ("err_int_flux", "e_total_flux", "e_fint", "e_s1.4", "e_stot", "e_flux", "flux_err"),
        "major": ("maj", "majaxis", "maj_axis", "bmaj", "a", "fmaj"),
        "minor": ("min", "minaxis", "min_axis", "bmin", "fmin"),
        "pa": ("posang", "pos_ang", "fpa", "position_angle"),
        "local_rms": ("rms", "isl_rms", "noise"),
        "snr": ("s/n", "sn", "snr_peak"),
        "island_id": ("isl", "isl_id", "island"),
        "frequency": ("freq", "nu", "frequency_hz"),
    },
)  # fmt: skip
"""Names met in survey tables (NVSS, FIRST, SUMSS, SIMBAD, VizieR, Gaia), whatever their case; of units only those of
positions are taken for granted."""


def convention_of(names: Iterable[str]) -> Convention:
    """The convention that a table's column names follow."""
    names = list(names)
    return next((convention for convention in CONVENTIONS if convention.fits(names)), PLAIN)


def column_of(convention: Convention, role: str, names: Iterable[str]) -> tuple[str, str] | None:
    """Column and implied unit of a role, None where the table has none; ``"?"`` is a unit that nobody knows."""
    if role not in convention.columns:
        return None
    name, unit = convention.columns[role]
    by_lower = {existing.lower(): existing for existing in reversed(list(names))}
    for candidate in (name, *convention.synonyms.get(role, ())):
        if candidate in by_lower.values():
            return candidate, unit
        if candidate.lower() in by_lower:
            return by_lower[candidate.lower()], unit
    return None
