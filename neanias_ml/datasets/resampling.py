"""The network's grid: a map resampled to a fixed number of pixels per beam, window by window.

The grid is anchored to the map's own pixel (0, 0): any window of it holds the very values that the whole grid
would hold there, so tiling cannot change a result. Positions are counted from the outer edge of that pixel (pixel
i covers [i, i + 1)), as half-open boxes are, so that boxes scale without an offset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neanias_ml.datasets.channels import channels_from_significance, significance, smoothing_radius
from neanias_ml.extraction.tables import Extraction
from neanias_ml.maps import RadioMap, Window

FloatMap = NDArray[np.float32]
FloatArray = NDArray[np.float64]
IntMap = NDArray[np.int32]

PIXELS_PER_BEAM = 6.0
"""Grid pixels per geometric-mean beam FWHM."""
MIN_VALID_WEIGHT = 0.5
"""A grid pixel whose weight lies on blank map pixels by more than the rest of this is blank."""


@dataclass(frozen=True)
class ResampledGrid:
    """Pixel grid with ``scale`` pixels per map pixel.

    Attributes
    ----------
    map_shape
        Rows and columns of the map.
    scale
        Grid pixels per map pixel; above 1 the map is interpolated, below 1 averaged.
    """

    map_shape: tuple[int, int]
    scale: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"the scale of a grid must be positive, not {self.scale}")

    @classmethod
    def of(cls, radio_map: RadioMap, *, pixels_per_beam: float = PIXELS_PER_BEAM) -> ResampledGrid:
        """The grid of a map."""
        return cls(map_shape=radio_map.shape, scale=pixels_per_beam / radio_map.beam_fwhm)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return max(1, round(self.map_shape[0] * self.scale)), max(1, round(self.map_shape[1] * self.scale))

    @property
    def extent(self) -> Window:
        """The window that covers the whole grid."""
        return Window(0, self.shape[0], 0, self.shape[1])

    def boxes_to_grid(self, boxes: NDArray[np.floating]) -> FloatArray:
        """Half-open boxes (N, 4) xyxy in map pixels, in grid pixels."""
        return np.asarray(boxes, dtype=np.float64) * self.scale

    def boxes_to_map(self, boxes: NDArray[np.floating]) -> FloatArray:
        """Half-open boxes (N, 4) xyxy in grid pixels, in map pixels."""
        return np.asarray(boxes, dtype=np.float64) / self.scale

    def map_window(self, window: Window) -> Window:
        """The map pixels on which the values in a window of the grid depend."""
        y0, y1 = _source_range(window.y0, window.y1, self.scale, self.map_shape[0])
        x0, x1 = _source_range(window.x0, window.x1, self.scale, self.map_shape[1])
        return Window(y0, y1, x0, x1)

    def resample(self, values: FloatMap, *, window: Window) -> FloatMap:
        """Values on a window of the grid: linear when enlarging, triangle-weighted mean when shrinking.

        Parameters
        ----------
        values
            The pixels of ``map_window(window)``, NaN where blank.
        window
            Window inside the grid.

        Returns
        -------
        ndarray
            float32; NaN where most of the weight lies on blank pixels, else the mean over the others.
        """
        source = self._checked(values, window)
        ny, nx = self.map_shape
        rows = _weights(window.y0, window.y1, low=source.y0, high=source.y1, scale=self.scale, length=ny)
        cols = _weights(window.x0, window.x1, low=source.x0, high=source.x1, scale=self.scale, length=nx)
        blank = ~np.isfinite(values)
        if not blank.any():
            return _apply(rows, cols, values)
        total = _apply(rows, cols, np.where(blank, np.float32(0), values))
        missing = _apply(rows, cols, blank.astype(np.float32))
        present = np.where(missing > 0, 1 - missing, np.float32(1))
        mean = np.divide(total, present, out=np.full_like(total, np.nan), where=present > 1 - MIN_VALID_WEIGHT)
        return mean.astype(np.float32, copy=False)

    def resample_labels(self, labels: NDArray[np.integer], *, window: Window) -> NDArray[np.integer]:
        """Labels of the nearest map pixels; ``labels`` are those of ``map_window(window)``."""
        source = self._checked(labels, window)
        rows = np.clip(_nearest(window.y0, window.y1, self.scale), source.y0, source.y1 - 1) - source.y0
        cols = np.clip(_nearest(window.x0, window.x1, self.scale), source.x0, source.x1 - 1) - source.x0
        return labels[rows[:, None], cols[None, :]]

    def _checked(self, values: NDArray[np.generic], window: Window) -> Window:
        source = self.map_window(window)
        if values.shape != source.shape:
            raise ValueError(f"{window} of the grid needs {source} of the map, got an array of {values.shape}")
        return source


def window_channels(extraction: Extraction, grid: ResampledGrid, *, window: Window) -> FloatMap:
    """Input channels (5, h, w) float32 of a window of the grid; the part of the window beyond the grid is blank.

    Reads only the map pixels it needs; the values do not depend on how windows are laid.
    """
    inner = _intersection(window, grid.extent)
    channels = np.zeros((5, *window.shape), dtype=np.float32)
    if inner is None:
        return channels
    beam = grid.scale * extraction.radio_map.beam_fwhm
    wide = inner.expanded(smoothing_radius(beam), shape=grid.shape)
    snr, support = resampled_significance(extraction, grid, window=wide)
    computed = channels_from_significance(snr, support, beam_fwhm_pixels=beam)
    cut = computed[:, inner.y0 - wide.y0 : inner.y1 - wide.y0, inner.x0 - wide.x0 : inner.x1 - wide.x0]
    channels[:, inner.y0 - window.y0 : inner.y1 - window.y0, inner.x0 - window.x0 : inner.x1 - window.x0] = cut
    return channels


def resampled_significance(
    extraction: Extraction, grid: ResampledGrid, *, window: Window
) -> tuple[FloatMap, NDArray[np.bool_]]:
    """Signal to noise (NaN where blank) and island support on a window inside the grid."""
    source = grid.map_window(window)
    background, noise = extraction.noise.evaluate(source)
    snr = significance(extraction.radio_map.read(source), background, noise)
    support = grid.resample_labels(extraction.islands.labels[source.slices], window=window) > 0
    return grid.resample(snr, window=window), support


def window_labels(labels: NDArray[np.integer], grid: ResampledGrid, *, window: Window) -> IntMap:
    """Labels (h, w) int32 of a map's label map on a window of the grid; 0 beyond the grid."""
    result = np.zeros(window.shape, dtype=np.int32)
    inner = _intersection(window, grid.extent)
    if inner is not None:
        part = grid.resample_labels(labels[grid.map_window(inner).slices], window=inner)
        result[inner.y0 - window.y0 : inner.y1 - window.y0, inner.x0 - window.x0 : inner.x1 - window.x0] = part
    return result


