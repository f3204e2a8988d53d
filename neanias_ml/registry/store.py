"""Reading and writing names, versions, aliases, tags and files at MLflow."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from neanias_ml.errors import ModelError, ResourceError
from neanias_ml.evaluation.report import EvaluationReport, report_from_json
from neanias_ml.registry.client import ALREADY_THERE, NOT_THERE, connect, locked, registry_errors
from neanias_ml.registry.location import database_path
from neanias_ml.registry.references import ModelReference, parse_version, require_name
from neanias_ml.registry.versions import (
    BUNDLE_DIGEST,
    EVALUATION_DIGEST,
    EVALUATION_FILE,
    RegisteredVersion,
    version_of,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = 200


class RegistryStore:
    """The registry at one address; connects when it is first asked something.

    Every method raises the `ResourceError` of `neanias_ml.registry.client.registry_errors` when the registry does not
    answer or refuses.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @cached_property
    def client(self) -> MlflowClient:
        """The connection."""
        return connect(self.uri)

    @property
    def is_exclusive(self) -> bool:
        """Whether `exclusive` keeps every other process out."""
        return database_path(self.uri) is not None

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other processes of this package from writing, where the registry is a database file.

        A server offers nothing of the kind: what is written there must bear others that write at the same time.
        """
        database = database_path(self.uri)
        return contextlib.nullcontext() if database is None else locked(database, "registry")

    def names(self) -> list[str]:
        """Names of all registered models."""
        client, found, token = self.client, [], None
        with registry_errors(self.uri):
            while token is None or token:
                page = client.search_registered_models(max_results=PAGE, page_token=token)
                found += [model.name for model in page]
                token = page.token or ""
        return sorted(found)

    def aliases(self, name: str) -> dict[str, int]:
        """Number of the version that each alias of a model points to.

        Raises
        ------
        ModelError
            ``ModelUnknown`` with the nearest names.
        """
        client = self.client
        with self._explained(name):
            model = client.get_registered_model(require_name(name))
        return {alias: int(version) for alias, version in model.aliases.items()}

    def versions(self, name: str, *, aliases: Mapping[str, int] | None = None) -> list[RegisteredVersion]:
        """All versions of a model, oldest first.

        Parameters
        ----------
        name
            Name of the model.
        aliases
            Aliases of the model, where they are known already or do not matter.

        Raises
        ------
        ModelError
            ``ModelUnknown``.
        """
        if aliases is None:
            aliases = self.aliases(name)
        return self._search(f"name = '{require_name(name)}'", aliases)

    def versions_of_digest(self, digest: str) -> list[RegisteredVersion]:
        """Versions of any name whose bundle has a digest; their aliases are left out."""
        return self._search(f"tags.{BUNDLE_DIGEST} = '{digest}'", {})

    def version(self, name: str, number: int | str) -> RegisteredVersion:
        """One version.

        Raises
        ------
        ModelError
            ``ModelUnknown`` or ``VersionUnknown`` with those that exist.
        """
        number = parse_version(number)
        versions = self.versions(name)
        for version in versions:
            if version.number == number:
                return version
        held = ", ".join(str(version.number) for version in versions) or "none at all"
        raise ModelError("VersionUnknown", f"{name} has no version {number}; it has {held}")

    def resolve(self, reference: ModelReference) -> RegisteredVersion:
        """The version that a reference stands for now.

        Raises
        ------
        ModelError
            ``ModelUnknown``, ``VersionUnknown`` or ``AliasUnknown`` with those that exist.
        """
        if reference.version is not None:
            return self.version(reference.name, reference.version)
        aliases = self.aliases(reference.name)
        number = aliases.get(reference.alias or "")
        if number is not None:
            return self.version(reference.name, number)
        held = ", ".join(f"{alias} (version {held})" for alias, held in sorted(aliases.items()))
        raise ModelError(
            "AliasUnknown",
            f"{reference.name} has no alias {reference.alias!r}; "
            + (f"it has {held}" if held else "no version of it has one")
            + f"; give one with: neanias-ml models promote {reference.name} VERSION --alias {reference.alias}",
        )

    def report(self, version: RegisteredVersion) -> EvaluationReport | None:
        """The evaluation report attached to a version; None where there is none.

        Raises
        ------
        ModelError
            ``ReportAltered`` if the file is not the one that was attached.
        """
        if not version.has_evaluation:
            return None
        with tempfile.TemporaryDirectory() as place:
            path = self.download(version, EVALUATION_FILE, Path(place))
            content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != version.tags[EVALUATION_DIGEST]:
            raise ModelError(
                "ReportAltered",
                f"the {EVALUATION_FILE} of {version.reference} has changed since it was attached; attach it again "
                "with: neanias-ml models register FOLDER --name NAME --evaluation FILE",
            )
        return report_from_json(content.decode("utf-8"), where=f"{EVALUATION_FILE} of {version.reference}")

    def download(self, version: RegisteredVersion, path: str, folder: Path) -> Path:
        """Fetch one file of a version into a folder, under its own name.

        Raises
        ------
        ResourceError
            ``ArtifactMissing`` if the registry lists the version but has lost its files.
        """
        self.client  # noqa: B018  (the settings of the connection hold for the download, too)
        from mlflow.artifacts import download_artifacts

        try:
            with registry_errors(self.uri):
                address = f"{version.source}/{path}"
                return Path(download_artifacts(address, dst_path=str(folder), tracking_uri=self.uri))
        except (ImportError, ResourceError) as error:
            if isinstance(error, ResourceError) and error.code != "RegistryRefused":
                raise
            raise ResourceError(
                "ArtifactMissing",
                f"{path} of {version.reference} cannot be fetched from {version.source} ({error}); register the "
                "bundle once more",
            ) from error

    def set_alias(self, name: str, alias: str, number: int | None) -> None:
        """Let an alias point to a version, or to none."""
        client = self.client
        with self._explained(name):
            if number is None:
                client.delete_registered_model_alias(name, alias)
            else:
                client.set_registered_model_alias(name, alias, str(number))

    def set_tags(self, name: str, number: int, tags: Mapping[str, str]) -> None:
        """Write tags of a version, in the given order."""
        client = self.client
        with self._explained(name):
            for key, value in tags.items():
                client.set_model_version_tag(name, str(number), key, value)

    def create_model(self, name: str) -> None:
        """Make the name of a model where it is missing."""
        from mlflow.exceptions import MlflowException

        client = self.client
        with registry_errors(self.uri):
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != ALREADY_THERE:
                    raise

    def create_version(self, name: str, *, source: str, run_id: str, tags: Mapping[str, str]) -> RegisteredVersion:
        """Make a version of files that lie at ``source`` among the artifacts of a run."""
        client = self.client
        with registry_errors(self.uri):
            return version_of(client.create_model_version(name, source, run_id, tags=dict(tags)), {})

    def delete_version(self, version: RegisteredVersion) -> None:
        """Take a version back."""
        client = self.client
        with registry_errors(self.uri):
            client.delete_model_version(version.name, str(version.number))

    def _search(self, condition: str, aliases: Mapping[str, int]) -> list[RegisteredVersion]:
        client, found, token = self.client, [], None
        with registry_errors(self.uri):
            while token is None or token:
                page = client.search_model_versions(condition, max_results=PAGE, page_token=token)
                found += [version_of(version, aliases) for version in page]
                token = page.token or ""
        return sorted(found, key=lambda version: (version.name, version.number))

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """As `registry_errors`; what does not exist is named with what does."""
        from mlflow.exceptions import MlflowException

        with registry_errors(self.uri):
            try:
                yield
            except MlflowException as error:
                if error.error_code != NOT_THERE:
                    raise
                self._refuse_unknown(name, error)

    def _refuse_unknown(self, name: str, error: Exception) -> NoReturn:
        names = self.names()
        if name in names:
            raise error
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:5]
        raise ModelError(
            "ModelUnknown",
            f"no model is registered as {name!r} at {self.uri}; "
            + (f"there is {', '.join(near)}" if near else "none is registered there yet"),
        ) from error
