"""The launch recipes under ``train/``: what they start, how they start again, and how they end."""

import importlib.util
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from neanias_ml.cli.train import build_parser
from neanias_ml.training.checkpoint_files import read_checkpoint, read_description
from tests.training.association.conftest import graph_folder  # noqa: F401 - fixture
from tests.training.distributed.launchers import BIN, ROOT, environment

RECIPES = ROOT / "train"
SCRIPTS = sorted([*RECIPES.glob("*.sh"), *RECIPES.glob("*.sbatch")])
TINY = ROOT / "configs" / "train" / "association_tiny.yaml"
TIMEOUT = 400
SLURM = {
    "SLURM_JOB_ID": "1", "SLURM_NTASKS": "8", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "6",
    "SLURM_JOB_NODELIST": "gpu[1-2]", "SLURM_PROCID": "0",
}  # fmt: skip
STARTS = {
    "one_gpu": ("one_gpu.sh", {}, "neanias-ml train"),
    "horovodrun": ("horovodrun.sh", {"PROCESSES": "4"}, "horovodrun -np 4 -H localhost:4 --gloo "),
    "two hosts": ("horovodrun.sh", {"PROCESSES": "8", "HOSTS": "a:4,b:4"}, "horovodrun -np 8 -H a:4,b:4 --gloo "),
    "mpirun 5": ("mpirun.sh", {"OVERSUBSCRIBE": "1"}, "mpirun -np 2 --bind-to none --map-by :OVERSUBSCRIBE "),
    "mpirun 4": ("mpirun.sh", {"OVERSUBSCRIBE": "1", "MPI": "4.1.6"}, "mpirun -np 2 --bind-to none --oversubscribe "),
    "hosts of mpirun": ("mpirun.sh", {"HOSTS": "a:1,b:1"}, "mpirun -np 2 --bind-to none --host a:1,b:1 "),
    "hostfile": ("mpirun.sh", {"HOSTFILE": "/etc/hosts"}, "mpirun -np 2 --bind-to none --hostfile /etc/hosts "),
    "torchrun": ("torchrun.sh", {"PROCESSES": "4"}, "torchrun --standalone --nproc-per-node 4 -m neanias_ml train"),
    "torchrun on nodes": (
        "torchrun.sh",
        {"PROCESSES": "4", "NODES": "2", "RENDEZVOUS": "a:29400", "RESTARTS": "3"},
        "torchrun --nnodes 2 --nproc-per-node 4 --max-restarts 3 --rdzv-backend c10d --rdzv-endpoint a:29400 ",
    ),
    "slurm ddp": ("slurm_ddp.sbatch", SLURM, "srun --kill-on-bad-exit=1 --cpus-per-task=6 neanias-ml train"),
    "slurm mpirun": ("slurm_horovod.sbatch", SLURM, "mpirun -np 8 --bind-to none "),
    "slurm horovodrun": (
        "slurm_horovod.sbatch", SLURM | {"VIA": "horovodrun"}, "horovodrun -np 8 -H gpu1:4,gpu2:4 --gloo ",
    ),
}  # fmt: skip
"""Script, variables, and how the command line begins that it starts."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_bash(script):
    subprocess.run(["bash", "-n", script], check=True)
    if script.name != "restarts.sh":  # it is sourced
        assert script.read_text().startswith("#!/usr/bin/env bash\n")


@pytest.fixture
def stand_ins(tmp_path):
    """Launchers that only write down how they were started; the file ``codes`` holds exit codes of the next starts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls, codes = tmp_path / "calls", tmp_path / "codes"
    text = f"""#!/usr/bin/env bash
if [ "$1" = --version ]; then echo "mpirun (Open MPI) ${{MPI:-5.0.11}}"; exit 0; fi
printf '%s\\n' "$(basename "$0") $*" >> {calls}
case "$*" in *--prepare-only*) exit 0 ;; esac
if [ -s {codes} ]; then
  read -r code said < {codes}
  sed -i 1d {codes}
  [ -z "$said" ] || echo "$said" >&2
  exit "$code"
fi
"""
    for name in ("neanias-ml", "horovodrun", "mpirun", "torchrun", "srun"):
        (folder / name).write_text(text)
    (folder / "scontrol").write_text("#!/usr/bin/env bash\nprintf 'gpu1\\ngpu2\\n'\n")
    for path in folder.iterdir():
        path.chmod(0o755)
    return folder, calls, codes


