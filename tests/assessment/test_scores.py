"""Metrics over maps: against pycocotools, and where they can be told by hand."""

import contextlib
import dataclasses
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from neanias_ml.assessment import scores as by_class
from neanias_ml.assessment.answers import class_answers, object_answers, rejection, spurious_answers
from neanias_ml.assessment.binned import EXTENDED_LABELS, binned_shares, completeness, found_and_real
from neanias_ml.assessment.findings import evaluation_report, measure, metrics_of
from neanias_ml.assessment.groupings import grouping_reports
from neanias_ml.assessment.map_score import LINKING_LENGTHS, IslandAnswers, MapScore
from neanias_ml.assessment.truth import Surroundings
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.evaluation import FieldPair, Instances, box_iou, count_grouping
from neanias_ml.evaluation.report import report_from_json
from neanias_ml.models.classes import CLASS_NAMES

SHAPE = (48, 64)


def field(rng, n_objects=7):
    """Rectangles, and predictions that are shifted, doubled, left out or of another class."""
    true, labels, predicted, guesses, scores = [], [], [], [], []
    for _ in range(n_objects):
        y, x, height, width = rng.integers(0, 34), rng.integers(0, 50), rng.integers(4, 12), rng.integers(4, 12)
        mask = np.zeros(SHAPE, dtype=bool)
        mask[y : y + height, x : x + width] = True
        true.append(mask)
        labels.append(int(rng.integers(1, 6)))
        for _ in range(int(rng.integers(0, 3))):
            moved = np.zeros_like(mask)
            dy, dx = rng.integers(-2, 3, size=2)
            moved[max(y + dy, 0) : y + height + dy, max(x + dx, 0) : x + width + dx] = True
            predicted.append(moved)
            guesses.append(labels[-1] if rng.random() < 0.8 else int(rng.integers(1, 6)))
            scores.append(float(rng.random()))
    return (
        Instances.from_masks(np.array(true), labels=labels),
        Instances.from_masks(np.array(predicted).reshape(-1, *SHAPE).astype(bool), labels=guesses, scores=scores),
    )


def surroundings(n, rng=None):
    if rng is None:
        return Surroundings(np.full(n, 10.0), np.full(n, 3.0), np.full(n, np.inf))
    return Surroundings(rng.uniform(5, 200, n), rng.uniform(1, 90, n), rng.uniform(0, 90, n))


def map_score(true, predicted, *, rng=None, drawn=None, islands=None, grouped=((1, 1), (1, 1))):
    pair = FieldPair.of(true, predicted)
    boxes = box_iou(true.boxes(width=SHAPE[1]), predicted.boxes(width=SHAPE[1]))
    counts = np.array(count_grouping(*grouped))
    alone = np.array(count_grouping(grouped[0], np.arange(len(grouped[0]))))
    nothing = IslandAnswers(np.zeros(0, dtype=bool), *(np.zeros(0) for _ in range(3)))
    return MapScore(
        name="map",
        network=pair.without_masks(),
        boxes=FieldPair(true.without_masks(), predicted.without_masks(), boxes),
        classical=pair.without_masks(),
        drawn=drawn,
        true=surroundings(len(true), rng),
        predicted=surroundings(len(predicted), rng),
        islands=islands or nothing,
        grouped=counts,
        alone=alone,
        linked=np.tile(alone, (len(LINKING_LENGTHS), 1)),
        n_islands=len(grouped[0]),
        n_objects=len(predicted),
        n_without_island=0,
    )


@pytest.fixture(scope="module")
def fields():
    rng = np.random.default_rng(5)
    return [field(rng) for _ in range(8)]


@pytest.fixture(scope="module")
def scored(fields):
    rng = np.random.default_rng(6)
    maps = [map_score(true, predicted, rng=rng) for true, predicted in fields]
    return by_class.ScoredMaps.of(maps, [0, 1, 2, 2, 3, 4, 5, 6])


def coco_precision(fields, kind):
    """COCO's own average precision (class, threshold), ``kind`` segm or bbox."""
    images, annotations, results = [], [], []
    for number, (true, predicted) in enumerate(fields, start=1):
        images.append({"id": number, "height": SHAPE[0], "width": SHAPE[1]})
        for instances, rows in ((true, annotations), (predicted, results)):
            masks = instances.membership.toarray().reshape(-1, *SHAPE) > 0
            for mask, label, score in zip(masks, instances.labels.tolist(), instances.scores.tolist(), strict=True):
                runs = RunLengthMask.of(mask)
                x0, y0, x1, y1 = runs.box
                rows.append(
                    {"id": len(rows) + 1, "image_id": number, "category_id": label, "score": score, "iscrowd": 0,
                     "segmentation": {"size": list(SHAPE), "counts": runs.text}, "area": int(mask.sum()),
                     "bbox": [x0, y0, x1 - x0, y1 - y0]}
                )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": images, "annotations": annotations, "info": {},
            "categories": [{"id": label + 1, "name": name} for label, name in enumerate(CLASS_NAMES)],
        }  # fmt: skip
        truth.createIndex()
        if kind == "bbox":  # with masks in the results, COCO would take the boxes of those
            results = [{key: value for key, value in row.items() if key != "segmentation"} for row in results]
        judge = COCOeval(truth, truth.loadRes(results), kind)
        judge.params.maxDets = [1, 10, 10_000]
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][:, :, :, 0, 2].mean(axis=1).T


