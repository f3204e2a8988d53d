"""`ModelRegistry`: versioned, verified model bundles by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neanias_ml.errors import ResourceError
from neanias_ml.models.bundle_folder import DIGESTS_FILE, read_digests, verify_bundle
from neanias_ml.models.pickle_check import require_no_pickle
from neanias_ml.registry import promotion, registration
from neanias_ml.registry.bundle_files import copy_bundle
from neanias_ml.registry.cache import ModelCache, cache_folder
from neanias_ml.registry.location import tracking_uri
from neanias_ml.registry.promotion_log import PromotionRecord, Timeline
from neanias_ml.registry.references import ModelReference, is_reference, parse_reference, require_name
from neanias_ml.registry.registration import Registration
from neanias_ml.registry.store import RegistryStore
from neanias_ml.registry.versions import BUNDLE_FOLDER, PARENT_DIGEST, RegisteredVersion


@dataclass(frozen=True)
class ModelHistory:
    """All that the registry knows of a model.

    Attributes
    ----------
    name
        Name of the model.
    versions
        Oldest first.
    parents
        Version (of any model) that the training of a version started from, by the number of the version; only those
        whose parent is registered.
    promotions
        What has happened to aliases, in the order of time.
    """

    name: str
    versions: tuple[RegisteredVersion, ...]
    parents: Mapping[int, str]
    promotions: tuple[PromotionRecord, ...]

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "versions": [
                {**version.document(), "parent": self.parents.get(version.number)} for version in self.versions
            ],
            "promotions": [
                {
                    "alias": record.event.alias,
                    "kind": record.event.kind,
                    "version": record.event.version,
                    "previous": record.previous,
                    "time": record.event.time,
                    "user": record.event.user,
                    "score": None if record.event.evidence is None else record.event.evidence.score,
                    "reason": record.event.reason,
                    "refusal": record.refusal,
                }
                for record in self.promotions
            ],
        }


class ModelRegistry:
    """Versioned, verified model bundles by name, at an MLflow server or in a database file.

    Parameters
    ----------
    uri
        Where the registry is; see `neanias_ml.registry.location.tracking_uri`. Nothing is asked of it before a method
        needs it.
    cache
        Folder for fetched bundles; see `neanias_ml.registry.cache.cache_folder`.
    warn
        Takes sentences for the user; Python's warnings where None.
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        cache: Path | str | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.store = RegistryStore(tracking_uri(uri))
        self.cache = ModelCache(cache_folder(cache))
        self._warn = warn or (lambda sentence: warnings.warn(sentence, stacklevel=5))

    def register(
        self, bundle: Path | str, name: str, *, evaluation: Path | str | None = None, run: Path | str | None = None
    ) -> Registration:
        """Put a bundle folder into the registry; see `neanias_ml.registry.registration.register`."""
        return registration.register(self.store, bundle, name, evaluation=evaluation, run=run)

    def promote(self, name: str, version: int | str, alias: str, *, force: str | None = None) -> Timeline:
        """Give an alias to a version on its evidence; see `neanias_ml.registry.promotion.promote`."""
        return promotion.promote(self.store, name, version, alias, force=force)

    def demote(self, name: str, alias: str, *, reason: str | None = None) -> int:
        """Take an alias away; see `neanias_ml.registry.promotion.demote`."""
        return promotion.demote(self.store, name, alias, reason=reason)

    def list_models(self) -> dict[str, list[RegisteredVersion]]:
        """Versions of every registered model by its name, oldest first."""
        return {name: self.store.versions(name) for name in self.store.names()}

    def show(self, name: str) -> ModelHistory:
        """All that is known of a model.

        Raises
        ------
        ModelError
            ``ModelUnknown`` with the nearest names.
        """
        versions = self.store.versions(require_name(name))
        timelines = promotion.timelines(self.store, name)
        records = [record for timeline in timelines.values() for record in timeline.records]
        return ModelHistory(
            name=name,
            versions=tuple(versions),
            parents=self._parents(versions),
            promotions=tuple(sorted(records, key=lambda record: record.event.time)),
        )

    def pull(self, reference: str, output: Path | str | None = None, *, overwrite: bool = False) -> Path:
        """Fetch the bundle that a reference stands for, check every file of it, and return its folder.

        Parameters
        ----------
        reference
            ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        output
            Folder for a copy; where None, the folder of the cache is returned, which is not to be changed.
        overwrite
            Replace a bundle that lies at ``output``.

        Raises
        ------
        UsageError
            ``ModelReference``, ``ModelName``, ``ModelAlias``, ``ModelVersion``, ``MlflowMissing`` or ``OutputExists``.
        ModelError
            ``ModelUnknown``, ``VersionUnknown``, ``AliasUnknown``, ``NotABundle``, ``DigestDiffers``,
            ``WeightsDamaged``, ``PickleRefused``.
        ResourceError
            ``RegistryUnreachable`` if the registry does not answer and the reference was never pulled before;
            ``ArtifactMissing``, ``CacheNotWritable``.
        """
        folder = self._fetched(parse_reference(reference))
        return folder if output is None else copy_bundle(folder, Path(output), overwrite=overwrite)

    def verify(self, place: Path | str) -> str:
        """Check a bundle folder, or what a reference stands for, file by file; returns the digest.

        Raises
        ------
        UsageError, ModelError, ResourceError
            As `pull` and `neanias_ml.models.bundle_folder.verify_bundle`.
        """
        folder = self.pull(str(place)) if is_reference(str(place)) else Path(place)
        digest = verify_bundle(folder)
        require_no_pickle(folder)
        return digest

    def _fetched(self, reference: ModelReference) -> Path:
        try:
            version = self.store.resolve(reference)
        except ResourceError as error:
            return self._last_known(reference, error)
        folder = self.cache.fetch(
            version.digest, lambda place: self._download(version, place), source=version.reference
        )
        self.cache.remember(self.store.uri, str(reference), version.digest)
        return folder

    def _last_known(self, reference: ModelReference, error: ResourceError) -> Path:
        """What a reference stood for when the registry last answered."""
        digest = self.cache.remembered(self.store.uri, str(reference))
        folder = None if digest is None else self.cache.intact(digest)
        if error.code != "RegistryUnreachable" or digest is None or folder is None:
            raise error
        self._warn(
            f"the registry {self.store.uri} does not answer; {reference} is taken from the cache as it was last known "
            f"(bundle {digest[:12]}...)"
        )
        return folder

    def _download(self, version: RegisteredVersion, folder: Path) -> None:
        """The files that ``DIGESTS`` names, and no other: what they are called is not up to the registry."""
        self.store.download(version, f"{BUNDLE_FOLDER}/{DIGESTS_FILE}", folder)
        for name in read_digests(folder):
            self.store.download(version, f"{BUNDLE_FOLDER}/{name}", folder)

    def _parents(self, versions: list[RegisteredVersion]) -> dict[int, str]:
        found: dict[int, str] = {}
        for digest in {version.tags[PARENT_DIGEST] for version in versions if version.tags.get(PARENT_DIGEST)}:
            parents = self.store.versions_of_digest(digest)
            if parents:
                children = [version.number for version in versions if version.tags.get(PARENT_DIGEST) == digest]
                found |= dict.fromkeys(children, parents[0].reference)
        return found
