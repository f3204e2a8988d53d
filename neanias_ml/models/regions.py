"""Geometry of regions: box clean-up, pooling from the pyramid, and matching to true boxes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_area, roi_align

UNMATCHED = -1
AMBIGUOUS = -2
MIN_SIDE = 1.0
"""Least side of a box in pixels."""
LEVEL_MARGIN = 1e-6
"""Added to a level of the pyramid before it is rounded down, for sides that are a power of two but for rounding."""
SAMPLING_RATIO = 2
"""Bilinear samples along each side of a cell of RoIAlign."""


def sanitise_boxes(boxes: Tensor, shape: tuple[int, int], *, min_side: float = MIN_SIDE) -> Tensor:
    """Boxes inside the image with sides of at least ``min_side``: whatever comes in, encoding stays finite.

    Parameters
    ----------
    boxes
        (N, 4) xyxy pixels, half-open.
    shape
        Rows and columns of the image.

    Raises
    ------
    ValueError
        If the shape is not (N, 4) or a coordinate is not finite.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have the shape (N, 4), not {tuple(boxes.shape)}")
    boxes = boxes.to(torch.float32)
    if not torch.isfinite(boxes).all():
        raise ValueError("a box has coordinates that are not finite")
    limits = boxes.new_tensor([shape[1], shape[0]])
    corners = boxes.view(-1, 2, 2)
    low = corners.amin(dim=1).clamp(min=0).minimum(limits)
    high = corners.amax(dim=1).clamp(min=0).minimum(limits)
    grow = (min_side - (high - low)).clamp(min=0) / 2
    low, high = low - grow, high + grow
    inward = (-low).clamp(min=0) - (high - limits).clamp(min=0)
    return torch.cat([low + inward, high + inward], dim=1)


def with_image_index(boxes: list[Tensor]) -> Tensor:
    """Boxes of several images as one (sum N, 5) tensor: index of the image, then xyxy."""
    indices = [box.new_full((len(box), 1), float(index)) for index, box in enumerate(boxes)]
    return torch.cat([torch.cat([index, box], dim=1) for index, box in zip(indices, boxes, strict=True)])


def pyramid_levels(boxes: Tensor, *, n_levels: int, coarsest_size: float) -> Tensor:
    """Level (0 = finest) from which each box is pooled: one level finer per halving of its geometric-mean side.

    Feature Pyramid Networks, Lin et al. 2017, equation 1.
    """
    sides = box_area(boxes).clamp(min=1e-6).sqrt()
    level = torch.floor(n_levels - 1 + torch.log2(sides / coarsest_size) + LEVEL_MARGIN)
    return level.clamp(0, n_levels - 1).long()


def pool_regions(
    features: list[Tensor], regions: Tensor, *, strides: list[int], size: int, coarsest_size: float
) -> Tensor:
    """RoIAlign of each region from the map that suits its size, in float32.

    Sampling is aligned to pixel centres; without that, half a feature pixel would be an eighth of a compact source.

    Parameters
    ----------
    features
        Maps (B, C, H / stride, W / stride), finest first, float32.
    regions
        (R, 5) image index and xyxy pixels.

    Returns
    -------
    Tensor
        (R, C, size, size) float32.
    """
    levels = pyramid_levels(regions[:, 1:], n_levels=len(features), coarsest_size=coarsest_size)
    pooled = features[0].new_zeros((len(regions), features[0].shape[1], size, size))
    for level, (feature, stride) in enumerate(zip(features, strides, strict=True)):
        rows = torch.nonzero(levels == level)[:, 0]
        part = roi_align(
            feature, regions[rows], (size, size), 1.0 / stride, sampling_ratio=SAMPLING_RATIO, aligned=True
        )
        pooled = pooled.index_put((rows,), part.to(pooled.dtype))
    return pooled


def pairwise_overlap(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """IoU (N, M) and the share of each box's area inside each other box (N, M)."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = (high - low).clamp(min=0).prod(dim=2)
    area, other_area = box_area(boxes), box_area(others)
    union = area[:, None] + other_area[None, :] - intersection
    return intersection / union, intersection / area[:, None]


def match_regions(
    regions: Tensor, truth: Tensor, *, foreground_iou: float, background_iou: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Best true box of each region.

    Returns
    -------
    tuple of Tensor
        (R,) index of the true box, `UNMATCHED` below ``background_iou``, `AMBIGUOUS` below ``foreground_iou``;
        (R,) index of the box of largest IoU whatever its value (0 without true boxes); (R,) share of the region
        inside that box.
    """
    if len(truth) == 0 or len(regions) == 0:
        zeros = torch.zeros(len(regions), dtype=torch.long, device=regions.device)
        return zeros + UNMATCHED, zeros, regions.new_zeros(len(regions))
    iou, contained = pairwise_overlap(regions, truth)
    best_iou, best = iou.max(dim=1)
    matched = torch.where(best_iou >= foreground_iou, best, torch.full_like(best, AMBIGUOUS))
    matched = torch.where(best_iou < background_iou, torch.full_like(best, UNMATCHED), matched)
    return matched, best, contained.gather(1, best[:, None])[:, 0]
