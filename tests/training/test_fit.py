"""Training runs: losses fall, runs resume to the same weights, bundles load, nothing is replaced unasked."""

import csv
import dataclasses
import json
import shutil

import pytest
import torch

from neanias_ml.errors import InputError, ModelError, ResourceError, UsageError
from neanias_ml.evaluation.report import read_report
from neanias_ml.models.bundle import load_bundle
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.training.checkpoint_files import read_checkpoint, read_description
from neanias_ml.training.detector.feed import TileFeedConfig
from neanias_ml.training.detector.kind import DetectorKind
from neanias_ml.training.detector.recipe import DetectorRecipe
from neanias_ml.training.fit import train_network
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.run_record import RunWatch

FIT = FitConfig(
    max_steps=30, batch_size=4, learning_rate=2e-3, warmup_steps=5, average_decay=0.8, precision="32-true",
    accelerator="cpu",
)  # fmt: skip
FEED = TileFeedConfig(validation_tiles=4)


def train(data, folder, model, *, initial=None, resume=False, overwrite=False, pictures=False, **changes):
    """A detector trained as `FIT` says, but for some changes."""
    with pytest.MonkeyPatch.context() as patch:
        if not pictures:  # they take longer than the steps
            patch.setattr("neanias_ml.training.detector.finish.draw_detector_pictures", lambda *_, **__: [])
        return _train(data, folder, model, initial=initial, resume=resume, overwrite=overwrite, **changes)


def _train(data, folder, model, *, initial, resume, overwrite, **changes):
    recipe = DetectorRecipe(model=model, feed=FEED, fit=dataclasses.replace(FIT, **changes))
    watch = RunWatch(RunFolder(folder), known={"network": "island-rcnn"}, configuration={"name": recipe.name})
    return train_network(
        DetectorKind(), data, folder, recipe=recipe, initial=initial, resume=resume, overwrite=overwrite, watch=watch
    )


def last(folder):
    return read_checkpoint(folder / "checkpoints" / "last.safetensors")


def logged(folder, column):
    with (folder / "log" / "metrics.csv").open() as stream:
        return [float(row[column]) for row in csv.DictReader(stream) if row.get(column)]


