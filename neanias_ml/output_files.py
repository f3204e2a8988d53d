"""Files that belong together in a folder: refused in time where it cannot take them, and replaced as a whole."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from neanias_ml.errors import ResourceError, UsageError

PARTIAL_PREFIX = ".neanias-partial-"
"""How the names of temporary folders begin; none is left behind unless the process is killed outright."""
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_A_FOLDER = {errno.ENOTDIR, errno.EEXIST}


def require_room(directory: Path, *, names: Sequence[str], overwrite: bool) -> None:
    """Refuse a folder that cannot take some files, before any work is done for them.

    The folder is tried out: it and a temporary folder in it are made and removed again, because permissions alone do
    not tell what a file system allows.

    Parameters
    ----------
    directory
        The folder; it need not exist.
    names
        Names of the files that are to be written or removed there.
    overwrite
        Whether files of these names may be replaced.

    Raises
    ------
    UsageError
        ``OutputExists`` if one of the names is taken and may not be replaced, ``OutputNotADirectory`` if the path is
        a file or lies below one, ``OutputNameTooLong``.
    ResourceError
        ``OutputNotWritable`` if nothing can be written there, ``DiskFull`` if there is no room.
    """
    held = [name for name in names if os.path.lexists(directory / name)]
    if held and not overwrite:
        more = ", ..." if len(held) > 3 else ""
        raise UsageError(
            "OutputExists",
            f"{directory} already holds {', '.join(held[:3])}{more}; choose another folder or pass --overwrite",
        )
    _refuse_folders(directory, held)
    with _explained(directory), _made(directory), tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=directory):
        pass


@contextlib.contextmanager
def replaced_together(directory: Path, *, names: Sequence[str]) -> Iterator[Path]:
    """Write files that belong together: all of them get their names, or none.

    Yields a temporary folder to write into. When the block ends, what was written there moves to ``directory`` and
    earlier files of the same set are removed, the optional ones among them too. After an exception or an interrupt,
    in the block or while files move, ``directory`` is as it was.

    Parameters
    ----------
    directory
        The folder, made where missing.
    names
        Every name of the set; the last one vouches for the others: it is the first to go and the last to come.

    Raises
    ------
    UsageError, ResourceError
        As `require_room`, for what came up since.
    """
    with (
        _explained(directory),
        _made(directory),
        tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=directory) as place,
    ):
        new, old = Path(place, "new"), Path(place, "old")
        new.mkdir()
        old.mkdir()
        yield new
        for path in new.iterdir():
            _flush_to_disk(path)
        _refuse_folders(directory, names)
        _exchange(directory, names, new=new, old=old)


def replace_text(path: Path, text: str) -> Path:
    """Write a small file, whole or not at all, over an earlier one if there is one; returns its path.

    Raises
    ------
    UsageError, ResourceError
        As `require_room`.
    """
    with replaced_together(path.parent, names=[path.name]) as place:
        (place / path.name).write_text(text, encoding="utf-8")
    return path


def _exchange(directory: Path, names: Sequence[str], *, new: Path, old: Path) -> None:
    """Move the earlier files to ``old`` and those of ``new`` into their place; put all back if that fails."""
    coming = [name for name in names if (new / name).exists()]
    try:
        for name in reversed(names):
            if os.path.lexists(directory / name):
                (directory / name).replace(old / name)
        for name in coming:
            (new / name).replace(directory / name)
    except BaseException:
        for name in names:
            if name in coming and not (new / name).exists():
                (directory / name).unlink(missing_ok=True)
            if os.path.lexists(old / name):
                (old / name).replace(directory / name)
        raise


def _refuse_folders(directory: Path, names: Sequence[str]) -> None:
    """A folder under the name of a file is not ours to remove."""
    for path in (directory / name for name in names):
        if path.is_dir() and not path.is_symlink():
            raise UsageError("OutputExists", f"{path} is a folder; move it away or choose another folder with -o")


@contextlib.contextmanager
def _made(directory: Path) -> Iterator[None]:
    """Make the folder and its parents; those that are empty in the end were made for nothing and go again."""
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Turn what the operating system says about disks and permissions into an error for the user."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        if error.errno in _DISK_FULL:
            raise ResourceError(
                "DiskFull", f"no room is left in {directory} ({error.strerror}); free some or choose another folder"
            ) from error
        if error.errno in _NOT_A_FOLDER:
            raise UsageError(
                "OutputNotADirectory", f"{directory} is not a folder or lies below a file; choose another one with -o"
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                "OutputNameTooLong", f"the file system takes no name as long as {directory}; choose a shorter one"
            ) from error
        raise ResourceError(
            "OutputNotWritable",
            f"{directory} cannot be written to ({error.strerror}); change its permissions or choose another folder",
        ) from error


def _flush_to_disk(path: Path) -> None:
    """Make the bytes durable before the file gets its name; delayed errors of the disk surface here."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
