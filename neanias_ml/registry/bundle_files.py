"""Bundle folders as they travel: which files belong to one, whether they are right, and copies, all or nothing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from neanias_ml.errors import ModelError, ResourceError, UsageError
from neanias_ml.models.bundle_folder import DIGESTS_FILE, verify_bundle
from neanias_ml.models.pickle_check import require_no_pickle


def listed_files(folder: Path) -> list[str]:
    """Names of the files of a bundle as its ``DIGESTS`` lists them, ``DIGESTS`` not among them.

    Raises
    ------
    ModelError
        ``WeightsDamaged`` if one of the names leads out of the folder.
    """
    lines = (folder / DIGESTS_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.partition("  ")[2] for line in lines]
    for name in names:
        if not name or Path(name).name != name:
            raise ModelError("WeightsDamaged", f"{folder / DIGESTS_FILE} names {name[:80]!r}, which is no file of it")
    return names


def require_bundle(folder: Path, digest: str, *, source: str) -> None:
    """Refuse a folder that is not the bundle of a digest, file by file.

    Raises
    ------
    ModelError
        ``DigestDiffers``, or as `neanias_ml.models.bundle_folder.verify_bundle`.
    """
    found = verify_bundle(folder)
    if found != digest:
        raise ModelError(
            "DigestDiffers",
            f"what {source} holds is not the bundle that was registered (its digest is {found[:12]}..., not "
            f"{digest[:12]}...); do not use it, and register the bundle once more",
        )
    require_no_pickle(folder)


def copy_bundle(source: Path, output: Path, *, overwrite: bool = False) -> Path:
    """Copy a bundle folder, all or nothing.

    Raises
    ------
    UsageError
        ``OutputExists`` if something is there that is no bundle, or that may not be replaced.
    ModelError
        As `neanias_ml.models.bundle_folder.verify_bundle`, for the copy.
    ResourceError
        ``OutputNotWritable``.
    """
    if output.exists() and not (overwrite and (output / DIGESTS_FILE).is_file()):
        raise UsageError(
            "OutputExists",
            f"{output} exists; name another folder with -o"
            + ("" if overwrite else ", or pass --overwrite to replace a model bundle"),
        )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    except OSError as error:
        raise ResourceError(
            "OutputNotWritable", f"{output.parent} cannot be written to ({error.strerror}); choose another folder"
        ) from error
    try:
        staging = Path(shutil.copytree(source, place / "bundle"))
        require_bundle(staging, verify_bundle(source), source=str(source))
        move_into_place(staging, output)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return output


def move_into_place(staging: Path, target: Path) -> None:
    """Give a finished folder its name; what had the name before goes, or stays if that fails."""
    if not target.exists():
        staging.replace(target)
        return
    with tempfile.TemporaryDirectory(prefix=f".{target.name[:12]}-old-", dir=target.parent) as aside:
        old = target.replace(Path(aside, "old"))
        try:
            staging.replace(target)
        except OSError:
            old.replace(target)
            raise
