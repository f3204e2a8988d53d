"""Switches of a recipe reach training and bundle; SIGTERM while a network is judged is noted as the end of the run."""

import dataclasses
import json
import os
import signal

import pytest

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.models.bundle import load_bundle
from neanias_ml.training.detector import finish
from neanias_ml.training.detector.feed import TileFeedConfig
from neanias_ml.training.detector.kind import DetectorKind
from neanias_ml.training.detector.recipe import DetectorRecipe
from neanias_ml.training.fit import train_network
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.run_record import RunWatch

FIT = FitConfig(max_steps=1, batch_size=4, warmup_steps=1, precision="32-true", accelerator="cpu")


@pytest.fixture
def train(prepared_folder, tiny_config, tmp_path, monkeypatch):
    """One step of training."""
    monkeypatch.setattr(finish, "draw_detector_pictures", lambda *_, **__: [])

    def run(*, channels=CHANNEL_NAMES, **model):
        recipe = DetectorRecipe(
            model=dataclasses.replace(tiny_config, in_channels=len(channels), **model),
            feed=TileFeedConfig(validation_tiles=4, channels=channels),
            fit=FIT,
        )
        watch = RunWatch(RunFolder(tmp_path), known={}, configuration={})
        return train_network(DetectorKind(), prepared_folder, tmp_path, recipe=recipe, watch=watch)

    return run


@pytest.mark.parametrize(
    "switches",
    [
        {"proposal_mode": "rpn", "unions_per_tile": 0, "rpn_proposals": 20},
        {"proposal_mode": "replace", "unions_per_tile": 0},
        {"channels": ("asinh_snr", "valid")},
    ],
)
def test_a_run_with_a_switch_leaves_a_bundle_that_knows_of_it(train, switches):
    fitted = train(**switches)
    settings = load_bundle(fitted.bundle).settings
    assert settings.channels == switches.pop("channels", settings.channels)
    assert all(getattr(settings.architecture, name) == value for name, value in switches.items())
    assert all(set(scores["ap50"]) == {"value", "low", "high"} for scores in fitted.report.details["classes"].values())


def test_sigterm_while_scoring_ends_the_run_and_is_noted(train, tmp_path, monkeypatch):
    def terminated(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal came too late")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(finish, "tile_metrics", terminated)
    with pytest.raises(SystemExit) as caught:
        train()
    assert caught.value.code == 143 and signal.getsignal(signal.SIGTERM) == before
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "interrupted"
    assert (tmp_path / "checkpoints" / "last.safetensors").is_file() and not (tmp_path / "bundle").exists()
