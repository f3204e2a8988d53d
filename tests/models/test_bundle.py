from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys

import pytest
import torch

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.errors import ModelError
from neanias_ml.models import weights
from neanias_ml.models.bundle import load_bundle, save_bundle
from neanias_ml.models.bundle_folder import bundle_digest, folder_replaced, verify_bundle, write_digests
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.json_settings import read_settings, write_settings
from neanias_ml.models.settings import NETWORK, BundleSettings
from tests.models.tiles import tiny_model, two_blobs


def small_detector(**changes):
    return tiny_model(in_channels=len(CHANNEL_NAMES), **changes)


def two_sources():
    """Image (5, 64, 64) and boxes."""
    image, target = two_blobs()
    return image[[0, 1, 1, 0, 0]], target["boxes"]


def make_settings(model, **changes):
    values = {
        "architecture": model.config,
        "pixels_per_beam": 6.0,
        "channels": CHANNEL_NAMES,
        "window_size": 64,
        "operating_point": OperatingPoint(class_temperature=1.7, score_thresholds=(0.1, 0.2, 0.3, 0.4, 0.5)),
        "extractor": {"seed_sigma": 5.0, "merge_sigma": 2.5},
        "metadata": {"version": "1.2", "n_tiles": 7},
    }
    return BundleSettings(**(values | changes))


@pytest.fixture(scope="module")
def model():
    return small_detector().eval()


@pytest.fixture
def bundle(tmp_path, model):
    folder = tmp_path / "detector"
    save_bundle(model, folder, settings=make_settings(model), card="# Card", storage="float32")
    return folder


def settings_to_json(settings):
    return write_settings(settings, network=NETWORK)


def settings_from_json(text, *, where):
    return read_settings(text, BundleSettings, network=NETWORK, where=where)


def refused(action, *arguments, **keywords):
    with pytest.raises(ModelError) as caught:
        action(*arguments, **keywords)
    return caught.value


def test_round_trip_gives_the_same_predictions(bundle, model):
    """To rounding: a loaded network keeps its channels last in memory, which is faster."""
    loaded = load_bundle(bundle)
    assert loaded.settings == make_settings(model)
    assert loaded.digest == bundle_digest(bundle) == hashlib.sha256((bundle / "DIGESTS").read_bytes()).hexdigest()
    assert not loaded.model.training
    image, boxes = two_sources()
    model.operating_point = loaded.settings.operating_point
    before, after = (net.predict(image[None], [boxes])[0] for net in (model, loaded.model))
    for field in dataclasses.fields(before):
        expected = getattr(before, field.name)
        if torch.is_tensor(expected):
            torch.testing.assert_close(getattr(after, field.name), expected, rtol=1e-5, atol=1e-5, msg=field.name)
    assert before.n_dropped == after.n_dropped


def test_half_precision_is_half_the_size_and_nearly_the_same(tmp_path, bundle, model):
    save_bundle(model, tmp_path / "half", settings=make_settings(model), card="# Card")
    folders = (tmp_path / "half", bundle)
    sizes = [sum(path.stat().st_size for path in folder.glob("*.safetensors")) for folder in folders]
    assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.02)
    image, boxes = two_sources()
    loaded = [load_bundle(folder).model for folder in folders]
    half, full = (net.predict(image[None], [boxes])[0] for net in loaded)
    torch.testing.assert_close(half.readout_probabilities, full.readout_probabilities, rtol=0, atol=2e-3)
    state = loaded[0].state_dict()
    assert all(not value.is_floating_point() or value.dtype == torch.float32 for value in state.values())


