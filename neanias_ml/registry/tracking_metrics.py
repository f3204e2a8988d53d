"""Metrics on their way to the tracking server: collected by the training, sent in batches by a thread of its own."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from neanias_ml.errors import NeaniasError
from neanias_ml.registry.tracking_parameters import safe_key
from neanias_ml.registry.tracking_spool import MetricPoint, Spool, metric_record

BATCH = 1000
"""Metrics that one request of MLflow may hold."""
SEND_EVERY = 5.0
"""Seconds that a metric waits for others at most while the server answers."""
FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds until the first retry after a failure, and between later ones at most; the pause doubles."""
KEPT = 50_000
"""Metrics kept in memory while the server does not answer (about 10 MB); older ones go to the spool."""


@dataclass
class _State:
    """What the training and the thread share, under one lock."""

    pending: deque[MetricPoint] = field(default_factory=deque)
    in_flight: list[MetricPoint] = field(default_factory=list)
    send_at: float = 0.0
    pause: float = 0.0  # seconds; above zero while the server does not answer
    attempts: int = 0  # that failed since the last success, flush or close
    urgent: bool = False  # somebody waits for a flush
    closing: bool = False


class MetricSender:
    """Sends metrics in the background, and never makes the training wait.

    Parameters
    ----------
    send
        Sends at most ``BATCH`` metrics; whatever it raises counts as a server that does not answer.
    run_id
        Run that the metrics belong to.
    spool
        Where metrics go that do not fit into memory or were never sent; None drops them.
    recovered
        Called in the background when the server answers again.
    send_every, first_retry, kept
        As the constants of this module.
    """

    def __init__(
        self,
        send: Callable[[Sequence[MetricPoint]], None],
        *,
        run_id: str,
        spool: Spool | None,
        recovered: Callable[[], None] = lambda: None,
        send_every: float = SEND_EVERY,
        first_retry: float = FIRST_RETRY,
        kept: int = KEPT,
    ) -> None:
        self._send, self._run_id, self._spool, self._recovered = send, run_id, spool, recovered
        self._send_every, self._first_retry, self._kept = send_every, first_retry, kept
        self._state, self._changed = _State(), threading.Condition()
        self._last_words: Callable[[], None] | None = None
        self._keys: dict[str, str] = {}
        self._warned = False
        self.failure: Exception | None = None
        """Why the last attempt failed; None after a success."""
        self.lost = 0
        """Metrics that neither the server nor the spool took."""
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def add(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Take metrics of a step; returns at once."""
        now = time.time_ns() // 1_000_000
        points = [MetricPoint(self._key(key), float(value), now, step) for key, value in metrics.items()]
        with self._changed:
            state = self._state
            if not state.pending and not state.pause:
                state.send_at = time.monotonic() + self._send_every
            state.pending.extend(points)
            if len(state.pending) == len(points) or len(state.pending) >= BATCH:
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Send what has been added so far, at once; False if it did not get through within some seconds."""
        with self._changed:
            state = self._state
            state.urgent, state.attempts = True, 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._idle() or state.attempts > 0, timeout)
            state.urgent = False
            return self._idle()

    def close(self, timeout: float, *, last_words: Callable[[], None] | None = None) -> int:
        """Send the rest and end the thread; what does not get through within the time goes to the spool.

        Parameters
        ----------
        timeout
            Seconds.
        last_words
            What is to be sent after the metrics.

        Returns
        -------
        int
            Metrics that were not sent.
        """
        with self._changed:
            self._state.closing, self._state.attempts = True, 0
            self._last_words = last_words
            self._changed.notify_all()
        try:
            self._thread.join(timeout)
        finally:  # an impatient user may interrupt the waiting
            with self._changed:
                left = [*self._state.in_flight, *self._state.pending]
                self._state.pending.clear()
            self._keep(left)
        return len(left)

    @property
    def last_words_said(self) -> bool:
        """Whether the server has taken what was to be sent at the end."""
        return not self._thread.is_alive() and self._last_words is None

    def _key(self, key: str) -> str:
        if key not in self._keys:
            self._keys[key] = safe_key(key)
        return self._keys[key]

    def _idle(self) -> bool:
        return not self._state.pending and not self._state.in_flight

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                self._send(batch)
            except Exception as error:
                self._after_failure(batch, error)
            else:
                self._after_success()
        if self._last_words is not None and self._idle():
            try:
                self._last_words()
                self._last_words = None
            except Exception as error:
                self.failure = error

    def _next_batch(self) -> list[MetricPoint]:
        """Wait for metrics that are due; nothing comes back when all is over."""
        with self._changed:
            state = self._state
            while not self._due():
                if state.closing:
                    return []
                self._changed.wait(max(state.send_at - time.monotonic(), 0.0) if state.pending else None)
            state.in_flight = [state.pending.popleft() for _ in range(min(BATCH, len(state.pending)))]
            return state.in_flight

    def _due(self) -> bool:
        state = self._state
        if not state.pending:
            return False
        if state.closing:
            return state.attempts == 0
        if state.urgent and state.attempts == 0:
            return True
        full = len(state.pending) >= BATCH and not state.pause
        return full or time.monotonic() >= state.send_at

    def _after_success(self) -> None:
        with self._changed:
            was_down = self._state.pause > 0
            self._state.in_flight, self._state.pause, self._state.attempts = [], 0.0, 0
            self._state.send_at = time.monotonic() + self._send_every
            self._changed.notify_all()
        self.failure = None
        if was_down:
            try:
                self._recovered()
            except Exception as error:
                self.failure = error

    def _after_failure(self, batch: list[MetricPoint], error: Exception) -> None:
        self.failure = error
        with self._changed:
            state = self._state
            state.pending.extendleft(reversed(batch))
            state.in_flight = [state.pending.popleft() for _ in range(max(len(state.pending) - self._kept, 0))]
        self._keep(state.in_flight)
        with self._changed:
            state.in_flight = []
            state.attempts += 1
            state.pause = min(max(state.pause * 2, self._first_retry), LAST_RETRY)
            state.send_at = time.monotonic() + state.pause
            self._changed.notify_all()
        if not self._warned:
            self._warned = True
            warn(f"{error}. The training goes on; its metrics are kept until they can be sent")

    def _keep(self, points: Sequence[MetricPoint]) -> None:
        """Write metrics to the spool; where that fails as well, only the training's own log has them."""
        if not points:
            return
        try:
            if self._spool is not None:
                self._spool.append(metric_record(self._run_id, point) for point in points)
                return
        except NeaniasError as error:
            warn(str(error))
        self.lost += len(points)


def warn(sentence: str) -> None:
    """Tell the user on stderr; the training goes on."""
    print(f"warning: {sentence}", file=sys.stderr, flush=True)
