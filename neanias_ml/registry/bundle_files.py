"""Bundle folders as they travel: whether their files are right, and copies, all or nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from neanias_ml.errors import ModelError, ResourceError, UsageError
from neanias_ml.models.bundle_folder import DIGESTS_FILE, folder_replaced, read_digests, verify_bundle
from neanias_ml.models.pickle_check import require_no_pickle


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
    """Copy the files that the ``DIGESTS`` of a bundle folder names, all or nothing.

    Raises
    ------
    UsageError
        ``OutputExists`` if something is there that is no bundle, or that may not be replaced.
    ModelError
        As `neanias_ml.models.bundle_folder.verify_bundle`.
    ResourceError
        ``OutputNotWritable``.
    """
    if output.exists() and not (overwrite and (output / DIGESTS_FILE).is_file()):
        raise UsageError(
            "OutputExists",
            f"{output} exists; name another folder with -o"
            + ("" if overwrite else ", or pass --overwrite to replace a model bundle"),
        )
    digest = verify_bundle(source)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with folder_replaced(output) as staging:
            for name in (*read_digests(source), DIGESTS_FILE):
                shutil.copyfile(source / name, staging / name)
            require_bundle(staging, digest, source=str(source))
    except OSError as error:
        raise ResourceError(
            "OutputNotWritable", f"{output.parent} cannot be written to ({error.strerror}); choose another folder"
        ) from error
    return output