def test_average_precision_is_that_of_pycocotools(fields, scored):
    ours = by_class.class_scores(scored)
    masks, boxes = coco_precision(fields, "segm"), coco_precision(fields, "bbox")
    for row, name in enumerate(CLASS_NAMES):
        assert ours[name].ap50.value == pytest.approx(masks[row, 0])
        assert ours[name].ap.value == pytest.approx(masks[row].mean())
        assert ours[name].box_ap50.value == pytest.approx(boxes[row, 0])
        assert ours[name].ap50.low <= ours[name].ap50.value <= ours[name].ap50.high


def test_intervals_know_that_maps_of_one_area_are_one(scored):
    assert scored.resamples.n_areas == 7
    apart = by_class.ScoredMaps.of(scored.maps, range(8))
    same = by_class.ScoredMaps.of(scored.maps, [0] * 8)
    assert by_class.f1_of_all(apart).value == by_class.f1_of_all(scored).value == by_class.f1_of_all(same).value
    assert np.isnan(by_class.f1_of_all(same).low)


def one_map(labels, guesses, scores=None, *, found=None):
    """Columns of masks, predicted exactly where ``found``."""
    masks = np.zeros((len(labels), *SHAPE), dtype=bool)
    for row in range(len(labels)):
        masks[row, :, 4 * row : 4 * row + 3] = True
    true = Instances.from_masks(masks, labels=labels)
    moved = masks.copy()
    for row in range(len(labels)):
        if found is not None and not found[row]:
            moved[row] = np.roll(masks[row], 28, axis=1)
    return true, Instances.from_masks(moved, labels=guesses, scores=scores)


def test_sources_called_spurious_are_not_found_and_spurious_ones_are_no_sources():
    true, predicted = one_map([1, 2, 3, 3], [2, 2, 1, 4], found=[True, True, True, False])
    found, real = found_and_real(FieldPair.of(true, predicted))
    assert found.tolist() == [False, True, False, False]
    assert real.tolist() == [False, True, False, False]


def test_completeness_reliability_and_calibration_worked_by_hand():
    true, predicted = one_map([2, 2, 3, 4], [2, 3, 3, 4], [0.9, 0.6, 0.8, 0.7], found=[True, True, True, False])
    one = map_score(true, predicted)
    one = dataclasses.replace(
        one, true=dataclasses.replace(one.true, snr=np.array([5.5, 7.0, 7.0, 300.0])),
        predicted=dataclasses.replace(one.predicted, snr=np.array([5.5, 7.0, 7.0, 300.0])),
    )  # fmt: skip
    scored = by_class.ScoredMaps.of([one, one], [0, 1])
    complete, reliable = binned_shares(scored)["snr"]
    assert complete.totals.tolist() == [0, 2, 4, 0, 0, 0, 0, 2]
    assert [round(share.value, 3) for share in complete.shares if np.isfinite(share.value)] == [1.0, 1.0, 0.0]
    assert [share.value for share in reliable.shares][-1] == 0.0
    # no bright source anywhere: all in the last bin
    assert binned_shares(scored)["bright_distance"][0].totals[-1] == 8
    assert completeness(scored, EXTENDED_LABELS).value == 0.5
    matched, every = class_answers(scored), object_answers(scored)
    assert matched.outcome.tolist() == [True, False, True] * 2
    assert every.outcome.tolist() == [True, False, True, False] * 2
    expected = (0.1 + 0.6 + 0.2 + 0.7) / 4
    assert every.error(scored).value == pytest.approx(expected)


def test_rejection_beside_its_baselines():
    rng = np.random.default_rng(8)
    maps = []
    for _ in range(6):
        spurious = np.arange(40) < 12
        answers = IslandAnswers(
            spurious,
            network=np.where(spurious, rng.uniform(0.6, 1, 40), rng.uniform(0, 0.5, 40)),
            classical=np.full(40, np.nan),
            snr=np.where(spurious, 6.0, rng.uniform(5, 50, 40)),
        )
        maps.append(map_score(*one_map([2], [2]), islands=answers))
    scored = by_class.ScoredMaps.of(maps, range(6))
    assert rejection(scored, "network").value == 1.0
    assert rejection(scored, "classical").value == 0.0
    assert spurious_answers(scored, "snr").probability.max() < 0
    assert 0 <= rejection(scored, "snr").value <= 1


def test_groupings_beside_no_association():
    maps = [map_score(*one_map([2], [2]), grouped=((1, 1, 2, 3), (1, 1, 2, 2))) for _ in range(3)]
    reports, length = grouping_reports(by_class.ScoredMaps.of(maps, range(3)))
    assert reports["network"].metrics["exact_set_multi"].value == 1.0
    assert reports["network"].metrics["singles_kept"].value == 0.0
    assert reports["no association"].metrics["exact_set_multi"].value == 0.0
    assert reports["network"].true_multi == 3 and reports["network"].singles == 6
    assert length == LINKING_LENGTHS[0]  # the shortest of equals


def test_the_report_holds_finite_figures_alone(scored):
    findings = measure(scored)
    metrics = metrics_of(findings)
    assert metrics["f1_all"].low <= metrics["f1_all"].value <= metrics["f1_all"].high
    assert "spurious_rejected" not in metrics  # no island of known nature
    assert all(0 <= metric.value <= 1 for metric in metrics.values())
    report = evaluation_report(findings, model_digest="a", data_digest="b", split="test", details={"seed": 1})
    again = report_from_json(report.to_json(), where="memory")
    assert again == report and again.network == "detection" and again.primary == "f1_all"
    assert again.details["calibration_error"]["p_spurious"]["value"] is None
