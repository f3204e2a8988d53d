"""Inflating gzip-compressed maps, within limits."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from neanias_ml.errors import InputError, ResourceError

GZIP_MAGIC = b"\x1f\x8b"
MAX_RATIO = 250
"""Largest plausible ratio of inflated to compressed size; noise maps stay under 30, mostly blank ones under 200."""
FREE_BYTES = 64 * 2**20
"""Inflated size below which the ratio is not looked at."""
_CHUNK = 2**20


class InflatedFile:
    """The inflated content of a gzip file in an anonymous temporary file that goes when this object goes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __del__(self) -> None:
        self._file.close()

    def open(self) -> IO[bytes]:
        """A new handle. All handles share one position: use `os.pread` or a memory map on them, not ``read``."""
        return os.fdopen(os.dup(self._file.fileno()), "rb", buffering=0)


def is_gzip(path: Path) -> bool:
    """Whether the file starts like a gzip stream, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def inflate(path: Path, *, wanted: Callable[[IO[bytes], int], int]) -> InflatedFile:
    """Inflate a gzip file into an anonymous temporary file.

    Parameters
    ----------
    wanted
        Given the file so far and its length, the length up to which its own headers declare content.
        Inflation stops there, so that a short header never unpacks into an endless file.

    Raises
    ------
    InputError
        ``DecompressionLimit``, ``GzipDamaged``, ``FitsTruncated``, and whatever ``wanted`` raises.
    ResourceError
        ``DiskFull`` when the temporary folder has no room.
    """
    limit = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    target = tempfile.TemporaryFile(prefix="neanias-")  # noqa: SIM115 - handed to the caller
    try:
        total, needed = 0, 1
        for chunk in _inflated_chunks(path):
            target.write(chunk)
            total += len(chunk)
            target.flush()
            if total >= needed:
                needed = wanted(target, total)
            if needed > limit:
                raise InputError(
                    "DecompressionLimit",
                    f"{path} would inflate to {needed} bytes, over {MAX_RATIO} times its size; "
                    "if it is a genuine map, decompress it with gunzip first",
                )
            if total >= needed:
                break
    except OSError as error:
        target.close()
        raise ResourceError(
            "DiskFull", f"no room to inflate {path} in {tempfile.gettempdir()}: {error}; set TMPDIR to a larger disk"
        ) from error
    except BaseException:
        target.close()
        raise
    return InflatedFile(target)


def _inflated_chunks(path: Path) -> Iterator[bytes]:
    """Inflated bytes of all gzip members; a damaged or cut stream is an `InputError`."""
    with path.open("rb") as file:
        inflater = zlib.decompressobj(wbits=31)
        pending = b""
        while pending or (pending := file.read(_CHUNK)):
            if inflater.eof:
                if not pending.startswith(GZIP_MAGIC[:1]):
                    return  # padding behind the last member
                inflater = zlib.decompressobj(wbits=31)
            try:
                chunk = inflater.decompress(pending, _CHUNK)
            except zlib.error as error:
                raise InputError("GzipDamaged", f"{path} is not a sound gzip file ({error}); fetch it again") from error
            pending = inflater.unconsumed_tail or inflater.unused_data
            if chunk:
                yield chunk
        if not inflater.eof:
            raise InputError(
                "FitsTruncated",
                f"{path} ends in the middle of its gzip stream ({path.stat().st_size} bytes); fetch it again",
            )
