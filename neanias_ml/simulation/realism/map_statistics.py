"""Statistics by which simulated and real maps are compared: pixels, noise, islands and sidelobes of one map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.extraction import Extraction, IslandTable, SourceFinder
from neanias_ml.maps import RadioMap
from neanias_ml.simulation.realism.noise_statistics import directional_contrast, noise_power, noise_spectrum
from neanias_ml.simulation.realism.sidelobe_statistics import sidelobe_profiles

TAIL_SIGMA = (3.0, 4.0, 5.0, 7.0, 10.0, 30.0, 100.0)
"""S/N above (and below minus) which pixels are counted."""
BRIGHT_SNR = 100.0
"""Peak S/N of sources whose sidelobes are measured."""
MERGE_SIGMA = 2.6
"""S/N down to which islands reach."""
_MARGIN_BEAMS = 1.5
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MapStatistics:
    """What one map looks like, in units of its beam and its noise.

    Attributes
    ----------
    n_beams
        Beam areas with data.
    positive, negative
        (len(TAIL_SIGMA),) shares of the pixels above and below minus each of `TAIL_SIGMA`.
    spectrum
        Noise power by spatial frequency (see `noise_spectrum`).
    contrast
        Its scatter among directions (see `directional_contrast`).
    snr, area, elongation
        (N,) of the islands: peak S/N, area over that of a point source of the same S/N, major over minor axis.
    n_negative
        Islands of the map with its sign turned.
    sidelobes
        (n, rings) strength around bright sources (see `sidelobe_profiles`).
    """

    n_beams: float
    positive: FloatArray
    negative: FloatArray
    spectrum: FloatArray
    contrast: float
    snr: FloatArray
    area: FloatArray
    elongation: FloatArray
    n_negative: int
    sidelobes: FloatArray

    @property
    def density(self) -> float:
        """Islands per 1000 beam areas."""
        return 1000.0 * len(self.snr) / self.n_beams


def measure_map(radio_map: RadioMap, *, finder: SourceFinder | None = None) -> MapStatistics:
    """Extract a map and its negative and measure them.

    Parameters
    ----------
    radio_map
        The map.
    finder
        Extraction to use; None for one with the default settings.
    """
    finder = finder or SourceFinder()
    extraction = finder(radio_map)
    background, rms = (np.asarray(part, dtype=np.float32) for part in extraction.noise.evaluate())
    with np.errstate(invalid="ignore", divide="ignore"):
        significance = (radio_map.data - background) / rms
    valid = np.isfinite(significance)
    table = extraction.islands.table.select(extraction.islands.table.level == 0)
    cells = noise_power(
        significance, usable=valid & ~_near_islands(extraction, radio_map), beam=radio_map.beam_covariance
    )
    snr, area, elongation = island_measures(table)
    bright = table.select(table.snr >= BRIGHT_SNR)
    return MapStatistics(
        n_beams=float(valid.sum()) / radio_map.beam_area,
        positive=tail_shares(significance[valid]),
        negative=tail_shares(-significance[valid]),
        spectrum=noise_spectrum(*cells),
        contrast=directional_contrast(*cells),
        snr=snr,
        area=area,
        elongation=elongation,
        n_negative=_count_negative(radio_map, finder, extraction),
        sidelobes=sidelobe_profiles(
            radio_map.data - background,
            places=[(float(x), float(y)) for x, y in zip(bright.peak_x, bright.peak_y, strict=True)],
            beam_fwhm=radio_map.beam_fwhm,
        ),
    )


def tail_shares(significance: NDArray[np.floating]) -> FloatArray:
    """Shares (len(TAIL_SIGMA),) of values above each of `TAIL_SIGMA`."""
    ordered = np.sort(significance, axis=None)
    above = len(ordered) - np.searchsorted(ordered, np.array(TAIL_SIGMA), side="right")
    return np.asarray(above / max(len(ordered), 1))


def island_measures(table: IslandTable) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Peak S/N, relative area and elongation (N,) of islands.

    A point source of peak S/N s covers ln(s / 2.6) beam areas above 2.6 sigma: the area of an island is taken
    relative to that, which makes sources of any brightness comparable.
    """
    snr = np.asarray(table.snr, dtype=np.float64)
    area = table.n_beams / np.log(snr / MERGE_SIGMA)
    return snr, np.asarray(area), np.asarray(table.major / np.maximum(table.minor, 1e-9))


def _near_islands(extraction: Extraction, radio_map: RadioMap) -> NDArray[np.bool_]:
    """Pixels (ny, nx) on islands or near them."""
    labels = extraction.islands.labels
    distance = ndimage.distance_transform_edt(labels == 0) if labels.any() else np.full(labels.shape, np.inf)
    return np.asarray(distance < _MARGIN_BEAMS * radio_map.beam_fwhm)


def _count_negative(radio_map: RadioMap, finder: SourceFinder, extraction: Extraction) -> int:
    """Islands that the same noise and thresholds find where the map is negative."""
    negative = RadioMap.from_array(-radio_map.data, beam=radio_map.beam, pixel_scale=radio_map.pixel_scale)
    return len(finder(negative).islands)
