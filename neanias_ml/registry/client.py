"""A connection to MLflow that fails within seconds, and with a sentence for the user."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from neanias_ml.errors import NeaniasError, ResourceError, UsageError
from neanias_ml.registry.file_lock import wait_for_lock
from neanias_ml.registry.location import artifact_location, database_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is the training's
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds without a byte; mlflow's own default is 120
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # mlflow's own 7 take minutes
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.2",
}
"""Settings of mlflow, for this process and its children, where the user has not set them."""
FIRST_ANSWER = 5
"""Seconds within which a server must answer for the first time."""
ALREADY_THERE, NOT_THERE = "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"
"""Codes of MLflow's errors."""

_DENIED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}
_NO_ANSWER = ("API request to", "failed")
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def connect(uri: str) -> MlflowClient:
    """A client of the tracking store and registry at an address; a new database is set up.

    Parameters
    ----------
    uri
        As `neanias_ml.registry.location.tracking_uri` gives it.

    Raises
    ------
    UsageError
        ``MlflowMissing`` if mlflow is not installed.
    ResourceError
        ``RegistryUnreachable``, ``RegistryDenied``, ``RegistryRefused`` or ``OutputNotWritable``.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ModuleNotFoundError as error:
        raise UsageError(
            "MlflowMissing",
            f"tracking and the model registry need mlflow ({error}); install it with: pip install neanias_ml[tracking]",
        ) from error
    for library in ("mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    with registry_errors(uri):
        database = database_path(uri)
        if database is None:
            _require_answer(uri)
            return MlflowClient(uri, uri)
        # Two processes that set up one new database at once would meet half-made tables.
        with locked(database, "setup"):
            client = MlflowClient(uri, uri)
            client.search_registered_models(max_results=1)
            return client


def experiment_id(client: MlflowClient, name: str, *, uri: str) -> str:
    """Number of the experiment of a name, made where missing; files of a database's runs lie beside the database.

    Raises
    ------
    ResourceError
        As `registry_errors`; ``ExperimentDeleted`` if the experiment lies in MLflow's bin.
    """
    from mlflow.exceptions import MlflowException

    with registry_errors(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=artifact_location(uri)))
            except MlflowException as error:
                if error.error_code != ALREADY_THERE:
                    raise
                found = client.get_experiment_by_name(name)  # another process has just made it
    if found is None or found.lifecycle_stage != "active":
        raise ResourceError(
            "ExperimentDeleted", f"the experiment {name!r} at {uri} was deleted; restore it or choose another name"
        )
    return str(found.experiment_id)


@contextlib.contextmanager
def registry_errors(uri: str) -> Iterator[None]:
    """Turn what mlflow and the libraries below it raise into errors for the user.

    Raises
    ------
    ResourceError
        ``RegistryUnreachable`` if nothing answers, ``RegistryDenied`` without permission, ``RegistryRefused`` for
        anything else that the registry did not do.
    """
    try:
        yield
    except (NeaniasError, UnicodeError):
        raise
    except Exception as error:
        known = _as_resource_error(error, uri)
        if known is None:
            raise
        raise known from error


@contextlib.contextmanager
def locked(database: Path, purpose: str) -> Iterator[None]:
    """Hold a lock of a database file against other processes of this package (a file beside it, one per purpose).

    Where the file system knows no locks, it goes on without; the database itself still keeps its tables whole.

    Raises
    ------
    ResourceError
        ``OutputNotWritable``.
    """
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        stream = database.with_name(f".{database.name}.{purpose}.lock").open("a")
    except OSError as error:
        raise ResourceError(
            "OutputNotWritable",
            f"{database.parent} cannot be written to ({error.strerror}); choose another place with --tracking-uri or "
            "MLFLOW_TRACKING_URI",
        ) from error
    with stream:
        wait_for_lock(stream)
        yield


def unreachable(uri: str, reason: object) -> ResourceError:
    """The error for a registry that does not answer."""
    return ResourceError(
        "RegistryUnreachable",
        f"the registry {uri} does not answer ({_first_line(reason)}); check the address (--tracking-uri or "
        "MLFLOW_TRACKING_URI), the network, and that the server runs",
    )


def _require_answer(uri: str) -> None:
    """One short request without retries; whatever status comes back, somebody answers."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        http_request(
            get_default_host_creds(uri), "/health", "GET", timeout=FIRST_ANSWER, max_retries=0, raise_on_status=False
        )
    except MlflowException as error:
        raise unreachable(uri, error) from error


def _as_resource_error(error: Exception, uri: str) -> ResourceError | None:
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    status = 0
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
    elif isinstance(error, requests.RequestException | sqlalchemy.exc.SQLAlchemyError):
        return unreachable(uri, error)
    elif isinstance(error, MlflowException):
        if error.error_code == "TEMPORARILY_UNAVAILABLE" or all(part in str(error) for part in _NO_ANSWER):
            return unreachable(uri, error)
        status = 403 if error.error_code in _DENIED else error.get_http_status_code()
    elif isinstance(error, OSError) and error.errno not in _DISK_FULL:  # files of a database's models
        return ResourceError("RegistryRefused", f"the registry {uri} could not do this: {error}")
    else:
        return None
    if status in (401, 403):
        return ResourceError(
            "RegistryDenied",
            f"the registry {uri} does not let you do this ({_first_line(error)}); set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of a user who may",
        )
    return ResourceError("RegistryRefused", f"the registry {uri} could not do this: {_first_line(error)}")


def _first_line(reason: object) -> str:
    """What a library says, without the layers of it that repeat the address."""
    text = " ".join(str(reason).strip().splitlines()[:1])
    text = text.rsplit("(Caused by ", maxsplit=1)[-1].rsplit("): ", maxsplit=1)[-1].rstrip("'\")")
    return text if len(text) <= 300 else f"{text[:300]}..."
