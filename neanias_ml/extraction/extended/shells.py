"""Shells: rings matched at all places and diameters, then looked at sector by sector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.extraction.extended.coarse import CoarseBlock
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.matched import FilterBank

FloatMap = NDArray[np.float32]

DIAMETER_RATIO = 1.15
"""Ratio of successive diameters: the rings overlap by half of their width."""
RELATIVE_WIDTH = 0.1
"""Sigma of a ring's profile in radii; never below 0.6 beams."""
CANDIDATE_SIGMA = 4.0
SECTORS = 12
BRIGHTEST_LEFT_OUT = 3
"""Sectors that may owe their light to something else and do not count."""
SECTORS_NEEDED = 10
"""Sectors that must be above the sky."""
MOST_CANDIDATES = 400
MOST_SHARED = 0.2
"""Share of a ring that may lie within a surer shell."""
DARK_SIGMA = -2.5
"""Sky just inside or outside a ring is not darker than this; around a sidelobe it is."""


@dataclass(frozen=True)
class Shell:
    """A ring in coarse bins of its block: centre, radius, sigma of the profile, and significance."""

    y: int
    x: int
    radius: float
    width: float
    significance: float


def find_shells(bank: FilterBank, *, config: ExtendedConfig) -> list[Shell]:
    """Shells of a block, the surest first; one whose ring runs through a surer shell's place is left out."""
    if config.shell_max_beams == 0:
        return []
    checked = (_check_sectors(candidate, bank.coarse) for candidate in _candidates(bank, config=config))
    shape = bank.coarse.valid.shape
    taken = np.zeros(shape, dtype=bool)
    shells: list[Shell] = []
    for shell in sorted((one for one in checked if one), key=lambda one: (-one.significance, one.y, one.x)):
        window, distance = _around(shell, shape, reach=shell.radius + 2 * shell.width)
        on_ring = np.abs(distance - shell.radius) <= shell.width
        if np.count_nonzero(taken[window] & on_ring) <= MOST_SHARED * np.count_nonzero(on_ring):
            shells.append(shell)
            taken[window] |= distance <= shell.radius + 1.5 * shell.width
    return shells


def ring_template(radius: float, width: float) -> NDArray[np.float64]:
    """Ring of unit sum, of radius ``radius`` bins, with a Gaussian profile of sigma ``width``."""
    half = int(np.ceil(radius + 3 * width))
    rows, cols = np.mgrid[-half : half + 1, -half : half + 1]
    ring = np.exp(-((np.hypot(rows, cols) - radius) ** 2) / (2 * width**2))
    return ring / ring.sum()


def ring_sizes(beam: float, *, config: ExtendedConfig) -> list[tuple[float, float]]:
    """Radius and width in coarse bins of all rings."""
    number = 1 + int(np.floor(np.log(config.shell_max_beams / config.shell_min_beams) / np.log(DIAMETER_RATIO)))
    radii = 0.5 * beam * config.shell_min_beams * DIAMETER_RATIO ** np.arange(number)
    return [(float(radius), float(max(0.6 * beam, RELATIVE_WIDTH * radius))) for radius in radii]


def paint_shells(shells: list[Shell], shape: tuple[int, int]) -> FloatMap:
    """(ny, nx) float32 significance of the strongest shell through each coarse bin, -inf outside all."""
    painted = np.full(shape, -np.inf, dtype=np.float32)
    for shell in shells:
        window, distance = _around(shell, shape, reach=shell.radius + 2 * shell.width)
        within = np.abs(distance - shell.radius) <= 1.5 * shell.width
        part = painted[window]
        part[within] = np.maximum(part[within], shell.significance)
    return painted


def _candidates(bank: FilterBank, *, config: ExtendedConfig) -> Iterator[Shell]:
    """Peaks of the rings' answers over place and diameter, the strongest first."""
    sizes = ring_sizes(bank.coarse.beam, config=config)
    best = np.full(bank.coarse.values.shape, -np.inf, dtype=np.float32)
    which = np.zeros(best.shape, dtype=np.int16)
    for number, (radius, width) in enumerate(sizes):
        template = ring_template(radius, width)
        answer = bank.answer(template) / np.float32(bank.noise(template))
        better = answer > best
        best[better] = answer[better]
        which[better] = number
    peaks = (best == ndimage.maximum_filter(best, size=5)) & (best >= CANDIDATE_SIGMA)
    y, x = np.nonzero(peaks)
    order = np.argsort(-best[y, x], kind="stable")[:MOST_CANDIDATES]
    for row, col in zip(y[order].tolist(), x[order].tolist(), strict=True):
        radius, width = sizes[which[row, col]]
        yield Shell(row, col, radius, width, float(best[row, col]))


def _check_sectors(shell: Shell, coarse: CoarseBlock) -> Shell | None:
    """The shell with the significance of its fainter sectors, or None if it is broken or sky beside it is dark."""
    window, distance = _around(shell, coarse.values.shape, reach=1.6 * shell.radius + 3 * shell.width)
    rows, cols = np.ogrid[window]
    angle = np.arctan2(rows - shell.y, cols - shell.x)
    values, valid = np.clip(coarse.values[window], -3, 3), coarse.valid[window]
    on_ring = valid & (np.abs(distance - shell.radius) <= 1.2 * shell.width)
    sector = ((angle + np.pi) / (2 * np.pi) * SECTORS).astype(int) % SECTORS
    count = np.bincount(sector[on_ring], minlength=SECTORS)
    if (count == 0).any():
        return None
    level = np.bincount(sector[on_ring], values[on_ring], SECTORS) / count
    if np.count_nonzero(level > 0) < SECTORS_NEEDED:
        return None
    faint = np.argsort(level, kind="stable")[: SECTORS - BRIGHTEST_LEFT_OUT]
    mean = float((level[faint] * count[faint]).sum() / count[faint].sum())
    for inner, outer in ((0.0, shell.radius - 2 * shell.width), (shell.radius + 2 * shell.width, 1.6 * shell.radius)):
        beside = valid & (distance >= inner) & (distance <= outer)
        bins = np.count_nonzero(beside)
        if bins and float(values[beside].mean()) < DARK_SIGMA * float(coarse.error_of_mean(np.array(bins))):
            return None
    error = float(coarse.error_of_mean(count[faint].sum()))
    return Shell(shell.y, shell.x, shell.radius, shell.width, min(shell.significance, mean / error))


def _around(shell: Shell, shape: tuple[int, int], *, reach: float) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
    """Window of the block around a shell and the distance of its bins from the centre."""
    half = int(np.ceil(reach))
    window = (
        slice(max(0, shell.y - half), min(shape[0], shell.y + half + 1)),
        slice(max(0, shell.x - half), min(shape[1], shell.x + half + 1)),
    )
    rows, cols = np.ogrid[window]
    return window, np.hypot(rows - shell.y, cols - shell.x)
