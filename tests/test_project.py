"""The project as a whole: its documents, its contracts, its set-up."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import neanias_ml
from neanias_ml.cli.main import VERBS, main

ROOT = Path(__file__).resolve().parents[1]


def readme_commands():
    """The ``neanias-ml`` lines of the README's shell blocks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("neanias-ml ")]


def test_readme_shows_every_verb():
    assert {command.split()[1] for command in readme_commands()} == set(VERBS)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """One folder for all commands of the README, which use what those before them have written."""
    return tmp_path_factory.mktemp("readme")


@pytest.mark.parametrize("command", readme_commands())
def test_readme_commands_run(command, workplace, monkeypatch, capsys):
    """As written and in order, with relative inputs taken from the project and outputs put aside."""
    arguments = shlex.split(command)[1:]
    redirected = ">" in arguments
    arguments = arguments[: arguments.index(">")] if redirected else arguments
    arguments = [str(ROOT / word) if (ROOT / word).is_file() else word for word in arguments]
    monkeypatch.chdir(workplace)
    assert main([*arguments, "--quiet"]) == 0, capsys.readouterr().err
    if redirected:
        assert yaml.safe_load(capsys.readouterr().out)
    elif "-o" in arguments:
        output = workplace / arguments[arguments.index("-o") + 1]
        assert output.is_file() or any(output.iterdir())


def test_documents_exist_where_the_readme_links():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == neanias_ml.__version__
    assert neanias_ml.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_file_is_longer_than_one_can_see():
    too_long = {
        path.relative_to(ROOT): length
        for path in (ROOT / "neanias_ml").rglob("*.py")
        if (length := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not too_long


def test_training_on_prepared_data_needs_no_astronomy_or_tracking_package():
    """GPU machines without astropy, albumentations, MLflow or Horovod can train on prepared tiles."""
    script = (
        "import sys\n"
        "for name in ('astropy', 'albumentations', 'mlflow', 'horovod', 'regions'):\n"
        "    sys.modules[name] = None\n"
        "import neanias_ml.training.fit\n"
        "print('imported')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "imported", done.stderr


def test_torch_and_torchvision_fit_each_other():
    script = (
        "import torch, torchvision; from torchvision.ops import nms;"
        "print(nms(torch.tensor([[0., 0, 2, 2]]), torch.ones(1), .5))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "tensor([0])" in done.stdout, done.stderr


def test_mpi_from_wheels_starts_two_ranks():
    mpiexec = Path(sys.executable).parent / "mpiexec"
    if not mpiexec.exists():
        pytest.skip("the mpi extra is not installed")
    script = "from mpi4py import MPI; print('rank', MPI.COMM_WORLD.rank, 'of', MPI.COMM_WORLD.size)"
    done = subprocess.run(
        [mpiexec, "-n", "2", sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert sorted(done.stdout.split("\n")[:2]) == ["rank 0 of 2", "rank 1 of 2"], done.stderr
