"""Measurements of islands from their pixels: boxes, fluxes, moments, kind, flags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.islands.gather import GatheredIslands
from neanias_ml.extraction.islands.kernels import MOMENTS, island_sums
from neanias_ml.extraction.tables import IslandTable, SourceFlag
from neanias_ml.maps import RadioMap, ellipses_of_covariances

FloatArray = NDArray[np.float64]


def measure_islands(
    radio_map: RadioMap,
    gathered: GatheredIslands,
    *,
    merge: float = 0.0,
    extended_flux_excess: float = 0.0,
    kind: str = "",
) -> IslandTable:
    """Measure every island.

    The total flux is the sum over the island and the margin around it, which holds the wings below the threshold; all
    else is measured on the island's own pixels.

    Parameters
    ----------
    radio_map
        The map the islands belong to.
    gathered
        Their pixels with a margin of about half a beam.
    merge
        Merge threshold in sigma with which the islands were made.
    extended_flux_excess
        Islands whose total over peak flux exceeds a point source's by more than this are ``extended``.
    kind
        What all of these islands are, instead of a decision by their flux.
    """
    count, boxes, area = len(gathered.pixels), gathered.boxes, radio_map.beam_area
    own = gathered.pixels.without_margin()
    sums, peak = np.empty((count, MOMENTS)), np.empty(count, np.int64)
    background = gathered.background[gathered.pixels.inside]
    island_sums(own.offsets, own.y, own.x, own.flux, own.noise, background, sums, peak)
    n_pixels, n_summed = own.counts, gathered.pixels.counts
    peak_flux, snr, rms = own.flux[peak].astype(np.float64), sums[:, 8], sums[:, 6] / n_pixels
    all_flux = gathered.pixels.flux.astype(np.float64)
    summed = np.add.reduceat(all_flux, gathered.pixels.offsets[:-1]) if count else sums[:, 0]
    x, y = sums[:, 1], sums[:, 2]
    covariance = np.stack([sums[:, 3], sums[:, 4], sums[:, 4], sums[:, 5]], axis=1).reshape(-1, 2, 2)
    major, minor, angle = ellipses_of_covariances(covariance)
    ra, dec, on_sky = sky_positions(radio_map, x, y)
    if kind:
        kinds = np.full(count, kind)
    else:
        kinds = island_kind(sums[:, 0] / area, peak_flux, snr, merge=merge, excess=extended_flux_excess)
    return IslandTable(
        island_id=np.arange(1, count + 1),
        parent_id=np.zeros(count, dtype=np.int64),
        level=np.zeros(count, dtype=np.int64),
        x=x,
        y=y,
        peak_x=own.x[peak].astype(np.int64),
        peak_y=own.y[peak].astype(np.int64),
        ra=ra,
        dec=dec,
        x0=boxes[:, 2],
        y0=boxes[:, 0],
        x1=boxes[:, 3],
        y1=boxes[:, 1],
        n_pixels=n_pixels,
        peak_flux=peak_flux,
        total_flux=summed / area,
        total_flux_err=integrated_flux_error(rms, n_summed, area),
        own_flux=summed / area,
        snr=snr,
        local_rms=rms,
        local_background=sums[:, 7] / n_pixels,
        major=major,
        minor=minor,
        pixel_angle=angle,
        n_beams=n_pixels / area,
        n_components=np.zeros(count, dtype=np.int64),
        kind=kinds,
        p_spurious=np.full(count, np.nan),
        flags=_flags(radio_map, boxes, gathered.touches_blank, on_sky),
    )


def integrated_flux_error(rms: FloatArray, n_pixels: NDArray[np.int64], beam_area: float) -> FloatArray:
    """Error of a sum over pixels whose noise is correlated over the beam, Jy.

    The autocorrelation of beam-convolved noise covers twice the beam area, so a sum over ``n`` pixels
    has variance ``rms^2 n min(n, 2 A)`` for a beam of ``A`` pixels.
    """
    correlated = np.minimum(n_pixels, 2.0 * beam_area)
    return rms * np.sqrt(n_pixels * correlated) / beam_area


def island_kind(
    total_flux: FloatArray, peak_flux: FloatArray, snr: FloatArray, *, merge: float, excess: float
) -> NDArray[np.str_]:
    """``extended`` where the flux of an island is more than its peak explains, else ``compact``.

    Down to the merge threshold a beam of peak S holds the flux ``S (1 - merge / snr)``. Flux rather than area,
    because faint wings and sidelobes enlarge bright point sources but hold little flux.
    """
    return np.where(total_flux / peak_flux > 1.0 - merge / snr + excess, "extended", "compact")


def sky_positions(
    radio_map: RadioMap, x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """ICRS degrees (NaN where there are none) and whether each position is on the sky."""
    if radio_map.sky is None or x.size == 0:
        nothing = np.full(x.shape, np.nan)
        return nothing, nothing.copy(), np.zeros(x.shape, dtype=bool)
    ra, dec = radio_map.sky.to_sky(x, y)
    return ra, dec, np.isfinite(ra) & np.isfinite(dec)


def _flags(
    radio_map: RadioMap, boxes: NDArray[np.int64], touches_blank: NDArray[np.bool_], on_sky: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """EDGE, BLANKED and OFF_SKY of every island."""
    ny, nx = radio_map.shape
    on_edge = (boxes[:, 0] == 0) | (boxes[:, 2] == 0) | (boxes[:, 1] == ny) | (boxes[:, 3] == nx)
    flags = np.where(on_edge, int(SourceFlag.EDGE), 0) | np.where(touches_blank, int(SourceFlag.BLANKED), 0)
    if radio_map.sky is not None:
        flags |= np.where(on_sky, 0, int(SourceFlag.OFF_SKY))
    return flags.astype(np.int64)
