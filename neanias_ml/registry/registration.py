"""Bundles put into the registry, with what vouches for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neanias_ml.errors import ModelError, UsageError
from neanias_ml.models.bundle_folder import DIGESTS_FILE, bundle_network, read_digests, verify_bundle
from neanias_ml.models.pickle_check import require_no_pickle
from neanias_ml.models.weights import load_weights
from neanias_ml.registry.client import NOT_THERE, experiment_id, registry_errors
from neanias_ml.registry.evidence import Evidence, gather_evidence
from neanias_ml.registry.location import tracking_uri
from neanias_ml.registry.references import require_name
from neanias_ml.registry.store import RegistryStore
from neanias_ml.registry.versions import (
    BUNDLE_DIGEST,
    BUNDLE_FOLDER,
    EVALUATION_DIGEST,
    EVALUATION_FILE,
    NETWORK,
    RegisteredVersion,
)

EXPERIMENT = "neanias_ml models"
"""Experiment of the runs of bundles whose training was not tracked at the same place."""


@dataclass(frozen=True)
class Registration:
    """What came of registering a bundle.

    Attributes
    ----------
    version
        The version that holds the bundle.
    is_new
        False if the bundle had been registered under this name before.
    evaluation_attached
        Whether an evaluation report was attached now.
    """

    version: RegisteredVersion
    is_new: bool
    evaluation_attached: bool


def register(
    store: RegistryStore,
    bundle: Path | str,
    name: str,
    *,
    evaluation: Path | str | None = None,
    run: Path | str | None = None,
) -> Registration:
    """Put a bundle folder into the registry as a version of a name.

    A bundle that a version of the name holds already is not stored again; a report that this version lacks, or that
    is given by name, is attached to it.

    Parameters
    ----------
    store
        The registry.
    bundle
        A bundle folder, as training leaves it.
    name
        Name of the model; made where missing.
    evaluation
        Evaluation report of this bundle; where None, ``evaluation.json`` beside the folder, if there is one.
    run
        Manifest of its training run; where None, ``run.json`` beside the folder, if there is one. The recipe is taken
        from ``config.yaml`` beside the manifest.

    Raises
    ------
    ModelError
        ``BundleMissing``, ``BundleIncomplete``, ``PickleRefused``, ``WeightsDamaged``, ``WeightsNotFinite``,
        ``ConfigInvalid``, ``ReportOfAnotherModel``, ``ManifestOfAnotherModel``.
    InputError
        ``ReportMissing``, ``ReportInvalid``, ``ManifestMissing``, ``ManifestInvalid``.
    UsageError
        ``ModelName``.
    ResourceError
        If the registry does not answer.
    """
    require_name(name)
    folder = Path(bundle)
    digest = verify_bundle(folder)
    require_no_pickle(folder)
    load_weights(folder)  # refuses weights that are not finite
    network = bundle_network(folder)
    evidence = gather_evidence(
        folder, digest=digest, network=network, evaluation=_path(evaluation), manifest=_path(run)
    )
    with store.exclusive():
        store.create_model(name)
        held = _held(store, name, digest)
        if held is not None:
            return _attach(store, held, evidence)
        created = _create(store, folder, name, evidence, tags={BUNDLE_DIGEST: digest, NETWORK: network})
        first = _held(store, name, digest)
        if first is not None and first.number < created.number:  # another program has just done the same
            store.delete_version(created)
            return _attach(store, first, evidence)
    return Registration(created, is_new=True, evaluation_attached=created.has_evaluation)


def _held(store: RegistryStore, name: str, digest: str) -> RegisteredVersion | None:
    """The first version of a name that holds a bundle."""
    return next((version for version in store.versions(name) if version.tags.get(BUNDLE_DIGEST) == digest), None)


def _attach(store: RegistryStore, version: RegisteredVersion, evidence: Evidence) -> Registration:
    tags = evidence.evaluation_tags()
    is_wanted = evidence.evaluation_given or not version.has_evaluation
    if not tags or not is_wanted or tags[EVALUATION_DIGEST] == version.tags.get(EVALUATION_DIGEST):
        return Registration(version, is_new=False, evaluation_attached=False)
    folder = _artifact_folder(version.name, version.digest)
    if not version.source.endswith(folder):
        raise ModelError(
            "NotABundle", f"the files of {version.reference} lie at {version.source}, where no report can be attached"
        )
    with registry_errors(store.uri):
        store.client.log_text(version.run_id, evidence.evaluation or "", f"{folder}/{EVALUATION_FILE}")
    store.set_tags(version.name, version.number, tags)
    return Registration(store.version(version.name, version.number), is_new=False, evaluation_attached=True)


def _create(
    store: RegistryStore, folder: Path, name: str, evidence: Evidence, *, tags: Mapping[str, str]
) -> RegisteredVersion:
    """Send the files, and only then make the version."""
    target = _artifact_folder(name, tags[BUNDLE_DIGEST])
    with _run_of(store, evidence, title=f"register {name}") as run_id:
        with registry_errors(store.uri):
            for file in (*read_digests(folder), DIGESTS_FILE):
                store.client.log_artifact(run_id, str(folder / file), f"{target}/{BUNDLE_FOLDER}")
            for file, text in evidence.files.items():
                store.client.log_text(run_id, text, f"{target}/{file}")
            root = store.client.get_run(run_id).info.artifact_uri.rstrip("/")
        every = {**tags, **evidence.run_tags(), **evidence.evaluation_tags()}
        return store.create_version(name, source=f"{root}/{target}", run_id=run_id, tags=every)


def _artifact_folder(name: str, digest: str) -> str:
    """Place among the artifacts of a run, which may hold several bundles (a training gone on with, several names)."""
    return f"models/{name}/{digest[:16]}"


@contextmanager
def _run_of(store: RegistryStore, evidence: Evidence, *, title: str) -> Iterator[str]:
    """The run of the training, if it is tracked at this registry, or one made for the bundle."""
    tracked = _tracked_run(store, evidence)
    if tracked is not None:
        yield tracked
        return
    experiment = experiment_id(store.client, EXPERIMENT, uri=store.uri)
    with registry_errors(store.uri):
        run_id = store.client.create_run(experiment, run_name=title).info.run_id
    status = "FAILED"
    try:
        yield run_id
        status = "FINISHED"
    finally:
        with registry_errors(store.uri):
            store.client.set_terminated(run_id, status)


def _tracked_run(store: RegistryStore, evidence: Evidence) -> str | None:
    from mlflow.exceptions import MlflowException

    if evidence.tracking is None or not _is_same_place(evidence.tracking[0], store.uri):
        return None
    with registry_errors(store.uri):
        try:
            run = store.client.get_run(evidence.tracking[1])
        except MlflowException as error:
            if error.error_code in (NOT_THERE, "INVALID_PARAMETER_VALUE"):
                return None
            raise
    return str(run.info.run_id) if run.info.lifecycle_stage == "active" else None


def _is_same_place(uri: str, other: str) -> bool:
    try:
        return tracking_uri(uri) == other
    except UsageError:
        return False


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)
