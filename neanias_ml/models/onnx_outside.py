"""What an ONNX export leaves to its reader, in the order of use, with the numbers to do it by."""

from __future__ import annotations

from typing import Any

from neanias_ml.datasets.channels import ASINH_SOFTENING, ASINH_UNIT, SMOOTHING_BEAMS, SNR_CLIP
from neanias_ml.models.backbone import BEFORE_NMS_FACTOR, ScaledRPN
from neanias_ml.models.config import TILE_SIDE, WINDOW_STRIDE
from neanias_ml.models.heads import BOX_POOL, MASK_POOL
from neanias_ml.models.masks import MASK_THRESHOLD
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.region_training import BOX_CODER
from neanias_ml.models.regions import LEVEL_MARGIN, MIN_SIDE, SAMPLING_RATIO
from neanias_ml.models.settings import BundleSettings


def outside_steps(model: IslandRCNN, settings: BundleSettings) -> dict[str, Any]:
    """Steps that no ONNX file holds, as plain JSON values."""
    steps = {
        "channels": _channels(settings),
        "proposals": _proposals(settings),
        "rpn_proposals": _rpn_proposals(model.rpn),
        "box_decoding": _decoding("deltas", list(BOX_CODER.weights), BOX_CODER.bbox_xform_clip),
        "box_clean_up": {
            "rule": "clip boxes to the window, then let sides below min_side grow to it about their centre, within "
            "the window; done to proposals before pooling and to decoded boxes",
            "min_side": MIN_SIDE,
        },
        "level_assignment": {
            "rule": "level = clamp(floor(n_levels - 1 + log2(sqrt(width * height) / coarsest_size) + margin), 0, "
            "n_levels - 1); level 0 is level_0",
            "n_levels": len(model.strides),
            "coarsest_size": model.config.region_level_size,
            "margin": LEVEL_MARGIN,
        },
        "roi_align": {
            "rule": "average of sampling_ratio x sampling_ratio bilinear samples per cell, box * spatial scale - 0.5 "
            "(aligned), spatial scale = 1 / stride of the region's level",
            "sampling_ratio": SAMPLING_RATIO,
            "aligned": True,
            "strides": list(model.strides),
            "size_for_region_head": BOX_POOL,
            "size_for_mask_head": MASK_POOL,
        },
        "probabilities": {
            "rule": "class: softmax(class_logits / class_temperature) over background and classes; "
            "P(spurious): sigmoid(artefact_logits / spurious_temperature)",
            "class_temperature": model.operating_point.class_temperature,
            "spurious_temperature": model.operating_point.spurious_temperature,
        },
        "selection": {
            "rule": "a region stands for the most probable class that reaches its threshold; non-maximum suppression "
            "of the decoded boxes whatever the class, best first",
            "score_thresholds": dict(zip(settings.classes, model.operating_point.score_thresholds, strict=True)),
            "nms_iou": model.config.nms_iou,
            "detections_per_window": model.config.detections_per_window,
            "regions": "those of the RPN alone" if model.config.proposal_mode == "rpn" else "all",
            "limits": "detections_per_window and post_nms_top_n are those of windows up to tile_side x tile_side "
            "pixels and grow with the area of larger ones; pre_nms_top_n is then at least pre_nms_factor times the "
            "latter",
            "tile_side": TILE_SIDE,
            "pre_nms_factor": BEFORE_NMS_FACTOR,
        },
        "masks": {
            "rule": "pool the decoded boxes of the detections for the mask head; sigmoid(mask_logits) interpolated "
            "bilinearly from the grid of the box to pixel centres, border values beyond the outermost samples",
            "threshold": MASK_THRESHOLD,
        },
    }
    return {name: step for name, step in steps.items() if step is not None}


def _channels(settings: BundleSettings) -> dict[str, Any]:
    return {
        "rule": "the map resampled to pixels_per_beam, signal to noise from its own background and noise; snr: clipped "
        "to snr_clip and divided by its upper end; asinh_snr: asinh(snr / softening) / asinh_unit, not clipped; "
        "smoothed_snr: the same of the map smoothed by a Gaussian of smoothing_beams beam widths, in its own noise; "
        "island: 1 on islands; valid: 0 where blank (all channels are 0 there)",
        "order": list(settings.channels),
        "pixels_per_beam": settings.pixels_per_beam,
        "snr_clip": list(SNR_CLIP),
        "softening": ASINH_SOFTENING,
        "asinh_unit": ASINH_UNIT,
        "smoothing_beams": SMOOTHING_BEAMS,
        "window_size": settings.window_size,
        "window_multiple": WINDOW_STRIDE,
    }


def _proposals(settings: BundleSettings) -> dict[str, Any]:
    return {
        "rule": "boxes of the islands of the classical extraction with a margin, first; then their enlargements and "
        "the unions of neighbours, as neanias_ml.models.proposals.island_proposals makes them",
        "unions_per_tile": settings.architecture.unions_per_tile,
        "extractor": dict(settings.extractor),
    }


def _rpn_proposals(rpn: ScaledRPN | None) -> dict[str, Any] | None:
    """Anchors and suppression of the RPN; None without one."""
    if rpn is None:
        return None
    cells = rpn.anchor_generator.cell_anchors
    before, after = rpn.limits((TILE_SIDE, TILE_SIDE))
    return {
        "rule": "anchors: the cell's box shifted by (column * stride, row * stride) of each place of each map; decode "
        "them by deltas_*; per map the pre_nms_top_n of the largest objectness; clip to the window, drop sides below "
        "min_side; suppress within each map; of what is left the post_nms_top_n of the largest objectness follow the "
        "islands' proposals",
        "cell_anchors": [[[float(value) for value in box] for box in level.tolist()] for level in cells],
        "pre_nms_top_n": before,
        "post_nms_top_n": after,
        "nms_iou": rpn.nms_thresh,
        "min_side": rpn.min_size,
        "decoding": _decoding("deltas_*", list(rpn.box_coder.weights), rpn.box_coder.bbox_xform_clip),
    }


def _decoding(name: str, weights: list[float], clip: float) -> dict[str, Any]:
    return {
        "rule": f"with (dx, dy, dw, dh) = {name} / weights: centre + (dx * width, dy * height), "
        "(width * exp(min(dw, clip)), height * exp(min(dh, clip)))",
        "weights": [float(weight) for weight in weights],
        "clip": clip,
    }
