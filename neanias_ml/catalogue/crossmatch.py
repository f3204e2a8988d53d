"""Cross-match of two catalogues: the rule, the pairs, and what the pairs say of positions and fluxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.crossmatch_overlap import overlapping_pairs
from neanias_ml.catalogue.reading_sources import SourceList
from neanias_ml.errors import InputError, UsageError
from neanias_ml.evaluation import CrossMatch, one_to_one, pixel_pairs, sky_offsets, sky_pairs

FloatArray = NDArray[np.float64]
DEFAULT_RADIUS_ARCSEC = 5.0
DEFAULT_RADIUS_PIXELS = 2.5
MIN_FREQUENCY_STEP = 0.01
"""Relative step in frequency below which no spectral index is formed: flux errors would grow a hundredfold."""


@dataclass(frozen=True)
class MatchConfig:
    """How two catalogues are matched."""

    by: Literal["position", "overlap"] = "position"
    """``position``: nearest positions within the radius; ``overlap``: islands that share pixels of one map."""
    frame: Literal["auto", "sky", "pixels"] = "auto"
    """Where positions are compared; ``auto``: on the sky if both catalogues have sky positions, else in pixels."""
    radius: float | None = None
    """Largest separation, arcsec (pixels in the frame of pixels). Default: half the major axis of the larger beam,
    within which no two sources are told apart; of unknown beams, half the 10th percentile of the fitted major axes;
    else 5 arcsec or 2.5 pixels."""
    n_sigma: float | None = None
    """Pairs must also agree within so many combined position errors (an ellipse); rows without errors have
    ``systematic`` alone, and need not agree where that is 0."""
    systematic: float = 0.0
    """Error of astrometric calibration added in quadrature to the position errors, arcsec (or pixels)."""
    min_flux_ratio: float | None = None
    """Smallest flux of B over flux of A of a pair, total fluxes where both have them, else peaks; default: any."""
    max_flux_ratio: float | None = None
    """Largest flux ratio of a pair."""
    min_overlap: float = 0.5
    """Share of the pixels of each island that the other one must cover, 0 to 1 (``by: overlap``)."""
    trials: int = 20
    """Times that B is displaced at random to count chance matches, 0 to skip; 20 give their rate to a few percent for
    a hundred chance matches."""

    def __post_init__(self) -> None:
        for name in ("radius", "n_sigma", "min_flux_ratio", "max_flux_ratio"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise UsageError("MatchOption", f"match.{name} must be positive, not {value}")
        if not 0 <= self.systematic < np.inf:
            raise UsageError("MatchOption", f"match.systematic must not be negative, not {self.systematic}")
        if not 0 < self.min_overlap <= 1:
            raise UsageError("MatchOption", f"match.min_overlap must lie in (0, 1], not {self.min_overlap}")
        if not 0 <= self.trials <= 10000:
            raise UsageError("MatchOption", f"match.trials must lie between 0 and 10000, not {self.trials}")
        if self.min_flux_ratio and self.max_flux_ratio and self.min_flux_ratio >= self.max_flux_ratio:
            raise UsageError("MatchOption", "match.min_flux_ratio must be below match.max_flux_ratio")


@dataclass(frozen=True)
class MatchRule:
    """The rule as it was resolved: where positions were compared, how far, and why so far."""

    frame: Literal["sky", "pixels"]
    radius: float
    reason: str

    @property
    def unit(self) -> str:
        """Unit of radius, separations and offsets."""
        return "arcsec" if self.frame == "sky" else "pix"


@dataclass(frozen=True)
class MatchedPairs:
    """Pairs of rows of A and B with what they say; arrays (K,), NaN where a catalogue lacks a value.

    Attributes
    ----------
    pairs
        Rows of A and of B and their separation.
    east, north
        Offset of B from A: arcsec east and north, or pixels along columns and rows.
    pull_east, pull_north
        The offsets over their combined errors.
    total_ratio, peak_ratio
        Flux of B over flux of A.
    spectral_index, spectral_index_err
        alpha of S ~ nu**alpha, where the frequencies differ by more than `MIN_FREQUENCY_STEP`.
    overlap
        Share of the pixels of the larger island that both have (``by: overlap``).
    ambiguous
        Whether a row of the pair had another candidate.
    """

    rule: MatchRule
    pairs: CrossMatch
    east: FloatArray
    north: FloatArray
    pull_east: FloatArray
    pull_north: FloatArray
    total_ratio: FloatArray
    peak_ratio: FloatArray
    spectral_index: FloatArray
    spectral_index_err: FloatArray
    overlap: FloatArray
    ambiguous: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pairs)


def match_catalogues(a: SourceList, b: SourceList, *, config: MatchConfig | None = None) -> MatchedPairs:
    """Match two catalogues one-to-one.

    Candidates are all pairs within the radius (or islands that overlap) that satisfy the other conditions; the nearest
    (most overlapping) pair is taken first and each row once.

    Raises
    ------
    UsageError
        If a condition needs columns that the catalogues lack.
    InputError
        ``NoCommonFrame`` if one catalogue has sky positions only and the other one pixels only.
    """
    config = config or MatchConfig()
    rule = resolve_rule(a, b, config)
    require_columns(a, b, config, rule)
    if config.by == "overlap":
        candidates, shares = overlapping_pairs(a, b, min_overlap=config.min_overlap)
        order = CrossMatch(candidates.first, candidates.second, 1.0 - shares)
        chosen = one_to_one(order)
        overlap = 1.0 - chosen.separation
        east, north = _offsets(a, b, chosen, rule)
        pairs = CrossMatch(chosen.first, chosen.second, np.hypot(east, north))
    else:
        candidates = candidate_pairs(a, b, config=config, rule=rule)
        pairs = one_to_one(candidates)
        east, north = _offsets(a, b, pairs, rule)
        overlap = np.full(len(pairs), np.nan)
    error_east, error_north = _combined_errors(a, b, pairs, config, rule)
    index, index_err = _spectral_indices(a, b, pairs)
    return MatchedPairs(
        rule=rule,
        pairs=pairs,
        east=east,
        north=north,
        pull_east=east / error_east,
        pull_north=north / error_north,
        total_ratio=_ratio(a, b, pairs, "total_flux"),
        peak_ratio=_ratio(a, b, pairs, "peak_flux"),
        spectral_index=index,
        spectral_index_err=index_err,
        overlap=overlap,
        ambiguous=_ambiguous(candidates, pairs),
    )


def resolve_rule(a: SourceList, b: SourceList, config: MatchConfig) -> MatchRule:
    """Frame and radius of a match, with the reason for the radius."""
    sky, pixels = a.has_sky and b.has_sky, a.has_pixels and b.has_pixels
    if not {"sky": sky, "pixels": pixels, "auto": sky or pixels}[config.frame]:
        wanted = "positions" if config.frame == "auto" else f"{config.frame} positions"
        raise InputError(
            "NoCommonFrame",
            f"the two catalogues have no {wanted} in common (A: {_frames(a)}; B: {_frames(b)}); name columns with "
            "--a.ra, --a.dec, --a.x, --a.y and --b....",
        )
    frame: Literal["sky", "pixels"] = "sky" if sky and config.frame != "pixels" else "pixels"
    if config.radius is not None:
        return MatchRule(frame, config.radius, "as asked for")
    scale = 1.0
    if frame == "pixels":
        scales = [one.pixel_scale_arcsec for one in (a, b) if one.pixel_scale_arcsec]
        if not scales:
            return MatchRule(frame, DEFAULT_RADIUS_PIXELS, "the usual 2.5 pixels, as no pixel size is known")
        scale = scales[0]
    beams = [one.beam_arcsec for one in (a, b) if one.beam_arcsec]
    if beams:
        return MatchRule(frame, max(beams) / 2 / scale, "half the major axis of the larger beam")
    sizes = [float(np.nanpercentile(one.get("major"), 10)) for one in (a, b) if one.finite("major").any()]
    if sizes and max(sizes) > 0:
        return MatchRule(
            frame, max(sizes) / 2 / scale, "half the 10th percentile of the major axes, as no beam is known"
        )
    if frame == "pixels":
        return MatchRule(frame, DEFAULT_RADIUS_PIXELS, "the usual 2.5 pixels, as no pixel size is known")
    return MatchRule(frame, DEFAULT_RADIUS_ARCSEC, "the usual 5 arcsec, as no beam is known")


def require_columns(a: SourceList, b: SourceList, config: MatchConfig, rule: MatchRule) -> None:
    """Refuse conditions that no pair could be judged by."""
    if config.n_sigma is not None:
        names = _error_roles(rule)
        if not config.systematic and not any(one.finite(*names).any() for one in (a, b)):
            raise UsageError(
                "ErrorsMissing",
                f"match.n_sigma needs position errors, and neither catalogue has {' and '.join(names)}; name their "
                f"columns (--a.{names[0]} ...), set match.systematic, or leave match.n_sigma out",
            )
    if (config.min_flux_ratio or config.max_flux_ratio) and flux_role(a, b) is None:
        raise UsageError(
            "FluxesMissing",
            "the flux-ratio limits need total_flux or peak_flux in both catalogues; name the columns and their unit "
            "(--a.total_flux 'NAME [mJy]') or leave the limits out",
        )


def candidate_pairs(
    a: SourceList,
    b: SourceList,
    *,
    config: MatchConfig,
    rule: MatchRule,
    moved: tuple[FloatArray, FloatArray] | None = None,
) -> CrossMatch:
    """All pairs within the radius that satisfy the other conditions.

    Parameters
    ----------
    moved
        Positions (N_b,) each to use instead of B's own.
    """
    first = ("ra", "dec") if rule.frame == "sky" else ("x", "y")
    xa, ya = a.get(first[0]), a.get(first[1])
    xb, yb = moved or (b.get(first[0]), b.get(first[1]))
    if rule.frame == "sky":
        pairs = sky_pairs(xa, ya, xb, yb, radius_arcsec=rule.radius)
    else:
        pairs = pixel_pairs(xa, ya, xb, yb, radius=rule.radius)
    if config.n_sigma is not None:
        east, north = _offsets(a, b, pairs, rule, moved=moved)
        error_east, error_north = _combined_errors(a, b, pairs, config, rule)
        distance = np.hypot(east / error_east, north / error_north)
        pairs = pairs.select(~(distance > config.n_sigma))
    role = flux_role(a, b)
    if role is not None and (config.min_flux_ratio or config.max_flux_ratio):
        ratio = _ratio(a, b, pairs, role)
        low, high = config.min_flux_ratio or 0.0, config.max_flux_ratio or np.inf
        pairs = pairs.select((ratio >= low) & (ratio <= high))
    return pairs


def flux_role(a: SourceList, b: SourceList) -> str | None:
    """The flux by which pairs are compared: total where both have it, else peak, else none."""
    return next((role for role in ("total_flux", "peak_flux") if a.finite(role).any() and b.finite(role).any()), None)


def _frames(sources: SourceList) -> str:
    held = [name for name, there in (("sky", sources.has_sky), ("pixels", sources.has_pixels)) if there]
    return " and ".join(held) or "neither sky nor pixels"


def _error_roles(rule: MatchRule) -> tuple[str, str]:
    return ("ra_err", "dec_err") if rule.frame == "sky" else ("x_err", "y_err")


def _offsets(
    a: SourceList,
    b: SourceList,
    pairs: CrossMatch,
    rule: MatchRule,
    *,
    moved: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[FloatArray, FloatArray]:
    names = ("ra", "dec") if rule.frame == "sky" else ("x", "y")
    xa, ya = a.get(names[0])[pairs.first], a.get(names[1])[pairs.first]
    second = moved or (b.get(names[0]), b.get(names[1]))
    xb, yb = second[0][pairs.second], second[1][pairs.second]
    return sky_offsets(xa, ya, xb, yb) if rule.frame == "sky" else (xb - xa, yb - ya)


def _combined_errors(
    a: SourceList, b: SourceList, pairs: CrossMatch, config: MatchConfig, rule: MatchRule
) -> tuple[FloatArray, FloatArray]:
    """Quadrature sums (K,) of those errors that the two rows have; NaN where neither has any."""
    sums = []
    for role in _error_roles(rule):
        squares = np.stack([a.get(role)[pairs.first], b.get(role)[pairs.second]]) ** 2
        known = np.isfinite(squares).any(axis=0) | (config.systematic > 0)
        total = np.sqrt(np.nansum(squares, axis=0) + config.systematic**2)
        sums.append(np.where(known & (total > 0), total, np.nan))
    return sums[0], sums[1]


def _ratio(a: SourceList, b: SourceList, pairs: CrossMatch, role: str) -> FloatArray:
    below, above = a.get(role)[pairs.first], b.get(role)[pairs.second]
    return np.divide(above, below, out=np.full(len(pairs), np.nan), where=below > 0)


def _spectral_indices(a: SourceList, b: SourceList, pairs: CrossMatch) -> tuple[FloatArray, FloatArray]:
    """Index and error (K,) by the two flux densities; NaN where a flux is not positive or frequencies agree."""
    nothing = np.full(len(pairs), np.nan)
    if a.frequency is None or b.frequency is None or abs(np.log(b.frequency / a.frequency)) < MIN_FREQUENCY_STEP:
        return nothing, nothing.copy()
    ratio = _ratio(a, b, pairs, "total_flux")
    step = np.log(b.frequency / a.frequency)
    index = np.log(ratio, out=nothing.copy(), where=ratio > 0) / step
    relative = [
        np.divide(
            one.get("total_flux_err")[rows], one.get("total_flux")[rows], out=nothing.copy(), where=np.isfinite(index)
        )
        for one, rows in ((a, pairs.first), (b, pairs.second))
    ]
    return index, np.hypot(relative[0], relative[1]) / abs(step)


def _ambiguous(candidates: CrossMatch, pairs: CrossMatch) -> NDArray[np.bool_]:
    """Whether either row of a pair had more than one candidate."""
    crowded_a, number_a = np.unique(candidates.first, return_counts=True)
    crowded_b, number_b = np.unique(candidates.second, return_counts=True)
    return np.isin(pairs.first, crowded_a[number_a > 1]) | np.isin(pairs.second, crowded_b[number_b > 1])
