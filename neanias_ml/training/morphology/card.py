"""Text of the model card of a morphology network and of its table of metrics."""

from __future__ import annotations

from typing import Any

from neanias_ml.models.morphology.settings import MorphologySettings
from neanias_ml.training.card_text import percent, percent_interval


def metrics_table(metrics: dict[str, Any], details: dict[str, Any]) -> str:
    """Markdown table of scores.

    Parameters
    ----------
    metrics
        Value, low and high of each metric by name.
    details
        What `neanias_ml.training.morphology.scores.morphology_details` says.
    """
    lines = ["| class | objects | in training | precision | recall | F1 (95 % interval) |", "|---|---|---|---|---|---|"]
    for name, scores in details["classes"].items():
        lines.append(
            f"| {name} | {scores['true']} | {scores['train']} | {percent(scores['precision'])} "
            f"| {percent(scores['recall'])} | {percent_interval(metrics.get(f'f1_{name}'))} |"
        )
    baseline = details["baseline"]
    return "\n".join([
        *lines,
        "",
        f"On {details['objects']} objects of {details['fields']} maps; intervals by bootstrap over maps. Balanced "
        f"accuracy (mean recall of the classes that occur) {percent_interval(metrics['balanced_accuracy'])}, "
        f"accuracy {percent_interval(metrics['accuracy'])}. To call everything {baseline['answer']}, the commonest "
        f"class in training, would give {percent(baseline['balanced_accuracy'])} and {percent(baseline['accuracy'])}.",
        "",
        f"Not called unsure: {percent_interval(metrics['sure_share'])} of the objects, accuracy on them "
        f"{percent_interval(metrics.get('sure_accuracy'))}. Calibration error {percent(details['calibration_error'])}.",
    ])  # fmt: skip


def model_card(settings: MorphologySettings) -> str:
    """``MODEL_CARD.md`` of a trained morphology network."""
    metadata = settings.metadata
    data, details = metadata["data"], metadata["details"]
    widths = "-".join(str(width) for width in settings.architecture.widths)
    absent = [name for name, scores in details["classes"].items() if not scores["train"]]
    return f"""# {metadata["name"]}

The morphology of extended radio sources: a residual network over a cutout of {settings.frame} pixels that the object
fills ({", ".join(settings.channels)}) and {len(settings.scalars)} numbers ({", ".join(settings.scalars)}). Output:
probabilities of {", ".join(settings.classes)}; "unsure" where none reaches {settings.unsure_below:.2f}.

## Training

Widths {widths}, trained for {metadata["steps"]} steps of {metadata["training"]["batch_size"]} cutouts on
{data["train"]["cutouts"]} objects of {data["train"]["fields"]} maps. Temperature {settings.temperature:.2f} and the
limit of what is unsure (for an accuracy of {percent(metadata["feed"]["sure_accuracy"])}) come from
{data["validation"]["cutouts"]} objects of other sky, the metrics from {data["test"]["cutouts"]}. Data digest
`{metadata["data_digest"][:16]}`.

## Metrics

{metrics_table(metadata["metrics"], details)}

## Limits

- Classes without training objects are never answered with reason: {", ".join(absent) or "there are none"}.
- An object is judged by the islands it was given: parts that the extraction or the association missed are missing here.
- Simulated classes look as the simulation draws them; labels of real sets are those of their authors.
- Objects of less than some three beams rarely show what they are.
"""