def start_stand_in(stand_ins, script, variables, *options):
    """Result of a recipe that starts stand-ins, and the command lines of these."""
    folder, calls, _ = stand_ins
    plain = environment(**variables)
    done = subprocess.run(
        ["bash", RECIPES / script, *options],
        env=plain | {"PATH": f"{folder}:{plain['PATH']}"}, cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    return done, calls.read_text().splitlines() if calls.exists() else []


def trained_options(command):
    """What ``neanias-ml train`` reads of the command line of a launcher."""
    words = re.search(r"neanias[-_]ml train (.*)", command).group(1).split()
    return words[0], build_parser(words[0]).parse_args(words[1:])


@pytest.mark.parametrize("start", STARTS)
def test_what_a_recipe_starts(stand_ins, start):
    script, variables, begin = STARTS[start]
    options = ["association", "--config", TINY, "-o", "runs/a", "--fit.seed", "7"]
    done, calls = start_stand_in(stand_ins, script, variables, *options)
    assert done.returncode == 0, done.stderr
    command = calls[-1]
    assert command.startswith(begin)
    kind, options = trained_options(command)
    assert (kind, options.output, options.resume, options.fit.seed) == ("association", "runs/a", "auto", 7)
    if "NODES" not in variables:  # one process prepares before
        assert len(calls) == 2
        assert calls[0].startswith("neanias-ml train") and trained_options(calls[0])[1].prepare_only


def test_hosts_of_mpirun_get_the_environment(stand_ins):
    variables = {"NCCL_DEBUG": "INFO", "SECRET": "1"}
    _, calls = start_stand_in(stand_ins, "mpirun.sh", variables, "association", "--config", TINY)
    assert " -x NCCL_DEBUG " in calls[-1] and " -x PATH " in calls[-1] and "SECRET" not in calls[-1]


@pytest.mark.parametrize(
    ("codes", "launches", "code"),
    [
        ("137\n1\n", 3, 0),  # two restarts, then all is well
        ("1\n1\n137\n", 3, 137),  # no third restart
        ("1 [1]<stderr>:neanias-ml train: the batch is empty [UsageError:FitConfig]\n", 1, 2),
        ("1 neanias-ml train: there is no manifest [InputError:NoManifest]\n", 1, 3),
        ("1 neanias-ml train: the loss of step 1 is not finite [ModelError:LossNotFinite]\n", 1, 5),
        ("4 neanias-ml train: the disk is full [ResourceError:DiskFull]\n", 2, 0),
        ("143\n", 1, 143),  # the processes were told to end
    ],
)
def test_which_failures_are_worth_another_launch(stand_ins, codes, launches, code):
    stand_ins[2].write_text(codes)
    done, calls = start_stand_in(stand_ins, "horovodrun.sh", {}, "association", "--config", TINY, "-o", "runs/a")
    assert done.returncode == code
    assert sum(call.startswith("horovodrun") for call in calls) == launches
    assert done.stderr.count("going on from the last checkpoint") == launches - 1


@pytest.mark.parametrize("options", [[], ["association", "--overwrite", "-o", "x"]])
@pytest.mark.parametrize("script", ["one_gpu.sh", "horovodrun.sh", "mpirun.sh", "torchrun.sh"])
def test_wrong_use_of_a_recipe(stand_ins, script, options):
    done, calls = start_stand_in(stand_ins, script, {}, *options)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert not calls


@pytest.mark.parametrize("name", ["slurm_ddp.sbatch", "slurm_horovod.sbatch"])
def test_headers_for_slurm(name):
    lines = (RECIPES / name).read_text().splitlines()
    commands = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    headers = [line for line in lines if line.startswith("#SBATCH")]
    assert headers and all(lines.index(line) < commands for line in headers)  # Slurm reads none after the first command
    values = dict(re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line).groups() for line in headers)
    assert values["ntasks-per-node"] == values["gpus-per-node"]
    # each process chooses its GPU among those of its node by its number there, so that all must be visible to all
    assert not {"gpus-per-task", "gpu-bind"} & values.keys()
    assert values["signal"].startswith("B:TERM@")  # to the script, which passes it on
    assert "requeue" in values


