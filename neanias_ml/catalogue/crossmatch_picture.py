"""`match.png`: offsets, separations against chance, fluxes of both catalogues, flux ratio by signal to noise."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neanias_ml.catalogue.crossmatch import MatchedPairs, flux_role
from neanias_ml.catalogue.crossmatch_chance import ChanceMatches
from neanias_ml.catalogue.crossmatch_summary import SNR_EDGES, pair_snr, spread
from neanias_ml.catalogue.reading_sources import SourceList

FloatArray = NDArray[np.float64]
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"
"""Colours of Okabe and Ito (2008), which people with any colour vision can tell apart; line styles differ too."""
SIZE, DPI = (11.0, 9.5), 110


def write_match_picture(
    a: SourceList, b: SourceList, matched: MatchedPairs, chance: ChanceMatches | None, path: Path, *, overlap: bool
) -> None:
    """Draw the four panels.

    Parameters
    ----------
    overlap
        Whether islands were matched by their pixels, so that there is no radius to show.
    """
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    _draw_offsets(panels[0, 0], matched, overlap=overlap)
    _draw_separations(panels[0, 1], matched, chance, overlap=overlap)
    role = flux_role(a, b)
    _draw_fluxes(panels[1, 0], a, b, matched, role)
    _draw_ratios(panels[1, 1], a, b, matched, role)
    figure.suptitle(f"{_name(a)} (A) and {_name(b)} (B): {len(matched)} matches of {len(a)} and {len(b)} rows")
    figure.savefig(path, format="png")


def _draw_offsets(axes: Any, matched: MatchedPairs, *, overlap: bool) -> None:
    """Every pair's offset with the medians, and the circle of the radius."""
    unit = matched.rule.unit
    given = np.isfinite(matched.east) & np.isfinite(matched.north)
    axes.axhline(0, color=GREY, lw=0.6)
    axes.axvline(0, color=GREY, lw=0.6)
    axes.scatter(matched.east[given], matched.north[given], s=7, color=BLUE, alpha=_alpha(given.sum()), lw=0)
    reach = matched.rule.radius
    if overlap:
        reach = float(np.max(np.hypot(matched.east[given], matched.north[given]), initial=1.0))
    else:
        turn = np.linspace(0, 2 * np.pi, 181)
        axes.plot(
            reach * np.sin(turn), reach * np.cos(turn), color=GREY, lw=1, ls="--", label=f"radius {reach:.3g} {unit}"
        )
    if given.any():
        east, north = np.median(matched.east[given]), np.median(matched.north[given])
        axes.plot(
            east, north, marker="+", ms=16, mew=2.5, color=ORANGE, ls="", label=f"median {east:.3g}, {north:.3g} {unit}"
        )
        axes.legend(loc="upper right", fontsize=8)
    axes.set_xlim((1.08 * reach, -1.08 * reach) if unit == "arcsec" else (-1.08 * reach, 1.08 * reach))
    axes.set_ylim(-1.08 * reach, 1.08 * reach)
    axes.set_aspect("equal")
    axes.set_xlabel(f"B - A east [{unit}]" if unit == "arcsec" else "B - A, columns [pix]")
    axes.set_ylabel(f"B - A north [{unit}]" if unit == "arcsec" else "B - A, rows [pix]")
    axes.set_title("position offsets", fontsize=10)


def _draw_separations(axes: Any, matched: MatchedPairs, chance: ChanceMatches | None, *, overlap: bool) -> None:
    """How far the pairs are apart, against those of displaced positions."""
    found = matched.pairs.separation[np.isfinite(matched.pairs.separation)]
    reach = float(np.max(found, initial=1e-9)) if overlap else matched.rule.radius
    edges = np.linspace(0.0, reach, 26)
    axes.hist(found, bins=edges, color=BLUE, alpha=0.55, label="matches")
    if chance is not None and len(chance.counts):
        weights = np.full(len(chance.separations), 1.0 / len(chance.counts))
        axes.hist(
            chance.separations, bins=edges, weights=weights, histtype="step", color=ORANGE, lw=2, ls="--",
            label=f"by chance: {chance.mean:.3g} +- {chance.error:.2g} in all",
        )  # fmt: skip
    axes.set_xlim(0, reach)
    axes.set_xlabel(f"separation [{matched.rule.unit}]")
    axes.set_ylabel("pairs per bin")
    axes.legend(fontsize=8)
    axes.set_title("separations", fontsize=10)


