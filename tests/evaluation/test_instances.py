"""Pixel sets and their overlaps against dense brute force."""

import numpy as np
import pytest

from neanias_ml.evaluation import FieldPair, Instances, box_iou, field_pairs, mask_iou


def random_masks(rng, number, shape=(24, 30)):
    """Boolean masks (number, *shape): overlapping random rectangles, one of them empty."""
    masks = np.zeros((number, *shape), dtype=bool)
    for mask in masks:
        y, x = rng.integers(0, shape[0] - 4), rng.integers(0, shape[1] - 4)
        mask[y : y + rng.integers(1, 14), x : x + rng.integers(1, 14)] = True
    return masks


@pytest.mark.parametrize("seed", range(4))
def test_iou_equals_dense_computation(seed):
    rng = np.random.default_rng(seed)
    one, other = random_masks(rng, 7), random_masks(rng, 9)
    one[3] = False
    iou = mask_iou(
        Instances.from_masks(one, labels=np.ones(7)), Instances.from_masks(other, labels=np.ones(9))
    ).toarray()
    both = (one[:, None] & other[None]).sum(axis=(2, 3))
    either = (one[:, None] | other[None]).sum(axis=(2, 3))
    np.testing.assert_allclose(iou, both / either, rtol=1e-6)


def test_label_map_and_masks_agree_whatever_the_order_of_ids():
    rng = np.random.default_rng(5)
    label_map = rng.integers(0, 9, size=(20, 20))
    ids = np.array([7, 2, 5, 3])
    from_map = Instances.from_label_map(label_map, ids=ids, labels=[1, 2, 3, 4])
    from_masks = Instances.from_masks(label_map[None] == ids[:, None, None], labels=[1, 2, 3, 4])
    assert (from_map.membership != from_masks.membership).nnz == 0
    np.testing.assert_array_equal(from_map.areas, [(label_map == value).sum() for value in ids])


def test_empty_sets_pair_without_error():
    empty = Instances.from_masks(np.zeros((0, 8, 8), dtype=bool), labels=[])
    full = Instances.from_masks(np.ones((2, 8, 8), dtype=bool), labels=[1, 2])
    assert mask_iou(empty, full).shape == (0, 2)
    assert mask_iou(full, Instances.from_label_map(np.zeros((8, 8)), ids=[], labels=[])).nnz == 0


def test_select_by_mask_and_by_index_agree():
    masks = random_masks(np.random.default_rng(1), 5)
    instances = Instances.from_masks(masks, labels=[1, 2, 3, 4, 5], scores=np.linspace(0, 1, 5))
    keep = np.array([True, False, True, False, True])
    assert (instances.select(keep).membership != instances.select([0, 2, 4]).membership).nnz == 0
    assert instances.select(keep).labels.tolist() == [1, 3, 5]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="as many labels"):
        Instances.from_masks(np.ones((2, 4, 4), dtype=bool), labels=[1, 2], scores=[1.0])
    small = Instances.from_masks(np.ones((1, 4, 4), dtype=bool), labels=[1])
    large = Instances.from_masks(np.ones((1, 5, 4), dtype=bool), labels=[1])
    with pytest.raises(ValueError, match="differ in size"):
        mask_iou(small, large)
    with pytest.raises(ValueError, match="1 fields of truth but 2"):
        field_pairs([small], [small, small])


def small_masks(rng, number, shape=(20, 30)):
    masks = np.zeros((number, *shape), dtype=bool)
    for mask in masks:
        y, x = rng.integers(0, 15), rng.integers(0, 24)
        mask[y : y + rng.integers(1, 6), x : x + rng.integers(1, 7)] = True
    return masks


@pytest.mark.parametrize("seed", range(5))
def test_box_iou_and_boxes_are_those_of_torchvision(seed):
    import torch
    from torchvision.ops import box_iou as torch_iou
    from torchvision.ops import masks_to_boxes

    rng = np.random.default_rng(seed)
    one, other = (
        Instances.from_masks(masks, labels=np.ones(len(masks), dtype=int))
        for masks in (small_masks(rng, 6), small_masks(rng, 9))
    )
    boxes = one.boxes(width=30)
    dense = one.membership.toarray().reshape(-1, 20, 30) > 0
    judge = masks_to_boxes(torch.from_numpy(dense)).numpy()
    np.testing.assert_array_equal(boxes - np.array([0, 0, 1, 1]), judge)
    overlaps = box_iou(boxes, other.boxes(width=30)).toarray()
    expected = torch_iou(torch.from_numpy(boxes).double(), torch.from_numpy(other.boxes(width=30)).double())
    np.testing.assert_allclose(overlaps, expected.numpy())


def test_box_iou_of_many_boxes_is_made_block_by_block():
    rng = np.random.default_rng(2)
    corner = rng.uniform(0, 50, size=(600, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 9, size=(600, 2))], axis=1)
    overlaps = box_iou(boxes, boxes).toarray()
    np.testing.assert_allclose(np.diag(overlaps), 1.0)
    np.testing.assert_allclose(overlaps, overlaps.T)


def test_no_boxes_overlap_nothing():
    assert box_iou(np.empty((0, 4)), np.ones((3, 4))).shape == (0, 3)
    assert box_iou(np.ones((3, 4)), np.empty((0, 4))).shape == (3, 0)
    nothing = Instances.from_pixels([np.array([], dtype=np.int64)], size=12, labels=[1])
    np.testing.assert_array_equal(nothing.boxes(width=4), [[0, 0, 0, 0]])


def test_instances_by_pixels_are_those_by_masks():
    masks = small_masks(np.random.default_rng(4), 5)
    one = Instances.from_masks(masks, labels=[1, 2, 1, 3, 2])
    other = Instances.from_pixels([np.flatnonzero(mask) for mask in masks], size=600, labels=[1, 2, 1, 3, 2])
    np.testing.assert_array_equal(one.membership.toarray(), other.membership.toarray())


def test_ignored_share_and_pairs_without_masks():
    masks = np.zeros((3, 4, 4), dtype=bool)
    masks[0, 0], masks[1, :2] = True, True
    instances = Instances.from_masks(masks, labels=[1, 1, 2])
    ignored = np.zeros((4, 4), dtype=bool)
    ignored[0] = True
    np.testing.assert_array_equal(instances.ignored_share(ignored), [1.0, 0.5, 1.0])
    pair = FieldPair.of(instances, instances)
    light = pair.without_masks()
    np.testing.assert_array_equal(light.iou.toarray(), pair.iou.toarray())
    assert light.true.membership.nnz == 0 and len(light.true) == 3
