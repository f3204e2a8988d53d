"""Cheap checks of the raw file before any library parses it: it must be FITS, whole, and of a possible shape."""

from __future__ import annotations

import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from neanias_ml.errors import InputError
from neanias_ml.maps.gzip_files import InflatedFile, inflate, is_gzip
from neanias_ml.maps.header_cards import BLOCK_BYTES, CARD_BYTES, HeaderCards

MAX_HEADER_BYTES = 2 * 2**20
MAX_AXES = 8
MAX_PIXELS = 2**38
"""Pixels of the largest image that is believed (a map of 524288 x 524288)."""
MAX_TILE_PIXELS = 2**28
MAX_TILE_RATIO = 4000
_LEGAL_BITPIX = (8, 16, 32, 64, -32, -64)
_MAX_HDUS = 1000


@dataclass(frozen=True)
class HduLayout:
    """One header-data unit: its header and where its data lie.

    Attributes
    ----------
    shape
        Lengths of the image axes in FITS order (NAXIS1 first); empty for a unit that is not an image.
    data_bytes
        Bytes of data that the header declares, without padding.
    """

    index: int
    cards: HeaderCards
    data_offset: int
    data_bytes: int
    shape: tuple[int, ...]
    is_compressed: bool
    name: str

    @property
    def is_image(self) -> bool:
        """Whether it holds an image of two axes or more."""
        return len(self.shape) >= 2


@dataclass(frozen=True)
class FileLayout:
    """The header-data units of a file that passed the gate."""

    path: Path
    is_gzip: bool
    hdus: tuple[HduLayout, ...]


def open_bytes(path: Path, *, gzipped: bool) -> IO[bytes]:
    """The bytes of a map file, inflated (once per process and state of the file) when gzipped.

    Handles on inflated files share one position: use `os.pread` or a memory map on them, not ``read``.
    """
    if not gzipped:
        return path.open("rb")
    status = path.stat()
    return _inflated(path, status.st_mtime_ns, status.st_size).open()


@functools.lru_cache(maxsize=4)
def _inflated(path: Path, modified: int, size: int) -> InflatedFile:
    return inflate(path, wanted=_HduWalk(path).wanted_bytes)


def inspect_file(path: Path) -> FileLayout:
    """Scan the headers of a file without touching its data.

    Raises
    ------
    InputError
        ``FileMissing``, ``FileUnreadable``, ``NotFits``, ``FitsTruncated``, ``FitsHeader``, ``FitsShape``,
        ``HeaderTooLarge``, ``DecompressionLimit``, ``GzipDamaged``.
    """
    try:
        if not path.exists():
            raise InputError("FileMissing", f"there is no file {path}; check the path")
        if not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise InputError("FileUnreadable", f"{path} is {kind}; give the path of a FITS file")
        gzipped = is_gzip(path)
        with open_bytes(path, gzipped=gzipped) as file:
            hdus = _scan(file, size=os.fstat(file.fileno()).st_size, path=path)
    except OSError as error:
        raise InputError("FileUnreadable", f"{path} cannot be read: {error.strerror or error}") from error
    return FileLayout(path=path, is_gzip=gzipped, hdus=hdus)


def _scan(file: IO[bytes], *, size: int, path: Path) -> tuple[HduLayout, ...]:
    walk = _HduWalk(path)
    while walk.advance(file, size):
        _require_whole(walk.hdus[-1], size=size, path=path)
    return tuple(walk.hdus)


