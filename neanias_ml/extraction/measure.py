"""Measurements of islands from their pixels: boxes, fluxes, moments, kind, flags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.extraction.tables import IslandTable, SourceFlag
from neanias_ml.maps import RadioMap, ellipses_of_covariances

FloatMap = NDArray[np.float32]
FloatArray = NDArray[np.float64]


def measure_islands(
    radio_map: RadioMap,
    labels: NDArray[np.int32],
    *,
    background: FloatMap,
    noise: FloatMap,
    merge: float,
    extended_flux_excess: float,
) -> IslandTable:
    """Measure every island of a label map.

    Parameters
    ----------
    radio_map
        The map the labels belong to.
    labels
        (ny, nx) int32 island label map, labels 1..N without gaps.
    background, noise
        (ny, nx) float32, Jy/beam.
    merge
        Merge threshold in sigma with which the islands were made.
    extended_flux_excess
        Islands whose total over peak flux exceeds a point source's by more than this are ``extended``.
    """
    pixels = _IslandPixels(radio_map.data, labels, background, noise)
    boxes = ndimage.find_objects(labels)
    x0 = np.array([box[1].start for box in boxes], dtype=np.int64)
    x1 = np.array([box[1].stop for box in boxes], dtype=np.int64)
    y0 = np.array([box[0].start for box in boxes], dtype=np.int64)
    y1 = np.array([box[0].stop for box in boxes], dtype=np.int64)
    n_pixels = pixels.total(np.ones_like(pixels.flux)).astype(np.int64)
    rms = pixels.mean(pixels.noise)
    peak_index, peak_x, peak_y = pixels.peaks()
    x, y, covariance = pixels.moments()
    snr = pixels.largest(pixels.flux / pixels.noise)
    peak_flux = pixels.flux[peak_index]
    total_flux = pixels.total(pixels.flux) / radio_map.beam_area
    major, minor, angle = ellipses_of_covariances(covariance)
    ra, dec, on_sky = sky_positions(radio_map, x, y)
    return IslandTable(
        island_id=np.arange(1, len(boxes) + 1),
        x=x,
        y=y,
        peak_x=peak_x,
        peak_y=peak_y,
        ra=ra,
        dec=dec,
        x0=x0,
        y0=y0,
        x1=x1,
        y1=y1,
        n_pixels=n_pixels,
        peak_flux=peak_flux,
        total_flux=total_flux,
        total_flux_err=integrated_flux_error(rms, n_pixels, radio_map.beam_area),
        snr=snr,
        local_rms=rms,
        local_background=pixels.mean(pixels.background),
        major=major,
        minor=minor,
        pixel_angle=angle,
        n_beams=n_pixels / radio_map.beam_area,
        n_components=np.zeros(len(boxes), dtype=np.int64),
        kind=island_kind(total_flux, peak_flux, snr, merge=merge, excess=extended_flux_excess),
        flags=_flags(labels, radio_map.data, on_sky, radio_map.sky is not None),
    )


class _IslandPixels:
    """The pixels of all islands as flat arrays, so that one pass per quantity serves every island."""

    def __init__(self, data: FloatMap, labels: NDArray[np.int32], background: FloatMap, noise: FloatMap) -> None:
        index = np.flatnonzero(labels)
        self.group = labels.ravel()[index].astype(np.int64) - 1
        self.count = int(self.group.max()) + 1 if index.size else 0
        self.y, self.x = np.divmod(index, labels.shape[1])
        self.background = background.ravel()[index].astype(np.float64)
        self.noise = noise.ravel()[index].astype(np.float64)
        self.flux = data.ravel()[index].astype(np.float64) - self.background

    def total(self, values: FloatArray) -> FloatArray:
        sums: FloatArray = np.bincount(self.group, weights=values, minlength=self.count).astype(np.float64)
        return sums

    def mean(self, values: FloatArray) -> FloatArray:
        return self.total(values) / self.total(np.ones_like(values))

    def largest(self, values: FloatArray) -> FloatArray:
        result = np.full(self.count, -np.inf)
        np.maximum.at(result, self.group, values)
        return result

    def peaks(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Flat index of the brightest pixel of each island, and its column and row."""
        order = np.lexsort((-self.flux, self.group))
        first = order[np.searchsorted(self.group[order], np.arange(self.count))]
        return first, self.x[first].astype(np.int64), self.y[first].astype(np.int64)

    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Flux-weighted centroid and covariance (N, 2, 2) in pixels."""
        weight = np.maximum(self.flux, 0.0)
        norm = self.total(weight)
        x, y = self.total(weight * self.x) / norm, self.total(weight * self.y) / norm
        dx, dy = self.x - x[self.group], self.y - y[self.group]
        covariance = np.empty((self.count, 2, 2))
        covariance[:, 0, 0] = self.total(weight * dx * dx) / norm
        covariance[:, 1, 1] = self.total(weight * dy * dy) / norm
        covariance[:, 0, 1] = covariance[:, 1, 0] = self.total(weight * dx * dy) / norm
        return x, y, covariance


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


def _flags(labels: NDArray[np.int32], data: FloatMap, on_sky: NDArray[np.bool_], has_sky: bool) -> NDArray[np.int64]:
    """EDGE, BLANKED and OFF_SKY of every island."""
    flags = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.int64)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    flags[np.unique(rim)] |= SourceFlag.EDGE
    blank = ~np.isfinite(data)
    if blank.any():
        beside_blank = ndimage.binary_dilation(blank, structure=np.ones((3, 3)))
        flags[np.unique(labels[beside_blank])] |= SourceFlag.BLANKED
    flags = flags[1:]
    if has_sky:
        flags[~on_sky] |= SourceFlag.OFF_SKY
    return flags
