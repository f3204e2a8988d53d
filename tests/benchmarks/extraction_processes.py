"""Time, memory and stages of source finders that run as processes of their own: ours and its peers."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
SAMPLING_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessCost:
    """What one process and its children took.

    Attributes
    ----------
    wall, cpu
        Seconds; ``cpu`` is user plus system time of the whole tree.
    memory
        Largest proportional set size of the tree, MB.
    exit_code
        0 where it ended well.
    stages
        CPU seconds by stage as the process itself wrote them, empty where it did not.
    facts
        Everything else that the process wrote of itself.
    """

    wall: float
    cpu: float
    memory: float
    exit_code: int
    stages: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def measured(command: Sequence[str], *, folder: Path, cores: int = 1, timeout: float = 3600.0) -> ProcessCost:
    """Run a command in a folder with every thread count at ``cores``; its output goes to ``log.txt`` there."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(cores)), "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    started = time.perf_counter()
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)
        watch = _MemoryWatch(process.pid, deadline=started + timeout)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    memory = watch.stop()
    return ProcessCost(wall, usage.ru_utime + usage.ru_stime, memory, process.returncode, *_own_report(folder))


def _own_report(folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """CPU seconds by stage and other facts of a finder's ``stages.json``."""
    path = folder / "stages.json"
    if not path.exists():
        return {}, {}
    facts = json.loads(path.read_text(encoding="utf-8"))
    return facts.pop("stages_cpu", {}), facts


class _MemoryWatch:
    """Samples the memory of a process tree until stopped; kills the tree at the deadline."""

    def __init__(self, pid: int, *, deadline: float) -> None:
        self._pid, self._deadline = pid, deadline
        self._peak = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLING_SECONDS):
            tree = process_tree(self._pid)
            self._peak = max(self._peak, sum(proportional_memory(pid) for pid in tree))
            if time.perf_counter() > self._deadline:
                for pid in reversed(tree):
                    os.kill(pid, 9)
                return

    def stop(self) -> float:
        """Largest memory seen, MB."""
        self._stopped.set()
        self._thread.join()
        return self._peak


def process_tree(pid: int) -> list[int]:
    """A process and its living descendants (Linux), parents first."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in process_tree(child))]


def proportional_memory(pid: int) -> float:
    """Proportional set size of a process in MB; 0 when it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024.0 for line in lines if line.startswith("Pss:")), 0.0)
