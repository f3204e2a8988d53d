"""Matching, precision, recall, AP and CAESAR's definitions against brute force, pycocotools and sklearn."""

import contextlib
import io
import itertools

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import confusion_matrix as sklearn_confusion

from neanias_ml.evaluation import (
    Instances,
    average_precision,
    caesar_scores,
    confusion_matrix,
    count_by_class,
    field_pairs,
    match_one_to_one,
)

N_CLASSES = 3


def scene(rng, *, n_objects=8, shape=(64, 64)):
    """True and predicted masks of a field: shifted copies, wrong classes, misses and inventions."""
    true, predicted, labels, guesses, scores = [], [], [], [], []
    for _ in range(n_objects):
        y, x, height, width = rng.integers(0, 48), rng.integers(0, 48), rng.integers(4, 14), rng.integers(4, 14)
        label = int(rng.integers(1, N_CLASSES + 1))
        mask = np.zeros(shape, dtype=bool)
        mask[y : y + height, x : x + width] = True
        true.append(mask)
        labels.append(label)
        for _ in range(int(rng.integers(0, 3))):
            predicted.append(np.roll(mask, tuple(rng.integers(-2, 3, size=2)), axis=(0, 1)))
            guesses.append(label if rng.random() < 0.8 else int(rng.integers(1, N_CLASSES + 1)))
            scores.append(float(rng.random()))
    stack = np.array(predicted).reshape(-1, *shape).astype(bool)
    return (np.array(true), labels), (stack, guesses, scores)


def scenes(seed, number=6):
    rng = np.random.default_rng(seed)
    return [scene(rng) for _ in range(number)]


def paired(raw):
    true = [Instances.from_masks(masks, labels=labels) for (masks, labels), _ in raw]
    predicted = [Instances.from_masks(masks, labels=labels, scores=scores) for _, (masks, labels, scores) in raw]
    return field_pairs(true, predicted)


def best_total(iou, threshold):
    """Largest summed IoU of any one-to-one matching, by trying all of them."""
    gain = np.where(iou >= threshold, iou, 0.0)
    if gain.shape[0] > gain.shape[1]:
        gain = gain.T
    rows = np.arange(gain.shape[0])
    return max(gain[rows, list(order)].sum() for order in itertools.permutations(range(gain.shape[1]), len(rows)))


@pytest.mark.parametrize("seed", range(6))
def test_matching_is_optimal_and_one_to_one(seed):
    rng = np.random.default_rng(seed)
    iou = rng.random((5, 6)) * (rng.random((5, 6)) < 0.6)
    rows, columns = match_one_to_one(sparse.coo_array(iou), threshold=0.3)
    assert len(set(rows)) == len(rows) and len(set(columns)) == len(columns)
    assert (iou[rows, columns] >= 0.3).all()
    assert iou[rows, columns].sum() == pytest.approx(best_total(iou, 0.3))


