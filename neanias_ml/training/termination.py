"""SIGTERM outside of the optimisation, where no checkpoint has to be written first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

EXIT_TERMINATED = 143
"""Exit code of a program that SIGTERM has ended."""


@contextlib.contextmanager
def sigterm_ends_the_program() -> Iterator[None]:
    """Let SIGTERM leave the block as `SystemExit`, so that what waits for its end learns of it.

    Does nothing in other threads than the main one, to which signals do not come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(EXIT_TERMINATED)
