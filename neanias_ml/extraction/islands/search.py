"""Islands: connected pixels above the merge threshold that hold one above the seed threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.bands import Band, band_windows, in_order
from neanias_ml.extraction.islands.runs import Runs, ScannedRows, join_scanned, runs_above, runs_of_pixels
from neanias_ml.extraction.noise.limits import SkyLimits
from neanias_ml.extraction.noise.model import MeshNoise, NoiseModel
from neanias_ml.maps import RadioMap, Window

FloatMap = NDArray[np.float32]


@dataclass(frozen=True)
class Excursions:
    """All connected regions beyond the merge threshold, whatever their peak.

    Attributes
    ----------
    positive, negative
        Above ``merge`` sigma and, in the inverted map, below ``-merge`` sigma.
    """

    positive: Runs
    negative: Runs


def scan_map(
    radio_map: RadioMap,
    noise_model: NoiseModel,
    *,
    merge: float,
    connectivity: int = 8,
    rows: int | None = None,
    workers: int = 1,
) -> Excursions:
    """Find all regions above the merge threshold, of the map and of the inverted map, in one pass.

    Parameters
    ----------
    merge
        Signal to noise that every pixel of a region reaches.
    connectivity
        4 or 8 neighbours.
    rows
        Rows held in memory at a time; the result does not depend on it, nor on ``workers`` (threads).
    """
    limits = SkyLimits.of(noise_model, merge=merge) if isinstance(noise_model, MeshNoise) else None

    def scan(window: Window) -> tuple[ScannedRows, ScannedRows]:
        if limits is None:
            return _scan_all(Band.read(radio_map, noise_model, window), merge=merge)
        pixels = radio_map.read(window)
        y, x = limits.outside(pixels, window=window)
        background, noise = noise_model.at(y, x)
        significance = (pixels[y - np.int32(window.y0), x] - background) / noise
        up, down = (runs_of_pixels(y, x, significance, merge=merge, negative=negative) for negative in (False, True))
        return up, down

    scanned = list(in_order(scan, list(band_windows(radio_map.shape, rows=rows)), workers=workers))
    return Excursions(
        positive=join_scanned([up for up, _ in scanned], connectivity=connectivity),
        negative=join_scanned([down for _, down in scanned], connectivity=connectivity),
    )


def _scan_all(band: Band, *, merge: float) -> tuple[ScannedRows, ScannedRows]:
    """Runs of both signs in a band whose noise is read with it, as that of a supplied map is."""
    significance = (band.pixels - band.background) / band.noise
    up, down = (
        runs_above(significance, merge=merge, y0=band.window.y0, negative=negative) for negative in (False, True)
    )
    return up, down


def islands_above(regions: Runs, *, seed: float, min_pixels: int) -> Runs:
    """The regions that reach the seed threshold and have enough pixels."""
    return regions.keep((regions.region_peak >= seed) & (regions.region_pixels >= min_pixels))


def label_islands(
    significance: NDArray[np.floating], *, seed: float, merge: float, min_pixels: int, connectivity: int = 8
) -> NDArray[np.int32]:
    """Label the islands of a significance map in memory.

    Parameters
    ----------
    significance
        (ny, nx) signal to noise, NaN where blank.
    seed
        An island holds at least one pixel at or above this.
    merge
        All its pixels are at or above this.
    min_pixels
        Islands with fewer pixels are dropped.
    connectivity
        4 or 8 neighbours.

    Returns
    -------
    ndarray
        (ny, nx) int32; 0 = no island, else 1, 2, ... in the order in which rows, read from the bottom
        row upwards and from left to right, meet the islands first.
    """
    pixels = np.asarray(significance, dtype=np.float32)
    scanned = runs_above(pixels, merge=merge)
    islands = islands_above(join_scanned([scanned], connectivity=connectivity), seed=seed, min_pixels=min_pixels)
    return islands.paint(Window(0, pixels.shape[0], 0, pixels.shape[1]))
