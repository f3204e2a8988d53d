"""Pixels of a map prepared for pictures: reduced in size, stretched by the noise, labelled in handy units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.map_files import row_strips
from neanias_ml.extraction.tables import Extraction
from neanias_ml.maps import RadioMap, Window

FloatMap = NDArray[np.float32]

SOFTENING_SIGMA = 1.5
"""The stretch is linear up to about this many standard deviations of the noise, logarithmic beyond."""
LOWEST_SIGMA = -2.0
HIGHEST_SIGMA = (30.0, 3000.0)
"""The white level is the brightest pixel, kept between these."""
BLANK = (0x24, 0x30, 0x3C)
"""Red, green and blue of blank pixels: they are not black sky."""


@dataclass(frozen=True)
class Picture:
    """A reduced map without background.

    Attributes
    ----------
    pixels
        (h, w) float32 Jy/beam above the background, NaN where blank; the maximum of each block of the map.
    block
        Side of a block in pixels of the map; 1: not reduced.
    noise
        Typical noise of the map, Jy/beam.
    """

    pixels: FloatMap
    block: int
    noise: float


def whole_map_picture(extraction: Extraction, *, longest: int) -> Picture:
    """The map reduced to at most ``longest`` pixels a side by block maxima, read in strips.

    Maxima keep faint point sources visible, which means and strides would lose.
    """
    radio_map = extraction.radio_map
    block = max(1, -(-max(radio_map.shape) // longest))
    strips = [
        block_maxima(radio_map.read(strip) - extraction.noise.evaluate(strip)[0], block)
        for strip in _block_strips(radio_map.shape, block)
    ]
    return Picture(np.concatenate(strips), block, typical_noise(extraction))


def typical_noise(extraction: Extraction) -> float:
    """Median noise along some rows spread over the map, Jy/beam; noise varies slowly, so a few rows tell it."""
    ny, nx = extraction.radio_map.shape
    rows = np.unique(np.linspace(0, ny - 1, 17).astype(int)[1:-1] if ny > 17 else np.arange(ny))
    noise = [extraction.noise.evaluate(Window(int(row), int(row) + 1, 0, nx))[1] for row in rows]
    return float(np.median(np.concatenate(noise)))


def cutout_picture(extraction: Extraction, window: Window, *, longest: int) -> Picture:
    """A window of the map, reduced like the whole."""
    background, noise = extraction.noise.evaluate(window)
    block = max(1, -(-max(window.shape) // longest))
    pixels = block_maxima(extraction.radio_map.read(window) - background, block)
    return Picture(pixels, block, float(np.median(noise)))


def _block_strips(shape: tuple[int, int], block: int) -> list[Window]:
    """Strips whose rows are whole blocks, but for the last."""
    rows_of_blocks = (-(-shape[0] // block), shape[1])
    strips = row_strips(rows_of_blocks, pixels=max(1, (1 << 23) // block))
    return [Window(s.y0 * block, min(s.y1 * block, shape[0]), 0, shape[1]) for s in strips]


def block_maxima(pixels: FloatMap, block: int) -> FloatMap:
    """Maximum of each ``block`` x ``block`` square, NaN only where all its pixels are; edge blocks are smaller."""
    if block == 1:
        return np.asarray(pixels, dtype=np.float32)
    rows = _maxima_along_rows(pixels, block)
    return np.ascontiguousarray(_maxima_along_rows(rows.T, block).T)


def _maxima_along_rows(pixels: FloatMap, block: int) -> FloatMap:
    """Maxima of each ``block`` rows; a reduction in place is several times as fast as `numpy.ufunc.reduceat`."""
    maxima = pixels[::block].copy(order="K")
    for first in range(1, block):
        others = pixels[first::block]
        np.fmax(maxima[: len(others)], others, out=maxima[: len(others)])
    return maxima


def stretch_limits(picture: Picture) -> tuple[float, float]:
    """Black and white level of a picture, Jy/beam."""
    finite = picture.pixels[np.isfinite(picture.pixels)]
    if finite.size == 0:
        return LOWEST_SIGMA * picture.noise, HIGHEST_SIGMA[0] * picture.noise
    # block maxima lift the sky: follow it, or the whole picture turns grey
    low = max(LOWEST_SIGMA * picture.noise, float(np.percentile(finite, 5))) if picture.block > 1 else None
    peak = float(finite.max()) / picture.noise
    high = float(np.clip(peak, *HIGHEST_SIGMA)) * picture.noise
    return LOWEST_SIGMA * picture.noise if low is None else min(low, 0.1 * high), high


def stretched(picture: Picture, *, limits: tuple[float, float] | None = None) -> FloatMap:
    """Pixels as inverse hyperbolic sine of their signal to noise, NaN where blank.

    0 (black) to 1 (white) between ``limits`` (Jy/beam; `stretch_limits` where they are not given).
    """
    low, high = limits or stretch_limits(picture)
    unit = SOFTENING_SIGMA * picture.noise
    bottom, top = np.arcsinh(low / unit), np.arcsinh(high / unit)
    return np.clip((np.arcsinh(picture.pixels / unit) - bottom) / (top - bottom), 0.0, 1.0)


def shades(picture: Picture, *, limits: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """A `stretched` picture in 256 shades of grey, blank pixels in `BLANK`: (h, w, 3) red, green, blue."""
    grey = np.minimum(256.0 * stretched(picture, limits=limits), 255.0)
    blank = np.isnan(grey)
    grey[blank] = 0.0
    coloured = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    coloured[blank] = BLANK
    return coloured


def flux_prefix(value: float) -> tuple[float, str]:
    """Factor and prefix that bring a flux in Jy near one: (1, ""), (1e3, "m"), (1e6, "µ") or (1e9, "n")."""
    for factor, prefix in ((1.0, ""), (1e3, "m"), (1e6, "µ")):
        if abs(value) * factor >= 1.0:
            return factor, prefix
    return (1e9, "n") if value else (1.0, "")


def common_flux_prefix(values: NDArray[np.float64]) -> tuple[float, str]:
    """One factor and prefix for many fluxes: a few of a unit rather than thousands of the smaller one."""
    usable = np.abs(values[np.isfinite(values)])
    return flux_prefix(10.0 * float(np.median(usable))) if usable.size else (1.0, "")


def describe_map(radio_map: RadioMap, *, noise: float) -> list[str]:
    """Short phrases on a map: size, pixel, beam, frequency, noise."""
    factor, prefix = flux_prefix(noise)
    phrases = [
        f"{radio_map.shape[1]} x {radio_map.shape[0]} px",
        f"{radio_map.pixel_scale * 3600:.3g}″/px",
        f"beam {radio_map.beam.major * 3600:.3g}″ x {radio_map.beam.minor * 3600:.3g}″",
    ]
    if radio_map.frequency is not None:
        frequency = radio_map.frequency
        phrases.append(f"{frequency / 1e9:.4g} GHz" if frequency >= 1e9 else f"{frequency / 1e6:.4g} MHz")
    phrases.append(f"noise {noise * factor:.3g} {prefix}Jy/beam")
    return phrases
