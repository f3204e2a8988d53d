"""How the processes of a run work together, read off the environment they were started in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from neanias_ml.errors import UsageError
from neanias_ml.training.fit_config import FitConfig

Launcher = Literal["none", "torchrun", "horovodrun", "mpirun", "slurm"]

_MPI_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")
"""Numbers of ranks as Open MPI, MPICH and Intel MPI set them."""


@dataclass(frozen=True)
class ProcessLayout:
    """Who has started the processes and how many they are.

    Attributes
    ----------
    launcher
        What started this process.
    strategy
        single, ddp or horovod.
    devices, nodes
        Devices of each node and nodes, as Lightning counts them; 1 and 1 under Horovod, which counts itself.
    """

    launcher: Launcher
    strategy: Literal["single", "ddp", "horovod"]
    devices: int
    nodes: int

    @property
    def description(self) -> str:
        """For people and for run.json."""
        started = "" if self.launcher == "none" else f" by {self.launcher}"
        return f"{self.strategy}{started}"


def process_layout(fit: FitConfig, environment: Mapping[str, str] = os.environ) -> ProcessLayout:
    """Decide between single, ddp and horovod.

    With ``auto``, processes of ``horovodrun`` and ``mpirun`` train with Horovod, those of ``torchrun`` and Slurm by
    ddp, and a command that no launcher has started uses ``fit.devices`` of this node: by ddp where they are several.

    Raises
    ------
    UsageError
        ``StrategyUnfit`` if the wanted strategy cannot use the processes that a launcher has started.
    """
    launcher = launcher_of(environment)
    wanted = fit.strategy
    if launcher in ("horovodrun", "mpirun"):
        if wanted in ("auto", "horovod"):
            return ProcessLayout(launcher, "horovod", 1, 1)
        raise _unfit(wanted, launcher, "start it without a launcher or with torchrun, or choose horovod")
    if wanted == "horovod":
        if launcher == "none":
            return ProcessLayout(launcher, "horovod", 1, 1)  # one process: Horovod makes a world of it
        raise _unfit(wanted, launcher, "start it with horovodrun or mpirun, or choose ddp")
    if launcher != "none":
        if wanted == "single":
            raise _unfit(wanted, launcher, "start it without a launcher, or choose ddp")
        devices, nodes = _started(launcher, environment)
        return ProcessLayout(launcher, "ddp", devices, nodes)
    several = fit.devices * fit.nodes > 1
    if wanted == "single" and several:
        raise UsageError(
            "StrategyUnfit", f"fit.strategy single has one device, fit.devices says {fit.devices}; choose ddp or auto"
        )
    chosen: Literal["single", "ddp"] = "ddp" if wanted == "ddp" or several else "single"
    return ProcessLayout(launcher, chosen, fit.devices, fit.nodes)


def launcher_of(environment: Mapping[str, str] = os.environ) -> Launcher:
    """What has started this process as one of several."""
    if "HOROVOD_RANK" in environment or "HOROVOD_GLOO_RENDEZVOUS_ADDR" in environment:
        return "horovodrun"
    if "TORCHELASTIC_RUN_ID" in environment:
        return "torchrun"
    if mpi_processes(environment) > 1:
        return "mpirun"
    # srun alone counts the tasks of a step: a batch script has the job's variables, but is one process
    if _number(environment.get("SLURM_STEP_NUM_TASKS")) > 1 and "SLURM_PROCID" in environment:
        return "slurm"
    return "none"


def mpi_processes(environment: Mapping[str, str] = os.environ) -> int:
    """Number of processes that ``mpirun`` has started; 0 where none has."""
    return max(_number(environment.get(name)) for name in _MPI_SIZES)


_RANKS: Mapping[Launcher, tuple[str, ...]] = {
    "none": ("LOCAL_RANK", "NODE_RANK"),
    "torchrun": ("RANK",),
    "horovodrun": ("HOROVOD_RANK",),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "PMI_RANK"),
    "slurm": ("SLURM_PROCID",),
}
"""Where each launcher says the number of a process; those of the others may be left over from what it runs in."""


def first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the first process of a run, or its only one, before any of them know each other.

    Lightning starts the further processes of a ddp run itself, with ``LOCAL_RANK`` set.
    """
    return all(_number(environment.get(name)) == 0 for name in _RANKS[launcher_of(environment)])


def trainer_strategy(layout: ProcessLayout, fit: FitConfig) -> Any:
    """What ``lightning.Trainer`` is told as its strategy.

    Raises
    ------
    UsageError
        ``HorovodMissing``.
    """
    if layout.strategy == "single":
        return "auto"
    if layout.strategy == "horovod":
        from neanias_ml.training.horovod_strategy import HorovodStrategy

        return HorovodStrategy(
            accumulate=fit.accumulate, compression=fit.compression, sync_batch_norm=fit.sync_batch_norm
        )
    from neanias_ml.training.ddp_strategy import AnyDeviceDDP

    return AnyDeviceDDP(sync_batch_norm=fit.sync_batch_norm)


def trainer_devices(layout: ProcessLayout, *, accelerator: str) -> int | list[int]:
    """What ``lightning.Trainer`` is told as its devices."""
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    if layout.strategy == "horovod" and on_gpu:
        from neanias_ml.training.horovod_strategy import HorovodEnvironment

        return [HorovodEnvironment().local_rank()]
    return layout.devices


def _started(launcher: Launcher, environment: Mapping[str, str]) -> tuple[int, int]:
    """Processes of each node and nodes."""
    if launcher == "torchrun":
        local = _number(environment.get("LOCAL_WORLD_SIZE")) or 1
        return local, max(1, _number(environment.get("WORLD_SIZE")) // local)
    nodes = _number(environment.get("SLURM_NNODES")) or _number(environment.get("SLURM_JOB_NUM_NODES")) or 1
    per_node = _number(environment.get("SLURM_NTASKS_PER_NODE"))
    return per_node or max(1, _number(environment.get("SLURM_STEP_NUM_TASKS")) // nodes), nodes


def _number(text: str | None) -> int:
    """A count in an environment variable, 0 where there is none; Slurm writes ``4(x2)`` for equal nodes."""
    digits = (text or "").split("(")[0]
    return int(digits) if digits.isdecimal() else 0


def _unfit(strategy: str, launcher: str, remedy: str) -> UsageError:
    return UsageError(
        "StrategyUnfit", f"fit.strategy {strategy} cannot use the processes that {launcher} has started; {remedy}"
    )
