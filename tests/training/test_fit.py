"""Training runs: losses fall, runs resume, bundles load, metrics of known predictions are known."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from neanias_ml.errors import InputError, UsageError
from neanias_ml.evaluation import FieldPair, Instances
from neanias_ml.models.bundle import load_bundle
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.training.batches import TileDataset, collate
from neanias_ml.training.detector_task import DetectorTask, evaluation_losses
from neanias_ml.training.fit import FitConfig, balanced, train_detector
from neanias_ml.training.tile_scores import (
    TileOutcome,
    choose_thresholds,
    fit_temperatures,
    island_labels,
    score_tiles,
    tile_metrics,
    true_instances,
)
from tests.training.conftest import make_tile

FIT = FitConfig(
    max_steps=30, batch_size=4, learning_rate=2e-3, warmup_steps=5, average_decay=0.8, precision="32-true",
    accelerator="cpu", validation_tiles=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(prepared_folder, tiny_config, tmp_path_factory):
    """A finished run of 30 steps."""
    folder = tmp_path_factory.mktemp("run")
    return folder, train_detector(prepared_folder, folder, model=tiny_config, fit=FIT)


def logged(folder, column):
    with (folder / "log" / "metrics.csv").open() as stream:
        return [float(row[column]) for row in csv.DictReader(stream) if row.get(column)]


def test_validation_loss_falls(run):
    losses = logged(run[0], "validation/loss")
    assert len(losses) >= 4
    assert losses[-1] < 0.8 * losses[0]


def test_bundle_holds_model_calibration_and_card(run, tiny_config):
    folder, fitted = run
    bundle = load_bundle(fitted.bundle)
    assert bundle.digest == fitted.digest
    assert bundle.settings.pixels_per_beam == 6.0 and bundle.settings.window_size == FIT.window_size
    assert bundle.settings.operating_point != OperatingPoint()
    assert bundle.settings.architecture.class_weights != tiny_config.class_weights
    assert "| compact |" in (fitted.bundle / "MODEL_CARD.md").read_text()
    assert json.loads((folder / "metrics.json").read_text()) == fitted.metrics
    with torch.no_grad():
        (prediction,) = bundle.model(torch.zeros(1, 5, 64, 64), [torch.tensor([[5.0, 5, 20, 20]])])
    assert prediction.readout_probabilities.shape == (1, 6)


def test_a_finished_run_resumes_to_the_same_weights(run, prepared_folder, tiny_config):
    folder, fitted = run
    before = load_bundle(fitted.bundle).model.state_dict()
    again = train_detector(prepared_folder, folder, model=tiny_config, fit=FIT, resume=True)
    after = load_bundle(again.bundle).model.state_dict()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, msg=name)


def test_resuming_goes_on_where_the_run_stopped(prepared_folder, tiny_config, tmp_path):
    short = dataclasses.replace(FIT, max_steps=6)
    train_detector(prepared_folder, tmp_path, model=tiny_config, fit=short)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=False)
    assert state["global_step"] == 6
    longer = dataclasses.replace(short, max_steps=9)
    train_detector(prepared_folder, tmp_path, model=tiny_config, fit=longer, resume=True)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=False)
    assert state["global_step"] == 9
    with pytest.raises(InputError, match="without --resume"):
        train_detector(prepared_folder, tmp_path / "new", model=tiny_config, fit=short, resume=True)


def test_a_run_needs_an_end_and_fitting_channels(prepared_folder, tiny_config, tmp_path):
    with pytest.raises(UsageError, match="needs an end"):
        FitConfig()
    with pytest.raises(UsageError, match="seed"):
        FitConfig(max_steps=1, seed=-1)
    with pytest.raises(InputError, match="prepare the data again"):
        train_detector(prepared_folder, tmp_path, model=dataclasses.replace(tiny_config, in_channels=3), fit=FIT)
    other = shutil.copytree(prepared_folder, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"class_labels": {"compact": 1}}))
    with pytest.raises(InputError, match="other classes"):
        train_detector(other, tmp_path, model=tiny_config, fit=FIT)


def test_class_weights_favour_rare_classes_and_leave_unseen_ones(tiny_config):
    weights = balanced(tiny_config, (100, 5000, 0, 700, 5000), beta=0.999).class_weights
    assert weights[0] == 1.0 and weights[2] == 1.0 and weights[3] == 1.0 and weights[5] == 1.0
    assert weights[1] > weights[4] > 1.0
    assert balanced(tiny_config, (1, 2, 3, 4, 5), beta=0.0) == tiny_config


def test_evaluation_losses_leave_batch_statistics_alone(tiny_config):
    task = DetectorTask(tiny_config)
    batch = collate([TileDataset([make_tile(0)], pixels_per_beam=6.0)[0]])
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    with torch.no_grad():
        losses = evaluation_losses(task.model, batch)
    assert set(losses) == {"loss_class", "loss_box", "loss_artefact", "loss_mask"}
    for name, value in task.model.state_dict().items():
        torch.testing.assert_close(value, before[name], msg=name)
    assert not task.model.training


def perfect_outcome(tile, *, confidence=1.0):
    """What a detector would say that is always right."""
    true = true_instances(tile)
    predicted = Instances(true.membership, true.labels, np.full(len(true), confidence))
    labels = np.append(tile.labels, 0)[tile.island_instance[tile.learnable_islands] - 1]
    return TileOutcome(
        pair=FieldPair.of(true, predicted),
        probabilities=np.eye(6)[labels] * confidence + (1 - confidence) / 6,
        labels=labels,
        spurious=np.where(labels == 1, 1.0, 0.0),
        is_spurious=labels == 1,
        field=tile.field,
    )


def test_metrics_of_perfect_predictions_are_perfect():
    tiles = [make_tile(seed, field=f"f{seed // 2}") for seed in range(6)]
    metrics = tile_metrics([perfect_outcome(tile) for tile in tiles])
    assert metrics["all"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert metrics["classes"]["compact"]["ap50"] == 1.0 and metrics["classes"]["flagged"]["f1"]["value"] is None
    assert metrics["islands"]["accuracy"] == 1.0 and metrics["fields"] == 3
    assert np.trace(np.array(metrics["confusion"])) == sum(len(tile.labels) for tile in tiles)
    json.dumps(metrics, allow_nan=False)


def test_temperature_of_overconfident_answers_is_above_one():
    rng = np.random.default_rng(0)
    outcome = perfect_outcome(make_tile(0))
    labels = rng.integers(0, 6, 400)
    said = np.where(rng.random(400) < 0.6, labels, rng.integers(0, 6, 400))
    outcome = dataclasses.replace(
        outcome,
        labels=labels,
        probabilities=np.eye(6)[said] * 0.98 + 0.02 / 6,
        spurious=np.where(rng.random(400) < 0.8, labels == 1, labels != 1) * 0.98 + 0.01,
        is_spurious=labels == 1,
    )
    point = fit_temperatures([outcome])
    assert point.class_temperature > 1.5 and point.spurious_temperature > 1.5


def test_thresholds_cut_off_the_false_detections():
    tile = make_tile(0).replace(labels=np.array([2, 2, 2]))
    true = true_instances(tile)
    empty = np.zeros((2, tile.size, tile.size), bool)
    empty[:, :2, :2] = True
    false = Instances.from_masks(empty, labels=[2, 2], scores=[0.3, 0.4])
    membership = type(true.membership)(np.concatenate([true.membership.toarray(), false.membership.toarray()]))
    predicted = Instances(membership, np.full(5, 2), np.array([0.9, 0.8, 0.7, 0.3, 0.4]))
    outcome = dataclasses.replace(perfect_outcome(tile), pair=FieldPair.of(true, predicted))
    point = choose_thresholds([outcome], point=OperatingPoint())
    assert point.score_thresholds == (0.05, 0.7, 0.05, 0.05, 0.05)


def test_scores_of_tiles_have_one_row_per_learnable_island(tiny_config):
    model = IslandRCNN(tiny_config).eval()
    tiles = [make_tile(seed) for seed in range(3)]
    outcomes = score_tiles(model, tiles, pixels_per_beam=6.0, batch_size=2)
    for tile, outcome in zip(tiles, outcomes, strict=True):
        assert outcome.probabilities.shape == (3, 6) and outcome.labels.shape == (3,)
        np.testing.assert_allclose(outcome.probabilities.sum(axis=1), 1.0, atol=1e-6)
        labels, spurious = island_labels(tile, model)
        np.testing.assert_array_equal(labels[:3], tile.labels)
        assert not spurious.any()


def test_card_names_real_maps_and_what_they_lack():
    from neanias_ml.training.card import _limits_of_data, _sources

    real = {"sources": {"simulated": {"maps": 300}, "radiogalaxynet": {"maps": 1730}}}
    assert _sources(real) == "simulated 300, radiogalaxynet 1730"
    text = _limits_of_data(real)
    assert "RadioGalaxyNET holds no fluxes" in text and "lower bound" in text
    assert "simulated fields alone" in _limits_of_data({"sources": {"simulated": {"maps": 3}}})
