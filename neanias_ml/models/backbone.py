"""Residual backbone with a feature pyramid, and the RPN, put together from torchvision's parts.

The ready-made factories are not used: they freeze random layers when nothing is pre-trained, resize every image to
800 pixels and expect three channels.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from neanias_ml.models.config import IslandRCNNConfig, tiles_in

STAGE_CHANNELS = [64, 128, 256, 512]
FEWEST_BEFORE_NMS, BEFORE_NMS_FACTOR = 1000, 4
"""Boxes of a level that suppression looks at: so many, or this times the proposals that are to be left."""


def build_backbone(config: IslandRCNNConfig) -> BackboneWithFPN:
    """ResNet + FPN for ``config.in_channels`` channels, every layer trainable, batch normalisation not frozen.

    Its output is an ordered dict of five maps ``0`` to ``3`` and ``pool``; see `pyramid_strides`.
    """
    body = ResNet(BasicBlock, list(config.blocks))
    body.conv1 = nn.Conv2d(config.in_channels, STAGE_CHANNELS[0], kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(body.conv1.weight, mode="fan_out", nonlinearity="relu")
    if not config.stem_pool:
        body.maxpool = nn.Identity()
    return BackboneWithFPN(
        body,
        return_layers={f"layer{stage + 1}": str(stage) for stage in range(4)},
        in_channels_list=STAGE_CHANNELS,
        out_channels=config.fpn_channels,
        extra_blocks=LastLevelMaxPool(),
        norm_layer=nn.BatchNorm2d if config.fpn_batch_norm else None,
    )


def pyramid_strides(config: IslandRCNNConfig) -> list[int]:
    """Strides in pixels of the four maps from which regions are pooled, finest first."""
    finest = 4 if config.stem_pool else 2
    return [finest * 2**level for level in range(4)]


class Float32Anchors(AnchorGenerator):
    """Anchors in float32 whatever the dtype of the maps: bfloat16 cannot count pixels beyond 256."""

    cell_anchors: list[Tensor]

    def grid_anchors(self, grid_sizes: list[list[int]], strides: list[list[Tensor]]) -> list[Tensor]:
        """Anchors per level; see torchvision's ``AnchorGenerator``."""
        self.cell_anchors = [cell.to(torch.float32) for cell in self.cell_anchors]
        return cast(list[Tensor], super().grid_anchors(grid_sizes, strides))


class Float32RPNHead(RPNHead):
    """RPN head whose outputs are float32 under autocast, so that boxes are decoded in float32."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Objectness and box deltas per level; see torchvision's ``RPNHead``."""
        objectness, deltas = super().forward(x)
        return [level.float() for level in objectness], [level.float() for level in deltas]


class ScaledRPN(RegionProposalNetwork):
    """RPN whose number of proposals grows with the window, so that they are as dense as in the windows of training."""

    per_tile = 0

    def limits(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Most boxes of a level before suppression, and most proposals of a window of ``shape`` after it."""
        after = round(self.per_tile * tiles_in(shape))
        return max(FEWEST_BEFORE_NMS, BEFORE_NMS_FACTOR * after), after

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals per image and losses; see torchvision's ``RegionProposalNetwork``."""
        before, after = self.limits(images.image_sizes[0])
        self._post_nms_top_n = {"training": after, "testing": after}
        self._pre_nms_top_n = {"training": before, "testing": before}
        return cast(tuple[list[Tensor], dict[str, Tensor]], super().forward(images, features, targets))


def build_rpn(config: IslandRCNNConfig) -> ScaledRPN:
    """Region proposal network over the five maps of `build_backbone`."""
    anchors = Float32Anchors(
        sizes=tuple((size,) for size in config.anchor_sizes),
        aspect_ratios=(config.anchor_ratios,) * len(config.anchor_sizes),
    )
    top = {"training": config.rpn_proposals, "testing": config.rpn_proposals}
    rpn = ScaledRPN(
        anchors,
        Float32RPNHead(config.fpn_channels, len(config.anchor_ratios)),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n=top,
        post_nms_top_n=top,
        nms_thresh=config.rpn_nms_iou,
    )
    rpn.per_tile = config.rpn_proposals
    return rpn
