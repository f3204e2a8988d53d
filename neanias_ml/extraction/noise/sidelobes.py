"""Noise that the sidelobes of bright sources add around them.

Sidelobes of an imperfectly deconvolved source go up and down alike, whereas sources only go up. The negative pixels in
rings around a bright source therefore tell by how much its sidelobes raise the noise at each distance, in more detail
than cells of a mesh could, and without raising it where the source has no sidelobes.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neanias_ml.extraction.islands.runs import Runs, ScannedRows, join_scanned
from neanias_ml.extraction.noise.model import BrightSources, MeshNoise, SidelobeNoise
from neanias_ml.maps import Window

FloatMap = NDArray[np.float32]
FloatArray = NDArray[np.float64]

RING_BEAMS = 1.5
"""Width of a ring in beam widths."""
FIRST_RADIUS_BEAMS = 12.0
LEAST_EXCESS = 0.15
"""Variance added, as a part of the noise's own, below which a ring counts as free of sidelobes."""
SIGNIFICANT = 2.0
LEAST_NEGATIVE = 12


def measure_sidelobes(
    significance: FloatMap,
    *,
    model: MeshNoise,
    step: int,
    beam_fwhm: float,
    beam_area: float,
    bright_snr: float,
    largest_radius: float,
) -> SidelobeNoise | None:
    """Profiles of added noise around all bright sources of a map, the brightest first.

    Parameters
    ----------
    significance
        (ty, tx) signal to noise of every ``step``-th pixel, without any added noise.
    model
        Background and noise that it was made with.
    step
        Spacing of those pixels in pixels of the map.
    beam_fwhm, beam_area
        In pixels of the map.
    bright_snr
        Least signal to noise of a bright source.
    largest_radius
        Of a profile, in pixels of the map.

    Returns
    -------
    SidelobeNoise or None
        None where no bright source has sidelobes that show.
    """
    rows, cols = brightest_pixels(significance, threshold=bright_snr)
    ring = RING_BEAMS * beam_fwhm
    independent = step**2 / (2.0 * beam_area)
    n_rings = max(2, int(largest_radius / ring))
    added = np.zeros(significance.shape, np.float32)
    found: list[tuple[int, FloatArray]] = []
    for index, (row, col) in enumerate(zip(rows, cols, strict=True)):
        reach = min(n_rings, max(2, int(FIRST_RADIUS_BEAMS / RING_BEAMS)))
        while True:
            total, count = _negative_rings(significance, added, int(row), int(col), ring / step, reach)
            profile = _significant_profile(total, count, independent)
            if profile.size < 0.75 * reach or reach == n_rings:
                break
            reach = min(n_rings, 2 * reach)
        if profile.size:
            found.append((index, profile))
            _add_profile(added, int(row), int(col), ring / step, np.append(profile, 0.0))
    if not found:
        return None
    variance = np.zeros((len(found), max(profile.size for _, profile in found) + 2))
    for line, (_, profile) in enumerate(found):
        variance[line, : profile.size] = profile
    chosen = np.array([index for index, _ in found])
    return SidelobeNoise(
        sources=BrightSources(
            x=cols[chosen] * step,
            y=rows[chosen] * step,
            peak_flux=np.array([_flux_at(significance, model, step, rows[k], cols[k]) for k in chosen]),
            radius=np.array([(profile.size + 0.5) * ring for _, profile in found]),
        ),
        variance=variance,
        ring=ring,
    )


def _flux_at(significance: FloatMap, model: MeshNoise, step: int, row: int, col: int) -> float:
    """Jy/beam of a thinned pixel."""
    y, x = int(row) * step, int(col) * step
    return float(significance[row, col] * model.evaluate(Window(y, y + 1, x, x + 1))[1][0, 0])


def brightest_pixels(significance: FloatMap, *, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the peaks of all regions above a threshold, brightest first."""
    with np.errstate(invalid="ignore"):
        bright = np.flatnonzero(significance > threshold)  # few, so that a look at them alone is quick
    y, x = (place.astype(np.int32) for place in np.divmod(bright, significance.shape[1]))
    runs = Runs.from_pixels(np.array([0, len(bright)]), y, x)
    regions = join_scanned([ScannedRows(runs.runs, runs.peak)], connectivity=8)
    rows, cols = np.empty(regions.count, np.int64), np.empty(regions.count, np.int64)
    peaks = np.full(regions.count, -np.inf)
    for (row, first, last), region in zip(regions.runs, regions.region, strict=True):
        col = first + int(np.argmax(significance[row, first:last]))
        if significance[row, col] > peaks[region]:
            rows[region], cols[region], peaks[region] = row, col, significance[row, col]
    order = np.lexsort((cols, rows, -peaks))
    return rows[order], cols[order]


def _significant_profile(total: FloatArray, count: NDArray[np.int64], independent: float) -> FloatArray:
    """Variance added in each ring out to the first two rings without a significant one; empty where there is none."""
    excess = np.divide(total, count, out=np.zeros(len(total)), where=count >= LEAST_NEGATIVE)
    error = np.sqrt(2.0 / np.maximum(count * independent, 1.0))
    usable = count >= LEAST_NEGATIVE
    shows = usable & (excess > np.maximum(LEAST_EXCESS, SIGNIFICANT * error))
    quiet = usable & ~shows
    end = len(total)
    for place in range(len(total) - 1):
        if quiet[place] and quiet[place + 1]:
            end = place
            break
    kept = np.flatnonzero(shows[:end])
    if kept.size == 0:
        return np.empty(0)
    # Rings within the source itself have no negative pixels: the noise there is that of the next ring.
    return np.interp(np.arange(kept[-1] + 1), kept, excess[kept])


@njit(cache=True, nogil=True)
def _negative_rings(
    significance: FloatMap, added: FloatMap, row: int, col: int, ring: float, n_rings: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Sum over the negative pixels of each ring of the variance above the known one, and their number."""
    total = np.zeros(n_rings, np.float64)
    count = np.zeros(n_rings, np.int64)
    reach = int(n_rings * ring)
    for y in range(max(0, row - reach), min(significance.shape[0], row + reach + 1)):
        for x in range(max(0, col - reach), min(significance.shape[1], col + reach + 1)):
            z = significance[y, x]
            if z < 0.0:
                place = int(np.sqrt(float((y - row) ** 2 + (x - col) ** 2)) / ring)
                if place < n_rings:
                    total[place] += z * z - 1.0 - added[y, x]
                    count[place] += 1
    return total, count


@njit(cache=True, nogil=True)
def _add_profile(added: FloatMap, row: int, col: int, ring: float, profile: FloatArray) -> None:
    """Add a profile to the map of added variance, linear between the middles of rings."""
    reach = int(profile.size * ring)
    for y in range(max(0, row - reach), min(added.shape[0], row + reach + 1)):
        for x in range(max(0, col - reach), min(added.shape[1], col + reach + 1)):
            place = max(np.sqrt(float((y - row) ** 2 + (x - col) ** 2)) / ring - 0.5, 0.0)
            inner = int(place)
            if inner + 1 < profile.size:
                part = place - inner
                added[y, x] += (1.0 - part) * profile[inner] + part * profile[inner + 1]
