"""Text of a model card and of the table of metrics."""

from __future__ import annotations

from typing import Any

from neanias_ml.models.settings import BundleSettings


def metrics_table(metrics: dict[str, Any]) -> str:
    """Markdown table of the scores of `neanias_ml.training.tile_scores.tile_metrics`."""
    lines = [
        "| class | true | F1 (95 % interval) | precision | recall | AP50 |",
        "|---|---|---|---|---|---|",
    ]
    for name, scores in metrics["classes"].items():
        lines.append(
            f"| {name} | {scores['true']} | {_interval(scores['f1'])} | {_percent(scores['precision'])} "
            f"| {_percent(scores['recall'])} | {_percent(scores['ap50'])} |"
        )
    lines.append(f"| all | | {_interval(metrics['all'])} | | | |")
    islands = metrics["islands"]
    lines += [
        "",
        f"One-to-one matches of equal class at mask IoU {metrics['iou']} on {metrics['tiles']} tiles of "
        f"{metrics['fields']} simulated fields; intervals by bootstrap over fields. "
        f"By the definition of caesar-mrcnn (IoU 0.6, score 0.7): completeness "
        f"{_percent(metrics['caesar']['completeness'])}, reliability {_percent(metrics['caesar']['reliability'])}.",
        "",
        f"Islands read at their own box ({islands['decided']} decided ones of {islands['islands']}): accuracy "
        f"{_percent(islands['accuracy'])}, calibration error {_percent(islands['class_calibration_error'])}; "
        f"spurious or not: precision {_percent(islands['spurious_precision'])}, recall "
        f"{_percent(islands['spurious_recall'])} of {islands['spurious_true']}, calibration error "
        f"{_percent(islands['spurious_calibration_error'])}.",
    ]
    return "\n".join(lines)


def model_card(settings: BundleSettings) -> str:
    """``MODEL_CARD.md`` of a trained detector."""
    metadata = settings.metadata
    data = metadata["data"]
    blocks = "-".join(str(count) for count in settings.architecture.blocks)
    return f"""# {metadata["name"]}

IslandRCNN: a Mask R-CNN whose regions are the islands of the classical extraction. Input: {len(settings.channels)}
channels ({", ".join(settings.channels)}) at {settings.pixels_per_beam:g} pixels per beam in windows of
{settings.window_size} pixels. Output: masks, probabilities of {", ".join(settings.classes)}, and P(spurious).

## Training

Residual blocks {blocks}, trained from random weights for {metadata["steps"]} steps of
{metadata["training"]["batch_size"]} tiles on {data["train"]["tiles"]} tiles of {data["train"]["fields"]} simulated
fields; temperatures and thresholds from {data["validation"]["fields"]} other fields. Data digest
`{metadata["data_digest"][:16]}`.

## Metrics

{metrics_table(metadata["metrics"])}

## Limits

- Trained and scored on simulated fields alone: point-like and resolved sources, doubles, triples, jets, diffuse shapes,
  noise, sidelobes and calibration errors of five arrays. Real maps hold what the simulation does not.
- Objects larger than a window ({settings.window_size / settings.pixels_per_beam:.0f} beams) are seen in part only.
- An object that the extractor splits or merges is judged by what was extracted; emission below the merge threshold is
  not seen.
- Blank pixels, steep noise gradients and beams sampled by fewer than 2.5 pixels are at the edge of the training data.
"""


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(value: dict[str, float | None]) -> str:
    if value["value"] is None:
        return "-"
    return f"{_percent(value['value'])} ({_percent(value['low'])} to {_percent(value['high'])})"
