"""The trees that weigh the evidence of artefacts."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from neanias_ml.datasets.real.tables import read_rows
from neanias_ml.datasets.real.vlass import ISLAND_COLUMNS, ISLAND_TABLE, Vlass
from neanias_ml.errors import ModelError
from neanias_ml.evaluation.calibration import expected_calibration_error
from neanias_ml.extraction import SourceFinder
from neanias_ml.extraction.artefacts.features import ArtefactFeatures
from neanias_ml.extraction.artefacts.model import ArtefactModel, shipped_model
from neanias_ml.extraction.artefacts.terms import DIRECTIONS, TERMS
from neanias_ml.maps import read_map
from tests.extraction.test_artefacts import sky_with_sidelobes, weigh


def test_the_shipped_model_is_whole_and_damage_is_told(tmp_path):
    model = shipped_model()
    model.save(tmp_path / "model.json", notes={"fields": 3})
    text = (tmp_path / "model.json").read_text()
    again = ArtefactModel.read(text)
    assert again.intercept == model.intercept
    for name in ("roots", "term", "threshold", "low", "high", "value"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
    content = json.loads(text)
    with pytest.raises(ModelError, match="area"):
        ArtefactModel.read(json.dumps(content | {"terms": [name for name in TERMS if name != "area"]}))
    with pytest.raises(ModelError, match="train/artefact_evidence"):
        ArtefactModel.read("no json")
    for damaged in (
        {"low": [0] * len(content["low"])},
        {"roots": [len(content["term"])]},
        {"value": content["value"][:-1]},
        {"term": [len(TERMS)] * len(content["term"])},
        {"intercept": float("nan")},
    ):
        with pytest.raises(ModelError, match="damaged"):
            ArtefactModel.read(json.dumps(content | damaged))


def changed(features, **columns):
    return ArtefactFeatures(
        **{field.name: getattr(features, field.name) for field in dataclasses.fields(ArtefactFeatures)} | columns
    )


def test_leaves_add_up_to_the_log_odds():
    """Two trees by hand: one on the signal to noise, one on it and on the hole beside the peak."""
    radio_map, _ = sky_with_sidelobes(1)
    features, _ = weigh(radio_map)
    rows = np.arange(4) % len(features)
    features = changed(features.select(rows), snr=np.array([6.0, 20.0, 6.0, 20.0]), hole_depth=np.full(4, 0.5))
    features = changed(features, hole_depth=np.array([0.5, 0.5, 0.1, 0.1]))
    snr, hole = TERMS.index("snr"), TERMS.index("hole_depth")
    model = ArtefactModel(
        intercept=-1.0,
        roots=np.array([0, 3]),
        term=np.array([snr, -1, -1, hole, -1, snr, -1, -1]),
        threshold=np.array([np.log(10.0), 0, 0, np.log(0.3), 0, np.log(10.0), 0, 0]),
        low=np.array([1, 0, 0, 4, 0, 6, 0, 0]),
        high=np.array([2, 0, 0, 5, 0, 7, 0, 0]),
        value=np.array([0, 0.5, -0.5, 0, -0.25, 0, 2.0, 1.0]),
    )
    expected = np.array([-1 + 0.5 + 2.0, -1 - 0.5 + 1.0, -1 + 0.5 - 0.25, -1 - 0.5 - 0.25])
    np.testing.assert_allclose(model.probability(features), 1 / (1 + np.exp(-expected)), rtol=1e-12)


@pytest.mark.parametrize(
    "column", ["hole_depth", "near_hole", "deepest_negative", "opposite_holes", "snr", "plateau"]
)
def test_the_shipped_model_keeps_to_the_directions(column):
    """The deeper the hole the more likely an artefact, whatever the island is like otherwise."""
    radio_map, _ = sky_with_sidelobes(2)
    features, _ = weigh(radio_map)
    low, high = (4.0, 40.0) if column == "snr" else (0.02, 1.0)
    steps = [changed(features, **{column: np.full(len(features), value)}) for value in np.linspace(low, high, 12)]
    probabilities = np.stack([shipped_model().probability(step) for step in steps])
    assert (DIRECTIONS[column] * np.diff(probabilities, axis=0) >= -1e-12).all()


@pytest.mark.skipif("NEANIAS_REAL_DATA" not in os.environ, reason="needs NEANIAS_REAL_DATA")
def test_artefacts_of_vlass_are_told_from_sources():
    """Positions where three epochs tell; the model has seen them, so this holds the level that it then has."""
    vlass = Vlass(Path(os.environ["NEANIAS_REAL_DATA"]) / "VLASS_multiepoch")
    rows = read_rows(vlass.folder / ISLAND_TABLE, columns=ISLAND_COLUMNS)
    rows = [row for row in rows if row["label"] in ("real", "spurious")]
    probability, spurious = [], []
    for entry in vlass.entries:
        known = [row for row in rows if row["file"] == entry.path.name]
        extraction = SourceFinder()(read_map(entry.path)) if known else None
        for row in known:
            table = extraction.islands.table
            distance = np.hypot(table.peak_x - int(row["xpeak"]), table.peak_y - int(row["ypeak"]))
            if len(table) and distance.min() <= 4.0:
                probability.append(table.p_spurious[np.argmin(distance)])
                spurious.append(row["label"] == "spurious")
    p, truth = np.array(probability), np.array(spurious)
    assert truth.sum() >= 25 and (~truth).sum() >= 160
    assert np.mean(p[truth] > np.quantile(p[~truth], 0.95)) >= 0.92
    assert expected_calibration_error(p, truth, n_bins=10) < 0.05
