"""SIGTERM, with which schedulers end a job, as an exception: what has begun is ended in order."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class SigtermEnds:
    """While entered, SIGTERM raises `SystemExit` in the main thread, unless somebody else handles the signal already.

    A trainer of Lightning puts its own handler before this one and ends by itself after the step; this one keeps still
    meanwhile.
    """

    def __enter__(self) -> Self:
        self._ignored = False
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._installed = in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self._installed:
            signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def ignore(self) -> None:
        """From here on further signals change nothing: the end is under way."""
        self._ignored = True

    def _handle(self, number: int, _: FrameType | None) -> None:
        if not self._ignored and signal.getsignal(signal.SIGTERM) == self._handle:
            raise SystemExit(128 + number)
