from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from neanias_ml.models.heads import MASK_SIZE
from neanias_ml.models.losses import artefact_loss, class_loss, effective_number_weights, mask_loss
from neanias_ml.models.masks import crop_masks, paste_masks
from neanias_ml.models.regions import (
    AMBIGUOUS,
    UNMATCHED,
    match_regions,
    pairwise_overlap,
    pool_regions,
    pyramid_levels,
    sanitise_boxes,
)

coordinate = st.floats(-500, 500, width=32)


@given(st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=8))
@settings(deadline=None, max_examples=50)
def test_sanitised_boxes_lie_inside_and_have_area(rows):
    boxes = sanitise_boxes(torch.tensor(rows, dtype=torch.float32).reshape(-1, 4), (64, 96), min_side=2.0)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= 96 + 1e-4).all() and (boxes[:, 3] <= 64 + 1e-4).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 2 - 1e-4).all()


def test_good_boxes_stay_as_they_are():
    boxes = torch.tensor([[0.0, 0.0, 96.0, 64.0], [3.25, 4.5, 9.75, 60.0]])
    assert torch.equal(sanitise_boxes(boxes, (64, 96)), boxes)


def test_pooling_a_ramp_gives_the_coordinates_of_the_bins():
    """Feature value = x of the pixel it stands for; RoIAlign must return the centres of the bins."""
    strides = [2, 4]
    features = []
    for stride in strides:
        centres = (torch.arange(128 // stride) + 0.5) * stride
        features.append(centres.expand(1, 1, 128 // stride, -1).contiguous())
    regions = torch.tensor([[0.0, 20.0, 30.0, 34.0, 44.0], [0.0, 10.0, 8.0, 122.0, 120.0]])
    pooled = pool_regions(features, regions, strides=strides, size=7, coarsest_size=100.0)
    first = 20 + (torch.arange(7) + 0.5) * 2
    second = 10 + (torch.arange(7) + 0.5) * 16
    torch.testing.assert_close(pooled[0, 0, 3], first)
    torch.testing.assert_close(pooled[1, 0, 3], second)


def test_levels_double_in_size():
    sides = torch.tensor([6.0, 27.0, 29.0, 60.0, 111.9, 113.0, 900.0])
    boxes = torch.stack([sides * 0, sides * 0, sides, sides], dim=1)
    assert pyramid_levels(boxes, n_levels=4, coarsest_size=112.0).tolist() == [0, 0, 1, 2, 2, 3, 3]


def test_overlap_against_torchvision_and_a_hand_count():
    rng = torch.Generator().manual_seed(1)
    corners = torch.rand((20, 2), generator=rng) * 50
    boxes = torch.cat([corners, corners + 1 + torch.rand((20, 2), generator=rng) * 30], dim=1)
    torch.testing.assert_close(pairwise_overlap(boxes, boxes)[0], box_iou(boxes, boxes))
    part = pairwise_overlap(torch.tensor([[0.0, 0.0, 4.0, 2.0]]), torch.tensor([[1.0, 0.0, 9.0, 9.0]]))[1]
    assert part.item() == pytest.approx(0.75)


def test_matching_bands():
    truth = torch.tensor([[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]])
    regions = torch.tensor(
        [
            [0.0, 0.0, 10.0, 6.0],
            [0.0, 0.0, 10.0, 4.5],
            [0.0, 0.0, 10.0, 3.0],
            [50.0, 50.0, 60.0, 59.0],
            [20.0, 20.0, 30.0, 30.0],
        ]
    )
    matched, best, contained = match_regions(regions, truth, foreground_iou=0.5, background_iou=0.4)
    assert matched.tolist() == [0, AMBIGUOUS, UNMATCHED, 1, UNMATCHED]
    assert best[:4].tolist() == [0, 0, 0, 1]
    assert contained.tolist() == [1, 1, 1, 1, 0]
    assert match_regions(regions, truth[:0], foreground_iou=0.5, background_iou=0.4)[0].tolist() == [UNMATCHED] * 5


def test_mask_survives_crop_and_paste():
    y, x = np.mgrid[:64, :64]
    disc = torch.from_numpy((x - 30.2) ** 2 + (y - 25.7) ** 2 < 15**2)
    small = torch.zeros((64, 64), dtype=torch.bool)
    small[10:16, 40:47] = True
    masks = torch.stack([disc, small])
    boxes = torch.tensor([[14.0, 9.0, 47.0, 43.0], [38.5, 8.0, 48.0, 18.25]])
    crops = crop_masks(masks, boxes, torch.tensor([0, 1]), size=MASK_SIZE)
    pasted = paste_masks(boxes, crops, (64, 64))
    for before, after in zip(masks, pasted, strict=True):
        assert (before & after).sum() / (before | after).sum() > 0.93


def test_paste_fills_exactly_the_pixels_whose_centres_are_inside():
    boxes = torch.tensor([[3.0, 5.0, 9.0, 12.0], [-4.0, 60.6, 2.4, 80.0]])
    pasted = paste_masks(boxes, torch.ones((2, 28, 28)), (64, 64))
    expected = torch.zeros((2, 64, 64), dtype=torch.bool)
    expected[0, 5:12, 3:9] = True
    expected[1, 61:64, 0:2] = True
    assert torch.equal(pasted, expected)
    assert paste_masks(torch.zeros((0, 4)), torch.zeros((0, 28, 28)), (64, 64)).shape == (0, 64, 64)


def test_effective_number_weights_by_hand():
    weights = effective_number_weights([1, 1000], beta=0.999)
    raw = [1.0, (1 - 0.999) / (1 - 0.999**1000)]
    assert weights[0] / weights[1] == pytest.approx(raw[0] / raw[1])
    assert sum(weights) == pytest.approx(2)
    assert effective_number_weights([7, 7, 7]) == pytest.approx((1, 1, 1))
    with pytest.raises(ValueError, match="non-negative"):
        effective_number_weights([-1])


def test_losses_of_nothing_are_zero_and_of_the_truth_small():
    ones = torch.ones(6)
    assert class_loss(torch.zeros((0, 6)), torch.zeros(0, dtype=torch.long), weights=ones) == 0
    assert mask_loss(torch.zeros((0, 28, 28)), torch.zeros((0, 28, 28))) == 0
    assert artefact_loss(torch.zeros(0), torch.zeros(0, dtype=torch.bool), gamma=2) == 0
    target = torch.zeros((1, 28, 28))
    target[:, 5:20, 4:9] = 1
    assert mask_loss(40 * target - 20, target) < 1e-6
    assert mask_loss(20 - 40 * target, target) > 10


def test_class_loss_is_the_weighted_mean():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    labels = torch.tensor([0, 1, 1])
    weights = torch.tensor([1.0, 3.0])
    loss = class_loss(logits, labels, weights=weights)
    terms = [math.log(1 + math.exp(-2)), 3 * math.log(1 + math.exp(-1)), 3 * math.log(2)]
    assert loss.item() == pytest.approx(sum(terms) / 7, rel=1e-5)


def test_focal_loss_by_hand():
    logit = 1.3
    p = 1 / (1 + math.exp(-logit))
    loss = artefact_loss(torch.tensor([logit, logit]), torch.tensor([True, False]), gamma=2.0)
    expected = (-((1 - p) ** 2) * math.log(p) - p**2 * math.log(1 - p)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
