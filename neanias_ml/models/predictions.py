"""What IslandRCNN says of one window, and how region outputs become detections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms

from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.config import IslandRCNNConfig, tiles_in
from neanias_ml.models.heads import RegionOutputs
from neanias_ml.models.region_training import BOX_CODER
from neanias_ml.models.regions import sanitise_boxes


@dataclass(frozen=True)
class WindowPrediction:
    """Detections of one window, best first, and the read-out of every proposal that was handed in.

    Boxes are xyxy pixels of the window, half-open. Probabilities are calibrated by the model's `OperatingPoint`.
    """

    boxes: Tensor
    """(N, 4) refined boxes"""
    scores: Tensor
    """(N,) probability of the detection's class"""
    labels: Tensor
    """(N,) int64, index in ``CLASS_NAMES`` + 1"""
    probabilities: Tensor
    """(N, 6) background, then ``CLASS_NAMES``"""
    spurious: Tensor
    """(N,) P(spurious) of the artefact head"""
    masks: Tensor
    """(N, 28, 28) mask probabilities on the grid of the box; see `neanias_ml.models.masks.paste_masks`"""
    proposal_index: Tensor
    """(N,) int64 row of the proposal that led to the detection; -1 where the RPN did"""
    n_dropped: int
    """detections left out because the limit of ``detections_per_window`` was reached"""
    readout_probabilities: Tensor
    """(P, 6) of each proposal's own box; a high background means: not an object by itself (a part of one, or noise)"""
    readout_spurious: Tensor
    """(P,)"""
    readout_embedding: Tensor
    """(P, head_features) for grouping and morphology"""

    def __len__(self) -> int:
        return len(self.boxes)


class ScoredRegions(NamedTuple):
    """The regions of one window with what the region head says of them; the external proposals come first."""

    boxes: Tensor
    """(R, 4)"""
    deltas: Tensor
    """(R, 4)"""
    probabilities: Tensor
    """(R, 6) calibrated"""
    spurious: Tensor
    """(R,) calibrated"""
    embedding: Tensor
    """(R, head_features)"""


def score_regions(outputs: RegionOutputs, regions: list[Tensor], point: OperatingPoint) -> list[ScoredRegions]:
    """Per window: softmax and sigmoid of the logits at the operating point's temperatures."""
    counts = [len(boxes) for boxes in regions]
    columns = (
        outputs.deltas,
        torch.softmax(outputs.class_logits / point.class_temperature, dim=1),
        torch.sigmoid(outputs.artefact_logits / point.spurious_temperature),
        outputs.embedding,
    )
    by_window = zip(regions, *(torch.split(column, counts) for column in columns), strict=True)
    return [ScoredRegions(*parts) for parts in by_window]


@dataclass(frozen=True)
class Selection:
    """Detections of one window before their masks are computed."""

    rows: Tensor
    """(N,) row among the regions"""
    boxes: Tensor
    scores: Tensor
    labels: Tensor
    n_dropped: int


def select_detections(
    regions: ScoredRegions, *, point: OperatingPoint, shape: tuple[int, int], config: IslandRCNNConfig, first: int = 0
) -> Selection:
    """Refine, threshold per class, and suppress overlaps whatever the class.

    Each region stands for its most probable class among those that pass their threshold. Ties are broken by the box
    coordinates, so the result does not depend on the order of the regions. Regions before row ``first`` are left out.
    """
    boxes = sanitise_boxes(BOX_CODER.decode_single(regions.deltas, regions.boxes), shape)
    by_class = regions.probabilities[:, 1:]
    passing = by_class >= by_class.new_tensor(point.score_thresholds)
    passing[:first] = False
    scores, classes = torch.where(passing, by_class, torch.full_like(by_class, -1.0)).max(dim=1)
    rows = torch.nonzero(scores >= 0)[:, 0]
    rows = rows[_ranking(boxes[rows], scores[rows])]
    kept = rows[nms(boxes[rows], scores[rows], config.nms_iou)]
    limit = round(config.detections_per_window * tiles_in(shape))
    n_dropped = max(len(kept) - limit, 0)
    kept = kept[:limit]
    return Selection(kept, boxes[kept], scores[kept], classes[kept] + 1, n_dropped)


def _ranking(boxes: Tensor, scores: Tensor) -> Tensor:
    """Order by falling score, then by x0, y0, x1, y1 (stable sorts, last key first)."""
    order = torch.arange(len(boxes), device=boxes.device)
    for column in (3, 2, 1, 0):
        order = order[torch.sort(boxes[order, column], stable=True).indices]
    return order[torch.sort(scores[order], descending=True, stable=True).indices]
