"""Pictures of an assessment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from neanias_ml.assessment.binned import BinnedShare
from neanias_ml.assessment.findings import Findings
from neanias_ml.assessment.map_score import LINKING_LENGTHS
from neanias_ml.assessment.tables import BINNED_TITLES, JUDGE_NAMES, bin_name
from neanias_ml.assessment.truth import IOU
from neanias_ml.evaluation import rejection_curve
from neanias_ml.evaluation.rejection import KEPT_SHARE
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.training.pictures.confusion import draw_confusion
from neanias_ml.training.pictures.precision_recall import draw_precision_recall
from neanias_ml.training.pictures.reliability import StatedProbabilities, draw_reliability
from neanias_ml.training.pictures.style import (
    BACKGROUND,
    BLUE,
    INK,
    ORANGE,
    SOFT,
    heading,
    new_figure,
    plain_frame,
    say_nothing_to_show,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES, CONFUSION, CALIBRATION, BINNED, REJECTION, GROUPING = (
    "precision_recall.png", "confusion.png", "reliability.png", "completeness.png", "rejection.png", "grouping.png",
)  # fmt: skip
PICTURES = {
    CURVES: "Precision and recall",
    CONFUSION: "Confusion",
    CALIBRATION: "Calibration",
    BINNED: "Completeness and reliability",
    REJECTION: "Rejection of spurious islands",
    GROUPING: "Association and linking lengths",
}
GREEN = "#009e73"


def drawings(findings: Findings) -> dict[str, Callable[[], Figure]]:
    """What to draw by name of the file, for `neanias_ml.training.pictures.style.write_pictures`."""
    title = f"precision and recall at mask IoU {IOU:g}"
    confusion_title = f"objects matched at mask IoU {IOU:g}"
    return {
        CURVES: partial(draw_precision_recall, findings.curves, CLASS_NAMES, title=title),
        CONFUSION: partial(
            draw_confusion, findings.confusion, [BACKGROUND, *CLASS_NAMES], with_background=True, title=confusion_title
        ),
        CALIBRATION: partial(draw_calibration, findings),
        BINNED: partial(draw_binned, findings),
        REJECTION: partial(draw_rejection, findings),
        GROUPING: partial(draw_grouping, findings),
    }


def draw_calibration(findings: Findings) -> Figure:
    """Reliability diagrams of class, object and P(spurious)."""
    words = {
        "class": ("class of matched objects", "probability of the class", "share of objects of that class"),
        "object": ("objects of the catalogue", "probability of the class", "share of objects that are there"),
        "p_spurious": ("artefacts among islands", "P(spurious)", "share of islands that are spurious"),
    }
    return draw_reliability(
        [
            StatedProbabilities(title, findings.answers[name].probability, findings.answers[name].outcome, stated, seen)
            for name, (title, stated, seen) in words.items()
        ]
    )


def draw_binned(findings: Findings) -> Figure:
    """Completeness and reliability in bins, with the number of objects of each bin."""
    figure = new_figure(15.5, 5.2)
    panels = figure.subplots(1, len(findings.binned), squeeze=False)[0]
    for axes, (name, (complete, reliable)) in zip(panels, findings.binned.items(), strict=True):
        title, unit = BINNED_TITLES[name]
        heading(axes, title)
        _draw_shares(axes, complete, colour=BLUE, marker="o", style="-", label="completeness", shift=-0.08)
        _draw_shares(axes, reliable, colour=ORANGE, marker="s", style="--", label="reliability", shift=0.08)
        names = [f"{bin_name(complete, k)}\n{complete.totals[k]} | {reliable.totals[k]}" for k in _places(complete)]
        axes.set_xticks(_places(complete), names, rotation=45, ha="right", rotation_mode="anchor")
        plain_frame(axes)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_ylim(-0.02, 1.05)
        axes.set_xlabel(f"{unit}; true | catalogued objects")
        axes.legend(loc="lower right", fontsize=9, frameon=False)
    return figure


def _places(binned: BinnedShare) -> range:
    return range(len(binned.shares))


def _draw_shares(
    axes: Axes, binned: BinnedShare, *, colour: str, marker: str, style: str, label: str, shift: float
) -> None:
    """One curve with its intervals; bins without objects have none."""
    values = np.array([(one.value, one.low, one.high) for one in binned.shares]).T
    filled = np.flatnonzero(np.isfinite(values[0]))
    share, low, high = values[:, filled]
    spread = np.nan_to_num(np.maximum(np.stack([share - low, high - share]), 0.0))
    axes.errorbar(
        filled + shift, share, yerr=spread, color=colour, marker=marker, linestyle=style, markersize=6, linewidth=1.6,
        elinewidth=1.2, capsize=3, label=label,
    )  # fmt: skip


def draw_rejection(findings: Findings) -> Figure:
    """Real islands kept against spurious ones rejected, for every judge."""
    figure = new_figure(7.4, 5.6)
    axes = figure.add_subplot()
    heading(axes, "spurious islands rejected, real ones kept")
    looks = {"network": (BLUE, "-"), "classical": (ORANGE, "--"), "snr": (GREEN, ":")}
    outcome = findings.judges["network"].outcome
    if not outcome.any() or outcome.all():
        say_nothing_to_show(axes, "the set does not hold islands of both kinds")
    else:
        for judge, answers in findings.judges.items():
            curve = rejection_curve(answers.probability, answers.outcome)
            colour, style = looks[judge]
            axes.plot(
                curve.real_kept, curve.spurious_rejected, color=colour, linestyle=style, linewidth=2.2,
                label=f"{JUDGE_NAMES[judge]}: {findings.rejection[judge]}",
            )  # fmt: skip
        axes.axvline(KEPT_SHARE, color=SOFT, linewidth=1.0, linestyle="-.")
        axes.legend(loc="lower left", fontsize=9, frameon=False, title="rejected at 95 % kept", alignment="left")
    plain_frame(axes)
    axes.set_xlabel("share of real islands kept")
    axes.set_ylabel("share of spurious islands rejected")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    return figure


def draw_grouping(findings: Findings) -> Figure:
    """Exact sets at every linking length, beside the networks and no association."""
    figure = new_figure(7.4, 5.2)
    axes = figure.add_subplot()
    heading(axes, "objects of several islands found as exactly the same set")
    ours = findings.groupings["network"].metrics["exact_set_multi"]
    if findings.groupings["network"].true_multi == 0:
        say_nothing_to_show(axes, "the set does not hold objects of several islands")
    else:
        axes.plot(LINKING_LENGTHS, findings.linking_curve, color=ORANGE, linewidth=2.0, linestyle="--",
                  label="single linking length")  # fmt: skip
        axes.axhline(ours.value, color=BLUE, linewidth=2.2, label=f"networks: {ours}")
        if np.isfinite(ours.low):
            axes.axhspan(ours.low, ours.high, color=BLUE, alpha=0.15, linewidth=0)
        best = findings.groupings["best linking length"].metrics["exact_set_multi"]
        axes.plot(findings.linking_length, best.value, marker="o", markersize=9, color=ORANGE, markeredgecolor=INK,
                  linestyle="", label=f"best of them: {best}")  # fmt: skip
        axes.legend(loc="best", fontsize=9, frameon=False)
    axes.set_xscale("log")
    plain_frame(axes)
    axes.set_xlabel("linking length / beam widths")
    axes.set_ylabel("share of the objects")
    axes.set_ylim(0, 1.02)
    return figure