def _intersection(one: Window, other: Window) -> Window | None:
    y0, y1 = max(one.y0, other.y0), min(one.y1, other.y1)
    x0, x1 = max(one.x0, other.x0), min(one.x1, other.x1)
    return Window(y0, y1, x0, x1) if y1 > y0 and x1 > x0 else None


def _centres(start: int, stop: int, scale: float) -> FloatArray:
    """Positions of grid pixel centres in map pixels, counted so that the centre of map pixel i is at i."""
    return (np.arange(start, stop, dtype=np.float64) + 0.5) / scale - 0.5


def _nearest(start: int, stop: int, scale: float) -> NDArray[np.int64]:
    return np.floor(_centres(start, stop, scale) + 0.5).astype(np.int64)


def _source_range(start: int, stop: int, scale: float, length: int) -> tuple[int, int]:
    """Half-open range of map pixels within reach of the weights of grid pixels ``start`` to ``stop``."""
    reach = max(1.0, 1.0 / scale)
    first, last = _centres(start, start + 1, scale)[0], _centres(stop - 1, stop, scale)[0]
    low = min(max(math.ceil(first - reach), 0), length - 1)
    return low, max(min(math.floor(last + reach), length - 1), low) + 1


def _weights(start: int, stop: int, *, low: int, high: int, scale: float, length: int) -> sparse.csr_array:
    """Matrix (stop - start, high - low) of normalised triangle weights of map pixels in grid pixels."""
    reach = max(1.0, 1.0 / scale)
    centres = _centres(start, stop, scale)
    first = np.ceil(centres - reach).astype(np.int64)
    taps = first[:, None] + np.arange(math.ceil(2 * reach) + 1)
    weights = np.maximum(1.0 - np.abs(taps - centres[:, None]) / reach, 0.0)
    weights[(taps < 0) | (taps >= length)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    rows, columns = np.nonzero(weights > 0)
    indptr = np.searchsorted(rows, np.arange(stop - start + 1))
    return sparse.csr_array(
        (weights[rows, columns].astype(np.float32), taps[rows, columns] - low, indptr), shape=(stop - start, high - low)
    )


def _apply(rows: sparse.csr_array, cols: sparse.csr_array, values: FloatMap) -> FloatMap:
    """Both axes in turn; every output is a sum over its taps in ascending order, whatever the window."""
    half = rows @ np.ascontiguousarray(values, dtype=np.float32)
    return np.ascontiguousarray((cols @ np.ascontiguousarray(half.T)).T)
