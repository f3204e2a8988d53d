"""Antenna positions of arrays in the manner of real ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Layout:
    """Antenna positions (N, 2) east, north in metres, and the latitude in degrees."""

    positions: NDArray[np.float64]
    latitude: float


def antenna_layout(name: str) -> Layout:
    """Antennas of an array in the manner of a real one (``askap, meerkat, vla, atca, lofar``).

    The Y of the VLA and the east-west line of the ATCA follow their published stations; the irregular
    arrays are fixed draws with the published number of antennas, core share and extent.
    """
    return _LAYOUTS[name]()


def _vla() -> Layout:
    """Three arms of nine antennas at distances growing as n^1.716, D to A scaled alike."""
    distance = 36.6 * np.arange(1, 10) ** 1.716
    azimuth = np.radians([5.0, 125.0, 245.0])[:, None] - math.radians(10.0)
    positions = np.stack([distance * np.sin(azimuth), distance * np.cos(azimuth)], -1).reshape(-1, 2)
    return Layout(positions, 34.08)


def _atca() -> Layout:
    """Stations W4, W45, W102, W173, W195, W392 of the 6A configuration (multiples of 15.306 m)."""
    east = -15.306 * np.array([4.0, 45.0, 102.0, 173.0, 195.0, 392.0])
    return Layout(np.stack([east, np.zeros(6)], -1), -30.31)


def _irregular(core: int, outer: int, *, core_sigma: float, radius: tuple[float, float], latitude: float) -> Layout:
    rng = np.random.default_rng(core * 1000 + outer)
    inner = rng.normal(0.0, core_sigma, (core, 2))
    # a golden-angle spiral spreads the outer stations evenly over directions
    angle = 2.399963 * np.arange(outer) + rng.normal(0.0, 0.2, outer)
    distance = np.geomspace(*radius, outer) * rng.uniform(0.9, 1.1, outer)
    spiral = np.stack([distance * np.cos(angle), distance * np.sin(angle)], -1)
    return Layout(np.concatenate([inner, spiral]), latitude)


_LAYOUTS = {
    "askap": lambda: _irregular(28, 8, core_sigma=600.0, radius=(1100.0, 3100.0), latitude=-26.7),
    "meerkat": lambda: _irregular(44, 20, core_sigma=350.0, radius=(700.0, 4000.0), latitude=-30.7),
    "vla": _vla,
    "atca": _atca,
    "lofar": lambda: _irregular(24, 14, core_sigma=1500.0, radius=(3000.0, 50000.0), latitude=52.9),
}
