"""Where runs are tracked and models registered: the address of an MLflow server, or of a database file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from neanias_ml.errors import UsageError

ENVIRONMENT = "MLFLOW_TRACKING_URI"
DATABASE_FILE = "mlflow.db"
ARTIFACT_FOLDER = "artifacts"
_SQLITE = "sqlite:///"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two characters at least: one is a drive letter


def tracking_uri(given: str | None = None) -> str:
    """Address of the tracking store and model registry.

    Parameters
    ----------
    given
        An address of a server (``http://...``, ``https://...``), of a database file (``sqlite:///FILE``), or the path
        of such a file or of a folder for it. Where None or empty, the environment's ``MLFLOW_TRACKING_URI``; where that
        is not set either, ``neanias_ml/mlflow.db`` in the user's data folder (``XDG_DATA_HOME``).

    Returns
    -------
    str
        ``http://...``, ``https://...`` or ``sqlite:///`` with an absolute path; nothing is made on the disk.

    Raises
    ------
    UsageError
        ``TrackingUri`` for an address that cannot be used.
    """
    text = (given or os.environ.get(ENVIRONMENT) or str(_data_home() / "neanias_ml" / DATABASE_FILE)).strip()
    if text.startswith(_SQLITE):
        return _sqlite_uri(Path(unquote(text.removeprefix(_SQLITE))))
    if text.startswith("file:"):
        return _sqlite_uri(_database_of(Path(unquote(urlsplit(text).path))))
    if text.startswith(("http://", "https://")):
        if not urlsplit(text).hostname:
            raise UsageError("TrackingUri", f"the address {text!r} names no host; write http://HOST:PORT")
        if "@" in urlsplit(text).netloc:  # the address is kept with every run and printed in errors
            raise UsageError(
                "TrackingUri",
                "the tracking address holds a name or password; give them by MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD instead, and the address as http://HOST:PORT",
            )
        return text.rstrip("/")
    if _SCHEME.match(text):
        raise UsageError(
            "TrackingUri",
            f"the tracking address {text!r} is not one of http://, https://, sqlite:///FILE and the path of a file or "
            "folder; for any other database, start 'mlflow server' in front of it and give the server's address",
        )
    return _sqlite_uri(_database_of(Path(text)))


def database_path(uri: str) -> Path | None:
    """The database file of a ``sqlite:///`` address; None for a server."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def artifact_location(uri: str) -> str | None:
    """Where a new experiment keeps its files: beside the database; None for a server, which knows by itself."""
    database = database_path(uri)
    return None if database is None else (database.parent / ARTIFACT_FOLDER).as_uri()


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path("~", ".local", "share").expanduser())


def _database_of(path: Path) -> Path:
    """The database that a path stands for: the file itself, or the usual one of a folder."""
    path = path.expanduser()
    return path if path.suffix in (".db", ".sqlite", ".sqlite3") or path.is_file() else path / DATABASE_FILE


def _sqlite_uri(path: Path) -> str:
    path = path.expanduser().resolve()
    if path.is_dir():
        raise UsageError("TrackingUri", f"{path} is a folder, not a database file; name {path / DATABASE_FILE} instead")
    if any(character in str(path) for character in "?#%"):
        raise UsageError("TrackingUri", f"the path {path} of the database holds one of ? # %; choose another one")
    return _SQLITE + str(path)
