"""What MLflow is told of a run: its beginning, parameters, metrics, files and end."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from neanias_ml.errors import ResourceError, UsageError
from neanias_ml.registry.client import NOT_THERE, experiment_id
from neanias_ml.registry.tracking_parameters import (
    batches,
    changed_parameters,
    changes_text,
    flat_parameters,
    flat_tags,
)
from neanias_ml.registry.tracking_spool import MetricPoint, Record, RunFile, Spool, metric_point

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FAILURE_TAG = "failure"
"""Tag with the message of the exception that ended a run."""
CHANGES_TAG = "params_changed"
"""Tag with every value of the parameters that a resumed run changed, as JSON: ``{"fit.max_steps": ["100", "200"]}``."""


def begin_run(client: MlflowClient, *, uri: str, experiment: str, run_name: str | None, run_id: str | None) -> Run:
    """A new run of an experiment, or the earlier one of an id, with the status RUNNING.

    Raises
    ------
    UsageError
        ``RunMissing`` if no such run is tracked there.
    ResourceError
        ``RunDeleted``, and as `neanias_ml.registry.client.experiment_id`.
    """
    if run_id is None:
        number = experiment_id(client, experiment, uri=uri)
        return client.create_run(number, run_name=run_name, tags=_user())
    run = _tracked(client, run_id, uri=uri)
    if FAILURE_TAG in run.data.tags:
        client.delete_tag(run_id, FAILURE_TAG)
    client.update_run(run_id, status="RUNNING")
    return run


def describe_run(client: MlflowClient, run: Run, *, parameters: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
    """Give a run its parameters and tags; what MLflow does not let change goes to the tag ``params_changed``."""
    flat, logged = flat_parameters(parameters), run.data.params
    changes = changed_parameters(logged, flat, history=run.data.tags.get(CHANGES_TAG))
    send_parameters(client, run.info.run_id, {key: value for key, value in flat.items() if key not in logged})
    send_tags(client, run.info.run_id, flat_tags({**tags, CHANGES_TAG: changes_text(changes) if changes else None}))


def send_parameters(client: MlflowClient, run_id: str, parameters: Mapping[str, str]) -> None:
    """Send flat parameters that the run does not have yet."""
    from mlflow.entities import Param

    for batch in batches(parameters):
        client.log_batch(run_id, params=[Param(key, value) for key, value in batch.items()], synchronous=True)


def send_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Send flat tags; earlier values are replaced."""
    from mlflow.entities import RunTag

    for batch in batches(tags):
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in batch.items()], synchronous=True)


def send_metrics(client: MlflowClient, run_id: str, points: Sequence[MetricPoint]) -> None:
    """Send at most 1000 metrics; those that the server already has are kept once."""
    from mlflow.entities import Metric

    metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
    client.log_batch(run_id, metrics=metrics, synchronous=True)


def send_file(client: MlflowClient, run_id: str, file: RunFile) -> None:
    """Send a file or a whole folder under its own name."""
    if file.path.is_dir():
        client.log_artifacts(run_id, str(file.path), "/".join(filter(None, (file.under, file.path.name))))
    else:
        client.log_artifact(run_id, str(file.path), file.under or None)


def deliver(client: MlflowClient, records: Iterable[Record], *, spool: Spool | None) -> list[RunFile]:
    """Send records in their order.

    Returns
    -------
    list of RunFile
        Files that no longer exist.
    """
    gone = []
    for (run_id, is_metric), group in groupby(records, key=lambda record: (record["run"], "metric" in record)):
        if is_metric:
            send_metrics(client, run_id, [metric_point(record) for record in group])
            continue
        for record in group:
            if "file" in record and spool is not None:
                file = spool.file_of(record)
                if file.path.exists():
                    send_file(client, run_id, file)
                else:
                    gone.append(file)
            elif "end" in record:
                status, end_time, tags = record["end"]
                send_tags(client, run_id, tags)
                client.set_terminated(run_id, status, end_time)
    return gone


def _tracked(client: MlflowClient, run_id: str, *, uri: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != NOT_THERE:
            raise
        raise UsageError(
            "RunMissing",
            f"the run {run_id} that is to go on is not tracked at {uri}; give the address at which it was begun",
        ) from error
    if run.info.lifecycle_stage != "active":
        raise ResourceError("RunDeleted", f"the run {run_id} at {uri} was deleted; restore it to go on with it")
    return run


def _user() -> dict[str, str]:
    """The user's name, which MLflow shows beside the run; accounts of containers may have none."""
    with contextlib.suppress(KeyError, OSError):
        return {"mlflow.user": getpass.getuser()}
    return {}
