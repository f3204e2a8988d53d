"""Small runs of training, and a database and a server to register them at."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import torch

from neanias_ml.evaluation.report import EvaluationReport, Metric
from neanias_ml.models.bundle_folder import write_bundle_folder
from neanias_ml.registry.client import connect
from neanias_ml.registry.location import tracking_uri

DATA = "d" * 64
TRAINING_DATA = "7" * 64
START_LIMIT = 90
"""Seconds a server may take to start on a busy machine."""


def make_report(digest, score, *, data=DATA, primary="f1", network="island-rcnn", split="test"):
    return EvaluationReport(
        network=network,
        bundle_digest=digest,
        data_digest=data,
        split=split,
        primary=primary,
        metrics={primary: Metric(value=score)},
    )


def make_run(folder, *, seed=0, score=None, manifest=None, **report):
    """The folder of a run, with a bundle of seeded weights in it; returns the bundle and its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = torch.randn(8, 8, generator=torch.Generator().manual_seed(seed))
    config = json.dumps({"format": "neanias_ml island-rcnn", "format_version": 1})
    digest = write_bundle_folder(folder / "bundle", state={"weight": weights}, config=config, card="# Card")
    if score is not None:
        make_report(digest, score, **report).write(folder / "evaluation.json")
    if manifest is not None:
        record = {"version": "0.1", "git_commit": "a" * 40, "data_digest": TRAINING_DATA, "bundle_digest": digest}
        (folder / "run.json").write_text(json.dumps(record | manifest))
        (folder / "config.yaml").write_text("seed: 1\n")
    return folder / "bundle", digest


@functools.cache
def database_template(folder):
    """A database with MLflow's tables, which take seconds to make: one for all tests of a session."""
    path = folder / "template" / "mlflow.db"
    connect(tracking_uri(str(path)))
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_server(database, artifacts):
    """A real MLflow server; yields its address and a function that ends it."""
    uri = f"http://127.0.0.1:{free_port()}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", uri.rpartition(":")[2],
        "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(artifacts), "--workers", "1",
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (artifacts.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env=environment, cwd=artifacts.parent
        )

    def end():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _await_silence(uri)

    try:
        _await(uri, process, artifacts.parent / "server.log")
        yield uri, end
    finally:
        end()


def _await_silence(uri):
    """The kernel closes the port some time after the process was killed."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(uri.rpartition(":")[2]))) != 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"{uri} still answers")


def _await(uri, process, log):
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
