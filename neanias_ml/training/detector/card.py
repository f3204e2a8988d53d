"""Text of a model card and of the table of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neanias_ml.models.settings import BundleSettings
from neanias_ml.training.card_text import percent, percent_interval, real_sources, sources_text

RADIOGALAXYNET = "radiogalaxynet"
"""Name of a source in a data manifest."""


def metrics_table(metrics: dict[str, Any]) -> str:
    """Markdown table of the scores of `neanias_ml.training.detector.tile_scores.tile_metrics`."""
    lines = [
        "| class | true | F1 (95 % interval) | precision | recall | AP50 |",
        "|---|---|---|---|---|---|",
    ]
    for name, scores in metrics["classes"].items():
        lines.append(
            f"| {name} | {scores['true']} | {percent_interval(scores['f1'])} | {percent(scores['precision'])} "
            f"| {percent(scores['recall'])} | {percent(scores['ap50']['value'])} |"
        )
    lines.append(f"| all | | {percent_interval(metrics['all'])} | | | |")
    islands = metrics["islands"]
    lines += [
        "",
        f"One-to-one matches of equal class at mask IoU {metrics['iou']} on {metrics['tiles']} tiles of "
        f"{metrics['fields']} maps; intervals by bootstrap over fields. "
        f"By the definition of caesar-mrcnn (IoU 0.6, score 0.7): completeness "
        f"{percent(metrics['caesar']['completeness'])}, reliability {percent(metrics['caesar']['reliability'])}.",
        "",
        f"Islands read at their own box ({islands['decided']} decided ones of {islands['islands']}): accuracy "
        f"{percent(islands['accuracy'])}, calibration error {percent(islands['class_calibration_error'])}; "
        f"spurious or not: precision {percent(islands['spurious_precision'])}, recall "
        f"{percent(islands['spurious_recall'])} of {islands['spurious_true']}, calibration error "
        f"{percent(islands['spurious_calibration_error'])}.",
    ]
    return "\n".join(lines)


def model_card(settings: BundleSettings) -> str:
    """``MODEL_CARD.md`` of a trained detector."""
    metadata = settings.metadata
    data, training = metadata["data"], metadata["training"]
    sources = {split: sources_text(content) for split, content in data.items()}
    blocks = "-".join(str(count) for count in settings.architecture.blocks)
    return f"""# {metadata["name"]}

IslandRCNN: a Mask R-CNN whose regions are the islands of the classical extraction. Input: {len(settings.channels)}
channels ({", ".join(settings.channels)}) at {settings.pixels_per_beam:g} pixels per beam in windows of
{settings.window_size} pixels. Output: masks, probabilities of {", ".join(settings.classes)}, and P(spurious).

## Training

Residual blocks {blocks}, trained from {_begun_with(metadata)} for {metadata["steps"]} steps of
{training["batch_size"] * training["accumulate"]} tiles on {data["train"]["tiles"]} tiles of
{data["train"]["fields"]} maps ({sources["train"]}); temperatures and thresholds from
{data["validation"]["fields"]} maps of other sky ({sources["validation"]}), the metrics from
{data["test"]["fields"]} ({sources["test"]}). Data digest `{metadata["data_digest"][:16]}`.

## Metrics

{metrics_table(metadata["metrics"])}

## Limits

{limits_of_data(data["train"])}
- Objects larger than a window ({settings.window_size / settings.pixels_per_beam:.0f} beams) are seen in part only.
- An object that the extractor splits or merges is judged by what was extracted; emission below the merge threshold is
  not seen.
- Blank pixels, steep noise gradients and beams sampled by fewer than 2.5 pixels are at the edge of the training data.
"""


def _begun_with(metadata: Mapping[str, Any]) -> str:
    parent = metadata.get("parent_digest")
    return f"the weights of the bundle `{parent[:16]}`" if parent else "random weights"


def limits_of_data(train: dict[str, Any]) -> str:
    """What the training data are not."""
    real = real_sources(train)
    if not real:
        return (
            "- Trained on simulated fields alone: sources of many kinds, noise, sidelobes and faults of five\n"
            "  arrays. Real maps hold what the simulation does not."
        )
    lines = [
        f"- The real maps ({', '.join(real)}) are labelled in part: what has no label there was neither learnt nor\n"
        "  scored, so that precision on them is a lower bound."
    ]
    if RADIOGALAXYNET in real:
        lines.append(
            "- RadioGalaxyNET holds no fluxes: peaks were rebuilt from the widths of islands, noise added. Shapes\n"
            "  are real there, signal to noise is not."
        )
    return "\n".join(lines)
