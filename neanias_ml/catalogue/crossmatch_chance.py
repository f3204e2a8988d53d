"""How many matches chance alone would give: the second catalogue displaced at random, and matched again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.crossmatch import MatchConfig, MatchRule, candidate_pairs
from neanias_ml.catalogue.reading_sources import SourceList
from neanias_ml.evaluation import one_to_one

FloatArray = NDArray[np.float64]
ANNULUS_ARCSEC = (30.0, 50.0)
"""Least inner and outer distance of the displacement: farther than the beams of today's surveys, near enough that
density and noise are those of the source's own place."""
ANNULUS_RADII = (3.0, 5.0)
"""The same in match radii: beyond twice the radius no displaced source can meet its own counterpart."""


@dataclass(frozen=True)
class ChanceMatches:
    """Matches of the displaced catalogue.

    Attributes
    ----------
    counts
        (T,) matches of each trial.
    separations
        Separations of the matches of all trials together.
    annulus
        Inner and outer distance of the displacement, in the unit of the radius.
    """

    counts: NDArray[np.int64]
    separations: FloatArray
    annulus: tuple[float, float]

    @property
    def mean(self) -> float:
        """Matches expected by chance if no source of B had a counterpart in A."""
        return float(self.counts.mean())

    @property
    def error(self) -> float:
        """Standard error of the mean; that of Poisson counts for a single trial."""
        if len(self.counts) > 1:
            return float(self.counts.std(ddof=1) / np.sqrt(len(self.counts)))
        return float(np.sqrt(self.counts.mean()))


def chance_matches(a: SourceList, b: SourceList, *, config: MatchConfig, rule: MatchRule, seed: int) -> ChanceMatches:
    """Match A with B whose every source is moved into an annulus around its place, several times.

    Every source goes its own way, so that pairs of components do not hide the answer; the conditions on errors and
    fluxes are those of the match. The mean is an upper estimate of the false matches among the real ones, because a
    source that has found its counterpart is not free for a false one.
    """
    rng = np.random.default_rng(seed)
    annulus = _annulus(rule)
    counts, separations = [], [np.empty(0)]
    for _ in range(config.trials):
        angle = rng.uniform(0.0, 2 * np.pi, len(b))
        distance = np.sqrt(rng.uniform(annulus[0] ** 2, annulus[1] ** 2, len(b)))
        moved = _moved(b, rule, east=distance * np.sin(angle), north=distance * np.cos(angle))
        pairs = one_to_one(candidate_pairs(a, b, config=config, rule=rule, moved=moved))
        counts.append(len(pairs))
        separations.append(pairs.separation)
    return ChanceMatches(np.array(counts, dtype=np.int64), np.concatenate(separations), annulus)


def _annulus(rule: MatchRule) -> tuple[float, float]:
    least = ANNULUS_ARCSEC if rule.frame == "sky" else (0.0, 0.0)
    inner, outer = (max(floor, radii * rule.radius) for floor, radii in zip(least, ANNULUS_RADII, strict=True))
    return inner, outer


def _moved(b: SourceList, rule: MatchRule, *, east: FloatArray, north: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Positions displaced along great circles (arcsec), or in the plane (pixels)."""
    if rule.frame == "pixels":
        return b.get("x") + east, b.get("y") + north
    arc, bearing = np.radians(np.hypot(east, north) / 3600.0), np.arctan2(east, north)
    ra, dec = np.radians(b.get("ra")), np.radians(b.get("dec"))
    sine = np.sin(dec) * np.cos(arc) + np.cos(dec) * np.sin(arc) * np.cos(bearing)
    turn = np.arctan2(np.sin(bearing) * np.sin(arc) * np.cos(dec), np.cos(arc) - np.sin(dec) * sine)
    return np.degrees(ra + turn) % 360.0, np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))
