"""What did not reach the tracking server: kept as lines of JSON in the run's folder, and sent later."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from neanias_ml.errors import ResourceError
from neanias_ml.registry.file_lock import wait_for_lock

Record = dict[str, Any]
"""``run`` (its id) and one of ``metric``, ``file`` and ``end``."""


class MetricPoint(NamedTuple):
    """One value of a metric.

    Attributes
    ----------
    key
        Name.
    value
        Value; NaN and infinities are allowed.
    timestamp
        Milliseconds since 1970. With key, step and value it identifies the point: sent twice, it is kept once.
    step
        Step of the optimiser.
    """

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True)
class RunFile:
    """A file, or a whole folder, of a run.

    Attributes
    ----------
    path
        Where it is.
    under
        Folder of the run that it goes to; empty: its top.
    """

    path: Path
    under: str


def metric_record(run_id: str, point: MetricPoint) -> Record:
    """A metric as a record; JSON has no NaN, so such values are texts."""
    value = point.value if math.isfinite(point.value) else str(point.value)
    return {"run": run_id, "metric": [point.key, value, point.timestamp, point.step]}


def metric_point(record: Record) -> MetricPoint:
    """The metric of a record."""
    key, value, timestamp, step = record["metric"]
    return MetricPoint(str(key), float(value), int(timestamp), int(step))


@dataclass(frozen=True)
class Spool:
    """A file of records that survives a process that is killed, and writers at the same time.

    Attributes
    ----------
    path
        The file; it exists only while it holds records.
    """

    path: Path

    def place_of(self, file: RunFile) -> list[str]:
        """A file as a record has it: relative to the spool where it lies beside it, so that both may move."""
        path, folder = file.path.absolute(), self.path.absolute().parent
        return [str(path.relative_to(folder) if path.is_relative_to(folder) else path), file.under]

    def file_of(self, record: Record) -> RunFile:
        """The file of a record."""
        path, under = record["file"]
        return RunFile(path=self.path.absolute().parent / path, under=str(under))

    def append(self, records: Iterable[Record]) -> None:
        """Add records at the end, in one write.

        Raises
        ------
        ResourceError
            ``OutputNotWritable``.
        """
        lines = "".join(json.dumps(record) + "\n" for record in records).encode()
        if not lines:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._held() as stream:
                stream.write(lines if _ends_with_line(stream) else b"\n" + lines)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise ResourceError(
                "OutputNotWritable",
                f"{self.path} cannot be written ({error.strerror}); make room or allow writing there",
            ) from error

    def drain(self, send: Callable[[list[Record]], None], *, batch: int) -> int:
        """Hand the records over in their order, and drop those that were taken.

        Parameters
        ----------
        send
            Takes some records; what it raises ends this function, which then has dropped only what was taken before.
        batch
            Number of records at a time.

        Returns
        -------
        int
            How many records were taken.
        """
        lines = self._content().splitlines(keepends=True)
        done = count = 0
        try:
            for start in range(0, len(lines), batch):
                records = [record for line in lines[start : start + batch] if (record := _parsed(line)) is not None]
                if records:
                    send(records)
                count += len(records)
                done = start + batch
        finally:
            self._drop(b"".join(lines[:done]))
        return count

    def _content(self) -> bytes:
        if not self.path.exists():
            return b""
        with self._held() as stream:
            stream.seek(0)
            return stream.read()

    def _drop(self, head: bytes) -> None:
        """Take the beginning off the file, unless somebody else did so meanwhile."""
        if not head:
            return
        with self._held() as stream:
            stream.seek(0)
            content = stream.read()
            if not content.startswith(head):
                return
            rest = content[len(head) :]
            if not rest.strip():
                self.path.unlink()
                return
            with tempfile.NamedTemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}-", delete=False) as new:
                new.write(rest)
            Path(new.name).replace(self.path)

    @contextlib.contextmanager
    def _held(self) -> Iterator[BinaryIO]:
        """The file, opened to append, while no other process or thread replaces it."""
        while True:
            with self.path.open("a+b") as stream:
                with contextlib.suppress(OSError):  # training goes on whatever the file system says of locks
                    wait_for_lock(stream)
                if self.path.exists() and self.path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                    yield stream
                    return


def _ends_with_line(stream: BinaryIO) -> bool:
    if stream.seek(0, os.SEEK_END) == 0:
        return True
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def _parsed(line: bytes) -> Record | None:
    """The record of a line, or None for one that a killed writer left unfinished."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "run" in record else None
