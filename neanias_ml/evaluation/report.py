"""`EvaluationReport`: how well one network does on one set of data, as a file that others can compare."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neanias_ml.errors import InputError
from neanias_ml.output_files import replace_text

FORMAT_NAME = "neanias_ml evaluation"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure between 0 and 1, larger is better, with its interval.

    Raises
    ------
    ValueError
        If a number is not finite.
    """

    value: float
    low: float | None = None
    """lower end of the 95 % interval; None where there is none"""
    high: float | None = None
    """upper end of it"""

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.value, self.low, self.high) if number is not None):
            raise ValueError(f"a metric must be finite, not {self.value} ({self.low} to {self.high})")


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """Metrics of one bundle on one set of data.

    Two reports can be compared when network, data and primary metric are the same: see `differences`.

    Raises
    ------
    ValueError
        If the primary metric is not among the metrics.
    """

    network: str
    """kind of network: island-rcnn, island-graph, morphology"""
    bundle_digest: str
    """digest of the bundle that was evaluated"""
    data_digest: str
    """digest of the data's manifest"""
    split: str
    """part of the data, for example ``test``"""
    primary: str
    """name of the metric that decides which of two models is better"""
    metrics: Mapping[str, Metric]
    details: Mapping[str, Any] = field(default_factory=dict)
    """everything else that was measured (plain JSON values)"""

    def __post_init__(self) -> None:
        if self.primary not in self.metrics:
            raise ValueError(f"the primary metric {self.primary!r} is not among {', '.join(self.metrics)}")

    @property
    def score(self) -> float:
        """Value of the primary metric."""
        return self.metrics[self.primary].value

    def differences(self, other: EvaluationReport) -> list[str]:
        """What keeps two reports from being compared, as sentences; empty where nothing does."""
        return [
            f"{name.replace('_', ' ')} {getattr(self, name)!r} is not {getattr(other, name)!r}"
            for name in ("network", "data_digest", "split", "primary")
            if getattr(self, name) != getattr(other, name)
        ]

    def to_json(self) -> str:
        """Text of the file."""
        document = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(document, indent=1, allow_nan=False) + "\n"

    def write(self, path: Path) -> Path:
        """Write the file, whole or not at all; see `neanias_ml.output_files.replace_text`."""
        return replace_text(path, self.to_json())


def read_report(path: Path | str) -> EvaluationReport:
    """Read what `EvaluationReport.write` wrote.

    Raises
    ------
    InputError
        ``ReportMissing``, or ``ReportInvalid`` if the file is no report of this version.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            "ReportMissing", f"there is no evaluation report {path}; training leaves one as evaluation.json"
        )
    return report_from_json(path.read_text(encoding="utf-8", errors="replace"), where=str(path))


def report_from_json(text: str, *, where: str) -> EvaluationReport:
    """The report in a text; ``where`` names its origin in errors.

    Raises
    ------
    InputError
        ``ReportInvalid``.
    """
    try:
        document = json.loads(text)
        if document.pop("format") != FORMAT_NAME or document.pop("format_version") != FORMAT_VERSION:
            raise ValueError("another format or version")
        metrics = {name: Metric(**metric) for name, metric in document.pop("metrics").items()}
        return EvaluationReport(metrics=metrics, **document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            "ReportInvalid", f"{where} is no evaluation report of this version ({error}); evaluate the model again"
        ) from error
