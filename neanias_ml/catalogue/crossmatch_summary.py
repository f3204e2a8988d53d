"""A cross-match in numbers: fractions both ways, offsets, pulls, flux ratios, chance."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.crossmatch import MatchConfig, MatchedPairs
from neanias_ml.catalogue.crossmatch_chance import ChanceMatches
from neanias_ml.catalogue.reading_sources import SourceList
from neanias_ml.evaluation import wilson_interval

FloatArray = NDArray[np.float64]
SNR_EDGES = (0.0, 5.0, 7.0, 10.0, 20.0, 50.0, 100.0, np.inf)
"""Signal to noise, the bins of the flux ratios: half a magnitude or less each where fluxes are biased."""
SIGMA_PER_MAD = 1.4826
"""Standard deviation over median absolute deviation of a Gaussian."""


def summary(
    a: SourceList, b: SourceList, matched: MatchedPairs, chance: ChanceMatches | None, *, config: MatchConfig
) -> dict[str, Any]:
    """The content of ``summary.json``: plain numbers, None where something is unknown.

    Parameters
    ----------
    a, b
        The catalogues.
    matched
        Their pairs.
    chance
        Matches of displaced positions, or None where they were not counted.
    """
    n_a, n_b = _placed(a, matched), _placed(b, matched)
    unit = matched.rule.unit
    return {
        "format": "neanias_ml match",
        "a": _catalogue(a, n_a),
        "b": _catalogue(b, n_b),
        "rule": {
            "by": config.by,
            "frame": matched.rule.frame,
            "radius": matched.rule.radius if config.by == "position" else None,
            "unit": unit,
            "radius_reason": matched.rule.reason if config.by == "position" else None,
            "n_sigma": config.n_sigma,
            "flux_ratio": [config.min_flux_ratio, config.max_flux_ratio],
            "min_overlap": config.min_overlap if config.by == "overlap" else None,
        },
        "matched": len(matched),
        "ambiguous": int(matched.ambiguous.sum()),
        "unmatched_a": len(a) - len(matched),
        "unmatched_b": len(b) - len(matched),
        "completeness_of_a_against_b": fraction(len(matched), n_b),
        "reliability_of_a_against_b": fraction(len(matched), n_a),
        "chance": _chance(chance, len(matched), config),
        "separation": {"unit": unit, **spread(matched.pairs.separation)},
        "offset_east" if unit == "arcsec" else "offset_x": {"unit": unit, **spread(matched.east)},
        "offset_north" if unit == "arcsec" else "offset_y": {"unit": unit, **spread(matched.north)},
        "pull_east" if unit == "arcsec" else "pull_x": spread(matched.pull_east),
        "pull_north" if unit == "arcsec" else "pull_y": spread(matched.pull_north),
        "total_flux_ratio_b_over_a": _ratios(matched.total_ratio, *pair_snr(a, b, matched)),
        "peak_flux_ratio_b_over_a": _ratios(matched.peak_ratio, *pair_snr(a, b, matched)),
        "spectral_index": spread(matched.spectral_index),
    }


def spread(values: FloatArray) -> dict[str, float | int | None]:
    """Number, median, its standard error and the scatter (1.4826 times the median absolute deviation)."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return {"n": 0, "median": None, "median_err": None, "scatter": None}
    median = float(np.median(values))
    scatter = float(SIGMA_PER_MAD * np.median(np.abs(values - median)))
    error = float(np.sqrt(np.pi / 2) * scatter / np.sqrt(len(values)))
    return {"n": len(values), "median": median, "median_err": error, "scatter": scatter}


def fraction(hits: int, total: int) -> dict[str, float | int | None]:
    """A share with its 95 % interval (Wilson)."""
    if total == 0:
        return {"n": hits, "of": 0, "value": None, "low": None, "high": None}
    low, high = wilson_interval(hits, total)
    return {"n": hits, "of": total, "value": hits / total, "low": float(low), "high": float(high)}


