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

from neanias_ml.catalogue.text import ascii_printable
from neanias_ml.extraction.components.model_map import GaussianModel
from neanias_ml.extraction.tables import Extraction, Islands
from neanias_ml.maps import RadioMap, Window
from neanias_ml.maps.reading import beam_in_frame

FloatMap = NDArray[np.float32]
StripReader = Callable[[Window], NDArray[np.float32] | NDArray[np.int32]]

STRIP_PIXELS = 1 << 23
"""Pixels of one strip: work arrays stay near 100 MB."""


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
    model = GaussianModel.of(radio_map, extraction.components)

    def labels(window: Window) -> NDArray[np.int32]:
        return extraction.islands.labels_in(window)

    def nested(window: Window) -> NDArray[np.int32]:
        return _ids_in(extraction.nested, window)

    def diffuse(window: Window) -> NDArray[np.int32]:
        return _ids_in(extraction.diffuse, window)

    def noise_part(window: Window, *, index: int) -> FloatMap:
        pixels = radio_map.read(window)
        return np.where(np.isfinite(pixels), extraction.noise.evaluate(window)[index], np.float32(np.nan))

    def residual(window: Window) -> FloatMap:
        return radio_map.read(window) - extraction.noise.evaluate(window)[0] - model.render(window)

    contents: dict[str, tuple[StripReader, str]] = {
        "islands.fits": (labels, "island_id of each pixel, 0: none"),
        "background.fits": (partial(noise_part, index=0), "background"),
        "noise.fits": (partial(noise_part, index=1), "noise, one standard deviation"),
        "residual.fits": (residual, "map minus background minus fitted Gaussians"),
    }
    if len(extraction.nested):
        contents["nested.fits"] = (nested, "island_id of the innermost nested island, 0: none")
    if len(extraction.diffuse):
        contents["diffuse.fits"] = (diffuse, "island_id of the diffuse region, 0: none")
    writers: dict[str, Callable[[Path], None]] = {}
    for name, (reader, content) in contents.items():
        integer = name in ("islands.fits", "nested.fits", "diffuse.fits")
        header = map_header(radio_map, integer=integer, content=content, software=software)
        writers[name] = partial(write_map, reader, header)
    return writers


def _ids_in(islands: Islands, window: Window) -> NDArray[np.int32]:
    """Island ids of a layer whose rows do not start at id 1."""
    return np.append(0, islands.table.island_id).astype(np.int32)[islands.labels_in(window)]


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
