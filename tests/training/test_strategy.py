"""Which strategy a run gets from the environment that its launcher has made."""

import pytest

from neanias_ml.errors import UsageError
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.strategy import ProcessLayout, first_process, launcher_of, process_layout, trainer_strategy

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "1", "RANK": "5", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8",
}  # fmt: skip
SLURM = {
    "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "3", "SLURM_NNODES": "2",
    "SLURM_NTASKS_PER_NODE": "4",
}  # fmt: skip
HOROVODRUN = {"HOROVOD_RANK": "1", "HOROVOD_SIZE": "2"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}
MPICH = {"PMI_SIZE": "2", "PMI_RANK": "1"}


def fit(**changes):
    return FitConfig(max_steps=1, **changes)


@pytest.mark.parametrize(
    ("environment", "changes", "expected"),
    [
        ({}, {}, ("none", "single", 1, 1)),
        ({}, {"devices": 2}, ("none", "ddp", 2, 1)),
        ({}, {"devices": 2, "nodes": 3, "strategy": "ddp"}, ("none", "ddp", 2, 3)),
        ({}, {"strategy": "ddp"}, ("none", "ddp", 1, 1)),
        ({}, {"strategy": "horovod"}, ("none", "horovod", 1, 1)),
        (TORCHRUN, {}, ("torchrun", "ddp", 4, 2)),
        (TORCHRUN, {"devices": 7}, ("torchrun", "ddp", 4, 2)),  # the launcher decides
        (SLURM, {}, ("slurm", "ddp", 4, 2)),
        (SLURM | {"SLURM_NTASKS_PER_NODE": "4(x2)"}, {}, ("slurm", "ddp", 4, 2)),
        ({"SLURM_STEP_NUM_TASKS": "6", "SLURM_PROCID": "0", "SLURM_NNODES": "2"}, {}, ("slurm", "ddp", 3, 2)),
        (HOROVODRUN, {}, ("horovodrun", "horovod", 1, 1)),
        (OPEN_MPI, {}, ("mpirun", "horovod", 1, 1)),
        (MPICH, {"strategy": "horovod"}, ("mpirun", "horovod", 1, 1)),
        (SLURM | HOROVODRUN, {}, ("horovodrun", "horovod", 1, 1)),  # a launcher within a job
        (SLURM | TORCHRUN, {}, ("torchrun", "ddp", 4, 2)),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, {}, ("none", "single", 1, 1)),  # a batch script
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, {}, ("none", "single", 1, 1)),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, {}, ("none", "single", 1, 1)),
    ],
)
def test_the_launcher_decides(environment, changes, expected):
    assert process_layout(fit(**changes), environment) == ProcessLayout(*expected)


@pytest.mark.parametrize(
    ("environment", "changes", "said"),
    [
        (TORCHRUN, {"strategy": "horovod"}, "torchrun has started; start it with horovodrun"),
        (TORCHRUN, {"strategy": "single"}, "torchrun has started"),
        (HOROVODRUN, {"strategy": "ddp"}, "horovodrun has started"),
        (OPEN_MPI, {"strategy": "single"}, "mpirun has started"),
        ({}, {"strategy": "single", "devices": 2}, "fit.devices says 2"),
    ],
)
def test_strategies_that_cannot_use_the_processes_are_refused(environment, changes, said):
    with pytest.raises(UsageError, match=said) as caught:
        process_layout(fit(**changes), environment)
    assert caught.value.code == "StrategyUnfit"


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),  # started by Lightning
        (TORCHRUN, False),
        (TORCHRUN | {"RANK": "4", "LOCAL_RANK": "0"}, False),
        (TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0"}, True),
        (TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "1"}, True),  # it numbers nodes itself
        (SLURM, False),
        (SLURM | {"SLURM_PROCID": "0"}, True),
        (HOROVODRUN, False),
        (HOROVODRUN | {"HOROVOD_RANK": "0"}, True),
        (OPEN_MPI, True),
        (MPICH, False),
        ({"RANK": "3"}, True),  # left over from something else: no launcher
    ],
)
def test_one_process_is_the_first(environment, first):
    assert first_process(environment) is first


def test_horovod_that_is_not_there_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "horovod.torch", None)
    with pytest.raises(UsageError, match="make horovod") as caught:
        trainer_strategy(ProcessLayout("horovodrun", "horovod", 1, 1), fit())
    assert caught.value.code == "HorovodMissing"


def test_launchers_are_told_apart():
    assert [launcher_of(one) for one in (TORCHRUN, SLURM, HOROVODRUN, OPEN_MPI, MPICH, {})] == [
        "torchrun", "slurm", "horovodrun", "mpirun", "mpirun", "none",
    ]  # fmt: skip
