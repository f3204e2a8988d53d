"""Heads that work on pooled regions: class, box, artefact and mask."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads

from neanias_ml.models.config import N_OUTPUTS, IslandRCNNConfig

BOX_POOL = 7
MASK_POOL = 14
MASK_SIZE = 2 * MASK_POOL


class RegionOutputs(NamedTuple):
    """What the region head says of R regions, float32."""

    class_logits: Tensor
    """(R, 6) background, then ``CLASS_NAMES``"""
    deltas: Tensor
    """(R, 4) encoded box, one for all classes"""
    artefact_logits: Tensor
    """(R,)"""
    embedding: Tensor
    """(R, head_features) the features from which the three are read"""


class RegionHead(nn.Module):
    """Two fully connected layers and three linear read-outs.

    Pooling takes away the size of a region, on which compact and extended differ; its sides in beams are put back.
    """

    def __init__(self, config: IslandRCNNConfig) -> None:
        super().__init__()
        self.box_reference = config.box_reference
        width = config.head_features
        self.hidden = nn.Sequential(
            nn.Linear(config.fpn_channels * BOX_POOL**2 + 2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.class_logits = nn.Linear(width, N_OUTPUTS)
        self.deltas = nn.Linear(width, 4)
        self.artefact = nn.Linear(width, 1)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, pooled: Tensor, boxes: Tensor) -> RegionOutputs:
        """From (R, C, 7, 7) pooled features and (R, 4) xyxy boxes in pixels."""
        sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
        sizes = torch.log2(sides / self.box_reference)
        embedding = self.hidden(torch.cat([pooled.flatten(1), sizes], dim=1))
        return RegionOutputs(
            class_logits=self.class_logits(embedding).float(),
            deltas=self.deltas(embedding).float(),
            artefact_logits=self.artefact(embedding)[:, 0].float(),
            embedding=embedding.float(),
        )


class MaskHead(nn.Module):
    """Four convolutions and an upsampling: one mask per region, shared by all classes.

    Shared, because a rare class would otherwise have to learn outlines from its few examples alone.
    """

    def __init__(self, config: IslandRCNNConfig) -> None:
        super().__init__()
        width = config.mask_channels
        self.convolutions = MaskRCNNHeads(config.fpn_channels, (width,) * 4, dilation=1)
        self.upsample = nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)
        self.logits = nn.Conv2d(width, 1, kernel_size=1)
        nn.init.kaiming_normal_(self.upsample.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pooled: Tensor) -> Tensor:
        """(R, C, 14, 14) pooled features to (R, 28, 28) float32 logits."""
        raised = functional.relu(self.upsample(self.convolutions(pooled)))
        logits: Tensor = self.logits(raised)
        return logits[:, 0].float()
