"""Text of the model card of a morphology network and of its table of metrics."""

from __future__ import annotations

from typing import Any

from neanias_ml.models.morphology.settings import MorphologySettings
from neanias_ml.training.card_text import percent, percent_interval, sources_text


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
        f"{percent_interval(metrics.get('sure_accuracy'))}. Calibration error {percent(details['calibration_error'])}, "
        f"of which {percent(details['chance_calibration_error'])} is what so few objects show by chance.",
    ])  # fmt: skip


def sources_table(sources: dict[str, Any]) -> str:
    """Markdown table of the scores of each label set, from what `source_details` says."""
    lines = [
        "| set | objects | accuracy | calibration error | by chance | not unsure | accuracy of these "
        "| FR-I or FR-II | not unsure | FR-I or FR-II of these |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, scores in sources.items():
        shown = (
            percent_interval(scores["accuracy"]),
            percent(scores["calibration_error"]),
            percent(scores["chance_calibration_error"]),
            percent_interval(scores.get("sure_share")),
            percent_interval(scores.get("sure_accuracy")),
            percent_interval(scores.get("fr_accuracy")),
            percent_interval(scores.get("fr_sure_share")),
            percent_interval(scores.get("fr_sure_accuracy")),
        )
        lines.append(f"| {name} | {scores['objects']} | {' | '.join(shown)} |")
    return "\n".join(lines)


def mistakes_text(details: dict[str, Any], *, count: int = 6) -> str:
    """The commonest pairs of true and answered class, with the part of the true class that they are."""
    names, confusion = list(details["classes"]), details["confusion"]
    pairs = [
        (number, true, answered)
        for true, row in enumerate(confusion)
        for answered, number in enumerate(row)
        if number and true != answered
    ]
    said = [
        f"{names[true]} called {names[answered]} ({number} of {sum(confusion[true])})"
        for number, true, answered in sorted(pairs, key=lambda pair: -pair[0])[:count]
    ]
    return ", ".join(said) or "none"


def model_card(settings: MorphologySettings) -> str:
    """``MODEL_CARD.md`` of a trained morphology network."""
    metadata = settings.metadata
    data, details = metadata["data"], metadata["details"]
    widths = "-".join(str(width) for width in settings.architecture.widths)
    repeat = ", ".join(f"{name} x {factor:g}" for name, factor in metadata["feed"]["repeat"].items())
    absent = [name for name, scores in details["classes"].items() if not scores["train"]]
    return f"""# {metadata["name"]}

The morphology of extended radio sources: a residual network over a cutout of {settings.frame} pixels that the object
fills ({", ".join(settings.channels)}) and {len(settings.scalars)} numbers ({", ".join(settings.scalars)}). Output:
probabilities of {", ".join(settings.classes)}, averaged over {settings.orientations} orientations; "unsure" where none
reaches {settings.unsure_below:.2f}. A bent galaxy is an edge-darkened (FR-I) one whose jets or tails bend.

## Training

Widths {widths}, trained for {metadata["steps"]} steps of {metadata["training"]["batch_size"]} cutouts on
{data["train"]["cutouts"]} objects of {data["train"]["fields"]} maps ({sources_text(data["train"])}), drawn
more often where their class is rare, and by set as {repeat or "they are"}. Temperature {settings.temperature:.2f}, an
offset of each class and the limit of what is unsure (for an accuracy of
{percent(metadata["feed"]["sure_accuracy"])}) come from {data["validation"]["cutouts"]} objects of other sky, the
metrics from {data["test"]["cutouts"]}. Data digest `{metadata["data_digest"][:16]}`.

## Metrics

Test objects:

{metrics_table(metadata["metrics"], details)}

By label set, first the validation objects (on which calibration and limit were chosen), then the test objects. FR-I or
FR-II: the likelier of the two (bent ones count as FR-I) for objects that certain labels call so; intervals by bootstrap
over maps. Of the calibration error, that part is chance which a network of exact probabilities would show on so few
objects.

{sources_table(details["validation_sources"])}

{sources_table(details["sources"])}

## Failures

Most frequent mistakes on the test objects: {mistakes_text(details)}.

## Limits

- Classes without training objects are never answered with reason: {", ".join(absent) or "there are none"}.
- An object is judged by the islands it was given: parts that the extraction or the association missed are missing here.
- Simulated classes look as the simulation draws them; labels of real sets are those of their authors, who divide FR-I
  from FR-II by different rules and saw the host galaxy, which the network does not.
- Probabilities hold for skies with classes as frequent as in the validation objects of all sets together.
- The pictures of RadioGalaxyNET hold no fluxes: their signal to noise was rebuilt and their noise added.
- Objects of less than some three beams rarely show what they are.
"""
