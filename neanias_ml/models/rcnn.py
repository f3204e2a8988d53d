"""IslandRCNN: Mask R-CNN whose regions are the islands of the classical extraction, plus an RPN's on demand.

Mask R-CNN: He et al. 2017 (arXiv:1703.06870). Proposals from an extractor: Mostert et al. 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from neanias_ml.models.backbone import build_backbone, build_rpn, pyramid_strides
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.config import WINDOW_STRIDE, IslandRCNNConfig
from neanias_ml.models.heads import BOX_POOL, MASK_POOL, MASK_SIZE, MaskHead, RegionHead, RegionOutputs
from neanias_ml.models.losses import mask_loss
from neanias_ml.models.predictions import ScoredRegions, WindowPrediction, score_regions, select_detections
from neanias_ml.models.region_training import WindowTarget, mask_targets, region_losses, sample_regions
from neanias_ml.models.regions import pool_regions, sanitise_boxes, with_image_index

Pyramid = list[Tensor]

REGIONS_AT_ONCE, MASKS_AT_ONCE = 4096, 512
"""Regions that the heads look at together: what a crowded window needs of memory has an end."""


class IslandRCNN(nn.Module):
    """Instance detector for radio maps.

    Call with images (B, C, H, W) float32 of one size (multiples of 32), one (P, 4) tensor of proposals per image
    (xyxy pixels; may be empty), and in training mode one `WindowTarget` per image. Training mode returns a dict of
    weighted losses whose sum is to be minimised; evaluation mode returns one `WindowPrediction` per image.

    Nothing is resized or normalised: the caller's channels are already in units of noise and of beams.

    Parameters
    ----------
    config
        Architecture; also kept in the bundle.
    operating_point
        Temperatures and score thresholds of evaluation mode; may be exchanged at any time.
    """

    def __init__(self, config: IslandRCNNConfig, *, operating_point: OperatingPoint | None = None) -> None:
        super().__init__()
        self.config = config
        self.operating_point = operating_point or OperatingPoint()
        self.strides = pyramid_strides(config)
        self.backbone = build_backbone(config)
        self.rpn = None if config.proposal_mode == "replace" else build_rpn(config)
        self.region_head = RegionHead(config)
        self.mask_head = MaskHead(config)
        self.class_weights: Tensor
        self.register_buffer("class_weights", torch.tensor(config.class_weights), persistent=False)

    def forward(
        self, images: Tensor, proposals: Sequence[Tensor], targets: Sequence[WindowTarget] | None = None
    ) -> dict[str, Tensor] | list[WindowPrediction]:
        """Losses in training mode, predictions in evaluation mode.

        Raises
        ------
        ValueError
            If shapes or counts do not fit, a box is not finite, or targets are missing in training mode.
        """
        if self.training and targets is None:
            raise ValueError("training mode needs targets; call model.eval() for predictions")
        _check_inputs(images, proposals, targets, self.config.in_channels)
        shape = (int(images.shape[2]), int(images.shape[3]))
        external = [sanitise_boxes(boxes.to(images.device), shape) for boxes in proposals]
        truth = [_clean_target(target, images.device, shape) for target in targets] if targets is not None else None
        maps = self.backbone(images)
        pyramid = [level.float().contiguous() for level in list(maps.values())[: len(self.strides)]]
        rpn_losses: dict[str, Tensor] = {}
        regions = external
        if self.rpn is not None:
            suggested, rpn_losses = self.rpn(ImageList(images, [shape] * len(images)), maps, truth)
            proposed = [sanitise_boxes(boxes, shape) for boxes in suggested]
            alone = self.training and self.config.proposal_mode == "rpn"
            regions = proposed if alone else [torch.cat(pair) for pair in zip(external, proposed, strict=True)]
        if self.training and truth is not None:
            return self._region_losses(pyramid, regions, truth) | self._weigh_rpn(rpn_losses)
        counts = [len(boxes) for boxes in external]
        return self._predict(pyramid, regions, counts, shape)

    def predict(self, images: Tensor, proposals: Sequence[Tensor]) -> list[WindowPrediction]:
        """Predictions without gradients, in evaluation mode; see the class for the arguments."""
        if self.training:
            raise ValueError("predictions need evaluation mode; call model.eval() first")
        with torch.no_grad():
            predictions = self(images, proposals)
        return list(predictions)

    def _weigh_rpn(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        if not losses:
            return {}
        return {
            "loss_objectness": self.config.weight_objectness * losses["loss_objectness"],
            "loss_rpn_box": self.config.weight_rpn_box * losses["loss_rpn_box_reg"],
        }

    def _classify(self, pyramid: Pyramid, regions: list[Tensor]) -> RegionOutputs:
        parts = with_image_index(regions).split(REGIONS_AT_ONCE)
        outputs = [self.region_head(self._pool(pyramid, part, size=BOX_POOL), part[:, 1:]) for part in parts]
        return RegionOutputs(*(torch.cat(column) for column in zip(*outputs, strict=True)))

    def _masks(self, pyramid: Pyramid, boxes: list[Tensor]) -> Tensor:
        """Logits (N, 28, 28) of the boxes of all images."""
        parts = with_image_index(boxes).split(MASKS_AT_ONCE)
        return torch.cat([self.mask_head(self._pool(pyramid, part, size=MASK_POOL)) for part in parts])

    def _pool(self, pyramid: Pyramid, regions: Tensor, *, size: int) -> Tensor:
        return pool_regions(
            pyramid, regions, strides=self.strides, size=size, coarsest_size=self.config.region_level_size
        )

    def _region_losses(self, pyramid: Pyramid, regions: list[Tensor], targets: list[WindowTarget]) -> dict[str, Tensor]:
        samples = [sample_regions(boxes, target, self.config) for boxes, target in zip(regions, targets, strict=True)]
        outputs = self._classify(pyramid, [sample.boxes for sample in samples])
        losses = region_losses(outputs, samples, self.config, self.class_weights)
        positives = [sample.boxes[sample.labels > 0] for sample in samples]
        by_mask = mask_loss(self._masks(pyramid, positives), mask_targets(samples, targets))
        losses["loss_mask"] = self.config.weight_mask * by_mask
        return losses

    def _predict(
        self, pyramid: Pyramid, regions: list[Tensor], n_external: list[int], shape: tuple[int, int]
    ) -> list[WindowPrediction]:
        scored = score_regions(self._classify(pyramid, regions), regions, self.operating_point)
        return [
            self._predict_window([level[index : index + 1] for level in pyramid], window, n_own, shape)
            for index, (window, n_own) in enumerate(zip(scored, n_external, strict=True))
        ]

    def _predict_window(
        self, pyramid: Pyramid, regions: ScoredRegions, n_external: int, shape: tuple[int, int]
    ) -> WindowPrediction:
        first = n_external if self.config.proposal_mode == "rpn" else 0
        point, config = self.operating_point, self.config
        found = select_detections(regions, point=point, shape=shape, config=config, first=first)
        masks = found.boxes.new_zeros((0, MASK_SIZE, MASK_SIZE))
        if len(found.boxes):
            masks = self._masks(pyramid, [found.boxes]).sigmoid()
        return WindowPrediction(
            boxes=found.boxes,
            scores=found.scores,
            labels=found.labels,
            probabilities=regions.probabilities[found.rows],
            spurious=regions.spurious[found.rows],
            masks=masks,
            proposal_index=torch.where(found.rows < n_external, found.rows, torch.full_like(found.rows, -1)),
            n_dropped=found.n_dropped,
            readout_probabilities=regions.probabilities[:n_external],
            readout_spurious=regions.spurious[:n_external],
            readout_embedding=regions.embedding[:n_external],
        )


def _check_inputs(
    images: Tensor, proposals: Sequence[Tensor], targets: Sequence[WindowTarget] | None, in_channels: int
) -> None:
    if images.ndim != 4 or images.shape[1] != in_channels:
        raise ValueError(f"images must have the shape (B, {in_channels}, H, W), not {tuple(images.shape)}")
    if images.shape[2] % WINDOW_STRIDE or images.shape[3] % WINDOW_STRIDE or 0 in images.shape:
        raise ValueError(
            f"height and width must be multiples of {WINDOW_STRIDE} pixels, not {tuple(images.shape[2:])}; "
            "pad the window with blank pixels"
        )
    if len(proposals) != len(images):
        raise ValueError(f"{len(images)} images need as many proposal tensors, not {len(proposals)}")
    if targets is not None and len(targets) != len(images):
        raise ValueError(f"{len(images)} images need as many targets, not {len(targets)}")


def _clean_target(target: WindowTarget, device: torch.device, shape: tuple[int, int]) -> WindowTarget:
    masks = target["masks"].to(device)
    labels = target["labels"].to(device)
    if masks.shape != (len(labels), *shape) or len(target["boxes"]) != len(labels):
        raise ValueError(
            f"a target has {len(target['boxes'])} boxes, {len(labels)} labels and masks of shape {tuple(masks.shape)}; "
            f"the image has {shape[0]} x {shape[1]} pixels"
        )
    return WindowTarget(boxes=sanitise_boxes(target["boxes"].to(device), shape), labels=labels, masks=masks)
