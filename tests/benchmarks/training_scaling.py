"""How training scales: samples per second of one process and of two, by ddp and by Horovod, and what steps wait for.

    python -m tests.benchmarks.training_scaling [--data FOLDER] [--config FILE] [--steps 30] [--repetitions 3]

Every process has the recipe's batch to itself and one thread, so that two processes do twice the work of a step. The
launchers take turns; what is compared are medians over the turns. The first steps are not counted, nor is anything
after the optimisation. Where there is a GPU, each process has one, and ``nvidia-smi`` is asked how busy they are.
``--data`` names prepared data; without it, tiles of generated skies are written to a temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from neanias_ml.cli.train import KINDS, build_parser
from tests.training.distributed.launchers import (
    run_horovodrun,
    run_mpirun,
    run_single,
    run_torchrun,
)

APART = "two that do not talk"
"""The most that two processes of this machine can do: they share its memory and, maybe, its cores."""
LAUNCHERS: dict[str, tuple[Callable[[list[str]], str], int]] = {
    "one process": (run_single, 1),
    APART: (run_single, 2),
    "ddp, torchrun": (run_torchrun, 2),
    "Horovod, horovodrun (Gloo)": (run_horovodrun, 2),
    "Horovod, mpirun": (run_mpirun, 2),
}
CONFIG = "configs/train/island_rcnn_small.yaml"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--kind", choices=KINDS, default="detector")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="loader processes of each process")
    parser.add_argument("--worker", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        train(options)
        return
    with tempfile.TemporaryDirectory() as place:
        if options.data is None:
            options.data = generated_tiles(Path(place) / "data")
        records: dict[str, list[dict[str, Any]]] = {name: [] for name in LAUNCHERS}
        for turn in range(options.repetitions):
            for name, (run, _) in LAUNCHERS.items():
                folder = Path(place) / f"{turn}-{name}"
                records[name].append(apart(options, folder) if name == APART else measured(run, options, folder))
        print_table(records, steps=options.steps)


def train(options: argparse.Namespace) -> None:
    """One process of a run, started by its launcher; nothing follows the optimisation."""
    import importlib

    from neanias_ml.training.fit import train_network
    from neanias_ml.training.run_folder import RunFolder
    from neanias_ml.training.run_record import RunWatch
    from neanias_ml.training.strategy import first_process
    from tests.training.distributed.worker import unjudged

    module, class_name, _ = KINDS[options.kind]
    kind = unjudged(getattr(importlib.import_module(module), class_name)())
    parser = build_parser(options.kind)
    words = ["--config", options.config, "--fit.max_minutes", "null", f"--fit.max_steps={options.steps}"]
    accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    values = parser.instantiate(
        parser.parse_args(
            [*words, f"--fit.accelerator={accelerator}", "--fit.threads=1", f"--fit.workers={options.workers}"]
        )
    )
    recipe = kind.recipe_type(name=values.name, model=values.model, feed=values.feed, fit=values.fit)
    watch = RunWatch(RunFolder(options.worker) if first_process() else None)
    train_network(kind, options.data, options.worker, recipe=recipe, watch=watch)


def measured(run: Callable[[list[str]], str], options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The record of one run, with how busy GPUs were."""
    words = ["-m", "tests.benchmarks.training_scaling", "--worker", str(folder), "--data", str(options.data)]
    words += ["--config", options.config, "--kind", options.kind, "--steps", str(options.steps)]
    with gpu_busy() as busy:
        run([*words, "--workers", str(options.workers)])
    record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return record | {"gpu": busy.get("percent")}


def apart(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Two runs of one process each at the same time, as one record."""
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda number: measured(run_single, options, folder / str(number)), range(2))
    return one | {"samples_per_second": one["samples_per_second"] + other["samples_per_second"]}


@contextlib.contextmanager
def gpu_busy() -> Iterator[dict[str, float]]:
    """Mean of the busy percentages that ``nvidia-smi`` tells while something runs, its idle start left out."""
    found: dict[str, float] = {}
    if not (torch.cuda.is_available() and shutil.which("nvidia-smi")):
        yield found
        return
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        try:
            yield found
        finally:
            watcher.terminate()
            text = watcher.communicate()[0]
    values = [float(word) for word in text.split() if word.replace(".", "").isdigit()]
    working = values[next((place for place, value in enumerate(values) if value), 0) :]
    if working:
        found["percent"] = statistics.mean(working)


def generated_tiles(folder: Path) -> Path:
    """Prepared tiles of generated skies."""
    from tests.benchmarks.loader import generated

    return generated(folder)


def print_table(records: dict[str, list[dict[str, Any]]], *, steps: int) -> None:
    """Markdown of the medians."""
    single = statistics.median(record["samples_per_second"] for record in records["one process"])
    device = records["one process"][0]["device"]
    print(f"{steps} steps on {device}, torch {records['one process'][0]['packages']['torch']}\n")
    print("| processes | samples/s | of one process | waiting for input | GPU busy |")
    print("|---|---|---|---|---|")
    for name, (_, processes) in LAUNCHERS.items():
        rate = statistics.median(record["samples_per_second"] for record in records[name])
        wait = statistics.median(record["input_wait"] for record in records[name])
        busy = [record["gpu"] for record in records[name] if record["gpu"] is not None]
        shown = f"{statistics.median(busy):.0f} %" if busy else "-"
        print(f"| {processes} ({name}) | {rate:.2f} | {rate / single:.2f} | {100 * wait:.1f} % | {shown} |")


if __name__ == "__main__":
    sys.exit(main())
