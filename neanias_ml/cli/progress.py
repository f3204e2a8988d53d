"""One progress line on a terminal; one line per finished stage where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import TextIO

UPDATE_SECONDS = 0.1


class ProgressLine:
    """Shows the stage, the steps done and the time that is left.

    Call it with the stage's name, the steps done and the steps in all. On a terminal it redraws one line; in a log
    it writes a line when a stage is done; when quiet it writes nothing. A stage that is told to be done again, as by
    the part of it that counts the steps and then by the whole, has its line once.

    Parameters
    ----------
    quiet
        Write nothing.
    stream
        Where to write; standard error by default, so that standard output holds results only.
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.quiet = quiet
        self.stream = stream or sys.stderr
        self._stage = ""
        self._started = 0.0
        self._drawn = 0.0
        self._finished = False

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps of a stage are finished."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started, self._drawn, self._finished = stage, now, 0.0, False
        finished = done >= total
        repeated, self._finished = finished and self._finished, finished
        if self.quiet or repeated:
            return
        if self.stream.isatty():
            if finished or now - self._drawn >= UPDATE_SECONDS:
                self._drawn = now
                self.stream.write(f"\r\033[K{self._text(done, total, now)}" + ("\n" if finished else ""))
                self.stream.flush()
        elif finished:
            self.stream.write(self._text(done, total, now) + "\n")

    def _text(self, done: int, total: int, now: float) -> str:
        elapsed = now - self._started
        if done >= total:
            count = f" ({total})" if total > 1 else ""
            return f"{self._stage}{count}: {elapsed:.1f} s"
        remaining = f", {elapsed / done * (total - done):.0f} s left" if done else ""
        return f"{self._stage}: {done}/{total}{remaining}"
