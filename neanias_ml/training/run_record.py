"""`RunWatch`: ``run.json`` and ``config.yaml``: where a network comes from, and how to train it once more."""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightning
import torch
import yaml

import neanias_ml
from neanias_ml.errors import NeaniasError
from neanias_ml.output_files import replace_text
from neanias_ml.training.network_kind import FittedNetwork
from neanias_ml.training.progress import StepClock
from neanias_ml.training.run_folder import RunFolder
from neanias_ml.training.strategy import ProcessLayout

_PACKAGES = ("torch", "torchvision", "lightning", "numpy", "horovod", "mlflow")


class RunWatch:
    """Keeps the record of a run; without a path it only listens.

    A run that is started again in its folder goes on with its record: the state of earlier attempts is listed under
    ``attempts``. One that is overwritten begins with an empty list.

    Parameters
    ----------
    folder
        Folder of the run; None on all processes but the first.
    known
        What is known beforehand (plain JSON values): command, network, recipe, data folder, tracking.
    configuration
        The recipe with every value, for ``config.yaml``.
    """

    def __init__(
        self,
        folder: RunFolder | None = None,
        *,
        known: Mapping[str, Any] | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = folder.record if folder is not None else None
        self._folder = folder
        self._configuration = configuration
        self._record: dict[str, Any] = dict(known or {})
        self._trainer: lightning.Trainer | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """What a bundle is to know of the run that made it."""
        return {"version": neanias_ml.__version__, "git_commit": git_commit(), "trained": self._record.get("started")}

    def begins(
        self, *, layout: ProcessLayout, trainer: lightning.Trainer, manifest: Mapping[str, Any], parent: str | None
    ) -> None:
        """The processes are known, training starts."""
        self._trainer = trainer
        self._record |= {
            "state": "running",
            "started": _now(),
            "version": neanias_ml.__version__,
            "git_commit": git_commit(),
            "packages": package_versions(),
            "python": platform.python_version(),
            "host": platform.node(),
            "data_digest": manifest["digest"],
            "parent_digest": parent,
            "strategy": layout.strategy,
            "launcher": layout.launcher,
            "world_size": trainer.world_size,
            "device": _device_name(trainer),
            "precision": str(trainer.precision),
        }
        self._write(attempts=self._earlier_attempts())
        if self._folder is not None and self._configuration is not None:
            text = yaml.safe_dump(dict(self._configuration), sort_keys=False)
            replace_text(self._folder.configuration, text)

    def notes(self, **values: Any) -> None:
        """What else there is to know of the run (plain JSON values)."""
        self._record |= values

    def finished(self, fitted: FittedNetwork) -> None:
        """The bundle is there."""
        report = fitted.report
        self._record |= {
            "bundle_digest": fitted.digest,
            "primary": report.primary,
            "score": report.score,
        }

    @contextlib.contextmanager
    def ending_with(self, trainer: lightning.Trainer) -> Iterator[None]:
        """Note how the run ends, also by an exception; a disk that cannot take the note does not hide it."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            with contextlib.suppress(NeaniasError, OSError):
                self._end("interrupted", trainer)
            raise
        except BaseException as error:
            with contextlib.suppress(NeaniasError, OSError):
                self._end("failed", trainer, error=" ".join(str(error).split())[:500] or type(error).__name__)
            raise
        self._end("finished", trainer)

    def _end(self, state: str, trainer: lightning.Trainer, *, error: str | None = None) -> None:
        clock = next((one for one in trainer.callbacks if isinstance(one, StepClock)), None)
        self._record |= {
            "state": state,
            "ended": _now(),
            "error": error,
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "samples_per_second": clock.samples_per_second if clock else None,
            "input_wait": clock.input_wait if clock else None,
        }
        if self._trainer is not None:  # a run that never began leaves the record of the one before
            self._write()

    def _earlier_attempts(self) -> list[dict[str, Any]]:
        if self.path is None or not self.path.is_file():
            return []
        try:
            earlier = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError:
            return []  # it was cut short with the machine; the checkpoints are what counts
        kept = ("state", "started", "ended", "error", "steps", "strategy", "world_size")
        return [*earlier.get("attempts", []), {name: earlier.get(name) for name in kept}]

    def _write(self, *, attempts: Sequence[Mapping[str, Any]] | None = None) -> None:
        if attempts is not None:
            self._record["attempts"] = list(attempts)
        if self.path is None:
            return
        replace_text(self.path, json.dumps(self._record, indent=1) + "\n")


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """Commit of the checkout that this package runs from, with ``+changes`` where files differ; None outside of one."""
    package = Path(neanias_ml.__file__).parent

    def git(*words: str) -> str | None:
        done = subprocess.run(
            ["git", "-C", str(package), *words], capture_output=True, text=True, check=False, timeout=20
        )
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        # a virtual environment may lie within the checkout of something else
        commit = git("rev-parse", "HEAD") if git("ls-files", "--error-unmatch", "__init__.py") else None
        changed = commit is not None and git("status", "--porcelain", "--untracked-files=no", ".")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{commit}+changes" if changed else commit


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide what training does, those that are installed."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _device_name(trainer: lightning.Trainer) -> str:
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