class _HduWalk:
    """Walks the header-data units of a file that may still be growing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hdus: list[HduLayout] = []
        self.offset = 0
        self.is_over = False

    def advance(self, file: IO[bytes], size: int) -> bool:
        """Take in the next unit; False when there is none."""
        start = os.pread(file.fileno(), 9, self.offset)
        if start != (b"XTENSION=" if self.hdus else b"SIMPLE  ="):
            if not self.hdus:
                raise InputError("NotFits", f"{self.path} is not a FITS file: {_guess(start, size)}; give a FITS map")
            self.is_over = True  # the end, special records, or junk behind the last unit
            return False
        raw = _header_bytes(file, offset=self.offset, path=self.path)
        cards = HeaderCards.parse(raw)
        hdu = _layout(cards, index=len(self.hdus), data_offset=self.offset + len(raw), path=self.path)
        self.hdus.append(hdu)
        self.offset = hdu.data_offset + -(-hdu.data_bytes // BLOCK_BYTES) * BLOCK_BYTES
        self.is_over = len(self.hdus) >= _MAX_HDUS
        return not self.is_over

    def wanted_bytes(self, file: IO[bytes], size: int) -> int:
        """Length up to which the units seen so far (and a header to come) reach, given ``size`` bytes of the file."""
        while not self.is_over and size >= self.offset + MAX_HEADER_BYTES + BLOCK_BYTES:
            self.advance(file, size)
        return self.offset if self.is_over else self.offset + MAX_HEADER_BYTES + BLOCK_BYTES


def _guess(start: bytes, size: int) -> str:
    if not size:
        return "it is empty"
    if start.lstrip().lower().startswith((b"<!doc", b"<html", b"<?xml")):
        return "it is a web page, perhaps an error message saved in place of the download"
    return "it does not start with SIMPLE"


def _header_bytes(file: IO[bytes], *, offset: int, path: Path) -> bytes:
    blocks: list[bytes] = []
    while True:
        position = offset + BLOCK_BYTES * len(blocks)
        block = os.pread(file.fileno(), BLOCK_BYTES, position)
        if len(block) < BLOCK_BYTES:
            raise InputError(
                "FitsTruncated",
                f"{path} ends inside a header (at byte {position + len(block)}, before an END card); fetch it again",
            )
        blocks.append(block)
        if any(block[at : at + 8].rstrip(b" \0") == b"END" for at in range(0, BLOCK_BYTES, CARD_BYTES)):
            return b"".join(blocks)
        if BLOCK_BYTES * len(blocks) > MAX_HEADER_BYTES:
            raise InputError(
                "HeaderTooLarge", f"the header of {path} has no END card within {MAX_HEADER_BYTES} bytes; is it FITS?"
            )


def _layout(cards: HeaderCards, *, index: int, data_offset: int, path: Path) -> HduLayout:
    bitpix, axes = _declared_axes(cards, prefix="", where=f"{path}, HDU {index}")
    kind = cards.text("XTENSION").upper() if index else "IMAGE"
    is_compressed = kind == "BINTABLE" and cards.is_true("ZIMAGE")
    if cards.is_true("GROUPS") and axes and axes[0] == 0:
        raise InputError("FitsShape", f"{path} holds visibilities (random groups), not a map; image them first")
    shape = axes if kind == "IMAGE" else ()
    if is_compressed:
        _, shape = _declared_axes(cards, prefix="Z", where=f"{path}, HDU {index}")
        _require_tiles(cards, shape=shape, table=axes, where=f"{path}, HDU {index}")
    if len(shape) >= 2 and min(shape) == 0:
        raise InputError("FitsShape", f"{path}, HDU {index}: an axis of the image has length 0; there are no pixels")
    data_bytes = abs(bitpix) // 8 * math.prod(axes) if axes else 0
    extra = (cards.integer("PCOUNT") or 0) * abs(bitpix) // 8 if index else 0
    if extra < 0:
        raise InputError("FitsHeader", f"{path}, HDU {index}: PCOUNT is negative; the header is damaged")
    name = cards.text("EXTNAME").upper()
    return HduLayout(index, cards, data_offset, data_bytes + extra, shape, is_compressed, name)


def _declared_axes(cards: HeaderCards, *, prefix: str, where: str) -> tuple[int, tuple[int, ...]]:
    bitpix, count = cards.integer(f"{prefix}BITPIX"), cards.integer(f"{prefix}NAXIS")
    if bitpix not in _LEGAL_BITPIX:
        shown = cards.text(f"{prefix}BITPIX") or "missing"
        raise InputError("FitsHeader", f"{where}: {prefix}BITPIX is {shown}, not one of {_LEGAL_BITPIX}")
    if count is None:
        raise InputError("FitsHeader", f"{where}: {prefix}NAXIS is missing or not a number; the header is damaged")
    if not 0 <= count <= MAX_AXES:
        raise InputError("FitsShape", f"{where}: {prefix}NAXIS is {count}; a map has 2 to {MAX_AXES} axes")
    lengths: list[int] = []
    for axis in range(1, count + 1):
        length = cards.integer(f"{prefix}NAXIS{axis}")
        if length is None:
            raise InputError("FitsHeader", f"{where}: {prefix}NAXIS{axis} is missing or not a number")
        if length < 0:
            raise InputError("FitsShape", f"{where}: {prefix}NAXIS{axis} is {length}; lengths cannot be negative")
        lengths.append(length)
    if math.prod(lengths) > MAX_PIXELS:
        raise InputError("FitsShape", f"{where}: {' x '.join(map(str, lengths))} pixels are more than can be believed")
    return bitpix, tuple(lengths)


def _require_tiles(cards: HeaderCards, *, shape: tuple[int, ...], table: tuple[int, ...], where: str) -> None:
    """Refuse a tile-compressed image whose table cannot hold what it declares."""
    tiles = [cards.integer(f"ZTILE{axis}") for axis in range(1, len(shape) + 1)]
    lengths = [(shape[axis] if axis == 0 else 1) if tile is None else tile for axis, tile in enumerate(tiles)]
    if min(lengths, default=1) < 1:
        raise InputError("FitsHeader", f"{where}: a ZTILE card is not positive; the header is damaged")
    count = math.prod(-(-length // tile) for length, tile in zip(shape, lengths, strict=True))
    rows = table[1] if len(table) == 2 else 0
    if min(shape, default=1) > 0 and count != rows:
        raise InputError(
            "FitsShape", f"{where}: an image of {' x '.join(map(str, shape))} needs {count} tiles, the table has {rows}"
        )
    stored = math.prod(table) + max(0, cards.integer("PCOUNT") or 0)
    pixels = math.prod(shape)
    tile_pixels = math.prod(min(length, tile) for length, tile in zip(shape, lengths, strict=True))
    if tile_pixels > MAX_TILE_PIXELS or pixels > max(MAX_TILE_RATIO * stored, 2**24):
        raise InputError(
            "DecompressionLimit",
            f"{where}: {stored} bytes would decompress to {pixels} pixels; if it is genuine, run funpack on it first",
        )


def _require_whole(hdu: HduLayout, *, size: int, path: Path) -> None:
    available = size - hdu.data_offset
    if available < hdu.data_bytes and (hdu.is_image or not hdu.index):
        raise InputError(
            "FitsTruncated",
            f"{path}, HDU {hdu.index}: the data should have {hdu.data_bytes} bytes, "
            f"the file has {max(available, 0)}; fetch it again",
        )
