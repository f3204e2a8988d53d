"""Training where the memory of the GPU does not suffice: smaller batches, said so, or a sentence."""

import dataclasses
import json

import pytest
import torch

from neanias_ml.errors import ResourceError
from neanias_ml.models.bundle import load_bundle
from neanias_ml.training.detector.feed import TileFeedConfig
from neanias_ml.training.detector.kind import DetectorKind
from neanias_ml.training.detector.recipe import DetectorRecipe
from neanias_ml.training.detector.task import DetectorTask
from neanias_ml.training.fit import train_network
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.memory import FIRST_STEPS, smaller_batches
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.run_record import RunWatch

FIT = FitConfig(max_steps=3, batch_size=8, warmup_steps=1, precision="32-true", accelerator="cpu")


@pytest.fixture
def train(prepared_folder, tiny_config, tmp_path, monkeypatch):
    """Trains where a batch of more than ``most`` tiles does not fit."""
    monkeypatch.setattr("neanias_ml.training.detector.finish.draw_detector_pictures", lambda *_, **__: [])
    original = DetectorTask.losses

    def run(most, *, first_steps=0, **changes):
        def losses(task, batch):
            if task.training and task.global_step >= first_steps and len(batch.images) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return original(task, batch)

        monkeypatch.setattr(DetectorTask, "losses", losses)
        fit = dataclasses.replace(FIT, **changes)
        recipe = DetectorRecipe(model=tiny_config, feed=TileFeedConfig(validation_tiles=4), fit=fit)
        watch = RunWatch(RunFolder(tmp_path), known={}, configuration={})
        return train_network(DetectorKind(), prepared_folder, tmp_path, recipe=recipe, watch=watch)

    return run


def test_batches_are_halved_until_they_fit_and_steps_keep_their_size(train, tmp_path, capsys):
    fitted = train(2)
    training = load_bundle(fitted.bundle).settings.metadata["training"]
    assert (training["batch_size"], training["accumulate"]) == (2, 4)
    said = capsys.readouterr().out
    assert "does not suffice for batches of 8" in said and "beginning anew with 2, 4 of them for a step" in said
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["state"] == "finished" and record["steps"] == 3
    assert (record["batch_size"], record["accumulate"]) == (2, 4)
    assert [attempt["state"] for attempt in record["attempts"]] == ["failed", "failed"]


def test_the_smaller_batches_are_what_a_run_with_them_would_be(train, prepared_folder, tiny_config, tmp_path):
    """Nothing of the failed attempt stays: the same weights as of a run that began with small batches."""
    after = load_bundle(train(4).bundle).model.state_dict()
    recipe = DetectorRecipe(
        model=tiny_config,
        feed=TileFeedConfig(validation_tiles=4),
        fit=dataclasses.replace(FIT, batch_size=4, accumulate=2),
    )
    direct = train_network(DetectorKind(), prepared_folder, tmp_path / "direct", recipe=recipe)
    for name, value in load_bundle(direct.bundle).model.state_dict().items():
        assert torch.equal(after[name], value), name


def test_a_single_sample_that_does_not_fit_is_the_end(train):
    with pytest.raises(ResourceError, match="a single sample") as caught:
        train(0, batch_size=1)
    assert caught.value.code == "OutOfMemory" and caught.value.exit_code == 4


def test_steps_that_were_taken_are_not_thrown_away(train, tmp_path):
    options = {"max_steps": FIRST_STEPS + 2, "batch_size": 2, "checkpoint_minutes": 1e-9}
    with pytest.raises(ResourceError, match=r"--resume auto --fit.batch_size 1 --fit.accumulate 2"):
        train(1, first_steps=FIRST_STEPS, **options)
    assert (tmp_path / "checkpoints" / "last.safetensors").is_file()
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "failed"


def test_processes_that_train_together_do_not_change_their_batches():
    with pytest.raises(ResourceError, match="after 0 steps"):
        smaller_batches(DetectorRecipe(fit=FIT), steps=0, alone=False)
