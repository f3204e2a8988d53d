"""Scores of tiles, calibration and class weights of the detector, and what a run of it leaves."""

import dataclasses
import json

import numpy as np
import torch

from neanias_ml.evaluation import FieldPair, Instances
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.training.card_text import sources_text
from neanias_ml.training.detector.batches import TileDataset, TileView, collate
from neanias_ml.training.detector.card import limits_of_data
from neanias_ml.training.detector.kind import balanced
from neanias_ml.training.detector.task import DetectorTask, evaluation_losses
from neanias_ml.training.detector.tile_scores import (
    TileOutcome,
    choose_thresholds,
    fit_temperatures,
    island_labels,
    score_tiles,
    tile_metrics,
    true_instances,
)
from tests.training.conftest import make_tile


def test_class_weights_favour_rare_classes_and_leave_unseen_ones(tiny_config):
    weights = balanced(tiny_config, (100, 5000, 0, 700, 5000), beta=0.999).class_weights
    assert weights[0] == 1.0 and weights[2] == 1.0 and weights[3] == 1.0 and weights[5] == 1.0
    assert weights[1] > weights[4] > 1.0
    assert balanced(tiny_config, (1, 2, 3, 4, 5), beta=0.0) == tiny_config


def test_evaluation_losses_leave_batch_statistics_alone(tiny_config):
    task = DetectorTask(tiny_config)
    batch = collate([TileDataset([make_tile(0)], view=TileView(pixels_per_beam=6.0))[0]])
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
    assert metrics["classes"]["compact"]["ap50"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert metrics["classes"]["flagged"]["f1"]["value"] is None
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
    outcomes = score_tiles(model, tiles, view=TileView(pixels_per_beam=6.0), batch_size=2)
    for tile, outcome in zip(tiles, outcomes, strict=True):
        assert outcome.probabilities.shape == (3, 6) and outcome.labels.shape == (3,)
        np.testing.assert_allclose(outcome.probabilities.sum(axis=1), 1.0, atol=1e-6)
        labels, spurious = island_labels(tile, model)
        np.testing.assert_array_equal(labels[:3], tile.labels)
        assert not spurious.any()


def test_card_names_real_maps_and_what_they_lack():
    real = {"sources": {"simulated": {"maps": 300}, "radiogalaxynet": {"maps": 1730}}}
    assert sources_text(real) == "simulated 300, radiogalaxynet 1730"
    text = limits_of_data(real)
    assert "RadioGalaxyNET holds no fluxes" in text and "lower bound" in text
    assert "simulated fields alone" in limits_of_data({"sources": {"simulated": {"maps": 3}}})
