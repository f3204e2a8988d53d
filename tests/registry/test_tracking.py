"""Tracked runs: what MLflow holds in the end, judged by its own client, with servers that die in between."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from neanias_ml.errors import ResourceError, UsageError
from neanias_ml.registry import tracking
from neanias_ml.registry.client import connect
from neanias_ml.registry.tracking import resend, tracked_run
from neanias_ml.registry.tracking_metrics import MetricSender
from neanias_ml.registry.tracking_parameters import shortened
from neanias_ml.registry.tracking_spool import MetricPoint, Spool, metric_record

WAIT = 60  # seconds after which a test gives up


class Server:
    """A real ``mlflow server`` of its own database, to be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}"]
        command += ["--artifacts-destination", str(self.folder / "served")]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.process = subprocess.Popen(
            command, env=environment, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def wait(self) -> Server:
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return self
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(f"no mlflow server at {self.uri}")

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module", autouse=True)
def starting_server(tmp_path_factory):
    """It takes 10 s to start, and starts while the tests without it run."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def client(uri):
    return connect(uri)


def history(client, run_id, key):
    return [(metric.step, metric.value) for metric in client.get_metric_history(run_id, key)]


def fit(run, *, steps, callbacks=(), directory, checkpoint=None, weights_only=None):
    """A tiny training of Lightning, which logs its loss at every step."""
    import lightning
    import torch

    class Line(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, _):
            loss = torch.nn.functional.mse_loss(self.layer(batch), 2 * batch)
            self.log("train/loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    lightning.seed_everything(0, verbose=False)
    trainer = lightning.Trainer(
        max_steps=steps, logger=[run.logger], log_every_n_steps=1, accelerator="cpu", callbacks=list(callbacks),
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, default_root_dir=directory,
    )  # fmt: skip
    data = torch.utils.data.DataLoader(torch.linspace(-1, 1, 4 * steps)[:, None], batch_size=4)
    trainer.fit(Line(), data, ckpt_path=checkpoint, weights_only=weights_only)
    return trainer


# -- runs in a database -------------------------------------------------------------------------------------------


def test_a_training_is_tracked_in_full(uri, client, tmp_path):
    (tmp_path / "pictures" / "deep").mkdir(parents=True)
    contents = {"config.yaml": b"a: 1\n", "pictures/a.png": os.urandom(3000), "pictures/deep/b.bin": os.urandom(70_000)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    options = {"fit": {f"option{number}": number for number in range(230)}, "text": "x" * 7000}
    with tracked_run(
        uri=uri, experiment="island-rcnn", run_name="first", parameters=options,
        tags={"mlflow.source.git.commit": "abc", "data": "sha", "none": None},
    ) as run:  # fmt: skip
        assert client.get_run(run.run_id).info.status == "RUNNING"
        fit(run, steps=12, directory=tmp_path)
        run.log_metrics({"final/f1": 0.75, "odd|name": float("nan")}, step=12)
        assert run.log_files(tmp_path, names=["config.yaml", "pictures"])
        assert run.log_files(tmp_path / "pictures", names=["a.png", "deep/b.bin"], under="again/here")
    stored = client.get_run(run.run_id)
    assert (stored.info.status, stored.info.run_name) == ("FINISHED", "first")
    assert (run.experiment, run.logger.name, run.logger.version) == ("island-rcnn", "island-rcnn", run.run_id)
    assert len(stored.data.params) == 231
    assert stored.data.params["fit.option229"] == "229"
    assert stored.data.params["text"] == shortened("x" * 7000, 6000)
    assert stored.data.tags["mlflow.source.git.commit"] == "abc"
    assert "none" not in stored.data.tags
    assert [step for step, _ in history(client, run.run_id, "train/loss")] == list(range(12))
    assert history(client, run.run_id, "final/f1") == [(12, 0.75)]
    assert "odd_name" in stored.data.metrics
    fetched = Path(client.download_artifacts(run.run_id, "", str(tmp_path / "fetched")))
    found = {str(path.relative_to(fetched)): path.read_bytes() for path in fetched.rglob("*") if path.is_file()}
    again = {"again/here/a.png": contents["pictures/a.png"], "again/here/deep/b.bin": contents["pictures/deep/b.bin"]}
    assert found == contents | again


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("the loss is not finite"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED")],
)
def test_how_a_run_ended(uri, client, error, status):
    with pytest.raises(type(error)), tracked_run(uri=uri, experiment="ends") as run:
        run.log_metrics({"loss": 1.0}, step=1)
        raise error
    stored = client.get_run(run.run_id)
    assert stored.info.status == status
    assert stored.data.tags.get("failure") == ("the loss is not finite" if status == "FAILED" else None)
    assert history(client, run.run_id, "loss") == [(1, 1.0)]


def test_sigterm_ends_a_run_outside_a_trainer(uri, client):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, tracked_run(uri=uri, experiment="ends") as run:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(WAIT)
    assert ended.value.code == 128 + signal.SIGTERM
    assert client.get_run(run.run_id).info.status == "KILLED"
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_lets_a_trainer_finish_its_step(uri, client, tmp_path):
    import lightning

    class Scheduler(lightning.Callback):
        survived = False

        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if batch_idx == 3:
                os.kill(os.getpid(), signal.SIGTERM)
                self.survived = True

    scheduler = Scheduler()
    with pytest.raises(SystemExit), tracked_run(uri=uri, experiment="ends") as run:
        fit(run, steps=10, callbacks=[scheduler], directory=tmp_path)
    assert scheduler.survived
    assert client.get_run(run.run_id).info.status == "KILLED"
    assert [step for step, _ in history(client, run.run_id, "train/loss")] == [0, 1, 2, 3]


def test_a_resumed_training_goes_on_in_the_same_run(uri, client, tmp_path):
    checkpoint = tmp_path / "last.ckpt"
    with (
        pytest.raises(RuntimeError),
        tracked_run(uri=uri, experiment="resume", parameters={"rate": 1, "steps": 5}, tags={"version": "1"}) as first,
    ):
        fit(first, steps=5, directory=tmp_path).save_checkpoint(checkpoint)
        raise RuntimeError("out of memory")
    with tracked_run(
        uri=uri, experiment="another", parameters={"rate": 1, "steps": 9, "new": "x"}, tags={"version": "2"},
        run_id=first.run_id,
    ) as second:  # fmt: skip
        during = client.get_run(first.run_id)
        fit(second, steps=9, directory=tmp_path, checkpoint=checkpoint, weights_only=False)
    assert (second.run_id, second.experiment) == (first.run_id, "resume")
    assert during.info.status == "RUNNING"
    assert "failure" not in during.data.tags
    stored = client.get_run(first.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {"rate": "1", "steps": "5", "new": "x"}
    assert json.loads(stored.data.tags["params_changed"]) == {"steps": ["5", "9"]}
    assert stored.data.tags["version"] == "2"
    assert [step for step, _ in history(client, first.run_id, "train/loss")] == list(range(9))


def test_what_was_spooled_is_sent_when_the_run_goes_on(uri, client, tmp_path):
    spool = tmp_path / "run" / "unsent.jsonl"
    with tracked_run(uri=uri, experiment="resume") as run:
        run.log_metrics({"loss": 1.0}, step=0)
    Spool(spool).append([metric_record(run.run_id, MetricPoint("loss", 0.5, 2000, 1))])
    with tracked_run(uri=uri, experiment="resume", run_id=run.run_id, spool=spool) as run:
        run.log_metrics({"loss": 0.25}, step=2)
    assert sorted(history(client, run.run_id, "loss")) == [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert not spool.exists()


def test_bad_names_and_absent_files(uri, client, tmp_path, capsys):
    (tmp_path / "there.txt").write_text("here")
    with tracked_run(uri=uri, experiment="files") as run:
        assert not run.log_files(tmp_path, names=["there.txt", "absent.txt"])
        with pytest.raises(UsageError, match="leads out"):
            run.log_files(tmp_path, names=["../secret"])
    assert "absent.txt does not exist" in capsys.readouterr().err
    assert [file.path for file in client.list_artifacts(run.run_id)] == ["there.txt"]


def test_a_run_that_is_not_there(uri):
    with pytest.raises(UsageError) as caught, tracked_run(uri=uri, experiment="x", run_id="0" * 32):
        pass
    assert caught.value.code == "RunMissing"


# -- a server -----------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_told_at_once(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ResourceError) as caught, tracked_run(uri=uri, experiment="x"):
        pass
    assert caught.value.code == "RegistryUnreachable"
    assert uri in str(caught.value)
    assert resend(tmp_path / "never-written.jsonl", uri) == 0


def test_a_server_that_dies_gets_everything_later(starting_server, tmp_path, capsys, monkeypatch):
    server = starting_server.wait()
    monkeypatch.setattr(tracking, "MetricSender", lambda *a, **k: MetricSender(*a, **k, send_every=0.1))
    spool, picture = tmp_path / "run" / "unsent.jsonl", os.urandom(5000)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.png").write_bytes(picture)
    with (
        pytest.raises(ValueError, match="not finite"),
        tracked_run(uri=server.uri, experiment="dies", parameters={"a": 1}, spool=spool) as run,
    ):
        for step in range(50):
            run.log_metrics({"loss": step / 7, "f1": 1 / (1 + step)}, step=step)
        assert run.flush(WAIT)
        server.kill()
        for step in range(50, 100):
            run.log_metrics({"loss": step / 7, "f1": 1 / (1 + step)}, step=step)
        assert not run.log_files(tmp_path / "run", names=["a.png"], under="pictures")
        raise ValueError("the loss is not finite")
    told = capsys.readouterr().err
    assert "1 of 1 files did not reach the tracked run" in told
    assert str(spool) in told
    with pytest.raises(ResourceError):
        resend(spool, server.uri)
    server.start()
    server.wait()
    (tmp_path / "run").rename(tmp_path / "moved")
    assert resend(tmp_path / "moved" / "unsent.jsonl", server.uri) == 50 * 2 + 1 + 1
    client = connect(server.uri)
    stored = client.get_run(run.run_id)
    assert (stored.info.status, stored.data.tags["failure"]) == ("FAILED", "the loss is not finite")
    assert history(client, run.run_id, "loss") == [(step, step / 7) for step in range(100)]
    assert history(client, run.run_id, "f1") == [(step, 1 / (1 + step)) for step in range(100)]
    assert Path(client.download_artifacts(run.run_id, "pictures/a.png", str(tmp_path))).read_bytes() == picture
    assert list((tmp_path / "moved").iterdir()) == [tmp_path / "moved" / "a.png"]
