"""Bundles fetched before, by their digest, and what references stood for when the registry last answered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from neanias_ml.errors import ModelError, ResourceError
from neanias_ml.models.bundle_folder import folder_replaced, verify_bundle
from neanias_ml.registry.bundle_files import require_bundle
from neanias_ml.registry.file_lock import wait_for_lock
from neanias_ml.registry.versions import is_digest

ENVIRONMENT = "NEANIAS_CACHE"


def cache_folder(given: Path | str | None = None) -> Path:
    """Folder of what may be fetched again at any time.

    Parameters
    ----------
    given
        The folder; where None, the environment's ``NEANIAS_CACHE``; where that is not set either, ``neanias_ml`` in
        the user's folder for such files (``XDG_CACHE_HOME``).
    """
    if given or os.environ.get(ENVIRONMENT):
        return Path(given or os.environ[ENVIRONMENT]).expanduser().resolve()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path("~", ".cache").expanduser()).resolve() / "neanias_ml"


class ModelCache:
    """Bundle folders in ``FOLDER/models/DIGEST``; any number of programs may use one cache at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry(self, digest: str) -> Path:
        """Place of the bundle with a digest."""
        return self.folder / "models" / digest

    def intact(self, digest: str) -> Path | None:
        """The folder of a bundle if it is there and unchanged."""
        try:
            return self.entry(digest) if verify_bundle(self.entry(digest)) == digest else None
        except (ModelError, OSError):  # files may vanish while another program replaces them
            return None

    def fetch(self, digest: str, download: Callable[[Path], None], *, source: str) -> Path:
        """The folder of a bundle, downloaded where it is missing or has changed.

        Parameters
        ----------
        digest
            Digest of the bundle.
        download
            Writes the bundle into an empty folder.
        source
            What is downloaded, for errors.

        Raises
        ------
        ModelError
            ``DigestDiffers`` if something else was downloaded, and as `neanias_ml.models.bundle_folder.verify_bundle`.
        ResourceError
            ``CacheNotWritable``.
        """
        held = self.intact(digest)
        if held is not None:  # before any lock: a cache that is shared read-only serves, too
            return held
        with self._locked(digest):
            held = self.intact(digest)
            if held is not None:
                return held
            target = self.entry(digest)
            try:
                with folder_replaced(target) as staging:
                    download(staging)
                    require_bundle(staging, digest, source=source)
            except OSError as error:
                # without locks, another program may have put the same bundle there meanwhile
                if self.intact(digest) is None:
                    raise self._not_writable(error) from error
            return target

    def remember(self, uri: str, reference: str, digest: str) -> None:
        """Keep what a reference stands for; a cache that takes no more is no reason to fail."""
        path = self._memory(uri, reference)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            staging = path.with_name(f"{path.name}.{os.getpid()}.part")
            document = {"registry": uri, "reference": reference, "bundle_digest": digest}
            staging.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            staging.replace(path)

    def remembered(self, uri: str, reference: str) -> str | None:
        """Digest that a reference stood for when the registry last answered."""
        try:
            digest = json.loads(self._memory(uri, reference).read_text(encoding="utf-8"))["bundle_digest"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return digest if isinstance(digest, str) and is_digest(digest) else None

    def _memory(self, uri: str, reference: str) -> Path:
        name = hashlib.sha256(f"{uri}\n{reference}".encode()).hexdigest()
        return self.folder / "references" / f"{name}.json"

    @contextlib.contextmanager
    def _locked(self, digest: str) -> Iterator[None]:
        """One program fetches a bundle, the others wait for it."""
        path = self.entry(digest).with_name(f".{digest}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("a")
        except OSError as error:
            raise self._not_writable(error) from error
        with stream:
            wait_for_lock(stream)
            yield

    def _not_writable(self, error: OSError) -> ResourceError:
        return ResourceError(
            "CacheNotWritable",
            f"the cache {self.folder} cannot be written to ({error.strerror}); choose another folder with --cache or "
            f"{ENVIRONMENT}",
        )
