"""Training side of the region heads: which regions are learnt from, towards what, and the losses."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import torch
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder

from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.heads import MASK_SIZE, RegionOutputs
from neanias_ml.models.losses import artefact_loss, box_loss, class_loss
from neanias_ml.models.masks import crop_masks
from neanias_ml.models.regions import AMBIGUOUS, match_regions

BOX_CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))


class WindowTarget(TypedDict):
    """The truth of one image."""

    boxes: Tensor
    """(N, 4) float32 xyxy pixels, half-open"""
    labels: Tensor
    """(N,) int64, index in ``CLASS_NAMES`` + 1"""
    masks: Tensor
    """(N, H, W) bool or uint8"""


class RegionSample(NamedTuple):
    """Regions of one image chosen for the losses, with their targets."""

    boxes: Tensor
    """(R, 4)"""
    labels: Tensor
    """(R,) 0 for background"""
    true_rows: Tensor
    """(R,) row of the best true box; meaningless where there is none"""
    true_boxes: Tensor
    """(R, 4) that box"""
    artefact_known: Tensor
    """(R,) bool: positive, or mostly inside its best true box"""
    spurious: Tensor
    """(R,) bool: that box is spurious"""


def sample_regions(boxes: Tensor, target: WindowTarget, config: IslandRCNNConfig) -> RegionSample:
    """Choose up to ``regions_per_image`` regions, true boxes among them, and attach their targets.

    The artefact head also learns regions that are background to the class head but lie inside a true box, because
    every island of an object is asked for its P(spurious), not only the box of the whole.
    """
    truth, true_labels = target["boxes"], target["labels"]
    candidates = torch.cat([boxes, truth])
    matched, best, contained = match_regions(
        candidates, truth, foreground_iou=config.foreground_iou, background_iou=config.background_iou
    )
    marks = torch.where(matched == AMBIGUOUS, torch.full_like(matched, -1), (matched >= 0).long())
    sampler = BalancedPositiveNegativeSampler(config.regions_per_image, config.positive_fraction)
    positive, negative = sampler([marks])
    chosen = torch.nonzero((positive[0] | negative[0]).bool())[:, 0]
    is_positive = matched[chosen] >= 0
    rows = best[chosen]
    if len(truth) == 0:
        none = torch.zeros_like(is_positive)
        return RegionSample(candidates[chosen], rows, rows, candidates[chosen], none, none)
    row_labels = true_labels[rows]
    return RegionSample(
        boxes=candidates[chosen],
        labels=torch.where(is_positive, row_labels, torch.zeros_like(row_labels)),
        true_rows=rows,
        true_boxes=truth[rows],
        artefact_known=is_positive | (contained[chosen] >= config.artefact_containment),
        spurious=row_labels == CLASS_LABELS["spurious"],
    )


def region_losses(
    outputs: RegionOutputs, samples: list[RegionSample], config: IslandRCNNConfig, class_weights: Tensor
) -> dict[str, Tensor]:
    """Class, box and artefact losses, each with its weight applied."""
    labels = torch.cat([sample.labels for sample in samples])
    boxes = torch.cat([sample.boxes for sample in samples])
    true_boxes = torch.cat([sample.true_boxes for sample in samples])
    known = torch.cat([sample.artefact_known for sample in samples])
    spurious = torch.cat([sample.spurious for sample in samples])
    positive = labels > 0
    encoded = BOX_CODER.encode_single(true_boxes[positive], boxes[positive])
    by_class = class_loss(outputs.class_logits, labels, weights=class_weights, smoothing=config.label_smoothing)
    by_box = box_loss(outputs.deltas[positive], encoded, n_regions=len(labels))
    by_artefact = artefact_loss(outputs.artefact_logits[known], spurious[known], gamma=config.artefact_gamma)
    return {
        "loss_class": config.weight_class * by_class,
        "loss_box": config.weight_box * by_box,
        "loss_artefact": config.weight_artefact * by_artefact,
    }


def mask_targets(samples: list[RegionSample], targets: list[WindowTarget]) -> Tensor:
    """(P, 28, 28) targets of the positive regions of all images, in their order."""
    crops = []
    for sample, target in zip(samples, targets, strict=True):
        positive = sample.labels > 0
        crops.append(crop_masks(target["masks"], sample.boxes[positive], sample.true_rows[positive], size=MASK_SIZE))
    return torch.cat(crops)