def _draw_fluxes(axes: Any, a: SourceList, b: SourceList, matched: MatchedPairs, role: str | None) -> None:
    """Flux against flux with the line of equality and that of the median ratio."""
    if role is None:
        _say(axes, "fluxes", "the catalogues have no flux of known unit in common")
        return
    first, second = a.get(role)[matched.pairs.first], b.get(role)[matched.pairs.second]
    given = (first > 0) & (second > 0)
    if not given.any():
        _say(axes, "fluxes", "no pair has fluxes")
        return
    first, second = first[given], second[given]
    ends = np.array([min(first.min(), second.min()) / 1.5, max(first.max(), second.max()) * 1.5])
    median = float(np.median(second / first))
    axes.loglog(first, second, ls="", marker="o", ms=2.8, mew=0, color=BLUE, alpha=_alpha(len(first)))
    axes.loglog(ends, ends, color=GREY, lw=1, label="equal")
    axes.loglog(ends, median * ends, color=ORANGE, lw=1.6, ls="--", label=f"median ratio {median:.3f}")
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    unit = "Jy" if role == "total_flux" else "Jy/beam"
    axes.set_xlabel(f"{role.replace('_', ' ')} of A [{unit}]")
    axes.set_ylabel(f"{role.replace('_', ' ')} of B [{unit}]")
    axes.legend(loc="upper left", fontsize=8)
    axes.set_title("fluxes", fontsize=10)


def _draw_ratios(axes: Any, a: SourceList, b: SourceList, matched: MatchedPairs, role: str | None) -> None:
    """Flux ratio by signal to noise, with the median and scatter of each bin."""
    ratio = matched.peak_ratio if role == "peak_flux" else matched.total_ratio
    snr, letter = pair_snr(a, b, matched)
    given = (ratio > 0) & (snr > 0)
    if role is None or not given.any():
        _say(axes, "flux ratio by signal to noise", "no pair has both a flux ratio and a signal to noise")
        return
    ratio, snr = ratio[given], snr[given]
    axes.loglog(snr, ratio, ls="", marker="o", ms=2.8, mew=0, color=BLUE, alpha=_alpha(len(snr)))
    axes.axhline(1.0, color=GREY, lw=1)
    for low, high in pairwise(SNR_EDGES):
        inside = (snr >= low) & (snr < high)
        if inside.sum() >= 3:
            bin_ = spread(ratio[inside])
            centre, half = float(np.median(snr[inside])), bin_["scatter"] or 0.0
            middle = bin_["median"] or 1.0
            down = min(half, 0.99 * middle)
            axes.errorbar(centre, middle, yerr=[[down], [half]], color=ORANGE, marker="s", ms=6, lw=2, capsize=3)
    axes.set_xlabel(f"signal to noise in {letter.upper()}")
    axes.set_ylabel(f"{(role or '').replace('_', ' ')} of B over A")
    axes.set_title("flux ratio by signal to noise (squares: median and scatter)", fontsize=10)


def _say(axes: Any, title: str, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color=GREY, transform=axes.transAxes, wrap=True)
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def _alpha(number: int) -> float:
    """Opacity at which many points do not become one patch."""
    return float(np.clip(30.0 / np.sqrt(max(int(number), 1)), 0.15, 0.8))


def _name(sources: SourceList) -> str:
    name = sources.path.name if sources.path is not None else "table"
    return (name if len(name) <= 28 else f"{name[:25]}...").replace("$", r"\$")
