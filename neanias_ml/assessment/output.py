"""The folder that an assessment leaves: file for programs, tables, pictures and page, all or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neanias_ml.assessment.figures import PICTURES, drawings
from neanias_ml.assessment.findings import Findings, evaluation_report
from neanias_ml.assessment.labelled_maps import MapSource
from neanias_ml.assessment.mistakes import worst_of_all
from neanias_ml.assessment.report_page import PageContent, write_page
from neanias_ml.assessment.scores import ScoredMaps
from neanias_ml.assessment.tables import TABLE_FILES, all_tables
from neanias_ml.evaluation.report import EvaluationReport
from neanias_ml.output_files import replaced_together
from neanias_ml.training.pictures.style import can_draw

PAGE, REPORT = "report.html", "evaluation.json"
OUTPUT_FILES = (*TABLE_FILES, *PICTURES, PAGE, REPORT)
"""Every file of the folder; the report for programs vouches for the others."""


def write_assessment(
    folder: Path,
    findings: Findings,
    scored: ScoredMaps,
    source: MapSource,
    *,
    model_name: str,
    digests: Mapping[str, str],
    details: Mapping[str, Any],
) -> EvaluationReport:
    """Write `OUTPUT_FILES` into a folder; pictures need matplotlib and are left out without it.

    Parameters
    ----------
    model_name
        What was assessed, for the heading.
    digests
        Of the bundles, by what they are for; that of the ``detector`` is the report's.
    details
        JSON values on the run, for the report and the page.

    Raises
    ------
    UsageError, ResourceError
        As `neanias_ml.output_files.replaced_together`.
    """
    tables = all_tables(findings, scored)
    report = evaluation_report(
        findings,
        model_digest=digests["detector"],
        data_digest=source.digest,
        split=source.split,
        details={"data": source.description, "models": dict(digests), **details},
    )
    by_map = zip(scored.maps, scored.area.tolist(), strict=True)
    mistakes = worst_of_all((area, one) for score, area in by_map for one in score.mistakes)
    with replaced_together(folder, names=OUTPUT_FILES) as staging:
        for table in tables:
            table.write(staging)
        for name, draw in drawings(findings).items() if can_draw() else ():
            draw().savefig(staging / name, format="png", metadata={"Software": None})
        (staging / REPORT).write_text(report.to_json(), encoding="utf-8")
        content = PageContent(
            title=f"Evaluation of {model_name}",
            subtitle=source.description,
            findings=findings,
            tables=tables,
            pictures=staging,
            mistakes=[one for _, one in mistakes],
            provenance={
                **{f"sha256 of the {role}": digest for role, digest in digests.items()},
                "sha256 of the data": source.digest,
                **{name: str(value) for name, value in details.items() if isinstance(value, str | int)},
            },
            files=[name for name in OUTPUT_FILES if name != PAGE and (name == REPORT or (staging / name).exists())],
        )
        write_page(content, staging / PAGE)
    return report
