"""What tracking costs a training: seconds per step without it, with a database file, and with a real mlflow server.

    python -m tests.benchmarks.tracking_overhead [--steps 200] [--repetitions 5] [--log-every 10] [--metrics 8]

The training is a small convolutional network on generated tiles, on one thread of the CPU, with the loggers of a real
run: the CSV file always, the tracked run beside it or not. The three kinds take turns, and their order changes from
turn to turn, so that a busy machine treats them alike; what is compared are medians over the turns. Seconds per step by
the clock say what a user sees, but on a machine that others use they differ by more than tracking costs. Its own share
is therefore measured as well: CPU time that the training spends in the logger, and that of the thread that sends, over
the CPU time of a step without tracking. Beginning and end of the run are left out: they cost once what the last column
says.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger, Logger

from neanias_ml.registry.tracking import TrackedRun, tracked_run
from tests.registry.test_tracking import Server

KINDS = ("none", "database", "server")


class Network(lightning.LightningModule):
    """Three convolutions that learn to copy a tile; its steps take about as long as they would on a fast GPU."""

    def __init__(self, *, metrics: int, width: int) -> None:
        super().__init__()
        self.metrics = metrics
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, width, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(width, width, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(width, 1, 3, padding=1),
        )

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Loss of a batch, logged under several names as the parts of a detector's loss are."""
        tiles = batch[0]
        loss = torch.nn.functional.mse_loss(self.layers(tiles), tiles)
        self.log_dict({f"train/loss_{part}": loss for part in range(self.metrics)})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class OwnTime(Logger):
    """A run's logger, with the CPU time that the training spends in it and the run's thread for it."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger, self.seconds = logger, 0.0
        thread = next(thread for thread in threading.enumerate() if thread.name == "tracking")
        self.thread_clock = time.pthread_getcpuclockid(thread.ident)

    name = property(lambda self: self.logger.name)
    version = property(lambda self: self.logger.version)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """As the run's logger."""
        self.logger.log_hyperparams(*args, **kwargs)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """As the run's logger, timed."""
        started = time.thread_time()
        self.logger.log_metrics(metrics, step)
        self.seconds += time.thread_time() - started

    def finalize(self, status: str) -> None:
        """As the run's logger; the thread has then sent everything."""
        self.logger.finalize(status)
        self.seconds += time.clock_gettime(self.thread_clock)


class Clock(lightning.Callback):
    """Wall and CPU time of the steps after the first ten."""

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Start after the warm-up."""
        if trainer.global_step == 10:
            self.wall, self.cpu = time.perf_counter(), time.process_time()

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Stop."""
        steps = trainer.global_step - 10
        self.wall = (time.perf_counter() - self.wall) / steps
        self.cpu = (time.process_time() - self.cpu) / steps


def train(folder: Path, loggers: list[Logger], options: argparse.Namespace) -> Clock:
    """One training; seconds per step."""
    lightning.seed_everything(1, verbose=False)
    clock = Clock()
    trainer = lightning.Trainer(
        max_steps=options.steps + 10,
        max_epochs=-1,
        logger=[CSVLogger(folder, name="log", version=""), *loggers],
        log_every_n_steps=options.log_every,
        accelerator="cpu",
        callbacks=[clock],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )
    tiles = torch.utils.data.TensorDataset(torch.randn(400, 1, 64, 64))
    loader = torch.utils.data.DataLoader(tiles, batch_size=options.batch)
    trainer.fit(Network(metrics=options.metrics, width=options.width), loader)
    return clock


@contextlib.contextmanager
def tracking(uri: str | None, folder: Path) -> Iterator[TrackedRun | None]:
    """A tracked run, or none."""
    if uri is None:
        yield None
        return
    parameters = {"fit": {f"option{number}": number for number in range(150)}}
    with tracked_run(uri=uri, experiment="overhead", parameters=parameters, spool=folder / "unsent.jsonl") as run:
        yield run


@dataclass(frozen=True)
class Cost:
    """Seconds of one training: per step by the clock, CPU per step, CPU per step of tracking, its beginning and end."""

    wall: float
    cpu: float
    own: float
    around: float


def one_cost(uri: str | None, options: argparse.Namespace) -> Cost:
    """What one training took."""
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        with tracking(uri, Path(name)) as run:
            begun = time.perf_counter()
            loggers = [OwnTime(run.logger)] if run else []
            clock = train(Path(name), [*loggers], options)
            trained = time.perf_counter()
        around = time.perf_counter() - trained + begun - started
    own = sum(logger.seconds for logger in loggers) / (options.steps + 10)
    return Cost(wall=clock.wall, cpu=clock.cpu, own=own, around=around)


def measure(uris: dict[str, str | None], options: argparse.Namespace) -> dict[str, list[Cost]]:
    """The costs of every kind in every turn."""
    found: dict[str, list[Cost]] = {kind: [] for kind in KINDS}
    for turn in range(options.repetitions):
        for number in range(len(KINDS)):
            kind = KINDS[(number + turn) % len(KINDS)]
            found[kind].append(one_cost(uris[kind], options))
    return found


def report(found: dict[str, list[Cost]]) -> None:
    """Medians, and their ratios to those without tracking."""

    def median(kind: str, name: str) -> float:
        return statistics.median(getattr(cost, name) for cost in found[kind])

    step, cpu = median("none", "wall"), median("none", "cpu")
    print("tracking      s/step   ratio  CPU s/step  own CPU s/step    share  once, s")
    for kind in found:
        wall, own = median(kind, "wall"), median(kind, "own")
        columns = f"{wall:>10.5f}{wall / step:>8.3f}{median(kind, 'cpu'):>12.5f}{own:>16.6f}{own / cpu:>9.2%}"
        print(f"{kind:<10}{columns}{median(kind, 'around'):>9.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--log-every", type=int, default=10)
    parser.add_argument("--metrics", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name))
        server.start()
        try:
            uris = {"none": None, "database": f"sqlite:///{name}/mlflow.db", "server": server.wait().uri}
            measure(uris, argparse.Namespace(**{**vars(options), "repetitions": 1, "steps": 10}))  # loads all code
            print(f"{options.steps} steps, {options.metrics} metrics every {options.log_every} steps")
            report(measure(uris, options))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
