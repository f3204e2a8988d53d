"""Image files that labels belong to: radio maps (FITS) and pictures (PNG, TIFF, JPEG)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.labels.labelled import SkyPlace
from neanias_ml.errors import InputError
from neanias_ml.maps import Beam, RadioMap, read_map

FloatMap = NDArray[np.float32]
FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz")
IMAGE_SUFFIXES = (*FITS_SUFFIXES, ".png", ".tif", ".tiff", ".jpg", ".jpeg")
ARCSEC = 3600.0
_STAND_IN = 1.0 / ARCSEC
"""Degrees that stand in for a pixel size that a file does not say."""
_STAND_IN_BEAMS = tuple(5.0 * factor / ARCSEC for factor in (1, 6, 1 / 6, 36, 1 / 36, 216, 1296))
"""Beams, degrees, of which one will suit the pixels of a map that does not say its own."""
SIMULATED = "SIMULATION"
"""TELESCOP of maps by `neanias_ml.simulation`, which all lie at the same place of no sky."""


@dataclass(frozen=True, repr=False)
class ImageFile:
    """An image file whose pixels are read when they are needed.

    Attributes
    ----------
    path
        The file.
    shape
        Rows and columns.
    radio_map
        The map, for FITS files; None for pictures.
    has_beam, has_scale
        Whether the map's beam and pixel size are told by the file.
    """

    path: Path
    shape: tuple[int, int]
    radio_map: RadioMap | None = None
    has_beam: bool = False
    has_scale: bool = False

    @property
    def first_row_on_top(self) -> bool:
        """Pictures count rows from the top, maps from the bottom."""
        return self.radio_map is None

    def pixels(self) -> FloatMap:
        """(ny, nx) float32: Jy/beam with NaN where blank, or the grey values of a picture."""
        if self.radio_map is not None:
            return self.radio_map.data
        return _picture(self.path)

    @property
    def place(self) -> SkyPlace | None:
        """Where a map with coordinates lies on the sky; None for pictures and simulated maps."""
        return place_of_map(self.radio_map, self.path) if self.radio_map is not None else None


def is_fits(path: Path) -> bool:
    """Whether a name is that of a FITS file."""
    return path.name.lower().endswith(FITS_SUFFIXES)


def is_simulated(path: Path) -> bool:
    """Whether a FITS file says that it is a simulated field."""
    from astropy.io import fits

    with fits.open(path) as hdus:
        return str(hdus[0].header.get("TELESCOP", "")).strip() == SIMULATED


def place_of_map(radio_map: RadioMap, path: Path) -> SkyPlace | None:
    """Centre of a map and the circle through its corners; None without sky coordinates and for simulated maps."""
    if radio_map.sky is None or is_simulated(path):
        return None
    ny, nx = radio_map.shape
    ra, dec = radio_map.sky.to_sky((nx - 1) / 2, (ny - 1) / 2)
    radius = math.hypot(nx, ny) / 2 * radio_map.sky.pixel_scale
    where = (float(np.ravel(ra)[0]), float(np.ravel(dec)[0]), radius)
    return SkyPlace(*where) if all(map(math.isfinite, where)) else None


def image_stem(path: Path) -> str:
    """Name of an image without the suffixes of its format."""
    for suffix in sorted(IMAGE_SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def open_image(path: Path) -> ImageFile:
    """Open an image; a beam or pixel size that a map does not say is no obstacle, since labels need neither.

    Raises
    ------
    InputError
        ``ImageMissing``, ``ImageUnreadable``, or what `read_map` says of a map.
    """
    if not path.is_file():
        raise InputError("ImageMissing", f"there is no image {path}; name the folder of the images with --image-root")
    if not is_fits(path):
        pixels = _picture(path)
        return ImageFile(path, (pixels.shape[0], pixels.shape[1]))
    radio_map, has_beam, has_scale = _map_for_labels(path)
    return ImageFile(path, radio_map.shape, radio_map, has_beam=has_beam, has_scale=has_scale)


def _map_for_labels(path: Path) -> tuple[RadioMap, bool, bool]:
    """The map, and whether its beam and its pixel size are the file's."""
    given: dict[str, Any] = {}
    beams = iter(_STAND_IN_BEAMS)
    while True:
        try:
            return read_map(path, **given), "beam" not in given, "pixel_scale" not in given
        except InputError as error:
            if error.code == "PixelScaleMissing" and "pixel_scale" not in given:
                given["pixel_scale"] = _STAND_IN
            elif error.code in ("BeamMissing", "BeamImplausible") and (width := next(beams, None)) is not None:
                given["beam"] = Beam(width, width)
            else:
                raise


def _picture(path: Path) -> FloatMap:
    """Grey values (ny, nx); colours are averaged."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise InputError("ImageUnreadable", f"{path} is no image that can be read ({error})") from error
    if pixels.ndim == 3:
        pixels = pixels[..., :3].mean(axis=2)
    if pixels.ndim != 2:
        raise InputError("ImageUnreadable", f"{path} is no image of rows and columns")
    return np.ascontiguousarray(pixels, dtype=np.float32)
