"""The findings as tables, for CSV files and for the page."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neanias_ml.assessment.binned import BinnedShare
from neanias_ml.assessment.findings import Findings, metrics_of
from neanias_ml.assessment.scores import ScoredMaps
from neanias_ml.assessment.truth import BRIGHT_SNR
from neanias_ml.evaluation import Interval
from neanias_ml.models.classes import CLASS_NAMES

Cell = str | int | float | Interval | None


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings.

    Attributes
    ----------
    name
        Stem of its CSV file.
    title, note
        For the page.
    columns
        Headings.
    rows
        Cells; an `Interval` takes three columns in the file.
    """

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def write(self, folder: Path) -> None:
        """Write ``NAME.csv``; an interval becomes its value and the ends of the 95 % interval."""
        spread = [any(isinstance(row[k], Interval) for row in self.rows) for k in range(len(self.columns))]
        heading: list[str] = []
        for column, wide in zip(self.columns, spread, strict=True):
            heading += [column, f"{column} low", f"{column} high"] if wide else [column]
        with (folder / f"{self.name}.csv").open("w", encoding="utf-8", newline="") as stream:
            lines = csv.writer(stream, lineterminator="\n")
            lines.writerow(heading)
            for row in self.rows:
                cells: list[str] = []
                for cell, wide in zip(row, spread, strict=True):
                    cells += _wide(cell) if wide else [plain_text(cell)]
                lines.writerow(cells)


def _wide(cell: Cell) -> list[str]:
    if isinstance(cell, Interval):
        return [_number(cell.value), _number(cell.low), _number(cell.high)]
    return [plain_text(cell), "", ""]


def plain_text(cell: Cell) -> str:
    """A cell in one field of a file; empty where there is no number."""
    if cell is None:
        return ""
    return _number(cell) if isinstance(cell, float) else str(cell)


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ""


def all_tables(findings: Findings, scored: ScoredMaps) -> tuple[Table, ...]:
    """All tables, in the order of the page."""
    return (
        class_table(findings),
        grouping_table(findings),
        rejection_table(findings),
        calibration_table(findings),
        completeness_table(findings),
        caesar_table(findings),
        *(binned_table(name, findings) for name in findings.binned),
        confusion_table(findings),
        metric_table(findings),
        map_table(scored),
    )


TABLE_FILES = (
    "classes.csv", "grouping.csv", "rejection.csv", "calibration.csv", "completeness.csv", "caesar.csv",
    "by_snr.csv", "by_size.csv", "by_bright_distance.csv", "confusion.csv", "metrics.csv", "maps.csv",
)  # fmt: skip


def class_table(findings: Findings) -> Table:
    """Precision, recall, F1 and average precision by class, beside the classical rule."""
    rows: list[tuple[Cell, ...]] = [
        (name, one.true, one.predicted, one.precision, one.recall, one.f1, findings.classical[name].f1, one.ap50,
         one.ap, one.box_ap50)
        for name, one in findings.classes.items()
    ]  # fmt: skip
    return Table(
        "classes",
        "Classes",
        "One-to-one within each class at mask IoU 0.5; AP is the mean over IoU 0.50 to 0.95. The classical rule takes "
        "every island for an object, spurious by the extraction's own evidence, else compact or extended.",
        ("class", "true", "predicted", "precision", "recall", "F1", "F1 of the classical rule", "AP50", "AP",
         "box AP50"),
        tuple(rows),
    )  # fmt: skip


def grouping_table(findings: Findings) -> Table:
    """How islands are joined, beside the baselines."""
    names = ("exact_set_multi", "exact_set_all", "pair_f1", "pair_precision", "pair_recall", "ari")
    rows: list[tuple[Cell, ...]] = []
    for method, report in findings.groupings.items():
        called = f"{method} ({findings.linking_length:.2f} beams)" if "length" in method else method
        kept = report.metrics["singles_kept"]
        merged = Interval(1.0 - kept.value, 1.0 - kept.high, 1.0 - kept.low)
        rows.append((called, *(report.metrics[name] for name in names), merged))
    first = findings.groupings["network"]
    return Table(
        "grouping",
        "Association of islands",
        f"{first.true_multi} objects of several islands, {first.singles} single islands. The linking length is the "
        "best of 60 on these very maps, which is generous to it.",
        ("grouping", "exact set, several islands", "exact set, all", "pair F1", "pair precision", "pair recall",
         "adjusted Rand index", "singles wrongly merged"),
        tuple(rows),
    )  # fmt: skip


JUDGE_NAMES = {"network": "P(spurious) of the networks", "classical": "evidence of the extraction", "snr": "cut in S/N"}