def files(folder):
    """Content of every file below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def run(prepared_folder, tiny_config, tmp_path_factory):
    """A finished run of 30 steps."""
    folder = tmp_path_factory.mktemp("run")
    return folder, train(prepared_folder, folder, tiny_config, pictures=True)


@pytest.fixture
def short_run(prepared_folder, tiny_config, tmp_path):
    """Folder of a run of one step."""
    train(prepared_folder, tmp_path / "run", tiny_config, max_steps=1)
    return tmp_path / "run"


def test_validation_loss_falls(run):
    losses = logged(run[0], "validation/loss")
    assert len(losses) >= 4
    assert losses[-1] < 0.8 * losses[0]


def test_learning_rate_warms_up_and_falls(run):
    rates = logged(run[0], "lr")
    assert max(rates) <= FIT.learning_rate and rates[-1] < 0.5 * max(rates)


def test_bundle_holds_model_calibration_and_card(run, tiny_config):
    folder, fitted = run
    bundle = load_bundle(fitted.bundle)
    assert bundle.digest == fitted.digest
    assert bundle.settings.pixels_per_beam == 6.0 and bundle.settings.window_size == FEED.window_size
    assert bundle.settings.operating_point != OperatingPoint()
    assert bundle.settings.architecture.class_weights != tiny_config.class_weights
    assert "| compact |" in (fitted.bundle / "MODEL_CARD.md").read_text()
    assert read_report(folder / "evaluation.json") == fitted.report
    assert fitted.report.bundle_digest == bundle.digest and fitted.report.data_digest == "0" * 64
    with torch.no_grad():
        (prediction,) = bundle.model(torch.zeros(1, 5, 64, 64), [torch.tensor([[5.0, 5, 20, 20]])])
    assert prediction.readout_probabilities.shape == (1, 6)


def test_a_run_leaves_pictures_and_a_record(run):
    folder, fitted = run
    assert {path.stem for path in (folder / "pictures").iterdir()} == {
        "loss_curves", "precision_recall", "confusion", "reliability", "mosaic",
    }  # fmt: skip
    record = json.loads((folder / "run.json").read_text())
    assert record["state"] == "finished" and record["steps"] == 30 and record["world_size"] == 1
    assert record["bundle_digest"] == fitted.digest and record["data_digest"] == "0" * 64
    assert record["samples_per_second"] > 0 and 0 <= record["input_wait"] < 1
    assert torch.__version__.startswith(record["packages"]["torch"])
    assert "name: island-rcnn" in (folder / "config.yaml").read_text()


def test_a_finished_run_resumes_to_the_same_weights(run, prepared_folder, tiny_config, tmp_path):
    folder = shutil.copytree(run[0], tmp_path / "copy")
    before = load_bundle(run[1].bundle).model.state_dict()
    after = load_bundle(train(prepared_folder, folder, tiny_config, resume=True).bundle).model.state_dict()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, msg=name)


def test_an_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(prepared_folder, tiny_config, tmp_path):
    """Stopped within an epoch by a step budget; the schedule follows the larger budget from the start."""
    whole = train(prepared_folder, tmp_path / "whole", tiny_config, max_steps=9, accumulate=2, batch_size=2)

    def stop(task, batch, batch_idx):
        if task.global_step == 4:
            raise KeyboardInterrupt
        return original(task, batch, batch_idx)

    from neanias_ml.training.detector.task import DetectorTask

    original = DetectorTask.training_step
    options = {"max_steps": 9, "accumulate": 2, "batch_size": 2, "checkpoint_minutes": 1e-9}
    with pytest.MonkeyPatch.context() as patch, pytest.raises((KeyboardInterrupt, SystemExit)):
        patch.setattr(DetectorTask, "training_step", stop)
        train(prepared_folder, tmp_path / "parts", tiny_config, **options)
    assert json.loads((tmp_path / "parts" / "run.json").read_text())["state"] == "interrupted"
    assert last(tmp_path / "parts")["global_step"] == 4
    parts = train(prepared_folder, tmp_path / "parts", tiny_config, resume=True, **options)
    assert load_bundle(parts.bundle).model.state_dict().keys() == load_bundle(whole.bundle).model.state_dict().keys()
    for name, value in load_bundle(whole.bundle).model.state_dict().items():
        assert torch.equal(load_bundle(parts.bundle).model.state_dict()[name], value), name
    record = json.loads((tmp_path / "parts" / "run.json").read_text())
    assert [attempt["state"] for attempt in record["attempts"]] == ["interrupted"]


def test_resuming_goes_on_where_the_run_stopped(prepared_folder, tiny_config, tmp_path):
    train(prepared_folder, tmp_path, tiny_config, max_steps=6)
    assert last(tmp_path)["global_step"] == 6
    train(prepared_folder, tmp_path, tiny_config, max_steps=18, resume=True)
    assert last(tmp_path)["global_step"] == 18
    assert len(list((tmp_path / "log").glob("metrics*.csv"))) == 2
    with pytest.raises(InputError, match="without --resume"):
        train(prepared_folder, tmp_path / "new", tiny_config, resume=True)


def test_a_checkpoint_of_another_architecture_is_refused(short_run, prepared_folder, tiny_config):
    other = dataclasses.replace(tiny_config, head_features=48)
    with pytest.raises(ModelError, match=r"head_features is 32.*48"):
        train(prepared_folder, short_run, other, max_steps=3, resume=True)


def test_a_damaged_checkpoint_is_refused(short_run, prepared_folder, tiny_config):
    path = short_run / "checkpoints" / "last.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        train(prepared_folder, short_run, tiny_config, max_steps=3, resume=True)
    assert caught.value.code == "CheckpointDamaged"


def test_a_loss_that_is_no_number_stops_the_run_and_its_parts_are_named(prepared_folder, tiny_config, tmp_path):
    from neanias_ml.training.detector.task import DetectorTask

    def broken(task, batch):
        losses = original(task, batch)
        return losses | {"loss_box": losses["loss_box"] * float("nan")} if task.global_step == 2 else losses

    original = DetectorTask.losses
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ModelError, match=r"step 2 .*loss_box nan"):
        patch.setattr(DetectorTask, "losses", broken)
        train(prepared_folder, tmp_path, tiny_config, max_steps=4)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["state"] == "failed" and "loss_box nan" in record["error"]
    assert not (tmp_path / "bundle").exists()


def test_early_stop_and_the_best_weights(prepared_folder, tiny_config, tmp_path):
    """A learning rate that destroys everything: the loss rises, so that the run ends early and keeps the best."""
    fitted = train(
        prepared_folder, tmp_path, tiny_config, max_steps=60, learning_rate=0.3, warmup_steps=12, average_decay=0.0,
        patience=2, keep="best",
    )  # fmt: skip
    losses = logged(tmp_path, "validation/loss")
    assert len(losses) == losses.index(min(losses)) + 3 < 10
    best = read_checkpoint(tmp_path / "checkpoints" / "best.safetensors")["state_dict"]
    kept = load_bundle(fitted.bundle).model.state_dict()
    name = next(name for name in kept if name.endswith("bias"))
    assert torch.equal(kept[name], best[f"model.{name}"])


def test_training_begins_with_the_weights_of_a_bundle(run, prepared_folder, tiny_config, tmp_path):
    _, fitted = run
    train(prepared_folder, tmp_path, tiny_config, max_steps=1, learning_rate=1e-12, initial=fitted.bundle)
    begun = last(tmp_path)["current_model_state"]
    for name, value in load_bundle(fitted.bundle).model.state_dict().items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(begun[f"model.{name}"], value, atol=1e-6, rtol=0, msg=name)
    assert json.loads((tmp_path / "run.json").read_text())["parent_digest"] == fitted.digest
    assert load_bundle(tmp_path / "bundle").settings.metadata["parent_digest"] == fitted.digest
    other = dataclasses.replace(tiny_config, mask_channels=24)
    with pytest.raises(ModelError, match=r"model.mask_channels is 16 there and 24 here"):
        train(prepared_folder, tmp_path / "other", other, max_steps=1, initial=fitted.bundle)


def test_half_precision_trains(prepared_folder, tiny_config, tmp_path):
    train(prepared_folder, tmp_path, tiny_config, max_steps=2, precision="bf16-mixed")
    assert all(value.dtype != torch.bfloat16 for value in last(tmp_path)["state_dict"].values())


def test_fast_dev_run_takes_two_steps_and_leaves_everything(prepared_folder, tiny_config, tmp_path):
    train(prepared_folder, tmp_path, tiny_config, max_steps=1000, fast_dev_run=True, pictures=True)
    assert last(tmp_path)["global_step"] == 2
    assert read_description(tmp_path / "checkpoints" / "last.safetensors")["network"] == "island-rcnn"
    assert load_bundle(tmp_path / "bundle").settings.metadata["training"]["fast_dev_run"]
    assert (tmp_path / "pictures" / "mosaic.png").is_file()


def test_data_must_fit_the_network(prepared_folder, tiny_config, tmp_path):
    with pytest.raises(UsageError, match=r"in_channels is 3.*names 5 \(snr"):
        train(prepared_folder, tmp_path, dataclasses.replace(tiny_config, in_channels=3))
    with pytest.raises(UsageError, match="box_reference"):
        train(prepared_folder, tmp_path, dataclasses.replace(tiny_config, box_reference=5.0))
    other = shutil.copytree(prepared_folder, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"class_labels": {"compact": 1}}))
    with pytest.raises(InputError, match="other classes"):
        train(other, tmp_path / "run", tiny_config)


@pytest.mark.parametrize("change", [{"accelerator": "abacus"}, {"precision": "17-true"}])
def test_devices_that_lightning_does_not_know_are_refused_at_the_start(change, prepared_folder, tiny_config, tmp_path):
    with pytest.raises(UsageError, match=f"fit.{next(iter(change))} {next(iter(change.values()))}.*cannot be used"):
        train(prepared_folder, tmp_path / "run", tiny_config, **change)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_replaced_unasked(short_run, prepared_folder, tiny_config):
    before = files(short_run)
    with pytest.raises(UsageError, match=r"--resume.*--overwrite") as caught:
        train(prepared_folder, short_run, tiny_config)
    assert caught.value.code == "OutputExists"
    assert files(short_run) == before


@pytest.mark.parametrize("left", ["bundle", "checkpoints"])
def test_either_of_bundle_and_checkpoints_is_protected(short_run, left, prepared_folder, tiny_config):
    shutil.rmtree(short_run / {"bundle": "checkpoints", "checkpoints": "bundle"}[left])
    with pytest.raises(UsageError, match="--overwrite"):
        train(prepared_folder, short_run, tiny_config)


def test_overwrite_starts_anew(short_run, prepared_folder, tiny_config):
    stale = short_run / "checkpoints" / "older.safetensors"
    stale.write_bytes(b"of the old run")
    before = (short_run / "bundle" / "DIGESTS").read_bytes()
    fitted = train(prepared_folder, short_run, tiny_config, max_steps=1, seed=5, overwrite=True)
    assert (short_run / "bundle" / "DIGESTS").read_bytes() != before
    assert load_bundle(fitted.bundle).settings.metadata["training"]["seed"] == 5
    assert not stale.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_bundle_is_noticed_before_the_training(overwrite, tmp_path, prepared_folder, tiny_config):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.tex").write_text("dear")
    with pytest.raises(UsageError) as caught:
        train(prepared_folder, tmp_path, tiny_config, overwrite=overwrite)
    assert caught.value.code == ("NotABundle" if overwrite else "OutputExists")
    assert set(files(tmp_path)) == {(tmp_path / "bundle" / "thesis.tex").relative_to(tmp_path)}


def test_output_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not a folder"):
        RunFolder(tmp_path / "file").require_usable(resume=False, overwrite=False)
    with pytest.raises(ResourceError, match="cannot be written to"):
        RunFolder(tmp_path / "file" / "run").prepare(overwrite=False)
