"""Architecture and training constants of IslandRCNN, as they are kept in a bundle's ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from neanias_ml.models.classes import CLASS_NAMES

ProposalMode = Literal["augment", "replace", "rpn"]

N_OUTPUTS = len(CLASS_NAMES) + 1
"""Outputs of the class head: background, then ``CLASS_NAMES``."""

WINDOW_STRIDE = 32
"""Window height and width must be multiples of this (the stride of the deepest map with the pooled stem)."""

TILE_SIDE = 256
"""Side in pixels of the windows of training, to which limits on numbers of regions refer."""


def tiles_in(shape: tuple[int, int]) -> float:
    """Area of a window in tiles of `TILE_SIDE`, at least 1: what is limited per tile may be as dense in any window."""
    return max(1.0, shape[0] * shape[1] / TILE_SIDE**2)


@dataclass(frozen=True, kw_only=True)
class IslandRCNNConfig:
    """Everything that fixes the shape and the losses of an `IslandRCNN`.

    Raises
    ------
    ValueError
        If a value is outside its range.
    """

    in_channels: int = 5
    """float channels of an image"""
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    """basic blocks per residual stage: (2, 2, 2, 2) is ResNet-18, (3, 4, 6, 3) is ResNet-34"""
    stem_pool: bool = False
    """max-pool after the first convolution; without it the finest map has stride 2, as fits sources a beam wide"""
    fpn_channels: int = 128
    fpn_batch_norm: bool = True
    """normalise the pyramid too: nothing is pre-trained"""
    head_features: int = 256
    """width of the two fully connected layers of the region head"""
    mask_channels: int = 128
    """width of the four convolutions of the mask head"""
    box_reference: float = 6.0
    """pixels per beam: region sizes enter the class head as log2(side / box_reference)"""
    region_level_size: float = 112.0
    """side in pixels of the regions that are pooled from the coarsest of the four maps; half of it, one finer, ..."""

    proposal_mode: ProposalMode = "augment"
    """``augment`` adds proposals of an RPN to the islands, ``replace`` builds no RPN, ``rpn`` finds objects by its RPN
    alone: islands are read out, but neither learnt from nor detected"""
    unions_per_tile: int = 64
    """unions of neighbouring islands among the proposals, the most plausible ones, per 256 x 256 pixels of a window
    (more where islands are crowded); 0 proposes islands alone"""
    anchor_sizes: tuple[float, ...] = (8.0, 16.0, 32.0, 64.0, 128.0)
    """one size in pixels per pyramid level"""
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    rpn_proposals: int = 50
    """proposals of the RPN per 256 x 256 pixels of a window, after its suppression"""
    rpn_nms_iou: float = 0.7

    regions_per_image: int = 128
    """regions sampled per image for the losses"""
    positive_fraction: float = 0.5
    foreground_iou: float = 0.5
    background_iou: float = 0.4
    """regions between the two are left out of the losses: a compact source's IoU turns on one pixel"""
    artefact_containment: float = 0.7
    """share of a region inside a true box from which the artefact head learns that region too"""
    class_weights: tuple[float, ...] = (1.0,) * N_OUTPUTS
    """weights of background and the classes in the cross-entropy"""
    label_smoothing: float = 0.0
    artefact_gamma: float = 2.0
    weight_class: float = 1.0
    weight_box: float = 0.5
    weight_mask: float = 0.5
    weight_artefact: float = 0.5
    weight_objectness: float = 1.0
    weight_rpn_box: float = 0.5

    nms_iou: float = 0.5
    """detections overlapping a better one by more are dropped, whatever their class"""
    detections_per_window: int = 300
    """most detections of a window of 256 x 256 pixels, of a larger one in proportion; those left out are counted"""

    def __post_init__(self) -> None:
        if len(self.blocks) != 4 or min(self.blocks) < 1:
            raise ValueError(f"blocks must be four positive counts, not {self.blocks}")
        if len(self.anchor_sizes) != 5:
            raise ValueError(f"anchor_sizes must hold one size for each of the five levels, not {self.anchor_sizes}")
        if self.proposal_mode not in get_args(ProposalMode):
            raise ValueError(f"proposal_mode must be one of {get_args(ProposalMode)}, not {self.proposal_mode!r}")
        if self.unions_per_tile < 0:
            raise ValueError(f"unions_per_tile must not be negative, as {self.unions_per_tile} is")
        if len(self.class_weights) != N_OUTPUTS or min(self.class_weights) < 0:
            raise ValueError(f"class_weights must be {N_OUTPUTS} non-negative numbers, not {self.class_weights}")
        if not 0 < self.background_iou <= self.foreground_iou <= 1:
            raise ValueError("0 < background_iou <= foreground_iou <= 1 does not hold")
        counts = ("in_channels", "fpn_channels", "head_features", "mask_channels", "regions_per_image")
        for name in (*counts, "rpn_proposals", "detections_per_window", "box_reference", "region_level_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
