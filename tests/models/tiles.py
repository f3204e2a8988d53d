"""Tiny detectors and synthetic tiles shared by the tests of this room."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.region_training import WindowTarget

SIDE = 64


def tiny_config(**changes: Any) -> IslandRCNNConfig:
    tiny = IslandRCNNConfig(
        in_channels=2,
        blocks=(1, 1, 1, 1),
        fpn_channels=16,
        head_features=32,
        mask_channels=16,
        regions_per_image=32,
        rpn_proposals=10,
    )
    return dataclasses.replace(tiny, **changes)


def tiny_model(seed: int = 0, **changes: Any) -> IslandRCNN:
    torch.manual_seed(seed)
    return IslandRCNN(tiny_config(**changes))


def blob_tile(centres: list[tuple[float, float, float]], side: int = SIDE) -> tuple[Tensor, Tensor, Tensor]:
    """Image (2, side, side) of round Gaussians (x, y, sigma) in noise, their boxes (N, 4) and masks (N, side, side)."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:side, :side]
    image = 0.1 * rng.standard_normal((side, side))
    boxes, masks = [], []
    for centre_x, centre_y, sigma in centres:
        blob = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * sigma**2))
        image = image + blob
        mask = blob > 0.3
        rows, columns = np.nonzero(mask)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        masks.append(mask)
    stacked = np.stack([image, np.arcsinh(3 * image)]).astype(np.float32)
    return torch.from_numpy(stacked), torch.tensor(boxes, dtype=torch.float32), torch.from_numpy(np.array(masks))


def two_blobs() -> tuple[Tensor, WindowTarget]:
    """A compact source (label 2) and a larger spurious one (label 1)."""
    image, boxes, masks = blob_tile([(16.0, 20.0, 2.5), (44.0, 40.0, 6.0)])
    return image, WindowTarget(boxes=boxes, labels=torch.tensor([2, 1]), masks=masks)


def empty_target(side: int = SIDE) -> WindowTarget:
    return WindowTarget(
        boxes=torch.zeros((0, 4)),
        labels=torch.zeros(0, dtype=torch.long),
        masks=torch.zeros((0, side, side), dtype=torch.bool),
    )
