"""A directory of results: nothing half-written under a final name, nothing of another run overwritten by accident."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from neanias_ml.errors import ResourceError, UsageError

RESULT_FILES = (
    "components.ecsv",
    "islands.ecsv",
    "objects.ecsv",
    "descriptors.ecsv",
    "catalogue.vot",
    "catalogue.parquet",
    "components.parquet",
    "islands.parquet",
    "descriptors.parquet",
    "sources.reg",
    "masks.json",
    "islands.fits",
    "nested.fits",
    "diffuse.fits",
    "background.fits",
    "noise.fits",
    "residual.fits",
    "overview.png",
    "report.html",
    "run.json",
)
"""Names that a run may write; one of them in a directory means that it holds a run's results."""
MANIFEST = "run.json"
PARTIAL_SUFFIX = ".neanias-partial"
LEFTOVER_AGE_S = 86400.0

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}


class OutputDirectory:
    """Collects the files of one run and gives them their names together when all are written.

    Used as a context manager: leaving the block normally renames the files (``run.json`` last) and removes results
    of an earlier run; leaving it by an exception removes what was written.

    Parameters
    ----------
    path
        The directory; it and its parents are made where missing.
    overwrite
        Whether results of an earlier run may be replaced.

    Raises
    ------
    UsageError
        ``OutputExists`` if the directory holds results and ``overwrite`` is not set; ``OutputNotADirectory`` if
        the path is something else.
    ResourceError
        ``OutputNotWritable`` if nothing can be written there, ``DiskFull`` if there is no room.
    """

    def __init__(self, path: Path | str, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        self._refuse_foreign_results()
        self._refuse_unwritable()
        self._token = secrets.token_hex(4)
        self._pending: dict[str, Path] = {}
        self._created: list[Path] = []

    def _refuse_unwritable(self) -> None:
        """Check the nearest folder that exists, so that a long job does not end in a refusal."""
        with _explained(self.path):
            nearest = next(folder for folder in (self.path, *self.path.absolute().parents) if folder.exists())
            if not nearest.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
            if not os.access(nearest, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest.absolute()))

    def _refuse_foreign_results(self) -> None:
        """Check that a run may write here, without touching anything."""
        with _explained(self.path):
            held = [name for name in RESULT_FILES if os.path.lexists(self.path / name)]
        if held and not self.overwrite:
            raise UsageError(
                "OutputExists",
                f"{self.path} already holds results of another run ({', '.join(held[:3])}"
                f"{', ...' if len(held) > 3 else ''}); name another directory with -o or pass --overwrite",
            )

    def __enter__(self) -> OutputDirectory:
        self._refuse_foreign_results()  # again: another run may have ended since
        with _explained(self.path):
            self._created = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._discard()

    def write(self, name: str, writer: Callable[[Path], None]) -> Path:
        """Write one file under a temporary name; it gets its own at the end of the block.

        Parameters
        ----------
        name
            Final file name, one of `RESULT_FILES`.
        writer
            Function that writes the file at the path it is given.

        Returns
        -------
        Path
            Where the bytes are until then.
        """
        if name not in RESULT_FILES:
            raise ValueError(f"{name} is not among the files of a run; add it to RESULT_FILES")
        partial = self.path / f".{self._token}-{name}{PARTIAL_SUFFIX}"
        self._pending[name] = partial
        with _explained(self.path):
            writer(partial)
            _flush_to_disk(partial)
        return partial

    @property
    def written(self) -> dict[str, Path]:
        """Final names and present places of the files written so far."""
        return dict(self._pending)

    def final_paths(self) -> list[Path]:
        """Final paths of the files written so far, in the order of writing."""
        return [self.path / name for name in self._pending]

    def _commit(self) -> None:
        """Rename everything; the old manifest goes first and the new one comes last: it vouches for the others."""
        with _explained(self.path):
            (self.path / MANIFEST).unlink(missing_ok=True)
            for name in RESULT_FILES:
                if name not in self._pending:
                    (self.path / name).unlink(missing_ok=True)
            for name in sorted(self._pending, key=lambda name: name == MANIFEST):
                self._pending[name].replace(self.path / name)
        self._pending = {}
        self._created = []
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """Temporary files of runs that were killed; young ones may belong to a run that is still going."""
        oldest = time.time() - LEFTOVER_AGE_S
        for partial in self.path.glob(f".*{PARTIAL_SUFFIX}"):
            with contextlib.suppress(OSError):
                if partial.stat().st_mtime < oldest:
                    partial.unlink()

    def _discard(self) -> None:
        """Remove temporary files, and directories that were made for nothing."""
        for partial in self._pending.values():
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        for folder in self._created:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._pending, self._created = {}, []


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Turn what the operating system says about disks and permissions into an error for the user."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise ResourceError(
                "DiskFull",
                f"no room is left for the results in {directory} ({error.strerror}); "
                "free some or name another directory with -o",
            ) from error
        if error.errno in NOT_WRITABLE and _concerns(error, directory):
            raise ResourceError(
                "OutputNotWritable",
                f"{directory} cannot be written to ({error.strerror}); "
                "change its permissions or name another directory with -o",
            ) from error
        if error.errno == errno.ENOTDIR:
            raise UsageError(
                "OutputNotADirectory", f"{directory} is not a directory or lies below a file; name another one with -o"
            ) from error
        raise


def _concerns(error: OSError, directory: Path) -> bool:
    """Whether the error is about the directory, what is in it or the folders above it."""
    if error.filename is None:
        return False
    place, directory = Path(os.fsdecode(error.filename)).absolute(), directory.absolute()
    return place.is_relative_to(directory) or directory.is_relative_to(place)


def _flush_to_disk(path: Path) -> None:
    """Make the bytes durable before the file gets its name; delayed errors of the disk surface here."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
