"""Checkpoints of a run: Lightning's content, which one to resume from, and the check of the architecture."""

import datetime

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer

from neanias_ml.errors import InputError, ModelError, UsageError
from neanias_ml.training.callbacks import AveragedWeights
from neanias_ml.training.checkpoint_files import read_description
from neanias_ml.training.checkpoints import (
    SafeCheckpointIO,
    check_architecture,
    checkpoint_description,
    newest_checkpoint,
    require_checkpoint,
)

from .test_checkpoint_files import same


class BothWays(SafeCheckpointIO):
    """Keeps beside each checkpoint what Lightning would have written."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        torch.save(checkpoint, f"{path}.pickle")
        super().save_checkpoint(checkpoint, path, storage_options)


class Net(lightning.LightningModule):
    def __init__(self, width=4, window=(1.5, None), name="net"):
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 1)
        )
        self.tied = self.net[0]

    def training_step(self, batch, index):
        return self.net(batch[0]).square().mean()

    def validation_step(self, batch, index):
        self.log("validation/loss", self.net(batch[0]).square().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        plateau = {"scheduler": plateau, "monitor": "validation/loss"}
        return [optimizer], [{"scheduler": rate, "interval": "step"}, plateau]


def test_what_lightning_keeps_comes_back_as_pickle_would_give_it(tmp_path):
    callbacks = [
        ModelCheckpoint(tmp_path, train_time_interval=datetime.timedelta(minutes=3), monitor="validation/loss"),
        Timer(duration=datetime.timedelta(hours=1), verbose=False),
        EarlyStopping("validation/loss"),
        AveragedWeights(decay=0.9),
    ]
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=2, callbacks=callbacks, plugins=[BothWays()], logger=False,
        default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(8, 3)), batch_size=4)
    trainer.fit(Net(), data, data)
    path = tmp_path / "kept.safetensors"
    trainer.save_checkpoint(path)
    expected = torch.load(f"{path}.pickle", weights_only=False)
    expected = {key: dict(value) if isinstance(value, dict) else value for key, value in expected.items()}
    loaded = SafeCheckpointIO().load_checkpoint(path)
    assert {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "hyper_parameters"} <= set(loaded)
    assert loaded["hyper_parameters"] == {"width": 4, "window": (1.5, None), "name": "net"}
    assert {str(key) for key in loaded["optimizer_states"][0]["state"]} == {"0", "1", "2", "3", "4", "5"}
    for key in expected:
        assert same(loaded[key], plain(expected[key])), key
    assert loaded.keys() == expected.keys()


def plain(value):
    """The same with dict for all its subclasses."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if type(value) is list else value


def test_checkpoint_io_keeps_to_files(tmp_path):
    store = SafeCheckpointIO()
    path = tmp_path / "a.safetensors"
    store.save_checkpoint({"a": 1}, str(path))
    assert store.load_checkpoint(str(path), weights_only=True) == {"a": 1}
    store.remove_checkpoint(path)
    store.remove_checkpoint(path)
    assert not path.exists()
    with pytest.raises(UsageError, match="mounted folder"):
        store.save_checkpoint({}, "s3://bucket/a.safetensors")
    with pytest.raises(UsageError, match="storage_options"):
        store.save_checkpoint({}, path, storage_options={})


def save(folder, name, step):
    description = checkpoint_description(network="net", architecture={}, step=step)
    SafeCheckpointIO().save_checkpoint({"state": torch.ones(3), "neanias": description}, folder / f"{name}.safetensors")


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_run_goes_on_from_its_last_checkpoint(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "none") is None
    with pytest.raises(InputError, match="no checkpoint"):
        require_checkpoint(tmp_path)
    save(tmp_path, "periodic", 300)
    save(tmp_path, "best", 40)
    (tmp_path / ".neanias-partial-last.safetensors").write_bytes(b"half")
    assert newest_checkpoint(tmp_path) == require_checkpoint(tmp_path) == tmp_path / "periodic.safetensors"
    save(tmp_path, "last", 200)
    assert newest_checkpoint(tmp_path) == require_checkpoint(str(tmp_path)) == tmp_path / "last.safetensors"


def test_a_damaged_last_checkpoint_is_told_with_the_newest_whole_one(tmp_path):
    save(tmp_path, "last", 200)
    damage(tmp_path / "last.safetensors")
    with pytest.raises(ModelError, match="sha256") as caught:
        require_checkpoint(tmp_path)
    assert "is whole" not in caught.value.message
    for name, step in (("best", 40), ("periodic", 150), ("broken", 180)):
        save(tmp_path, name, step)
    damage(tmp_path / "broken.safetensors")
    with pytest.raises(ModelError, match=r"periodic\.safetensors \(step 150\) is whole: remove last") as caught:
        require_checkpoint(tmp_path)
    assert caught.value.code == "CheckpointDamaged"
    (tmp_path / "last.safetensors").unlink()
    (tmp_path / "broken.safetensors").unlink()
    assert require_checkpoint(tmp_path) == tmp_path / "periodic.safetensors"


def test_a_pickle_called_last_is_refused(tmp_path):
    torch.save({}, tmp_path / "last.safetensors")
    with pytest.raises(ModelError) as caught:
        require_checkpoint(tmp_path)
    assert caught.value.code == "PickleRefused"


SETTINGS = {"width": 64, "blocks": (1, 2, 2), "heads": {"mask": {"channels": 16}, "box": None}, "extra": {}}


def described(network="island-rcnn", step=3, **changes):
    return checkpoint_description(network=network, architecture=SETTINGS | changes, step=step)


def test_the_same_architecture_is_accepted(tmp_path):
    SafeCheckpointIO().save_checkpoint({"neanias": described(step=3)}, tmp_path / "last.safetensors")
    check_architecture(read_description(tmp_path / "last.safetensors"), described(step=9))
    assert described()["architecture_digest"] == described(step=8)["architecture_digest"]
    assert described()["architecture_digest"] != described(width=32)["architecture_digest"]


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        (described(width=32), "width is 32 in the checkpoint, 64 in the recipe"),
        (described(blocks=(1, 2)), "blocks is [1, 2] in the checkpoint, [1, 2, 2] in the recipe"),
        (described(heads={"mask": {"channels": 8}, "box": None}), "heads.mask.channels is 8 in the"),
        (described(heads={"mask": {"channels": 16}}), "heads.box is not set in the checkpoint, None in the recipe"),
        (described(depth=3), "depth is 3 in the checkpoint, not set in the recipe"),
        (described(extra={"a": 1}, width=1, depth=1, blocks=1), "and 2 more"),
        (described(network="graph"), "of the network graph, not island-rcnn"),
        (None, "does not say which network"),
        ({"network": "island-rcnn"}, "does not say which network"),
    ],
)
def test_another_architecture_is_refused_by_its_settings(description, sentence):
    with pytest.raises(ModelError) as caught:
        check_architecture(description, described(), where="run/last.safetensors")
    assert caught.value.code == "CheckpointMismatch"
    assert sentence in caught.value.message
    assert caught.value.message.startswith("run/last.safetensors")
