"""One version of a registered model, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from neanias_ml.errors import ModelError
from neanias_ml.registry.references import ModelReference

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

BUNDLE_DIGEST = "bundle_digest"
NETWORK = "network"
CODE_VERSION = "code_version"
GIT_COMMIT = "git_commit"
DATA_DIGEST = "data_digest"
PARENT_DIGEST = "parent_digest"
PRIMARY_METRIC = "primary_metric"
PRIMARY_VALUE = "primary_value"
EVALUATION_DIGEST = "evaluation_digest"
EVALUATION_DATA = "evaluation_data_digest"
EVALUATION_SPLIT = "evaluation_split"

BUNDLE_FOLDER = "bundle"
EVALUATION_FILE = "evaluation.json"
MANIFEST_FILE = "run.json"
CONFIG_FILE = "config.yaml"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model.

    Attributes
    ----------
    name, number
        What ``models:/NAME/NUMBER`` says.
    run_id
        MLflow run whose artifacts hold the files.
    source
        Address of the folder of the files, as MLflow writes it.
    created
        Time of the registration.
    aliases
        Aliases that point to this version, sorted.
    tags
        Everything that is known of it as text: digests, metric, promotions.
    """

    name: str
    number: int
    run_id: str
    source: str
    created: datetime
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """``models:/NAME/NUMBER``."""
        return str(ModelReference(self.name, version=self.number))

    @property
    def digest(self) -> str:
        """Digest of the bundle.

        Raises
        ------
        ModelError
            ``NotABundle`` if another program has registered the version, without one.
        """
        digest = self.tags.get(BUNDLE_DIGEST, "")
        if not is_digest(digest):
            raise ModelError(
                "NotABundle",
                f"{self.reference} is no bundle of neanias_ml (it has no tag {BUNDLE_DIGEST}); register the bundle "
                "folder with: neanias-ml models register FOLDER --name NAME",
            )
        return digest

    @property
    def has_evaluation(self) -> bool:
        """Whether an evaluation report is attached."""
        return EVALUATION_DIGEST in self.tags

    @property
    def score(self) -> float | None:
        """Value of the primary metric of the report; None without one."""
        return float(self.tags[PRIMARY_VALUE]) if PRIMARY_VALUE in self.tags else None

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = (NETWORK, DATA_DIGEST, PARENT_DIGEST, CODE_VERSION, GIT_COMMIT, PRIMARY_METRIC)
        return {
            "name": self.name,
            "version": self.number,
            "aliases": list(self.aliases),
            BUNDLE_DIGEST: self.tags.get(BUNDLE_DIGEST),
            **{key: self.tags.get(key) for key in known},
            PRIMARY_VALUE: self.score,
            EVALUATION_DATA: self.tags.get(EVALUATION_DATA),
            EVALUATION_SPLIT: self.tags.get(EVALUATION_SPLIT),
            "created": self.created.isoformat(timespec="seconds"),
            "run_id": self.run_id,
            "source": self.source,
        }


def version_of(found: MlflowVersion, aliases: Mapping[str, int]) -> RegisteredVersion:
    """The value of MLflow's entity, with the aliases of its model (alias: number of a version)."""
    number = int(found.version)
    return RegisteredVersion(
        name=found.name,
        number=number,
        run_id=found.run_id or "",
        source=found.source or "",
        created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        aliases=tuple(sorted(alias for alias, held in aliases.items() if held == number)),
        tags=dict(found.tags),
    )


def is_digest(text: str) -> bool:
    """Whether a text is a sha256 in hexadecimal digits."""
    return len(text) == 64 and all(character in "0123456789abcdef" for character in text)
