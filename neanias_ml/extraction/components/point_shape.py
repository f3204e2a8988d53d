"""How a point source looks in a map: as wide as the beam, or wider where the map is smeared.

Residual phase errors, time and bandwidth smearing and gridding make point sources wider than the restoring beam of the
header, by several per cent in real maps. A component of the beam's shape then misses that part of the flux. Bright
compact sources show by how much: most of them are points, and those that are not are only wider.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.fit_config import FitConfig
from neanias_ml.extraction.components.fit_islands import fit_islands
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.tables import IslandTable

FloatArray = NDArray[np.float64]

SNR_RANGE = (20.0, 500.0)
"""Signal to noise of the sources looked at: well measured, and not among those that limit the dynamic range."""
LARGEST_BEAMS = 8.0
LEAST_SOURCES = 6
POINT_PERCENTILE = 30.0
"""Of the area ratios of compact sources, among which up to 40 per cent are resolved: the middle of the points."""
LEAST_RATIO = 1.03
LARGEST_RATIO = 1.5
"""Larger smearing is not believed: it would take most sources for points."""
GOOD = 3


def point_covariance(
    pixels: IslandPixels, table: IslandTable, *, beam_covariance: FloatArray, config: FitConfig, workers: int = 1
) -> FloatArray:
    """Pixel covariance (2, 2) of a point source of the map.

    Parameters
    ----------
    pixels
        Islands with a margin of half a beam.
    table
        Their measures.
    beam_covariance
        (2, 2) pixel covariance of the beam.
    config
        Settings of the fits.
    workers
        Threads; the result does not depend on them.

    Returns
    -------
    ndarray
        The beam's, scaled by the area ratio of bright point sources where enough of them are wider than it.
    """
    bright = (table.snr >= SNR_RANGE[0]) & (table.snr < SNR_RANGE[1])
    rows = np.flatnonzero(bright & (table.n_beams < LARGEST_BEAMS) & (table.flags == 0))
    if len(rows) < LEAST_SOURCES:
        return beam_covariance
    free = dataclasses.replace(config, shape="free", max_components=1)
    fitted = fit_islands(pixels.select(rows), beam_covariance=beam_covariance, config=free, workers=workers)
    good = fitted.quality == GOOD
    if np.count_nonzero(good) < LEAST_SOURCES:
        return beam_covariance
    areas = np.sqrt(np.linalg.det(fitted.covariance[good]) / np.linalg.det(beam_covariance))
    ratio = float(np.percentile(areas, POINT_PERCENTILE))
    return beam_covariance * min(ratio, LARGEST_RATIO) if ratio >= LEAST_RATIO else beam_covariance
