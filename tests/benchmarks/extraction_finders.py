"""The finders that the extraction is held against: how each is run, and what of its time is the algorithm."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.benchmarks.extraction_processes import ProcessCost, measured

OURS = "neanias_ml"
EXTENDED = "neanias_ml_extended"
VARIANTS: dict[str, tuple[str, ...]] = {OURS: (), EXTENDED: ("--finder.search_extended", "true")}
"""Options of ``extract`` of our ways to run."""
WITHOUT_FITS = ("read", "background and noise", "islands and moments", "other")
"""Stages of ours that do what finders without fits do."""
WITH_FITS = (*WITHOUT_FITS, "fits")
"""The same of finders that fit; nested islands, descriptors and artefact evidence come on top."""


@dataclass(frozen=True)
class Peer:
    """Another finder.

    Attributes
    ----------
    title
        Name in the tables.
    variant
        Settings of the runner ``run_<name>.py``.
    environment
        Virtual environment that holds it.
    slow
        Whether a map takes it minutes, so that it runs once and on small maps alone.
    stages
        Stages that make up its algorithm; empty for all but imports.
    """

    title: str
    environment: str
    variant: str = "default"
    slow: bool = False
    stages: tuple[str, ...] = ()

    def algorithm(self, cost: ProcessCost) -> float:
        """CPU seconds without interpreter start and imports."""
        names = self.stages or tuple(name for name in cost.stages if name != "import")
        return sum(cost.stages.get(name, 0.0) for name in names)


PEERS = {
    "sep": Peer("sep", "sep"),
    "sextractor": Peer("SExtractor", "sep"),
    "photutils": Peer("photutils", "photutils"),
    "aegean": Peer("Aegean", "aegean", slow=True, stages=("BANE", "aegean_total")),
    "bdsf": Peer("PyBDSF", "bdsf", variant="box", slow=True),
}


@dataclass
class Result:
    """All runs of one finder on one map."""

    finder: str
    map_name: str
    n_pixels: int
    runs: list[ProcessCost]
    algorithm: float
    """CPU seconds of the algorithm alone"""
    without_fits: float = float("nan")
    """the same without fits and what follows (ours)"""
    with_fits: float = float("nan")
    """the same up to fits (ours)"""
    with_pictures: float = float("nan")
    """median CPU seconds of the whole process when it draws pictures and a report too (ours)"""
    stages: dict[str, float] = field(default_factory=dict)
    score: dict[str, Any] = field(default_factory=dict)

    @property
    def cpu(self) -> float:
        """Median CPU seconds of the whole process."""
        return float(np.median([run.cpu for run in self.runs])) if self.runs else float("nan")

    @property
    def wall(self) -> float:
        """Best wall seconds of the whole process."""
        return min((run.wall for run in self.runs), default=float("nan"))

    @property
    def memory(self) -> float:
        """Largest memory, MB."""
        return max((run.memory for run in self.runs), default=float("nan"))


@dataclass(frozen=True)
class Bench:
    """Folder with the simulator, the scoring and the runners of the peers, and where the peers are installed."""

    folder: Path
    environments: Path

    def missing(self) -> list[str]:
        """What the folder lacks."""
        needed = ("simulate.py", "score.py", "peers")
        return [str(self.folder / name) for name in needed if not (self.folder / name).exists()]

    def simulate(self, path: Path, *, size: int, seed: int, options: Sequence[str] = ()) -> Path:
        """The simulated map of that name, made where it is not there yet."""
        if not path.exists():
            words = ["--n", str(size), "--seed", str(seed), "--out", str(path.with_suffix(""))]
            command = [sys.executable, str(self.folder / "simulate.py"), *words, *options]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return path

    def scoring(self) -> ModuleType:
        """The module ``score.py``."""
        specification = importlib.util.spec_from_file_location("score", self.folder / "score.py")
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module

    def run_peer(self, name: str, map_path: Path, folder: Path, *, repeat: int) -> list[ProcessCost]:
        """Run a peer; no runs where it is not installed."""
        peer = PEERS[name]
        python = self.environments / peer.environment / "bin" / "python"
        if not python.exists():
            print(f"{peer.title} is left out: no {python}", file=sys.stderr)
            return []
        command = [str(python), str(self.folder / "peers" / f"run_{name}.py"), str(map_path), str(folder)]
        return repeated([*command, "--cores", "1", "--variant", peer.variant], folder=folder, repeat=repeat)


def repeated(command: Sequence[str], *, folder: Path, repeat: int, cores: int = 1) -> list[ProcessCost]:
    """Run a command some times; stops with a message where it fails."""
    runs = []
    for _ in range(repeat):
        cost = measured(command, folder=folder, cores=cores)
        if cost.exit_code != 0:
            tail = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")[-800:]
            print(f"left out, exit code {cost.exit_code}: {' '.join(command)}\n{tail}", file=sys.stderr)
            return []
        runs.append(cost)
    return runs


def extract_command(map_path: Path, folder: Path, *options: str) -> list[str]:
    """The command line of ``neanias-ml extract``."""
    words = [str(map_path), "-o", str(folder / "results"), "--overwrite", "--quiet", *options]
    return [sys.executable, "-m", "neanias_ml", "extract", *words]


def warm_command(map_path: Path, folder: Path, *options: str) -> list[str]:
    """The command line that times our stages in a warm process and writes what the scoring reads."""
    return [sys.executable, "-m", "tests.benchmarks.extraction_ours", str(map_path), str(folder), *options]


def our_result(
    name: str, map_path: Path, folder: Path, *, n_pixels: int, repeat: int, maps: bool = True
) -> Result | None:
    """Run our command and our stages on a map; None where the stages fail, no process times where the command does."""
    command = extract_command(map_path, folder / "process", *VARIANTS[name])
    drawing = repeated(command, folder=folder / "pictures", repeat=repeat)
    runs = repeated([*command, "--no-pictures"], folder=folder / "process", repeat=repeat)
    words = ["--repeat", str(repeat), *([] if maps else ["--no-maps"]), *(["--extended"] if name == EXTENDED else [])]
    warm = repeated(warm_command(map_path, folder, *words), folder=folder, repeat=1)
    if not warm:
        return None
    stages = warm[0].stages
    return Result(
        finder=name,
        map_name=map_path.stem,
        n_pixels=n_pixels,
        runs=runs,
        algorithm=sum(stages.values()),
        without_fits=sum(stages.get(stage, 0.0) for stage in WITHOUT_FITS),
        with_fits=sum(stages.get(stage, 0.0) for stage in WITH_FITS),
        with_pictures=float(np.median([run.cpu for run in drawing])) if drawing else float("nan"),
        stages={**stages, "islands found": warm[0].facts["islands"], "components found": warm[0].facts["components"]},
    )


def peer_result(bench: Bench, name: str, map_path: Path, folder: Path, *, n_pixels: int, repeat: int) -> Result | None:
    """Run a peer on a map; None where it is missing or fails."""
    runs = bench.run_peer(name, map_path, folder, repeat=repeat)
    if not runs:
        return None
    algorithm = float(np.median([PEERS[name].algorithm(run) for run in runs]))
    return Result(name, map_path.stem, n_pixels, runs, algorithm, stages=runs[-1].stages)