def pair_snr(a: SourceList, b: SourceList, matched: MatchedPairs) -> tuple[FloatArray, str]:
    """Signal to noise (K,) of the pairs and the catalogue that it is of: A, or B where A knows none."""
    snr = a.snr
    if np.isfinite(snr).any():
        return snr[matched.pairs.first], "a"
    return b.snr[matched.pairs.second], "b"


def summary_lines(content: Mapping[str, Any]) -> list[str]:
    """The summary as a person reads it on a terminal."""
    rule, chance = content["rule"], content["chance"]
    lines = [f"{letter.upper()}: {_described(content[letter])}" for letter in "ab"]
    if rule["by"] == "position":
        lines.append(f"radius: {rule['radius']:.4g} {rule['unit']} ({rule['radius_reason']})")
    else:
        lines.append(f"islands that share {rule['min_overlap']:.0%} of their pixels or more")
    lines.append(f"matched: {content['matched']}, {content['ambiguous']} of them with another candidate")
    for key, text in (
        ("completeness_of_a_against_b", "of B found in A (completeness of A)"),
        ("reliability_of_a_against_b", "of A found in B (reliability of A)"),
    ):
        share = content[key]
        if share["value"] is not None:
            lines.append(f"{share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}] {text}")
    if chance["expected"] is not None:
        text = f"chance matches: {chance['expected']:.2f} +- {chance['error']:.2f}"
        lines.append(text + (f" ({chance['share_of_matches']:.1%} of the matches)" if content["matched"] else ""))
    names = ("offset_east", "offset_north", "pull_east", "pull_north", "offset_x", "offset_y", "pull_x", "pull_y")
    for name in (*names, "total_flux_ratio_b_over_a", "peak_flux_ratio_b_over_a", "spectral_index"):
        entry = content.get(name)
        if entry and entry["n"]:
            unit = f" {entry['unit']}" if "unit" in entry else ""
            lines.append(
                f"{name.replace('_', ' ')}: median {entry['median']:.4g} +- {entry['median_err']:.2g}{unit}, "
                f"scatter {entry['scatter']:.3g}{unit} (n = {entry['n']})"
            )
    return lines


def _placed(sources: SourceList, matched: MatchedPairs) -> int:
    """Rows that have a position in the frame of the match."""
    return int(sources.finite(*(("ra", "dec") if matched.rule.frame == "sky" else ("x", "y"))).sum())


def _catalogue(sources: SourceList, n_placed: int) -> dict[str, Any]:
    return {
        "path": str(sources.path) if sources.path else None,
        "table": sources.table.meta.get("name"),
        "convention": sources.convention,
        "columns": dict(sources.used),
        "rows": len(sources),
        "rows_with_position": n_placed,
        "frequency_hz": sources.frequency,
        "beam_arcsec": sources.beam_arcsec,
        "notes": list(sources.notes),
    }


def _described(entry: Mapping[str, Any]) -> str:
    blind = entry["rows"] - entry["rows_with_position"]
    lacking = f", {blind} of them without a position" if blind else ""
    return f"{entry['rows']} rows of {entry['path']} (table {entry['table']}, {entry['convention']}){lacking}"


def _chance(chance: ChanceMatches | None, n_matched: int, config: MatchConfig) -> dict[str, Any]:
    if chance is None:
        reason = "not counted for matches by overlap" if config.by == "overlap" else "match.trials is 0"
        return {"expected": None, "error": None, "share_of_matches": None, "trials": 0, "reason": reason}
    return {
        "expected": chance.mean,
        "error": chance.error,
        "share_of_matches": min(chance.mean / n_matched, 1.0) if n_matched else None,
        "trials": len(chance.counts),
        "annulus": list(chance.annulus),
    }


def _ratios(ratios: FloatArray, snr: FloatArray, letter: str) -> dict[str, Any]:
    """Spread of all ratios and by signal to noise."""
    bins = []
    for low, high in pairwise(SNR_EDGES):
        entry = spread(ratios[(snr >= low) & (snr < high)])
        if entry["n"]:
            bins.append({"snr_from": low, "snr_to": high if np.isfinite(high) else None, **entry})
    return {**spread(ratios), "snr_of": letter, "by_snr": bins}
