"""When checkpoints are written, and that a resumed run ends as one that was never stopped."""

import os
import signal
import subprocess
import sys

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from neanias_ml.errors import ResourceError, UsageError
from neanias_ml.training.callbacks import AveragedWeights
from neanias_ml.training.checkpoint_callback import KeepCheckpoints
from neanias_ml.training.checkpoint_files import read_checkpoint
from neanias_ml.training.checkpoints import SafeCheckpointIO
from neanias_ml.training.step_seeds import StepSeeds, seed_generators


class Epochs:
    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch


class Batches:
    """A loader that can be resumed within an epoch, as this package's loaders are."""

    batch_sampler = None

    def __init__(self, count):
        self.count, self.sampler, self.yielded, self.resumed = count, Epochs(), 0, None

    def __len__(self):
        return self.count

    def __iter__(self):
        epoch, done = self.resumed or (self.sampler.epoch, 0)
        self.yielded = done if epoch == self.sampler.epoch and done < self.count else 0
        self.resumed = None
        for number in range(self.yielded, self.count):
            self.yielded += 1
            yield torch.randn(4, 6, generator=torch.Generator().manual_seed(1000 * self.sampler.epoch + number))

    def state_dict(self):
        return {"epoch": self.sampler.epoch, "batches": self.yielded}

    def load_state_dict(self, state):
        self.resumed = (state["epoch"], state["batches"])


class Net(lightning.LightningModule):
    """Dropout, batch statistics and noise of numpy: all that a step may draw or keep."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        layers = [torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)]
        self.net = torch.nn.Sequential(*layers)
        self.values = iter([])

    def training_step(self, batch, index):
        return (self.net(batch) + np.random.normal()).square().mean()  # noqa: NPY002

    def validation_step(self, batch, index):
        self.log("validation/loss", next(self.values, self.net(batch).square().mean()))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


class KilledError(Exception):
    pass


class KillAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == self.step:
            raise KilledError


def run(folder, *, steps=12, kill=None, resume=False, keep=None, extra=(), net=None, **options):
    """Fit, from the last checkpoint or from the start; other random numbers before it each time."""
    keep = keep or KeepCheckpoints(folder, minutes=0)
    average = AveragedWeights(decay=0.9)
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1,
        callbacks=[StepSeeds(7), average, keep, KillAt(kill), *extra], plugins=[SafeCheckpointIO()], logger=False,
        enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, default_root_dir=folder, **options,
    )  # fmt: skip
    net = net or Net()
    torch.manual_seed(kill or 100)
    try:
        trainer.fit(net, Batches(5), Batches(2), ckpt_path=keep.last if resume else None)
    except KilledError:
        assert kill is not None
    return {
        "weights": net.state_dict(),
        "average": average._average_model.state_dict(),
        "optimizer": trainer.optimizers[0].state_dict()["state"],
        "best": keep.best_value,
        "step": trainer.global_step,
    }


def equal(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    "validation",
    [{"limit_val_batches": 0}, {}, {"val_check_interval": 3, "check_val_every_n_epoch": None}],
    ids=["no validation", "each epoch", "every 3 batches"],
)
def test_a_resumed_run_ends_as_one_that_was_never_stopped(accumulate, validation, tmp_path):
    """Killed at or stopped after a step within an epoch (of 5 batches) and at its end."""
    options = validation | {"accumulate_grad_batches": accumulate}
    whole = run(tmp_path / "whole", **options)
    for step in (4, 5 if accumulate == 1 else 6):
        folder = tmp_path / str(step)
        run(folder / "killed", kill=step, **options)
        assert equal(run(folder / "killed", resume=True, **options), whole), step
        run(folder / "stopped", steps=step, **options)
        assert equal(run(folder / "stopped", resume=True, **options), whole), step


def test_without_step_seeds_it_would_not(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    monkeypatch.setattr(StepSeeds, "on_train_batch_start", lambda *_: None)
    run(tmp_path, kill=5)
    assert not equal(run(tmp_path, resume=True)["weights"], whole["weights"])


def test_seeds_follow_from_seed_batch_and_rank():
    def drawn(*place):
        seed_generators(place[0], batch=place[1], rank=place[2])
        return (torch.rand(1).item(), np.random.rand())  # noqa: NPY002

    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)]
    assert len({drawn(*place) for place in places}) == len(places)
    assert drawn(0, 1, 1) == drawn(0, 1, 1)
    with pytest.raises(ValueError, match="0 or larger"):
        StepSeeds(-1)


class Record(KeepCheckpoints):
    """Notes what is written at which step."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.written = []

    def _write(self, trainer, path):
        self.written.append((path.stem, trainer.global_step))
        super()._write(trainer, path)