def test_files_are_as_agreed(bundle, model):
    names = {path.name for path in bundle.iterdir()}
    assert {"config.json", "MODEL_CARD.md", "DIGESTS", "model.safetensors.index.json"} < names
    shards = [path for path in bundle.iterdir() if path.suffix == ".safetensors"]
    assert len(shards) == 2
    assert all(path.stat().st_size < 16e6 for path in shards)
    for line in (bundle / "DIGESTS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
    config = json.loads((bundle / "config.json").read_text())
    assert config["classes"] == ["spurious", "compact", "extended", "extended-multisland", "flagged"]
    assert config["operating_point"]["class_temperature"] == 1.7
    assert list(bundle.parent.iterdir()) == [bundle]


def test_small_models_are_one_file(tmp_path):
    weights.save_weights({"a": torch.ones((3, 3)), "n": torch.tensor(3)}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    state = weights.load_weights(tmp_path)
    assert state["a"].dtype == torch.float32 and state["n"].item() == 3


def test_any_changed_byte_is_noticed(bundle):
    for path in sorted(bundle.iterdir()):
        content = path.read_bytes()
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(bytes(changed))
        error = refused(load_bundle, bundle)
        assert error.code in ("WeightsDamaged", "BundleIncomplete"), path.name
        assert error.exit_code == 5
        path.write_bytes(content)
    assert verify_bundle(bundle) == bundle_digest(bundle)


def test_every_missing_file_is_named(bundle):
    for path in sorted(bundle.iterdir()):
        content = path.read_bytes()
        path.unlink()
        error = refused(load_bundle, bundle)
        assert error.code == "BundleIncomplete", path.name
        path.write_bytes(content)


def test_a_file_left_out_of_the_digests_is_not_trusted(bundle):
    lines = (bundle / "DIGESTS").read_text().splitlines(keepends=True)
    (bundle / "DIGESTS").write_text("".join(line for line in lines if "config.json" not in line))
    assert refused(load_bundle, bundle).code == "WeightsDamaged"


@pytest.mark.parametrize("name", ["../config.json", "/etc/hostname"])
def test_digests_cannot_point_outside(bundle, name):
    with (bundle / "DIGESTS").open("a") as stream:
        stream.write("0" * 64 + f"  {name}\n")
    assert refused(load_bundle, bundle).code == "WeightsDamaged"


def test_missing_folder_names_the_remedy(tmp_path):
    error = refused(load_bundle, tmp_path / "nowhere")
    assert error.code == "BundleMissing"
    for remedy in ("--model FOLDER", "config.json", "train/README.md"):
        assert remedy in error.message
    assert "models pull" not in error.message


@pytest.mark.parametrize("name", ["model.pt", "last.ckpt", "weights.PTH"])
def test_pickles_are_refused(tmp_path, model, name):
    (tmp_path / name).write_bytes(b"not opened")
    error = refused(load_bundle, tmp_path / name)
    assert error.code == "PickleRefused"
    assert "bundle" in error.message
    assert refused(save_bundle, model, tmp_path / name, settings=make_settings(model), card="").code == "PickleRefused"


def test_nan_weights_are_neither_written_nor_read(tmp_path, bundle):
    broken = small_detector()
    broken.region_head.deltas.weight.data[0, 0] = float("nan")
    error = refused(save_bundle, broken, tmp_path / "broken", settings=make_settings(broken), card="")
    assert error.code == "WeightsNotFinite" and "deltas" in error.message
    assert not (tmp_path / "broken").exists()
    assert len(list(tmp_path.iterdir())) == 1
    shard = sorted(bundle.glob("*.safetensors"))[-1]
    state = weights.load_file(shard)
    next(value for value in state.values() if value.is_floating_point()).fill_(float("inf"))
    shard.write_bytes(weights.save(state))
    write_digests(bundle)
    assert refused(load_bundle, bundle).code == "WeightsNotFinite"


def test_too_large_for_half_precision_is_noticed(tmp_path):
    error = refused(weights.save_weights, {"a": torch.full((2, 2), 1e6)}, tmp_path)
    assert error.code == "WeightsNotFinite"


@pytest.mark.parametrize("channels", [("snr", "snr", "island", "valid", "asinh_snr"), (*CHANNEL_NAMES[:4], "redshift")])
def test_other_channels_than_this_version_makes_are_refused(tmp_path, model, channels):
    """One twice, or a name that is not made."""
    save_bundle(model, tmp_path / "other", settings=make_settings(model, channels=channels), card="")
    error = refused(load_bundle, tmp_path / "other")
    assert error.code == "ChannelsDiffer" and error.exit_code == 5
    assert ", ".join(channels) in error.message and ", ".join(CHANNEL_NAMES) in error.message


def test_some_of_the_channels_in_any_order_are_kept(tmp_path):
    some = tiny_model(in_channels=2)
    save_bundle(some, tmp_path / "two", settings=make_settings(some, channels=("valid", "snr")), card="")
    settings = load_bundle(tmp_path / "two").settings
    assert settings.channels == ("valid", "snr") and settings.channel_rows == [4, 0]


def test_weights_of_another_architecture(bundle):
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    config["architecture"]["head_features"] = 64
    path.write_text(json.dumps(config))
    write_digests(bundle)
    error = refused(load_bundle, bundle)
    assert error.code == "WeightsMismatch"
    assert "region_head" in error.message


def edited(settings, edit):
    document = json.loads(settings_to_json(settings))
    edit(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda d: d.update(surprise=1), "ConfigUnknownKey"),
        (lambda d: d["architecture"].update(surprise=1), "ConfigUnknownKey"),
        (lambda d: d.update(format_version=99), "ConfigVersion"),
        (lambda d: d.pop("format_version"), "ConfigVersion"),
        (lambda d: d.pop("format"), "ConfigInvalid"),
        (lambda d: d.pop("pixels_per_beam"), "ConfigInvalid"),
        (lambda d: d.update(pixels_per_beam="six"), "ConfigInvalid"),
        (lambda d: d.update(pixels_per_beam=True), "ConfigInvalid"),
        (lambda d: d.update(pixels_per_beam=4.0), "ConfigInvalid"),
        (lambda d: d["architecture"].update(box_reference=4.0), "ConfigInvalid"),
        (lambda d: d["architecture"].update(unions_per_tile=-1), "ConfigInvalid"),
        (lambda d: d.update(window_size=64.5), "ConfigInvalid"),
        (lambda d: d.update(window_size=0), "ConfigInvalid"),
        (lambda d: d.update(window_size=-64), "ConfigInvalid"),
        (lambda d: d.update(window_size=100), "ConfigInvalid"),
        (lambda d: d.update(channels=["snr"]), "ConfigInvalid"),
        (lambda d: d.update(channels="snr"), "ConfigInvalid"),
        (lambda d: d.update(classes=["cat"]), "ConfigInvalid"),
        (lambda d: d["architecture"].update(blocks=[1, 1]), "ConfigInvalid"),
        (lambda d: d["architecture"].update(proposal_mode="both"), "ConfigInvalid"),
        (lambda d: d["architecture"].update(stem_pool=1), "ConfigInvalid"),
        (lambda d: d.update(architecture=[]), "ConfigInvalid"),
        (lambda d: d["operating_point"].update(class_temperature=-1), "ConfigInvalid"),
    ],
)
def test_bad_settings_are_named(model, edit, code):
    error = refused(settings_from_json, edited(make_settings(model), edit), where="x/config.json")
    assert error.code == code
    assert "x/config.json" in error.message