def test_counts_of_a_scene_worked_by_hand():
    masks = np.zeros((3, 10, 30), dtype=bool)
    for index in range(3):
        masks[index, :, 10 * index : 10 * index + 8] = True
    true = Instances.from_masks(masks, labels=[1, 1, 2])
    guesses = np.concatenate([masks[:1], masks[:1], masks[1:2], masks[2:]])
    predicted = Instances.from_masks(guesses, labels=[1, 1, 2, 2], scores=[0.9, 0.8, 0.9, 0.2])
    pairs = field_pairs([true], [predicted])
    counts = count_by_class(pairs, n_classes=2).total()
    assert counts.hits.tolist() == [1, 1]
    assert counts.recall.tolist() == [0.5, 1.0]
    assert counts.precision.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(counts.f1, [0.5, 2 / 3])
    cut = count_by_class(pairs, n_classes=2, score_threshold=0.5).total()
    assert cut.hits.tolist() == [1, 0]
    assert confusion_matrix(pairs, n_classes=2).tolist() == [[0, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_perfect_predictions_score_one_and_unseen_classes_nan():
    raw = [((masks, labels), (masks, labels, np.ones(len(labels)))) for (masks, labels), _ in scenes(3)]
    pairs = paired(raw)
    counts = count_by_class(pairs, n_classes=N_CLASSES + 1).total()
    np.testing.assert_array_equal(counts.f1[:N_CLASSES], 1.0)
    assert np.isnan(counts.f1[N_CLASSES])
    np.testing.assert_array_equal(average_precision(pairs, n_classes=N_CLASSES), 1.0)


def test_confusion_agrees_with_sklearn_where_objects_do_not_overlap():
    rng = np.random.default_rng(2)
    masks = np.eye(40, dtype=bool)[:, None, :]
    truth, guess = rng.integers(1, 4, size=40), rng.integers(1, 4, size=40)
    pairs = field_pairs([Instances.from_masks(masks, labels=truth)], [Instances.from_masks(masks, labels=guess)])
    ours = confusion_matrix(pairs, n_classes=3)
    np.testing.assert_array_equal(ours[1:, 1:], sklearn_confusion(truth, guess, labels=[1, 2, 3]))
    assert ours[0].sum() == 0 and ours[:, 0].sum() == 0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_average_precision_agrees_with_pycocotools(seed, threshold):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is the judge of this test")
    from pycocotools import mask as coco_mask
    from pycocotools.cocoeval import COCOeval

    raw = scenes(seed)
    annotations, results = [], []
    for image, ((masks, labels), (guesses, classes, scores)) in enumerate(raw, start=1):
        for mask, label in zip(masks, labels, strict=True):
            rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": label, "segmentation": rle}
            annotations.append({**entry, "area": float(mask.sum()), "iscrowd": 0, "bbox": [0, 0, 1, 1]})
        for mask, label, score in zip(guesses, classes, scores, strict=True):
            rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            results.append({"image_id": image, "category_id": label, "segmentation": rle, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image + 1, "height": 64, "width": 64} for image in range(len(raw))],
            "annotations": annotations,
            "categories": [{"id": label, "name": str(label)} for label in range(1, N_CLASSES + 1)],
        }
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(results), "segm")
        judge.params.iouThrs = np.array([threshold])
        judge.evaluate()
        judge.accumulate()
    expected = judge.eval["precision"][0, :, :, 0, -1].mean(axis=0)
    ours = average_precision(paired(raw), n_classes=N_CLASSES, iou_threshold=threshold)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_average_precision_without_predictions_is_zero_and_without_truth_nan():
    masks = np.ones((1, 4, 4), dtype=bool)
    nothing = Instances.from_masks(np.zeros((0, 4, 4), dtype=bool), labels=[])
    pairs = field_pairs([Instances.from_masks(masks, labels=[1])], [nothing])
    ap = average_precision(pairs, n_classes=2)
    assert ap[0] == 0.0 and np.isnan(ap[1])


def caesar_by_definition(raw, iou_threshold=0.6, score_threshold=0.7):
    """caesar-mrcnn's loops, written out over dense masks."""
    table, pure = np.zeros((N_CLASSES, N_CLASSES)), np.zeros(N_CLASSES)
    true, detected = np.zeros(N_CLASSES), np.zeros(N_CLASSES)
    for (masks, labels), (guesses, classes, scores) in raw:
        kept = [index for index, score in enumerate(scores) if score >= score_threshold]
        overlap = lambda one, other: (one & other).sum() / (one | other).sum()  # noqa: E731
        for mask, label in zip(masks, labels, strict=True):
            true[label - 1] += 1
            values = [(overlap(mask, guesses[index]), -index) for index in kept]
            if values and max(values)[0] >= iou_threshold:
                table[label - 1, classes[-max(values)[1]] - 1] += 1
        for index in kept:
            detected[classes[index] - 1] += 1
            values = [(overlap(mask, guesses[index]), -number) for number, mask in enumerate(masks)]
            if max(values)[0] >= iou_threshold and labels[-max(values)[1]] == classes[index]:
                pure[classes[index] - 1] += 1
    return table, true, pure, detected


@pytest.mark.parametrize("seed", range(3))
def test_caesar_definition(seed):
    raw = scenes(seed)
    table, true, pure, detected = caesar_by_definition(raw)
    scores = caesar_scores(paired(raw), n_classes=N_CLASSES)
    np.testing.assert_allclose(scores.completeness, table.sum(axis=1) / true)
    np.testing.assert_allclose(scores.classification, table / true[:, None])
    seen = detected > 0
    np.testing.assert_allclose(scores.reliability[seen], (pure / np.maximum(detected, 1))[seen])
    assert np.isnan(scores.reliability[~seen]).all()
    assert scores.overall_completeness == pytest.approx(table.sum() / true.sum())
    assert scores.overall_reliability == pytest.approx(pure.sum() / detected.sum())


def test_caesar_mode_lets_two_detections_claim_one_object():
    mask = np.ones((1, 4, 4), dtype=bool)
    pair = field_pairs(
        [Instances.from_masks(mask, labels=[1])],
        [Instances.from_masks(np.repeat(mask, 2, axis=0), labels=[1, 1], scores=[0.9, 0.8])],
    )
    assert caesar_scores(pair, n_classes=1).reliability[0] == 1.0
    assert count_by_class(pair, n_classes=1).total().precision[0] == 0.5
