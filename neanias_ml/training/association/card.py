"""Text of a model card and of the table of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neanias_ml.evaluation.report import Metric
from neanias_ml.models.association.bundle import GraphSettings
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.training.card_text import real_sources, sources_text

NAMES = {
    "exact_set_multi": "objects of several islands found exactly",
    "exact_set_f1": "F1 of exact sets of several islands",
    "exact_set_all": "all objects found exactly",
    "pair_f1": "F1 of pairs",
    "pair_precision": "precision of pairs",
    "pair_recall": "recall of pairs",
    "singles_kept": "single islands left alone",
    "ari": "adjusted Rand index",
    **{f"object_f1_{name}": f"F1 of {name} objects, exact sets" for name in CLASS_NAMES},
    "artefact_f1": "F1 of artefacts among islands",
    "artefacts_rejected": "artefacts rejected where 95 % of real islands are kept",
}


def metrics_table(rows: Mapping[str, Mapping[str, Metric]]) -> str:
    """Markdown table of metrics, a column for each way of grouping."""
    shown = [name for name in NAMES if any(name in metrics for metrics in rows.values())]
    lines = ["| | " + " | ".join(rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for name in shown:
        lines.append(f"| {NAMES[name]} | " + " | ".join(_cell(metrics.get(name)) for metrics in rows.values()) + " |")
    return "\n".join(lines)


def model_card(settings: GraphSettings, *, table: str) -> str:
    """``MODEL_CARD.md`` of a trained network."""
    metadata, architecture = settings.metadata, settings.architecture
    data, details = metadata["data"], metadata["details"]
    told = "positions, fluxes and axes alone, as any catalogue has them"
    if architecture.features == "map":
        told = "positions, fluxes, shapes, evidence on artefacts, and what the map shows between two islands"
    if architecture.sees_map:
        told += ", and it looks at the map around each"
    return f"""# {metadata["name"]}

IslandGraph: a network on the graph of a field's islands that says which of them are parts of one object.

- It is told {told}.
- Pairs: {settings.neighbours} nearest neighbours within {settings.max_separation:g} beam widths.
- Groups: correlation clustering of the log-odds (temperature {settings.temperature:.2f}, threshold
  {settings.threshold:g}).

## Training

{architecture.rounds} rounds of messages of width {architecture.hidden}, trained for {metadata["steps"]} steps of
{metadata["training"]["batch_size"]} fields.

- Training: {_split(data["train"])}
- Temperature and threshold: {_split(data["validation"])}, other sky
- Metrics: {_split(data["test"])}, other sky again
- Data digest: `{metadata["data_digest"][:16]}`

## Metrics

{table}

Intervals of 95 % by bootstrap over fields. The linking length ({details["linking_length"]:.1f} beam widths) is the best
of the validation fields. Calibration errors: {_calibration(details["calibration_error"])}.

## Limits

{_limits_of_data(data["train"])}
- Objects are made of the islands that were found: what lies below the thresholds joins nothing.
- Islands farther apart than {settings.max_separation:g} beam widths are joined only through others between them.
"""


def _calibration(errors: Mapping[str, float]) -> str:
    return ", ".join(f"{100 * error:.1f} % ({title})" for title, error in errors.items())


def _split(split: Mapping[str, Any]) -> str:
    return f"{split['fields']} maps ({sources_text(split)}), objects of several islands: {split['grouped']}"


def _limits_of_data(train: Mapping[str, Any]) -> str:
    real = real_sources(train)
    if not real:
        return (
            "- Trained on simulated fields alone: how lobes, cores and tails lie to each other is the simulation's.\n"
            "  Real sources are bent and broken in more ways."
        )
    return (
        f"- The real maps ({', '.join(real)}) are labelled in part: islands without a label were neither learnt nor\n"
        "  scored."
    )


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "-"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"