def test_settings_survive_json(model):
    settings = make_settings(model)
    assert settings_from_json(settings_to_json(settings), where="x") == settings
    assert refused(settings_from_json, "{", where="x").code == "ConfigInvalid"
    assert refused(settings_to_json, make_settings(model, metadata={"f1": float("nan")})).code == "ConfigInvalid"


def test_existing_folders_are_kept_unless_asked(bundle, model, tmp_path):
    settings = make_settings(model, window_size=128)
    assert refused(save_bundle, model, bundle, settings=settings, card="").code == "BundleExists"
    assert load_bundle(bundle).settings.window_size == 64
    digest = save_bundle(model, bundle, settings=settings, card="", overwrite=True)
    assert load_bundle(bundle).settings.window_size == 128
    assert verify_bundle(bundle) == digest
    (tmp_path / "thesis").mkdir()
    error = refused(save_bundle, model, tmp_path / "thesis", settings=settings, card="", overwrite=True)
    assert error.code == "BundleExists"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detector", "thesis"]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, error):
    target = tmp_path / "model"
    with folder_replaced(target) as staging:
        (staging / "old").write_text("old")
    with pytest.raises(type(error)), folder_replaced(target) as staging:
        (staging / "new").write_text("new")
        raise error

    def refusing(path, goal):
        if path.name == "new":
            raise error
        return path.rename(goal)

    monkeypatch.setattr("pathlib.Path.replace", refusing)
    with pytest.raises(type(error)), folder_replaced(target) as staging:
        (staging / "file").write_text("new")
    monkeypatch.undo()
    assert [path.name for path in target.iterdir()] == ["old"] and list(tmp_path.iterdir()) == [target]
    with folder_replaced(target) as staging:
        (staging / "new").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new"] and list(tmp_path.iterdir()) == [target]


def test_model_and_settings_must_agree(tmp_path, model):
    other = small_detector(head_features=64)
    error = refused(save_bundle, other, tmp_path / "x", settings=make_settings(model), card="")
    assert error.code == "ConfigInvalid"


def test_the_room_needs_neither_astropy_nor_training_packages():
    code = (
        "import sys, neanias_ml.models.bundle, neanias_ml.models.proposals, neanias_ml.models.losses;"
        "heavy = {'astropy', 'lightning', 'mlflow', 'albumentations', 'horovod', 'cv2'};"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}), 'neanias_ml.maps' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


def test_proposals_and_classes_import_without_torch():
    code = (
        "import sys, neanias_ml.models.classes, neanias_ml.models.proposals, neanias_ml.models.config;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
