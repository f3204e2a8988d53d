"""FITS maps of a run: island labels, background, noise, and what is left when the fitted model is taken out.

Everything is computed and written in strips of rows, so that maps larger than memory pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from neanias_ml.catalogue.geometry import component_pixel_covariances
from neanias_ml.catalogue.text import ascii_printable
from neanias_ml.extraction.tables import ComponentTable, Extraction
from neanias_ml.maps import RadioMap, Window
from neanias_ml.maps.reading import beam_in_frame

FloatMap = NDArray[np.float32]
StripReader = Callable[[Window], NDArray[np.float32] | NDArray[np.int32]]

STRIP_PIXELS = 1 << 23
"""Pixels of one strip: work arrays stay near 100 MB."""
CUT_SIGMA = 6.0
"""Gaussians are rendered out to this many standard deviations (1.5e-8 of the peak)."""


def map_writers(extraction: Extraction, *, software: str) -> dict[str, Callable[[Path], None]]:
    """File name and writer of each map.

    Parameters
    ----------
    extraction
        Map, noise model, islands and components.
    software
        Name and version put into the headers.
    """
    radio_map = extraction.radio_map
    model = ComponentModel(radio_map, extraction.components)

    def labels(window: Window) -> NDArray[np.int32]:
        return extraction.islands.labels[window.slices]

    def noise_part(window: Window, *, index: int) -> FloatMap:
        pixels = radio_map.read(window)
        return np.where(np.isfinite(pixels), extraction.noise.evaluate(window)[index], np.float32(np.nan))

    def residual(window: Window) -> FloatMap:
        return radio_map.read(window) - extraction.noise.evaluate(window)[0] - model.render(window)

    contents: dict[str, tuple[StripReader, str]] = {
        "islands.fits": (labels, "island_id of each pixel, 0: none"),
        "background.fits": (partial(noise_part, index=0), "background"),
        "noise.fits": (partial(noise_part, index=1), "noise, one standard deviation"),
        "residual.fits": (residual, "map minus background minus fitted components"),
    }
    writers: dict[str, Callable[[Path], None]] = {}
    for name, (reader, content) in contents.items():
        integer = name == "islands.fits"
        header = map_header(radio_map, integer=integer, content=content, software=software)
        writers[name] = partial(write_map, reader, header)
    return writers


def write_map(reader: StripReader, header: fits.Header, path: Path) -> None:
    """Write a FITS image strip by strip.

    Parameters
    ----------
    reader
        Pixels of a window, in the type that the header announces.
    header
        See `map_header`.
    path
        File to write.
    """
    stream = fits.StreamingHDU(str(path), header)
    try:
        for strip in row_strips((header["NAXIS2"], header["NAXIS1"])):
            stream.write(np.ascontiguousarray(reader(strip)))
    finally:
        stream.close()


def map_header(radio_map: RadioMap, *, integer: bool, content: str, software: str) -> fits.Header:
    """Header with the input's shape, celestial geometry, beam and frequency.

    Parameters
    ----------
    radio_map
        The input.
    integer
        Whether pixels are int32 numbers; else float32 Jy/beam.
    content
        What the pixels are, in a few words.
    software
        Name and version of the program.
    """
    header = fits.Header()
    header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, 32 if integer else -32, 2
    header["NAXIS1"], header["NAXIS2"] = radio_map.shape[1], radio_map.shape[0]
    if radio_map.sky is not None:
        header.extend(radio_map.sky.wcs.to_header(relax=True), unique=True)
    beam = beam_in_frame(radio_map.beam, radio_map.sky)
    header["BMAJ"] = (beam.major, "degrees")
    header["BMIN"] = (beam.minor, "degrees")
    header["BPA"] = (beam.position_angle, "degrees, east of north of this map's frame")
    if not integer:
        header["BUNIT"] = "Jy/beam"
    if radio_map.frequency is not None:
        header["FREQ"] = (radio_map.frequency, "Hz")
    header["ORIGIN"] = ascii_printable(software)
    header["CONTENT"] = content
    if radio_map.source.path is not None:
        header["HISTORY"] = f"made from {ascii_printable(radio_map.source.path.name)}"
    return header


def row_strips(shape: tuple[int, int], *, pixels: int = STRIP_PIXELS) -> Iterator[Window]:
    """Windows of whole rows that cover a map from the bottom up."""
    rows = max(1, pixels // shape[1])
    for y0 in range(0, shape[0], rows):
        yield Window(y0, min(y0 + rows, shape[0]), 0, shape[1])


class ComponentModel:
    """The sum of the fitted Gaussians, rendered on any window.

    Parameters
    ----------
    radio_map
        Its local geometry turns sky sizes into pixels.
    components
        The Gaussians.
    """

    def __init__(self, radio_map: RadioMap, components: ComponentTable) -> None:
        covariances = component_pixel_covariances(radio_map, components)
        usable = np.linalg.det(covariances) > 1e-12 if len(components) else np.zeros(0, dtype=bool)
        usable &= np.isfinite(components.peak_flux)
        self._x, self._y = components.x[usable], components.y[usable]
        self._peak = components.peak_flux[usable]
        self._inverse = np.linalg.inv(covariances[usable])
        self._reach_x = CUT_SIGMA * np.sqrt(covariances[usable][:, 0, 0])
        self._reach_y = CUT_SIGMA * np.sqrt(covariances[usable][:, 1, 1])

    def render(self, window: Window) -> FloatMap:
        """Jy/beam in each pixel of the window, float32."""
        image = np.zeros(window.shape, dtype=np.float32)
        x0 = np.maximum(np.floor(self._x - self._reach_x), window.x0).astype(np.int64)
        x1 = np.minimum(np.ceil(self._x + self._reach_x) + 1, window.x1).astype(np.int64)
        y0 = np.maximum(np.floor(self._y - self._reach_y), window.y0).astype(np.int64)
        y1 = np.minimum(np.ceil(self._y + self._reach_y) + 1, window.y1).astype(np.int64)
        for row in np.flatnonzero((x1 > x0) & (y1 > y0)):
            dx = np.arange(x0[row], x1[row]) - self._x[row]
            dy = (np.arange(y0[row], y1[row]) - self._y[row])[:, None]
            inverse = self._inverse[row]
            exponent = inverse[0, 0] * dx**2 + 2.0 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
            box = (slice(y0[row] - window.y0, y1[row] - window.y0), slice(x0[row] - window.x0, x1[row] - window.x0))
            image[box] += self._peak[row] * np.exp(-0.5 * exponent)
        return image
