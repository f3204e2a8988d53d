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

FloatMap = NDArray[np.float32]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RING_BEAMS = 1.5
"""Width of a ring in beam widths."""
FIRST_RADIUS_BEAMS = 12.0
LEAST_EXCESS = 0.15
"""Variance added, as a part of the noise's own, below which a ring counts as free of sidelobes."""
SIGNIFICANT = 2.0
LEAST_NEGATIVE = 0.85
"""Independent negative values that a ring needs."""


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
    rows, cols, offsets, peaks = bright_peaks(significance, threshold=bright_snr, width=beam_fwhm / step)
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
    y, x = (
        np.clip(np.rint((at[chosen] + offset[chosen]) * step), 0, length - 1).astype(np.int64)
        for at, offset, length in zip((rows, cols), offsets, model.shape, strict=True)
    )
    _, noise = model.at(y.astype(np.int32), x.astype(np.int32))
    return SidelobeNoise(
        sources=BrightSources(
            x=x,
            y=y,
            peak_flux=peaks[chosen] * noise,
            radius=np.array([(profile.size + 0.5) * ring for _, profile in found]),
        ),
        variance=variance,
        ring=ring,
    )


def bright_peaks(
    significance: FloatMap, *, threshold: float, width: float
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Peaks above a threshold, brightest first, with what thinned pixels miss of them.

    Parameters
    ----------
    significance
        (ty, tx) thinned signal to noise.
    threshold
        Of the peaks of sources, which lie between the thinned pixels.
    width
        FWHM of the beam in thinned pixels.

    Returns
    -------
    rows, cols
        (B,) int64 brightest thinned pixels.
    offsets
        (2, B) from there to the peaks, at most half a thinned pixel along rows and columns.
    peaks
        (B,) signal to noise of the peaks.
    """
    sharpness = 4.0 * np.log(2.0) / width**2
    seen = float(np.exp(-0.5 * sharpness))  # of a peak in the middle between four pixels
    rows, cols = brightest_pixels(significance, threshold=seen * threshold)
    peaks = significance[rows, cols].astype(np.float64)
    padded = np.pad(significance, 1, mode="edge")
    middle = np.log(peaks)
    offsets = np.zeros((2, len(rows)))
    for axis, (dy, dx) in enumerate(((1, 0), (0, 1))):
        with np.errstate(invalid="ignore", divide="ignore"):
            before, after = (
                np.log(padded[rows + 1 + sign * dy, cols + 1 + sign * dx].astype(np.float64)) for sign in (-1, 1)
            )
            bend = np.minimum(2.0 * middle - before - after, 2.0 * sharpness)  # nothing is sharper than the beam
            offset = np.clip(0.5 * (after - before) / bend, -0.5, 0.5)
        offset = np.where(np.isfinite(offset) & (bend > 0.0), offset, 0.0)
        peaks *= np.exp(np.where(offset == 0.0, 0.0, 0.5 * bend * offset**2))
        offsets[axis] = offset
    kept = np.flatnonzero(peaks > threshold)
    order = kept[np.argsort(-peaks[kept], kind="stable")]
    return rows[order], cols[order], offsets[:, order], peaks[order]


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
    usable = count * independent >= LEAST_NEGATIVE
    excess = np.divide(total, count, out=np.zeros(len(total)), where=usable)
    error = np.sqrt(2.0 / np.maximum(count * independent, 1.0))
    shows = usable & (excess > np.maximum(LEAST_EXCESS, SIGNIFICANT * error))
    if not shows.any():
        return np.empty(0)
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
