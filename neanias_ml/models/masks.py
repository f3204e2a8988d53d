"""From 28 x 28 mask probabilities of a box to pixels of the window, and back for training."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

MASK_THRESHOLD = 0.5
"""Probability from which a pixel belongs to an object."""


def crop_masks(masks: Tensor, boxes: Tensor, rows: Tensor, *, size: int) -> Tensor:
    """Instance masks resampled to the grid of each box: the training target of the mask head.

    Parameters
    ----------
    masks
        (N, H, W) bool or uint8, instances of one image.
    boxes
        (P, 4) xyxy pixels, half-open.
    rows
        (P,) index of the mask that belongs to each box.

    Returns
    -------
    Tensor
        (P, size, size) float32 in [0, 1].
    """
    if len(boxes) == 0:
        return boxes.new_zeros((0, size, size))
    regions = torch.cat([rows[:, None].to(boxes.dtype), boxes], dim=1)
    stack = masks[:, None].to(boxes.dtype)
    crops: Tensor = roi_align(stack, regions, (size, size), 1.0, sampling_ratio=-1, aligned=True)
    return torch.clamp(crops[:, 0], 0, 1)


def paste_masks(boxes: Tensor, masks: Tensor, shape: tuple[int, int], *, threshold: float = MASK_THRESHOLD) -> Tensor:
    """Mask probabilities of boxes as pixel masks of the window; the inverse of `crop_masks`.

    Parameters
    ----------
    boxes
        (N, 4) xyxy pixels, half-open.
    masks
        (N, M, M) probabilities on the grid of each box.
    shape
        Rows and columns of the window.

    Returns
    -------
    Tensor
        (N, H, W) bool: pixel centres where the interpolated probability is at least ``threshold``.
    """
    pasted = torch.zeros((len(boxes), *shape), dtype=torch.bool, device=masks.device)
    for index, (box, mask) in enumerate(zip(boxes, masks, strict=True)):
        (rows, columns), part = paste_mask(box, mask, shape, threshold=threshold)
        pasted[index, rows, columns] = part
    return pasted


def paste_mask(
    box: Tensor, mask: Tensor, shape: tuple[int, int], *, threshold: float = MASK_THRESHOLD
) -> tuple[tuple[slice, slice], Tensor]:
    """One mask of `paste_masks`, only within its box: rows and columns of the window, and the mask (bool) there.

    Parameters
    ----------
    box
        (4,) xyxy pixels, half-open.
    mask
        (M, M) probabilities on the grid of the box.
    """
    height, width = shape
    x0, y0, x1, y1 = box.tolist()
    left, right = max(int(x0), 0), min(math.ceil(x1), width)
    top, bottom = max(int(y0), 0), min(math.ceil(y1), height)
    if right <= left or bottom <= top or x1 <= x0 or y1 <= y0:
        return (slice(0, 0), slice(0, 0)), torch.zeros((0, 0), dtype=torch.bool, device=mask.device)
    # grid_sample counts from -1 to 1 across the box; pixel centres lie at half-integers
    across = (torch.arange(left, right, device=mask.device) + 0.5 - x0) / (x1 - x0) * 2 - 1
    down = (torch.arange(top, bottom, device=mask.device) + 0.5 - y0) / (y1 - y0) * 2 - 1
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)[None].to(torch.float32)
    source = mask[None, None].to(torch.float32)
    values = functional.grid_sample(source, grid, padding_mode="border", align_corners=False)
    inside = (across.abs() <= 1)[None, :] & (down.abs() <= 1)[:, None]
    return (slice(top, bottom), slice(left, right)), (values[0, 0] >= threshold) & inside