def rejection_table(findings: Findings) -> Table:
    """Spurious islands rejected."""
    rows = tuple((JUDGE_NAMES[judge], interval) for judge, interval in findings.rejection.items())
    return Table(
        "rejection",
        "Rejection of spurious islands",
        "Share of spurious islands rejected by the threshold that keeps 95 % of the real ones.",
        ("judge", "rejected at 95 % kept"),
        rows,
    )


CALIBRATION_NAMES = {
    "class": "class, of objects that match a true one",
    "object": "class and outline, of all judged objects",
    "p_spurious": "P(spurious) of islands",
}


def calibration_table(findings: Findings) -> Table:
    """Calibration errors."""
    rows = tuple(
        (CALIBRATION_NAMES[name], len(findings.answers[name].outcome), interval)
        for name, interval in findings.calibration.items()
    )
    return Table(
        "calibration",
        "Calibration",
        "Expected calibration error: mean gap between stated probability and share of right answers, 15 bins.",
        ("probability", "answers", "calibration error"),
        rows,
    )


def completeness_table(findings: Findings) -> Table:
    """True sources found as sources of any class."""
    rows = []
    for name, interval in findings.completeness.items():
        drawn = name.startswith("drawn_")
        plain = name.removeprefix("drawn_").replace("_", " ")
        rows.append((plain, "labels as drawn" if drawn else "as the extractor sees it", interval))
    return Table(
        "completeness",
        "Completeness",
        "True sources matched one-to-one at mask IoU 0.5 by an object of any class but spurious.",
        ("class", "truth", "found"),
        tuple(rows),
    )


def caesar_table(findings: Findings) -> Table:
    """CAESAR's own definitions."""
    caesar = findings.caesar
    rows: list[tuple[Cell, ...]] = [
        (name, complete, reliable) for name, (complete, reliable) in caesar.by_class.items()
    ]
    return Table(
        "caesar",
        "As caesar-mrcnn counts",
        "Mask IoU 0.6, score 0.7; one detection may serve several true objects (Riggi et al. 2023).",
        ("class", "completeness", "reliability"),
        (*rows, ("all", caesar.completeness, caesar.reliability)),
    )


BINNED_TITLES = {
    "snr": ("by signal to noise", "peak S/N"),
    "size": ("by size", "area / beam areas"),
    "bright_distance": ("by distance to bright sources", "distance / beam widths"),
}


def binned_table(name: str, findings: Findings) -> Table:
    """Completeness and reliability in bins."""
    complete, reliable = findings.binned[name]
    title, unit = BINNED_TITLES[name]
    note = f"Bright: an island of S/N {BRIGHT_SNR:g} or more. The last bin also holds objects of maps without one. "
    rows = tuple(
        (bin_name(complete, k), int(complete.totals[k]), found, int(reliable.totals[k]), real)
        for k, (found, real) in enumerate(zip(complete.shares, reliable.shares, strict=True))
    )
    return Table(
        f"by_{name}",
        f"Completeness and reliability {title}",
        (note if name == "bright_distance" else "") + "Whatever the class, without what is (called) spurious.",
        (unit, "true", "completeness", "catalogued", "reliability"),
        rows,
    )


def bin_name(binned: BinnedShare, place: int) -> str:
    """Edges of a bin in words."""
    low, high = binned.edges[place], binned.edges[place + 1]
    return f"{low:g} and more" if math.isinf(high) else f"{low:g} to {high:g}"


def confusion_table(findings: Findings) -> Table:
    """Counts of true against predicted class."""
    names: Sequence[str] = ("no object", *CLASS_NAMES)
    rows = tuple((name, *row) for name, row in zip(names, findings.confusion.tolist(), strict=True))
    return Table(
        "confusion",
        "Confusion",
        "True class (row) against predicted class, matched at mask IoU 0.5 whatever the classes.",
        ("true class", "missed", *CLASS_NAMES),
        rows,
    )


def metric_table(findings: Findings) -> Table:
    """All figures by name, as in the file for programs."""
    nothing = float("nan")
    rows = tuple(
        (name, Interval(one.value, nothing if one.low is None else one.low, nothing if one.high is None else one.high))
        for name, one in metrics_of(findings).items()
    )
    return Table("metrics", "All figures", "As in evaluation.json.", ("metric", "value"), rows)


def map_table(scored: ScoredMaps) -> Table:
    """What came of each map."""
    rows = tuple(
        (one.name, int(area), one.n_islands, len(one.network.true), one.n_objects, len(one.network.predicted),
         one.n_without_island)
        for one, area in zip(scored.maps, scored.area, strict=True)
    )  # fmt: skip
    return Table(
        "maps",
        "Maps",
        "Judged objects are those that do not lie on emission of which nothing is known.",
        ("map", "area", "islands", "true objects", "catalogued", "judged", "labels without island"),
        rows,
    )