class Clock:
    """A minute for each time it is read."""

    seconds = 0.0

    def __call__(self):
        self.seconds += 60.0
        return self.seconds


def test_last_is_written_by_the_clock_and_at_the_end(tmp_path):
    keep = Record(tmp_path, minutes=4, clock=Clock())
    run(tmp_path, keep=keep, limit_val_batches=0)
    assert keep.written == [("last", 4), ("last", 8), ("last", 12)]
    assert read_checkpoint(keep.last)["global_step"] == 12
    assert not keep.best.exists()


def test_last_is_written_at_the_end_of_the_last_epoch(tmp_path):
    keep = Record(tmp_path, minutes=1e9)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=2, callbacks=[keep], logger=False, enable_progress_bar=False,
        enable_model_summary=False, plugins=[SafeCheckpointIO()], limit_val_batches=0, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Net(), Batches(5), Batches(1))
    assert keep.written == [("last", 10)]
    assert trainer.checkpoint_callbacks == [keep]  # Lightning adds none of its own


def test_best_is_the_smallest_validation_loss_and_survives_a_resume(tmp_path):
    def some_run(values, *, steps, resume=False):
        keep = Record(tmp_path, minutes=1e9)
        net = Net()
        net.values = iter([torch.tensor(value) for value in values for _ in range(2)])
        run(tmp_path, keep=keep, net=net, steps=steps, resume=resume, val_check_interval=5)
        return keep

    keep = some_run([3.0, float("nan"), 2.0, 2.5], steps=20)
    assert keep.best_value == 2.0
    assert [step for name, step in keep.written if name == "best"] == [5, 15]
    # at the last batch, when the budget is used up, and once more with the result of the validation
    assert [step for name, step in keep.written if name == "last"] == [5, 10, 15, 20, 20]
    assert read_checkpoint(keep.best)["callbacks"]["Record"] == {"best_value": 2.0}
    keep = some_run([2.2, 1.0], steps=30, resume=True)
    assert [step for name, step in keep.written if name == "best"] == [30]
    keep.best.unlink()
    assert some_run([1.5], steps=35, resume=True).best_value == 1.5


def test_half_accumulated_gradients_are_never_kept(tmp_path):
    keep = Record(tmp_path, minutes=1e9)
    options = {"val_check_interval": 3, "check_val_every_n_epoch": None, "accumulate_grad_batches": 2}
    run(tmp_path, keep=keep, steps=2, **options)
    # validation after batch 3 of 4, when one step is done: best at once, last when the second is
    assert keep.written == [("best", 1), ("last", 2)]


def test_a_missing_monitor_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="has given no validation/other"):
        run(tmp_path, keep=KeepCheckpoints(tmp_path, minutes=1, monitor="validation/other"))
    with pytest.raises(ValueError, match="0 or more"):
        KeepCheckpoints(tmp_path, minutes=float("nan"))


