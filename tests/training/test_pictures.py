"""What the pictures of training show: numbers against sklearn and by hand, panels, labels, files."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn import calibration, metrics

from neanias_ml.evaluation import FieldPair, Instances, average_precision, precision_recall_curve
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.classes import CLASS_NAMES
from neanias_ml.training.detector.pictures import PICTURES, at_point, draw_detector_pictures
from neanias_ml.training.detector.tile_scores import UNDECIDED, TileOutcome
from neanias_ml.training.pictures.confusion import draw_confusion, row_shares
from neanias_ml.training.pictures.loss_curves import draw_loss_curves, smoothed
from neanias_ml.training.pictures.metric_log import MetricSeries, learning_rate, loss_parts, read_metric_log
from neanias_ml.training.pictures.mosaic import (
    LabelledTile,
    OutlinedInstance,
    choose_tiles,
    draw_mosaic,
    place_texts,
    short_names,
    stretched,
)
from neanias_ml.training.pictures.precision_recall import draw_precision_recall
from neanias_ml.training.pictures.reliability import StatedProbabilities, draw_reliability
from neanias_ml.training.pictures.style import class_looks, lightened, write_pictures
from tests.training.conftest import make_tile

HEADER = "epoch,lr,step,train/loss,train/loss_box,validation/loss,validation/loss_box\n"


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def drawn(figure):
    """Lays everything out, so that errors of drawing show."""
    figure.canvas.draw()
    return figure


# the log of a run


def write_log(path, steps, *, value, every=100):
    lines = [HEADER]
    for step in steps:
        lines.append(f"0,{1e-3 * step},{step},,,,\n")
        lines.append(f"0,,{step},{value},{value / 2},,\n")
        if step % every == 0:
            lines.append(f"0,,{step},,,{value / 4},\n")
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(lines))


def test_log_by_column(tmp_path):
    write_log(tmp_path / "log" / "metrics.csv", range(10, 201, 10), value=8.0)
    for place in (tmp_path / "log", tmp_path / "log" / "metrics.csv"):
        log = read_metric_log(place)
        assert set(log) == {"lr", "train/loss", "train/loss_box", "validation/loss"}
        np.testing.assert_array_equal(log["train/loss"].steps, np.arange(10, 201, 10))
        np.testing.assert_array_equal(log["validation/loss"].steps, [100, 200])
        np.testing.assert_array_equal(log["validation/loss"].values, 2.0)
        assert loss_parts(log) == ["loss_box"]
        np.testing.assert_allclose(learning_rate(log).values, 1e-3 * log["lr"].steps)


@pytest.mark.parametrize(
    "names",
    [
        ("metrics-0001.csv", "metrics-0002.csv", "metrics.csv"),
        ("metrics-9.csv", "metrics-10.csv", "metrics.csv"),
        ("version_0/metrics.csv", "version_1/metrics.csv", "version_2/metrics.csv"),
    ],
)
def test_resumed_pieces_are_joined_without_what_was_lost(tmp_path, names):
    write_log(tmp_path / names[0], range(10, 101, 10), value=1.0)
    # crashed before its first checkpoint: the third piece takes up at the same step
    write_log(tmp_path / names[1], range(60, 81, 10), value=2.0)
    write_log(tmp_path / names[2], range(60, 201, 10), value=3.0)
    log = read_metric_log(tmp_path)
    np.testing.assert_array_equal(log["train/loss"].steps, np.arange(10, 201, 10))
    np.testing.assert_array_equal(log["train/loss"].values, np.where(np.arange(10, 201, 10) < 60, 1.0, 3.0))
    np.testing.assert_array_equal(log["validation/loss"].values, 0.75)


def test_a_log_that_was_written_on_after_a_crash(tmp_path):
    write_log(tmp_path / "metrics.csv", range(10, 101, 10), value=1.0)
    first = (tmp_path / "metrics.csv").read_text()
    write_log(tmp_path / "metrics.csv", range(60, 121, 10), value=2.0)
    again = (tmp_path / "metrics.csv").read_text().removeprefix(HEADER)
    (tmp_path / "metrics.csv").write_text(first + "0,,77,nan,,\n0,,7" + "\n" + again + "0,,1x,3.0")
    log = read_metric_log(tmp_path)
    np.testing.assert_array_equal(log["train/loss"].steps, np.arange(10, 121, 10))
    np.testing.assert_array_equal(log["train/loss"].values, np.where(np.arange(10, 121, 10) < 60, 1.0, 2.0))


def test_no_log(tmp_path):
    assert read_metric_log(tmp_path / "log") == {}
    (tmp_path / "metrics.csv").write_text("")
    assert read_metric_log(tmp_path) == {}
    assert learning_rate({}) is None


def test_learning_rate_of_the_first_group():
    series = MetricSeries(np.array([1]), np.array([0.1]))
    other = MetricSeries(np.array([1]), np.array([0.2]))
    assert learning_rate({"lr-AdamW/pg2": other, "lr-AdamW/pg1": series}) is series


# loss curves


def run_metrics():
    steps = np.arange(0, 500, 5)
    rng = np.random.default_rng(0)
    loss = 9 * np.exp(-steps / 100) + 0.5
    validation = np.array([3.0, 1.0, 0.5, 0.25, 0.5])
    series = {"train/loss": loss * rng.uniform(0.8, 1.2, len(steps)), "lr": 1e-4 * steps}
    parts = {f"train/loss_{name}": loss / 4 for name in ("box", "class", "mask", "artefact")}
    checked = np.arange(100, 501, 100)
    found = {name: MetricSeries(steps, values) for name, values in (series | parts).items()}
    return found | {name: MetricSeries(checked, validation) for name in ("validation/loss", "validation/loss_box")}


def test_loss_curves():
    log = run_metrics()
    figure = drawn(draw_loss_curves(log))
    total, rate, *parts = figure.axes
    assert [axes.get_title(loc="left") for axes in parts] == ["artefact", "box", "class", "mask"]
    assert total.get_ylabel() == "total loss" and total.get_yscale() == "log"
    assert (rate.get_xlabel(), rate.get_ylabel()) == ("optimiser step", "learning rate")
    lines = {line.get_label(): line for line in total.lines}
    np.testing.assert_array_equal(lines["validation"].get_xdata(), np.arange(100, 501, 100))
    np.testing.assert_array_equal(lines["validation"].get_ydata(), [3, 1, 0.5, 0.25, 0.5])
    np.testing.assert_allclose(lines["training"].get_ydata(), smoothed(log["train/loss"]))
    best = lines["best: 0.25 at step 400"]
    assert best.get_xydata().tolist() == [[400, 0.25]]
    np.testing.assert_array_equal(rate.lines[0].get_ydata(), log["lr"].values)
    assert {line.get_label() for line in parts[1].lines} >= {"training", "validation"}


def test_loss_curves_of_a_run_that_logged_little():
    few = {"train/loss": MetricSeries(np.array([3]), np.array([0.0]))}
    total, rate = drawn(draw_loss_curves(few)).axes
    assert total.get_yscale() == "linear"
    assert texts_of(rate) == ["the learning rate was not logged"]
    total, _ = drawn(draw_loss_curves({})).axes
    assert texts_of(total) == ["no loss was logged"]


def test_smoothing_keeps_lines_and_takes_out_noise():
    line = MetricSeries(np.arange(400), np.linspace(1, 5, 400))
    np.testing.assert_allclose(smoothed(line)[10:-10], line.values[10:-10])
    noise = MetricSeries(np.arange(4000), np.random.default_rng(2).normal(size=4000))
    assert smoothed(noise).std() == pytest.approx(1 / math.sqrt(101), rel=0.25)


# precision and recall


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=40), st.integers(0, 5))
def test_curve_agrees_with_sklearn(answers, missed):
    scores, hits = np.array([score for score, _ in answers]) / 12, np.array([hit for _, hit in answers])
    if not hits.any():
        return
    curve = precision_recall_curve(scores, hits, n_true=int(hits.sum()) + missed)
    precision, recall, thresholds = metrics.precision_recall_curve(hits, scores)
    np.testing.assert_allclose(curve.scores[::-1], thresholds)
    np.testing.assert_allclose(curve.precision[::-1], precision[:-1])
    scale = hits.sum() / (hits.sum() + missed)
    np.testing.assert_allclose(curve.recall[::-1], recall[:-1] * scale)
    for threshold in thresholds:
        kept = scores >= threshold
        expected = metrics.precision_score(hits, kept), metrics.recall_score(hits, kept) * scale
        assert curve.at(threshold) == pytest.approx(expected)
    assert curve.at(1.01) is None


def test_average_precision_is_that_of_the_curve_without_ties():
    rng = np.random.default_rng(5)
    hits = rng.random(300) < 0.4
    scores = np.where(hits, rng.beta(4, 2, 300), rng.beta(2, 4, 300))
    curve = precision_recall_curve(scores, hits, n_true=int(hits.sum()))
    # sklearn's mean takes the precision as it is, COCO's the best from there on; with many answers they are close
    assert curve.average_precision == pytest.approx(metrics.average_precision_score(hits, scores), abs=0.02)
    assert curve.average_precision > metrics.average_precision_score(hits, scores)
    precision, recall, _ = metrics.precision_recall_curve(hits, scores)
    by_hand = [precision[recall >= point - 1e-12].max() for point in np.linspace(0, 1, 101)]
    assert curve.average_precision == pytest.approx(np.mean(by_hand))


def test_precision_recall_picture():
    rng = np.random.default_rng(3)
    names, curves, thresholds = ["compact", "FR-I", "rare"], [], [0.4, 0.6, 0.5]
    for n_true in (40, 30):
        hits = rng.random(50) < 0.5
        curves.append(precision_recall_curve(rng.random(50), hits, n_true=n_true))
    curves.append(precision_recall_curve([], [], n_true=0))
    figure = drawn(draw_precision_recall(curves, names, thresholds=thresholds))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("recall (completeness)", "precision (reliability)")
    labelled = {line.get_label().split(":")[0]: line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(labelled) == names
    assert labelled["rare"].get_label() == "rare: none in the data"
    for name, curve, threshold in zip(names[:2], curves, thresholds, strict=False):
        np.testing.assert_array_equal(labelled[name].get_xdata(), curve.recall)
        np.testing.assert_array_equal(labelled[name].get_ydata(), curve.precision)
        assert f"AP {curve.average_precision:.3f}, {curve.n_true} true" in labelled[name].get_label()
        precision, recall = curve.at(threshold)
        assert any(line.get_xydata().tolist() == [[recall, precision]] for line in axes.lines)
    assert len({line.get_color() for line in labelled.values()}) == 3


# confusion


def test_confusion_shows_counts_and_shares():
    rng = np.random.default_rng(4)
    true, predicted = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    matrix = metrics.confusion_matrix(true, predicted)
    expected = metrics.confusion_matrix(true, predicted, normalize="true")
    np.testing.assert_allclose(row_shares(matrix), expected)
    axes, bar = drawn(draw_confusion(matrix, ["FR-I", "FR-II", "other"])).axes
    np.testing.assert_allclose(axes.images[0].get_array(), expected)
    cells = zip(matrix.ravel(), expected.ravel(), strict=True)
    assert texts_of(axes) == [f"{count}\n{100 * share:.0f} %" for count, share in cells]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["FR-I", "FR-II", "other"]
    totals = [label.get_text() for label in axes.get_yticklabels()]
    assert totals == [f"{name}\n{(true == k).sum()}" for k, name in enumerate(("FR-I", "FR-II", "other"))]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class, number")
    assert bar.get_ylabel() == "share of the row"


def test_confusion_with_background_and_empty_rows():
    axes, _ = drawn(draw_confusion([[0, 3], [0, 0]], ["background", "compact"], with_background=True)).axes
    assert texts_of(axes) == ["-", "3\n100 %", "0\n0 %", "0\n0 %"]
    assert axes.get_yticklabels()[0].get_text() == "no object\n(background)\n3"
    assert axes.get_xticklabels()[0].get_text() == "missed\n(background)"
    with pytest.raises(ValueError, match="2 classes"):
        draw_confusion([[1]], ["a", "b"])


# reliability


def test_reliability_agrees_with_sklearn():
    rng = np.random.default_rng(6)
    probability = rng.random(2000)
    outcome = rng.random(2000) < probability**1.5
    panels = [StatedProbabilities("first", probability, outcome, stated="P(x)"), StatedProbabilities("empty", [], [])]
    figure = drawn(draw_reliability(panels, n_bins=10))
    diagram, empty, counts, no_counts = figure.axes
    share, stated = calibration.calibration_curve(outcome, probability, n_bins=10)
    points = diagram.containers[0].lines[0]
    np.testing.assert_allclose(points.get_xdata(), stated)
    np.testing.assert_allclose(points.get_ydata(), share)
    numbers = np.histogram(probability, np.linspace(0, 1, 11))[0]
    np.testing.assert_array_equal([bar.get_height() for bar in counts.patches], numbers)
    error = np.average(np.abs(share - stated), weights=numbers)
    assert texts_of(diagram) == [f"calibration error {100 * error:.1f} %\n2000 answers"]
    assert (counts.get_xlabel(), counts.get_ylabel()) == ("P(x)", "answers")
    assert diagram.get_ylabel() == "share of right answers"
    assert texts_of(empty) == ["no answers"]
    assert [bar.get_height() for bar in no_counts.patches] == [0] * 10


# mosaic


def test_worst_and_typical_tiles():
    errors = [9, 8, 7, 0, 1, 1, 1, 0]
    f1 = [0.1, 0.1, 0.2, 1.0, 0.8, 0.7, 0.75, math.nan]
    fields = ["a", "a", "b", "c", "d", "e", "f", "g"]
    worst, typical = choose_tiles(errors, f1, groups=fields, n_worst=2, n_typical=3)
    assert worst == [0, 2], "a second tile of field a comes after those of other fields"
    assert typical == [5, 6, 4], "by distance from the median F1 of 0.7"
    worst, typical = choose_tiles(errors, f1, groups=fields, n_worst=8, n_typical=8)
    assert worst == [0, 2, 4, 5, 6, 1]
    assert typical == [3]
    assert choose_tiles([], [], groups=[]) == ([], [])
    assert choose_tiles([0], [math.nan], groups=["a"]) == ([], [])


def test_short_names():
    assert list(short_names(CLASS_NAMES).values()) == ["S", "C", "E", "EM", "F"]
    assert list(short_names(["compact", "core", "FR-I", "FR-II", "ring"]).values()) == [
        "Com", "Cor", "FR-I", "FR-II", "R"
    ]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(10, 240), st.integers(10, 240)), min_size=1, max_size=3))
def test_texts_stay_inside_and_apart(centres):
    boxes = [(x - 4.0, y - 4.0, x + 4.0, y + 4.0) for x, y in centres]
    places = place_texts(boxes, [20.0] * len(boxes), height=7.0, size=256)
    for index, (x, y) in enumerate(places):
        assert 10 <= x <= 246 and 3.5 <= y <= 252.5
        for a, b in places[:index]:
            assert abs(x - a) >= 20 or abs(y - b) >= 7


def test_stretch_is_that_of_signal_to_noise():
    values = stretched(np.array([[-2.0, 0.0, 30.0], [np.nan, 5.0, -9.0]], np.float32))
    assert np.isnan(values[1, 0])
    scale = math.asinh(20) + math.asinh(2 / 1.5)
    np.testing.assert_allclose(values[0], [0, math.asinh(2 / 1.5) / scale, 1], atol=1e-6)
    assert values[1, 2] == 0
    assert np.isnan(stretched(np.full((2, 2), np.nan, np.float32))).all()


def test_mosaic_pairs():
    mask = np.zeros((32, 32), bool)
    mask[4:9, 6:12] = True
    nothing = np.zeros((32, 32), bool)
    tile = LabelledTile(
        "a tile",
        np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32),
        true=(OutlinedInstance(mask, "FR-I"), OutlinedInstance(mask.T, "FR-II")),
        predicted=(OutlinedInstance(mask, "FR-II", 0.87), OutlinedInstance(nothing, "FR-I", 0.5)),
    )
    figure = drawn(draw_mosaic([tile] * 3, ["FR-I", "FR-II"], title="three tiles"))
    assert len(figure.axes) == 6
    for left, right in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("a tile\ntruth", "prediction")
        assert len(left.collections) == 2 and len(right.collections) == 1
        assert texts_of(left) == [] and texts_of(right) == [f"{short_names(['FR-I', 'FR-II'])['FR-II']} 87"]
        outline = left.collections[0].get_paths()[0].vertices
        assert (outline.min(axis=0) < [6, 4]).all() and (outline.max(axis=0) > [11, 8]).all()
        np.testing.assert_allclose(left.images[0].get_array(), stretched(tile.significance))
    assert len(figure.legends[0].get_texts()) == 2
    assert len(drawn(draw_mosaic([], ["FR-I"], title="none")).axes) == 0


def test_looks_of_unknown_classes_differ():
    looks = class_looks(["compact", "FR-I", "FR-II", "other"])
    assert len({style.colour for style in looks.values()}) == 4
    assert looks["compact"].colour == class_looks(["compact"])["compact"].colour
    assert lightened("#000000", white=1.0) == "#ffffff" and lightened("#0072b2", white=0.0) == "#0072b2"


# files of a detector


def make_outcomes(number=6):
    """Tiles with their truth as prediction, but for one miss, one false detection and one low score each."""
    tiles, outcomes = [], []
    rng = np.random.default_rng(1)
    for index in range(number):
        tile = make_tile(index, field=f"field-{index // 2}")
        true = Instances.from_label_map(tile.instances, ids=np.arange(1, len(tile.labels) + 1), labels=tile.labels)
        masks = true.membership.toarray().reshape(-1, tile.size, tile.size)[1:] > 0
        false = np.zeros_like(masks[:1])
        false[0, :5, :5] = True
        scores = [*rng.uniform(0.6, 1, len(masks)), 0.2]
        predicted = Instances.from_masks(
            np.concatenate([masks, false]), labels=[*tile.labels[1:], 1], scores=scores
        )
        n = len(tile.labels)
        outcomes.append(
            TileOutcome(
                pair=FieldPair.of(true, predicted),
                probabilities=rng.dirichlet(np.ones(6), n),
                labels=np.array([UNDECIDED, *tile.labels[1:]]),
                spurious=rng.random(n),
                is_spurious=rng.random(n) < 0.5,
                field=tile.field,
            )
        )
        tiles.append(tile)
    return outcomes, tiles


POINT = OperatingPoint(score_thresholds=(0.5,) * len(CLASS_NAMES))


def draw(folder, log, **changes):
    outcomes, tiles = make_outcomes()
    values = {"outcomes": outcomes, "tiles": tiles, "class_names": CLASS_NAMES, "point": POINT}
    return draw_detector_pictures(folder, log=log, **(values | changes))


def test_pictures_of_a_detector(tmp_path):
    write_log(tmp_path / "log" / "metrics.csv", range(10, 201, 10), value=8.0)
    written = draw(tmp_path / "pictures", tmp_path / "log" / "metrics.csv")
    assert [path.name for path in written] == list(PICTURES)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == sorted(PICTURES)
    for path in written:
        with Image.open(path) as image:
            assert image.format == "PNG" and min(image.size) >= 500 and max(image.size) <= 2000
            assert "Software" not in image.info
    first = {path.name: path.read_bytes() for path in written}
    again = draw(tmp_path / "pictures", tmp_path / "log")
    assert {path.name: path.read_bytes() for path in again} == first, "the same pictures for the same run"


def test_without_a_log_old_loss_curves_go(tmp_path):
    (tmp_path / "loss_curves.png").write_bytes(b"of another run")
    written = draw(tmp_path, tmp_path / "log", outcomes=[], tiles=[])
    assert written == [] and list(tmp_path.iterdir()) == []


def test_the_operating_point_decides_what_counts():
    (outcome, *_), _ = make_outcomes(1)
    kept = at_point(outcome.pair, POINT)
    assert len(kept.predicted) == len(outcome.pair.predicted) - 1
    assert (kept.predicted.scores >= 0.5).all()
    perfect = average_precision([kept], n_classes=5)
    present = np.isfinite(perfect)
    recall = np.array([(kept.predicted.labels == k).sum() / max((kept.true.labels == k).sum(), 1) for k in range(1, 6)])
    np.testing.assert_allclose(perfect[present], recall[present], atol=0.01)


def test_without_matplotlib_one_line_and_no_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw(tmp_path / "pictures", tmp_path / "log") == []
    assert capsys.readouterr().out == "no pictures of the training: matplotlib is not installed\n"
    assert not (tmp_path / "pictures").exists()


def test_tiles_belong_to_outcomes(tmp_path):
    with pytest.raises(ValueError, match="as many tiles"):
        draw(tmp_path / "pictures", tmp_path / "log", tiles=[])


def test_a_picture_that_fails_leaves_the_earlier_ones(tmp_path):
    (tmp_path / "a.png").write_bytes(b"before")

    def fail():
        raise RuntimeError("while drawing")

    figure = draw_confusion([[1, 0], [0, 1]], ["a", "b"])
    with pytest.raises(RuntimeError):
        write_pictures(tmp_path, {"a.png": lambda: figure, "b.png": fail}, names=["a.png", "b.png"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.png": b"before"}


def test_no_picture_module_imports_matplotlib_by_itself():
    import subprocess

    code = (
        "import sys; from neanias_ml.training.pictures import "
        "confusion, loss_curves, mosaic, precision_recall, reliability, style; "
        "sys.exit('matplotlib.figure' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