def test_the_job_for_kubernetes():
    """Against the rules of the operator's own validation of a v2beta1 MPIJob."""
    job = yaml.safe_load((RECIPES / "mpijob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v2beta1", "MPIJob")
    spec = job["spec"]
    assert spec.keys() <= {"slotsPerWorker", "runPolicy", "mpiReplicaSpecs", "sshAuthMountPath", "mpiImplementation"}
    assert isinstance(spec["slotsPerWorker"], int) and spec["slotsPerWorker"] > 0
    assert spec["sshAuthMountPath"].startswith("/") and spec["mpiImplementation"] == "OpenMPI"
    policy = spec["runPolicy"]
    assert policy["cleanPodPolicy"] in ("None", "Running", "All") and policy["backoffLimit"] >= 0
    assert set(spec["mpiReplicaSpecs"]) == {"Launcher", "Worker"}
    launcher, worker = spec["mpiReplicaSpecs"]["Launcher"], spec["mpiReplicaSpecs"]["Worker"]
    for replica in (launcher, worker):
        assert replica.keys() == {"replicas", "restartPolicy", "template"}
        assert replica["restartPolicy"] in ("Never", "OnFailure")
        pod = replica["template"]["spec"]
        assert "restartPolicy" not in pod  # that of the replica holds
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["image"].startswith("REGISTRY.EXAMPLE/")
            assert all(isinstance(variable["value"], str) for variable in container.get("env", []))
    assert launcher["replicas"] == 1 and worker["replicas"] > 0
    label = f"{job['metadata']['name']}-worker-{worker['replicas'] - 1}"
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label)
    main = launcher["template"]["spec"]["containers"][0]
    variables = {variable["name"]: variable["value"] for variable in main["env"]}
    limits = worker["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == spec["slotsPerWorker"]
    assert int(variables["PROCESSES"]) == spec["slotsPerWorker"] * worker["replicas"]
    assert variables["HOSTFILE"] == "/etc/mpi/hostfile"
    assert main["command"][0] == "bash" and (RECIPES / main["command"][1].rpartition("/train/")[2]).is_file()


def test_the_job_for_kubernetes_trains(stand_ins):
    job = yaml.safe_load((RECIPES / "mpijob.yaml").read_text())
    main = job["spec"]["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]
    variables = {variable["name"]: variable["value"] for variable in main["env"]}
    recipe = TINY.with_name("island_rcnn_tiny.yaml")
    words = [word.replace("/training/recipe.yaml", str(recipe)) for word in main["args"]]
    done, calls = start_stand_in(stand_ins, main["command"][1].rpartition("/")[2], variables, *words)
    assert done.returncode == 0
    assert calls[-1].startswith("mpirun -np 8 ") and "--hostfile /etc/mpi/hostfile" in calls[-1]
    kind, parsed = trained_options(calls[-1])
    assert (kind, parsed.output, parsed.data, parsed.resume) == ("detector", "/training/run", "/training/data", "auto")


# Real launches of two processes from here on.

PARALLEL = ["horovodrun.sh", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mpirun.sh", "torchrun.sh"))]


def require_launcher(script):
    if script in ("horovodrun.sh", "mpirun.sh"):
        if importlib.util.find_spec("horovod") is None:
            pytest.skip("Horovod is not built here; 'make horovod' builds it")
        program = script.removesuffix(".sh")
        if not (BIN / program).exists() and shutil.which(program) is None:
            pytest.skip(f"there is no {program}")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A network that trains for some seconds."""
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    fit = {
        "max_steps": 80, "batch_size": 4, "warmup_steps": 2, "average_decay": 0.9, "precision": "32-true",
        "accelerator": "cpu", "checkpoint_minutes": 1e-6, "validate_every": 4,
    }  # fmt: skip
    path.write_text(yaml.safe_dump({"name": "tiny", "model": {"features": "catalogue"}, "fit": fit}))
    return path


def launch(script, recipe, data, output, *options, **variables):
    """A recipe in a process of its own, its words in ``OUTPUT.log``."""
    with log_of(output).open("w") as log:
        return subprocess.Popen(
            ["bash", RECIPES / script, "association", "--config", recipe, "--data", data, "-o", output,
             "--no-tracking", *options],
            env=environment(PROCESSES="2", OVERSUBSCRIBE="1", **variables), cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def log_of(output):
    return output.with_name(f"{output.name}.log")


def said(output):
    return log_of(output).read_text()


def wait_for_step(process, output, step):
    """Wait until a checkpoint of so many steps is there."""
    last = output / "checkpoints" / "last.safetensors"
    end = time.monotonic() + TIMEOUT
    while not (last.exists() and read_description(last)["step"] >= step):
        assert process.poll() is None and time.monotonic() < end, said(output)
        time.sleep(0.05)


def ranks(process):
    """Training processes below a recipe by their rank."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            words, variables = child.cmdline(), child.environ()
        except psutil.Error:
            continue
        if words and Path(words[0]).name.startswith("python") and "train" in words:
            names = ("RANK", "HOROVOD_RANK", "OMPI_COMM_WORLD_RANK")
            number = next((variables[name] for name in names if name in variables), None)
            if number is not None:
                found[int(number)] = child
    return found


def assert_all_gone(processes):
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def final_state(output):
    checkpoint = read_checkpoint(output / "checkpoints" / "last.safetensors")
    return {key: checkpoint[key] for key in ("current_model_state", "state_dict")}


@pytest.mark.parametrize("script", PARALLEL)
def test_a_killed_process_is_started_again_and_changes_nothing(script, recipe, graph_folder, tmp_path):  # noqa: F811
    require_launcher(script)
    undisturbed = launch(script, recipe, graph_folder, tmp_path / "undisturbed", RESTARTS="0")
    assert undisturbed.wait(TIMEOUT) == 0, said(tmp_path / "undisturbed")
    output = tmp_path / "killed"
    process = launch(script, recipe, graph_folder, output)
    wait_for_step(process, output, 5)
    whole_family = psutil.Process(process.pid).children(recursive=True)
    victim = ranks(process)[1]
    victim.send_signal(signal.SIGKILL)
    assert process.wait(TIMEOUT) == 0, said(output)
    assert said(output).count("going on from the last checkpoint, restart 1 of 2") == 1
    record = json.loads((output / "run.json").read_text())
    assert (record["state"], record["steps"], record["world_size"]) == ("finished", 80, 2)
    assert len(record["attempts"]) == 1 and record["attempts"][0]["state"] != "finished"
    one, other = final_state(tmp_path / "undisturbed"), final_state(output)
    for key, state in one.items():
        assert state.keys() == other[key].keys()
        assert all(torch.equal(state[name], other[key][name]) for name in state), key
    assert_all_gone(whole_family)


@pytest.mark.parametrize(
    ("script", "number", "code"),
    [
        ("horovodrun.sh", signal.SIGTERM, 143),
        pytest.param("one_gpu.sh", signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param("one_gpu.sh", signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param("horovodrun.sh", signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param("mpirun.sh", signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param("mpirun.sh", signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param("torchrun.sh", signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param("torchrun.sh", signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_recipe_leaves_only_a_checkpoint(script, number, code, recipe, graph_folder, tmp_path):  # noqa: F811
    require_launcher(script)
    output = tmp_path / "run"
    process = launch(script, recipe, graph_folder, output, "--fit.max_steps", "100000")
    wait_for_step(process, output, 2)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(TIMEOUT) == code, said(output)
    assert_all_gone(family)
    assert "stopped; the same command goes on from the last checkpoint" in said(output)
    assert "restart 1" not in said(output)
    assert read_checkpoint(output / "checkpoints" / "last.safetensors")["global_step"] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("script", ["horovodrun.sh", "mpirun.sh", "torchrun.sh"])
def test_what_only_the_processes_find_wrong_is_not_tried_again(script, recipe, graph_folder, tmp_path):  # noqa: F811
    require_launcher(script)
    process = launch(script, recipe, graph_folder, tmp_path / "run", "--fit.strategy", "single")
    assert process.wait(TIMEOUT) == 2, said(tmp_path / "run")
    assert "fit.strategy single cannot use the processes that" in said(tmp_path / "run")
    assert "restart 1" not in said(tmp_path / "run")


def test_wrong_usage_is_told_once(recipe, graph_folder, tmp_path):  # noqa: F811
    require_launcher("horovodrun.sh")
    process = launch("horovodrun.sh", recipe, graph_folder, tmp_path / "run", "--fit.batch_size", "0")
    assert process.wait(TIMEOUT) == 2
    assert said(tmp_path / "run").count("fit.batch_size must be positive, not 0") == 1
