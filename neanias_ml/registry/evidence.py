"""What vouches for a bundle: its evaluation report, and the manifest and recipe of the run that trained it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neanias_ml.errors import InputError, ModelError
from neanias_ml.evaluation.report import EvaluationReport, report_from_json
from neanias_ml.registry.versions import (
    CODE_VERSION,
    CONFIG_FILE,
    DATA_DIGEST,
    EVALUATION_DATA,
    EVALUATION_DIGEST,
    EVALUATION_FILE,
    EVALUATION_SPLIT,
    GIT_COMMIT,
    MANIFEST_FILE,
    PARENT_DIGEST,
    PRIMARY_METRIC,
    PRIMARY_VALUE,
)

MANIFEST_KEYS = {
    CODE_VERSION: "version",
    GIT_COMMIT: "git_commit",
    DATA_DIGEST: "data_digest",
    PARENT_DIGEST: "parent_digest",
}
"""Where the manifest of a training run says what becomes a tag."""


@dataclass(frozen=True)
class Evidence:
    """Files beside a bundle.

    Attributes
    ----------
    evaluation
        Text of the evaluation report, or None.
    manifest
        Text of the run's manifest, or None.
    recipe
        Text of the run's resolved recipe, or None.
    evaluation_given
        Whether the report was asked for by name and not merely found beside the bundle.
    """

    evaluation: str | None = None
    manifest: str | None = None
    recipe: str | None = None
    evaluation_given: bool = False
    _document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, str]:
        """Text of each file by the name that it gets in the registry."""
        texts = {EVALUATION_FILE: self.evaluation, MANIFEST_FILE: self.manifest, CONFIG_FILE: self.recipe}
        return {name: text for name, text in texts.items() if text is not None}

    @property
    def tracking(self) -> tuple[str, str] | None:
        """Address and number of the MLflow run that tracked the training; None if it was not tracked."""
        tracking = self._document.get("tracking")
        if not isinstance(tracking, dict) or not (tracking.get("uri") and tracking.get("run_id")):
            return None
        return str(tracking["uri"]), str(tracking["run_id"])

    def run_tags(self) -> dict[str, str]:
        """Tags of what the manifest says."""
        found = {tag: self._document.get(key) for tag, key in MANIFEST_KEYS.items()}
        return {tag: value for tag, value in found.items() if isinstance(value, str) and value}

    def evaluation_tags(self) -> dict[str, str]:
        """Tags of what the report says."""
        return {} if self.evaluation is None else evaluation_tags(self.evaluation)


def evaluation_tags(text: str) -> dict[str, str]:
    """Tags of an evaluation report; the last one vouches for the file."""
    report = report_from_json(text, where=EVALUATION_FILE)
    return {
        PRIMARY_METRIC: report.primary,
        PRIMARY_VALUE: repr(float(report.score)),
        EVALUATION_DATA: report.data_digest,
        EVALUATION_SPLIT: report.split,
        EVALUATION_DIGEST: hashlib.sha256(text.encode("utf-8")).hexdigest(),
    }


def gather_evidence(
    bundle: Path, *, digest: str, network: str, evaluation: Path | None = None, manifest: Path | None = None
) -> Evidence:
    """Read the files that belong to a bundle.

    Parameters
    ----------
    bundle
        The bundle folder; a training run leaves the files beside it.
    digest, network
        Of the bundle.
    evaluation, manifest
        Files given by the user; where None, those beside the bundle, if there are any.

    Raises
    ------
    InputError
        ``ReportMissing`` or ``ManifestMissing`` for a given file that does not exist, ``ReportInvalid``,
        ``ManifestInvalid``.
    ModelError
        ``ReportOfAnotherModel`` or ``ManifestOfAnotherModel``.
    """
    run = bundle.resolve().parent
    report_text = _text(evaluation, beside=run / EVALUATION_FILE, code="ReportMissing")
    if report_text is not None:
        where = str(evaluation or run / EVALUATION_FILE)
        _require_report_of(report_from_json(report_text, where=where), digest=digest, network=network, where=where)
    manifest_path = manifest or run / MANIFEST_FILE
    manifest_text = _text(manifest, beside=run / MANIFEST_FILE, code="ManifestMissing")
    document = {} if manifest_text is None else _document(manifest_text, where=manifest_path)
    # a run that was begun anew and failed leaves its record beside the bundle of the one before
    if document.get("bundle_digest") not in (None, digest) or document.get("state", "finished") != "finished":
        raise ModelError(
            "ManifestOfAnotherModel",
            f"{manifest_path} is the manifest of a run that left another bundle, or none; "
            "name the right one with --run FILE",
        )
    return Evidence(
        evaluation=report_text,
        manifest=manifest_text,
        recipe=_text(None, beside=manifest_path.parent / CONFIG_FILE, code="ConfigMissing"),
        evaluation_given=evaluation is not None,
        _document=document,
    )


def _require_report_of(report: EvaluationReport, *, digest: str, network: str, where: str) -> None:
    if report.bundle_digest != digest:
        raise ModelError(
            "ReportOfAnotherModel",
            f"{where} is the evaluation of another bundle ({report.bundle_digest[:12]}..., not {digest[:12]}...); "
            "evaluate this one, or name its report with --evaluation FILE",
        )
    if report.network != network:
        raise ModelError(
            "ReportOfAnotherModel",
            f"{where} is the evaluation of a network {report.network!r}, the bundle holds {network!r}; evaluate it "
            "once more",
        )


def _text(given: Path | None, *, beside: Path, code: str) -> str | None:
    path = given or beside
    if not path.is_file():
        if given is None:
            return None
        raise InputError(code, f"there is no file {path}; a training run leaves it beside its bundle folder")
    return path.read_text(encoding="utf-8", errors="replace")


def _document(text: str, *, where: Path) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError("ManifestInvalid", f"{where} is not JSON ({error}); name the run.json of the run") from error
    if not isinstance(document, dict):
        raise InputError("ManifestInvalid", f"{where} is not the manifest of a run; name the run.json of the run")
    return document