def test_a_full_disk_ends_the_run_with_the_sentence_and_the_last_good_checkpoint(tmp_path, monkeypatch):
    class Full(Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            if index == 3:
                monkeypatch.setattr(os, "write", self.fails)

        def fails(self, *_):
            raise OSError(28, "No space left on device")

    with pytest.raises(ResourceError, match=r"last\.safetensors of before is untouched") as caught:
        run(tmp_path, extra=[Full()])
    monkeypatch.undo()
    assert caught.value.code == "DiskFull"
    assert read_checkpoint(tmp_path / "last.safetensors")["global_step"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]
    assert equal(run(tmp_path, resume=True)["weights"], run(tmp_path / "whole")["weights"])


def test_the_signal_to_end_leaves_a_checkpoint(tmp_path):
    class Told(Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            if trainer.global_step == 6:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        run(tmp_path, extra=[Told()], keep=KeepCheckpoints(tmp_path, minutes=1e9), limit_val_batches=0)
    assert signal.getsignal(signal.SIGTERM) is before
    assert read_checkpoint(tmp_path / "last.safetensors")["global_step"] == 7
    resumed = run(tmp_path, resume=True, limit_val_batches=0)
    assert equal(resumed, run(tmp_path / "whole", limit_val_batches=0))


class OtherStrategy:
    """The second of two processes: what the first one says counts, and every meeting with it is noted.

    The first answer is what the first process wishes: nothing, "write" or "end".
    """

    root_device = torch.device("cpu")

    def __init__(self, answers):
        self.answers, self.met = iter(answers), []

    def reduce(self, own, reduce_op):
        assert reduce_op == "sum"
        self.met.append("reduce")
        wish = next(self.answers)
        return own + torch.tensor([float(wish == "write"), float(wish == "end")])

    def broadcast(self, own):
        self.met.append("broadcast")
        return next(self.answers)

    def barrier(self, name):
        self.met.append(name)


class OtherTrainer:
    fast_dev_run = sanity_checking = should_stop = is_last_batch = is_global_zero = False
    global_step, max_steps, max_epochs, current_epoch = 1, -1, -1, 0

    def __init__(self, answers, error=None):
        self.strategy, self.error, self.saved = OtherStrategy(answers), error, []

    def save_checkpoint(self, path, weights_only):
        self.saved.append(path.stem)
        if self.error:
            raise self.error


@pytest.mark.parametrize("minutes", [0, 1e9])
def test_other_processes_do_as_the_first_one_says(minutes, tmp_path):
    def step(answers, error=None):
        trainer = OtherTrainer(answers, error)
        KeepCheckpoints(tmp_path, minutes=minutes).on_train_batch_end(trainer, None, None, None, 0)
        return trainer

    assert step(["nothing"]).saved == []
    assert step(["write", None]).saved == ["last"]
    with pytest.raises(ResourceError, match=r"the first process could not write .*last.*: no room") as caught:
        step(["write", ("ResourceError", "no room")])
    assert caught.value.code == "CheckpointNotWritten"


def test_sigterm_of_any_process_ends_all_after_the_same_step(tmp_path):
    trainer = OtherTrainer(["end", None])
    with pytest.raises(SystemExit):
        KeepCheckpoints(tmp_path, minutes=1e9).on_train_batch_end(trainer, None, None, None, 0)
    assert trainer.saved == ["last"]


def test_a_process_that_fails_meets_the_others_before_it_ends(tmp_path):
    trainer = OtherTrainer(["write", None], ResourceError("DiskFull", "no room"))
    with pytest.raises(ResourceError, match=r"^no room$"):
        KeepCheckpoints(tmp_path, minutes=0).on_train_batch_end(trainer, None, None, None, 0)
    assert trainer.strategy.met == ["reduce", "Trainer.save_checkpoint", "broadcast"]


TWO_PROCESSES = """
import os, sys, time
from pathlib import Path
import lightning, torch
from lightning.pytorch.callbacks import Callback
from neanias_ml.training.checkpoint_callback import KeepCheckpoints
from neanias_ml.training.checkpoints import SafeCheckpointIO

class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(3, 1)
    def training_step(self, batch, index):
        return self.net(batch).mean()
    def validation_step(self, batch, index):
        self.log("validation/loss", 1.0 + self.global_rank)  # not even: only the first process decides
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-2)

class Fill(Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        if index == 4 and trainer.is_global_zero:
            def fails(*_):
                raise OSError(28, "No space left on device")
            os.write = fails

class Keep(KeepCheckpoints):
    def on_train_start(self, trainer, module):
        super().on_train_start(trainer, module)
        if not trainer.is_global_zero:
            self._clock = lambda: 0.0  # a clock that stands still: this process alone would never write
    def _write(self, trainer, path):
        try:
            super()._write(trainer, path)
        except Exception as error:
            Path(f"{folder}/rank{trainer.global_rank}").write_text(f"{error.code} {trainer.global_step} {error}")
            for _ in range(200):  # the launcher ends the other process as soon as one has failed
                if len(list(folder.glob("rank*"))) < 2:
                    time.sleep(0.1)
            raise

folder = Path(sys.argv[1])
trainer = lightning.Trainer(
    accelerator="cpu", devices=2, strategy="ddp_fork", max_steps=8, logger=False, enable_progress_bar=False,
    enable_model_summary=False, num_sanity_val_steps=0, val_check_interval=3, default_root_dir=folder,
    plugins=[SafeCheckpointIO()], callbacks=[Keep(folder, minutes=1e-9), Fill()],
)
loader = torch.utils.data.DataLoader(torch.ones(64, 3), batch_size=4)
trainer.fit(Net(), loader, torch.utils.data.DataLoader(torch.ones(4, 3), batch_size=2))
"""


@pytest.mark.slow
def test_the_first_process_decides_and_its_failure_ends_all(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TWO_PROCESSES, tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    first, second = ((tmp_path / f"rank{rank}").read_text() for rank in (0, 1))
    assert first.startswith("DiskFull 5 no room is left for the checkpoint"), done.stderr[-2000:]
    assert second.startswith("CheckpointNotWritten 5 the first process could not write")
    assert "No space left on device" in second
    assert read_checkpoint(tmp_path / "last.safetensors")["global_step"] == 4
    assert read_checkpoint(tmp_path / "best.safetensors")["callbacks"]["Keep"] == {"best_value": 1.0}
