"""Where a map came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


def file_digest(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes as they lie on disk."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class MapSource:
    """Where a map came from: file path (None for an array) and HDU index."""

    path: Path | None = None
    hdu: int = 0

    @cached_property
    def digest(self) -> str:
        """Hexadecimal sha256 of the file, computed at first use; empty for an array."""
        return file_digest(self.path) if self.path is not None else ""
