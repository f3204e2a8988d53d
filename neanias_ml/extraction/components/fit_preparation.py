"""From the pixels of islands to the arrays that the compiled loops read: lattices, units and starting peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.fit_batch import FitData
from neanias_ml.extraction.components.fit_config import FitConfig
from neanias_ml.extraction.components.fit_peaks import persistent_peaks
from neanias_ml.extraction.components.fit_results import StartPeaks
from neanias_ml.extraction.islands.pixels import IslandPixels

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LEAST_PIXELS = 12
"""Islands are thinned only as far as so many pixels are left: twice the parameters of a Gaussian."""


@dataclass(frozen=True)
class Prepared:
    """The data of N islands, their units (Jy/beam), origins (pixels) and whether peaks were left out."""

    data: FitData
    unit: FloatArray
    x0: IntArray
    y0: IntArray
    lost: BoolArray


def prepare(
    pixels: IslandPixels, *, config: FitConfig, seed: float, starts: StartPeaks, with_offset: BoolArray, step: int
) -> Prepared:
    """Bring islands to the form of `FitData`.

    Parameters
    ----------
    pixels
        N islands, each with at least one pixel inside.
    config
        Thresholds of peaks and largest numbers of pixels and components.
    seed
        Least signal to noise of a peak.
    starts
        Given peaks; found where an island has none.
    with_offset
        (N,) islands with a plane.
    step
        Spacing of the lattice that samples the beam well enough; large islands take a wider one.
    """
    own = pixels.without_margin()
    first = own.offsets[:-1]
    unit = np.add.reduceat(own.noise.astype(np.float64), first) / own.counts
    left, right = np.minimum.reduceat(own.x, first), np.maximum.reduceat(own.x, first)
    bottom, top = np.minimum.reduceat(own.y, first), np.maximum.reduceat(own.y, first)
    x0, y0 = left.astype(np.int64), bottom.astype(np.int64)
    steps = _steps(pixels, step=step, most=config.max_fit_pixels)
    keep, offsets, steps = _on_lattice(pixels, steps)
    island = np.repeat(np.arange(len(pixels)), np.diff(offsets))
    peak_offsets, peaks, lost = _peaks(own, unit, config, seed, starts)
    peak_island = np.repeat(np.arange(len(pixels)), np.diff(peak_offsets))
    peaks[:, 1] -= x0[peak_island]
    peaks[:, 2] -= y0[peak_island]
    data = FitData(
        offsets=offsets,
        x=(pixels.x[keep] - x0[island]).astype(np.float64),
        y=(pixels.y[keep] - y0[island]).astype(np.float64),
        value=pixels.flux[keep] / unit[island],
        weight=unit[island] / pixels.noise[keep],
        inside=np.ascontiguousarray(pixels.inside[keep]),
        box=np.stack([left - x0, right - x0, bottom - y0, top - y0], axis=1).astype(np.float64),
        step=steps,
        plane=np.ascontiguousarray(with_offset, dtype=np.bool_),
        peak_offsets=peak_offsets,
        peaks=peaks,
    )
    return Prepared(data, unit, x0, y0, lost)


def _steps(pixels: IslandPixels, *, step: int, most: int) -> IntArray:
    """(N,) lattice spacings that leave at most about ``most`` pixels."""
    needed = np.ceil(np.sqrt(pixels.counts / most)).astype(np.int64)
    return np.maximum(needed, step)


def _on_lattice(pixels: IslandPixels, steps: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Index of the pixels kept, offsets of the islands among them, and spacings, 1 where too few were left.

    The lattice is the map's, so that it does not depend on where an island's box or a tile begins.
    """
    island = pixels.island
    usual = int(steps.min(initial=np.iinfo(np.int32).max))  # division by one number is the faster one
    keep = (pixels.x // usual * usual == pixels.x) & (pixels.y // usual * usual == pixels.y)
    wider = np.flatnonzero(np.repeat(steps > usual, pixels.counts))
    spacing = steps[island[wider]]
    keep[wider] = (pixels.x[wider] % spacing == 0) & (pixels.y[wider] % spacing == 0)
    few = np.bincount(island[keep], minlength=len(pixels)) < LEAST_PIXELS
    keep |= few[island]
    counts = np.bincount(island[keep], minlength=len(pixels))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.flatnonzero(keep), offsets, np.where(few, 1, steps)


def _peaks(
    own: IslandPixels, unit: FloatArray, config: FitConfig, seed: float, starts: StartPeaks
) -> tuple[IntArray, FloatArray, BoolArray]:
    """Offsets (N + 1,), peaks (S, 3) as amplitude in units, x, y in map pixels, and where there were too many."""
    found = persistent_peaks(
        own.offsets,
        own.flux / own.noise,
        x=own.x,
        y=own.y,
        threshold=seed,
        prominence=config.min_prominence,
    )
    given = np.diff(starts.offsets) > 0
    island = own.island[found]
    found = found[~given[island]]
    amplitude, x, y = own.flux[found], own.x[found], own.y[found]
    island = np.concatenate([own.island[found], np.repeat(np.arange(len(own)), np.diff(starts.offsets))])
    near = _flux_at(own, starts)
    table = np.stack(
        [
            np.maximum(np.concatenate([amplitude, near]) / unit[island], 1.0),
            np.concatenate([x, starts.x]),
            np.concatenate([y, starts.y]),
        ],
        axis=1,
    )
    order = np.argsort(island, kind="stable")
    counts = np.bincount(island, minlength=len(own))
    rank = np.arange(len(island)) - (np.cumsum(counts) - counts)[island[order]]
    kept = order[rank < config.max_components]
    lost = counts > config.max_components
    limited = np.minimum(counts, config.max_components)
    return np.concatenate([[0], np.cumsum(limited)]).astype(np.int64), table[kept], lost


def _flux_at(own: IslandPixels, starts: StartPeaks) -> FloatArray:
    """(S,) Jy/beam of the island's pixel nearest to each given peak."""
    flux = np.zeros(len(starts.x))
    for row in np.flatnonzero(np.diff(starts.offsets)):
        a, b = own.offsets[row], own.offsets[row + 1]
        for peak in range(starts.offsets[row], starts.offsets[row + 1]):
            distance = np.hypot(own.x[a:b] - starts.x[peak], own.y[a:b] - starts.y[peak])
            flux[peak] = own.flux[a + int(np.argmin(distance))]
    return flux


def lattice_step(fwhm: float, *, samples: float) -> int:
    """Largest spacing with which a beam of ``fwhm`` pixels has at least ``samples`` samples across."""
    return max(1, math.floor(fwhm / samples))
