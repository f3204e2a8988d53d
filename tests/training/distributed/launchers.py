"""Two processes on this machine, started in the ways that clusters start them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[3]
TIMEOUT = 400


def environment(**more):
    """Variables for children: one thread each, no network, MPI as root on few cores."""
    foreign = ("SLURM_", "OMPI_COMM", "HOROVOD_", "PMI", "TORCHELASTIC", "RANK", "LOCAL_RANK", "WORLD_SIZE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        **more,
    }


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_single(words):
    return _done([[sys.executable, *words]], [environment()])


def run_horovodrun(words):
    return _done([["horovodrun", "-np", "2", "--gloo", sys.executable, *words]], [environment()])


def run_mpirun(words):
    return _done([["mpirun", "-np", "2", sys.executable, *words]], [environment()])


def run_torchrun(words):
    launcher = ["torchrun", "--nproc-per-node", "2", "--master-port", str(free_port())]
    return _done([[*launcher, *words]], [environment()])


def run_slurm(words):
    """Tasks of a job step as ``srun`` would start them."""
    job = {
        "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "localhost", "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    ranks = [environment(**job, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)) for rank in range(2)]
    return _done([[sys.executable, *words]] * 2, ranks)


def _done(commands, environments):
    processes = [
        subprocess.Popen(command, env=variables, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command, variables in zip(commands, environments, strict=True)
    ]
    said = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(said)
    return "\n".join(said)


LAUNCHERS = {
    "horovodrun": run_horovodrun,
    "mpirun": run_mpirun,
    "torchrun": run_torchrun,
    "slurm": run_slurm,
}
