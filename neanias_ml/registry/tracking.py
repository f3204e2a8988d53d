"""Tracking of training runs on MLflow: parameters, metrics and files; a server that dies never stops a training."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from neanias_ml.errors import NeaniasError, UsageError
from neanias_ml.registry.client import connect, registry_errors
from neanias_ml.registry.location import tracking_uri
from neanias_ml.registry.tracking_delivery import (
    FAILURE_TAG,
    begin_run,
    deliver,
    describe_run,
    send_file,
    send_metrics,
)
from neanias_ml.registry.tracking_metrics import BATCH, MetricSender, warn
from neanias_ml.registry.tracking_parameters import flat_tags
from neanias_ml.registry.tracking_signals import SigtermEnds
from neanias_ml.registry.tracking_spool import MetricPoint, Record, RunFile, Spool

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from neanias_ml.registry.tracking_logger import TrackedRunLogger

END_SECONDS, KILLED_SECONDS = 20.0, 10.0
"""How long the end waits for the server; a scheduler kills outright about 30 s after its first signal."""
_FLUSH_SECONDS = 10.0


class TrackedRun:
    """A run that is being tracked; `tracked_run` makes, begins and ends it.

    Nothing here raises because of the server: what it does not take is kept in the spool.

    Attributes
    ----------
    uri
        Address of the tracking server or database.
    experiment
        Name of the experiment.
    run_id
        Id of the run; a later training goes on in the same run with it.
    """

    def __init__(self, client: MlflowClient, *, uri: str, experiment: str, run_id: str, spool: Spool | None) -> None:
        self.uri, self.experiment, self.run_id = uri, experiment, run_id
        self._client, self._spool = client, spool
        self._sender = MetricSender(self._send, run_id=run_id, spool=spool, recovered=self._drain)

    @cached_property
    def logger(self) -> TrackedRunLogger:
        """Logger for a trainer of Lightning."""
        from neanias_ml.registry.tracking_logger import TrackedRunLogger

        return TrackedRunLogger(self)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Take metrics of a step; returns at once, they are sent in the background."""
        self._sender.add(metrics, step=step)

    def flush(self, timeout: float) -> bool:
        """Wait some seconds until all metrics are sent; False if they were not."""
        return self._sender.flush(timeout)

    def log_files(self, folder: Path | str, *, names: Sequence[str] = (), under: str = "") -> bool:
        """Send files, or whole folders; returns when they have arrived.

        Parameters
        ----------
        folder
            Folder of the files.
        names
            Names of files and folders in ``folder``, which they keep in the run; empty: all that it holds.
        under
            Folder of the run to put them in, for example ``pictures``; empty: its top.

        Returns
        -------
        bool
            False if some did not arrive; a sentence on stderr then says why.

        Raises
        ------
        UsageError
            ``FileName`` for a name that leads out of ``folder``.
        """
        files = _files(Path(folder), names, under=under)
        present = [file for file in files if file.path.exists()]
        if len(present) < len(files):
            absent = next(file for file in files if file not in present)
            warn(f"{absent.path} does not exist and is missing in the tracked run {self.run_id}")
        sent, reason = self._send_files(present)
        if sent < len(present):
            self._keep([{"run": self.run_id, "file": self._place_of(file)} for file in present[sent:]])
            missing = f"{len(present) - sent} of {len(present)} files"
            warn(f"{missing} did not reach the tracked run {self.run_id} ({reason})")
        return sent == len(files)

    def end(self, status: str, *, failure: str | None = None) -> None:
        """Send what is left and close the run with a status; a sentence on stderr tells if that was not possible."""
        ended = time.time_ns() // 1_000_000
        record: Record = {"run": self.run_id, "end": [status, ended, flat_tags({FAILURE_TAG: failure})]}
        timeout = KILLED_SECONDS if status == "KILLED" else END_SECONDS
        try:
            self._sender.close(timeout, last_words=lambda: self._deliver([record]))
        finally:
            if not self._sender.last_words_said:
                self._keep([record])
                reason = self._sender.failure or f"no answer within {timeout:.0f} s"
                warn(f"the tracked run {self.run_id} is incomplete: {reason}. {self._where_the_rest_is()}")

    def _send(self, points: Sequence[MetricPoint]) -> None:
        with registry_errors(self.uri):
            send_metrics(self._client, self.run_id, points)

    def _deliver(self, records: Sequence[Record]) -> None:
        with registry_errors(self.uri):
            deliver(self._client, records, spool=self._spool)

    def _drain(self) -> None:
        if self._spool is not None:
            self._spool.drain(self._deliver, batch=BATCH)

    def _send_files(self, files: Sequence[RunFile]) -> tuple[int, object]:
        """How many of the files arrived, and why not all did."""
        sent = 0
        if not self.flush(_FLUSH_SECONDS):
            return sent, self._sender.failure or f"no answer within {_FLUSH_SECONDS:.0f} s"
        try:
            with registry_errors(self.uri):
                for file in files:
                    send_file(self._client, self.run_id, file)
                    sent += 1
        except (NeaniasError, OSError) as error:
            return sent, error
        return sent, None

    def _place_of(self, file: RunFile) -> list[str]:
        return [] if self._spool is None else self._spool.place_of(file)

    def _keep(self, records: Sequence[Record]) -> None:
        if self._spool is None:
            return
        try:
            self._spool.append(records)
        except NeaniasError as error:
            warn(str(error))

    def _where_the_rest_is(self) -> str:
        if self._spool is None:
            return "What is missing is not kept; the training's own files are complete"
        return (
            f"What is missing is in {self._spool.path} and is sent when the training is resumed, or by "
            "neanias_ml.registry.tracking.resend; the training's own files are complete"
        )


