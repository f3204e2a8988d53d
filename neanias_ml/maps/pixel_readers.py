"""Picklable functions from a window to its pixels: of an array, of a plain or gzipped file, of a tile-compressed file.

All return float32 in Jy/beam, native byte order, NaN where blank or not finite, as new arrays or read-only views.
"""

from __future__ import annotations

import functools
import io
import os
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from neanias_ml.errors import InputError
from neanias_ml.maps.file_gate import open_bytes
from neanias_ml.maps.header_axes import PlaneAxes
from neanias_ml.maps.windows import Window

FloatMap = NDArray[np.float32]
_SHARED_HANDLE = threading.Lock()
"""Threads share the opened tile-compressed file and its position."""


@dataclass(frozen=True)
class ArrayReader:
    """Windows of an array in memory, shape (ny, nx)."""

    pixels: FloatMap = field(repr=False)

    def __call__(self, window: Window) -> FloatMap:
        """Pixels of a window, a view."""
        return self.pixels[window.slices]


@dataclass(frozen=True)
class FileReader:
    """Windows of one plane of a FITS image on disk.

    Attributes
    ----------
    hdu
        Index of the header-data unit.
    data_offset
        Byte at which its data begin (of the inflated file).
    bitpix
        FITS data type.
    shape
        Axis lengths in FITS order.
    axes
        The plane to read.
    scale, zero
        Stored value times ``scale`` plus ``zero`` gives Jy/beam.
    blank
        Integer that marks blank pixels; None for floats, whose blank is NaN.
    is_gzip, is_compressed
        Whether the file is gzipped; whether the image is tile-compressed.
    """

    path: Path
    hdu: int
    data_offset: int
    bitpix: int
    shape: tuple[int, ...]
    axes: PlaneAxes
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None
    is_gzip: bool = False
    is_compressed: bool = False

    def __call__(self, window: Window) -> FloatMap:
        """Pixels of a window, a new array."""
        pixels = self.with_infinities(window)
        pixels[np.isinf(pixels)] = np.nan
        return pixels

    def with_infinities(self, window: Window) -> FloatMap:
        """Pixels of a window with infinite values left in, to be counted."""
        index = self._index(window)
        stored = self._decompressed(index) if self.is_compressed else self._mapped(index)
        if self.axes.is_transposed:
            stored = stored.T
        return self._physical(stored)

    def _index(self, window: Window) -> tuple[int | slice, ...]:
        """Index of the window in the image in numpy's axis order."""
        rows, columns = window.slices
        index: list[int | slice] = list(self.axes.index)
        index[self.axes.lat - 1], index[self.axes.lon - 1] = rows, columns
        return tuple(reversed(index))

    def _mapped(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        kind = "f" if self.bitpix < 0 else "u" if self.bitpix == 8 else "i"
        try:
            with open_bytes(self.path, gzipped=self.is_gzip) as file:
                whole = np.memmap(
                    file,
                    dtype=np.dtype(f">{kind}{abs(self.bitpix) // 8}"),
                    mode="r",
                    offset=self.data_offset,
                    shape=tuple(reversed(self.shape)),
                )
        except (OSError, ValueError) as error:
            raise InputError("FileUnreadable", f"{self.path} can no longer be read: {error}") from error
        return np.asarray(whole[index])

    def _decompressed(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        status = self.path.stat()
        try:
            with _SHARED_HANDLE, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                opened = _opened(self.path, self.is_gzip, status.st_mtime_ns, os.getpid())
                return np.asarray(opened.hdus[self.hdu].section[index])
        except Exception as error:  # whatever a codec raises on damaged bytes
            raise InputError(
                "FitsDamaged", f"{self.path}, HDU {self.hdu}: a tile cannot be decompressed ({error}); fetch it again"
            ) from error

    def _physical(self, stored: NDArray[Any]) -> FloatMap:
        is_blank = stored == self.blank if self.blank is not None and stored.dtype.kind in "iu" else None
        with np.errstate(over="ignore", invalid="ignore"):
            if stored.dtype.itemsize <= 4 and stored.dtype.kind == "f":
                pixels = stored.astype(np.float32)
                if self.scale != 1.0 or self.zero != 0.0:
                    pixels *= np.float32(self.scale)
                    pixels += np.float32(self.zero)
            else:
                pixels = (stored.astype(np.float64) * self.scale + self.zero).astype(np.float32)
        if is_blank is not None:
            pixels[is_blank] = np.nan
        return np.ascontiguousarray(pixels)


class _OpenedFile:
    """A file with tile-compressed images, closed when this object goes."""

    def __init__(self, hdus: fits.HDUList) -> None:
        self.hdus = hdus

    def __del__(self) -> None:
        self.hdus.close()


@functools.lru_cache(maxsize=2)
def _opened(path: Path, gzipped: bool, modified: int, process: int) -> _OpenedFile:
    """The opened file; one per process, since children must not share the file position."""
    if not gzipped:
        return _OpenedFile(fits.open(path, memmap=True, do_not_scale_image_data=True))
    with open_bytes(path, gzipped=True) as file:
        content = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
    return _OpenedFile(fits.open(io.BytesIO(content), do_not_scale_image_data=True))