@contextlib.contextmanager
def tracked_run(
    *,
    uri: str | None,
    experiment: str,
    run_name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    tags: Mapping[str, str | None] | None = None,
    run_id: str | None = None,
    spool: Path | None = None,
) -> Iterator[TrackedRun]:
    """Track what happens in a block as a run of MLflow, on the process of rank 0 alone.

    The run ends as FINISHED, after an exception as FAILED with its message in the tag ``failure``, and after an
    interrupt, SIGTERM or any other `SystemExit` as KILLED. A server that goes away meanwhile is tried again in the
    background; what it never took goes to the spool.

    Parameters
    ----------
    uri
        As `neanias_ml.registry.location.tracking_uri` takes it.
    experiment
        Name of the experiment, made where missing.
    run_name
        Name of a new run; None lets MLflow choose one.
    parameters
        Nested options of the run; see `neanias_ml.registry.tracking_parameters.flat_parameters`.
    tags
        Tags, for example ``mlflow.source.git.commit``; those without a value are left out.
    run_id
        Run to go on with: its status is RUNNING again, parameters that changed go to the tag ``params_changed``, and
        what an earlier training left in the spool is sent first.
    spool
        File for what does not reach the server; None drops it.

    Raises
    ------
    UsageError
        ``TrackingUri``, ``MlflowMissing``, or ``RunMissing`` if ``run_id`` is not tracked there.
    ResourceError
        ``RegistryUnreachable`` and the others of `neanias_ml.registry.client.connect`, ``ExperimentDeleted`` or
        ``RunDeleted``; at the beginning alone.
    """
    address = tracking_uri(uri)
    client, kept = connect(address), None if spool is None else Spool(spool)
    with registry_errors(address):
        if run_id is not None and kept is not None:
            kept.drain(lambda records: _report_gone(deliver(client, records, spool=kept)), batch=BATCH)
        begun = begin_run(client, uri=address, experiment=experiment, run_name=run_name, run_id=run_id)
        name = client.get_experiment(begun.info.experiment_id).name
    run = TrackedRun(client, uri=address, experiment=name, run_id=begun.info.run_id, spool=kept)
    with SigtermEnds() as sigterm:
        try:
            with registry_errors(address):
                describe_run(client, begun, parameters=parameters or {}, tags=tags or {})
            yield run
        except Exception as error:
            sigterm.ignore()
            run.end("FAILED", failure=str(error) or type(error).__name__)
            raise
        except BaseException:
            sigterm.ignore()
            run.end("KILLED")
            raise
        else:
            sigterm.ignore()
            run.end("FINISHED")


def resend(spool: Path | str, uri: str | None) -> int:
    """Send what an earlier training could not, to the server that has its run; the file is gone afterwards.

    Parameters
    ----------
    spool
        File that `tracked_run` left.
    uri
        As `neanias_ml.registry.location.tracking_uri` takes it.

    Returns
    -------
    int
        Metrics, files and ends of runs that were sent.

    Raises
    ------
    ResourceError
        ``RegistryUnreachable``, or ``RegistryRefused`` if the run is not there; what was not sent stays in the file.
    """
    kept = Spool(Path(spool))
    if not kept.path.exists():
        return 0
    address = tracking_uri(uri)
    client = connect(address)
    with registry_errors(address):
        return kept.drain(lambda records: _report_gone(deliver(client, records, spool=kept)), batch=BATCH)


def _report_gone(files: Sequence[RunFile]) -> None:
    if files:
        warn(f"{len(files)} files that were to be sent to the tracking server no longer exist, {files[0].path} first")


def _files(folder: Path, names: Sequence[str], *, under: str) -> list[RunFile]:
    chosen = names or sorted(path.name for path in folder.iterdir())
    for name in (*chosen, under):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UsageError("FileName", f"{name!r} leads out of its folder; give a name below {folder}")
    inside = [PurePosixPath(under, name) for name in chosen]
    return [
        RunFile(path=folder / name, under="" if str(place.parent) == "." else str(place.parent))
        for name, place in zip(chosen, inside, strict=True)
    ]
