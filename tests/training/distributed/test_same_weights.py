"""Two processes by Horovod (Gloo, MPI) and ddp (torchrun, Slurm) end with the weights of one with the doubled batch."""

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from neanias_ml.training.checkpoint_files import read_checkpoint
from tests.training.association.conftest import graph_folder  # noqa: F401 - fixture
from tests.training.distributed.launchers import BIN, LAUNCHERS, run_single
from tests.training.morphology.conftest import cutout_folder  # noqa: F401 - fixture

FIT = {
    "max_steps": 6, "learning_rate": 1e-3, "warmup_steps": 2, "average_decay": 0.8, "precision": "32-true",
    "accelerator": "cpu", "clip_norm": 0.5, "seed": 3,
}  # fmt: skip
LONG = FIT | {"max_steps": 12}
"""An epoch and its validation."""
TOLERANCE = 2e-4
"""Of a weight: sums of float32 numbers in another order, six steps of AdamW on, which move weights by 5e-3. Most
agree to 1e-6; a few drift apart, because AdamW divides gradients that are all but zero by their own size."""


def jobs(folders, *, ranks):
    """The same batches of a step for one process and for two."""
    return {
        "morphology": {"kind": "morphology", "data": folders["cutouts"], "fit": FIT | {"batch_size": 8 // ranks}},
        "validated": {"kind": "morphology", "data": folders["cutouts"], "fit": LONG | {"batch_size": 8 // ranks}},
        "association": {"kind": "association", "data": folders["graphs"], "fit": FIT | {"batch_size": 8 // ranks}},
        "accumulated": {
            "kind": "association",
            "data": folders["graphs"],
            "fit": FIT | {"batch_size": 4 // ranks, "accumulate": 2},
        },
        "compressed": {
            "kind": "association",
            "data": folders["graphs"],
            "fit": FIT | {"batch_size": 8 // ranks, "compression": "fp16"},
        },
        "detector": {"kind": "detector", "data": folders["tiles"], "fit": FIT | {"batch_size": 4 // ranks}},
    }


@pytest.fixture(scope="module")
def folders(cutout_folder, graph_folder, prepared_folder):  # noqa: F811
    return {"cutouts": str(cutout_folder), "graphs": str(graph_folder), "tiles": str(prepared_folder)}


def trained(run, folder, folders, *, ranks):
    """Folder with a run of every job, and what the processes said."""
    listed = folder / "jobs.json"
    listed.write_text(json.dumps(jobs(folders, ranks=ranks)))
    return folder, run(["-m", "tests.training.distributed.worker", str(listed), str(folder)])


@pytest.fixture(scope="module")
def single(folders, tmp_path_factory):
    return trained(run_single, tmp_path_factory.mktemp("single"), folders, ranks=1)[0]


@pytest.fixture(scope="module", params=LAUNCHERS)
def double(request, folders, tmp_path_factory):
    """Name of the launcher and folder of the runs of two processes."""
    if request.param in ("horovodrun", "mpirun"):
        if importlib.util.find_spec("horovod") is None:
            pytest.skip("Horovod is not built here; 'make horovod' builds it")
        if not (BIN / request.param).exists() and shutil.which(request.param) is None:
            pytest.skip(f"there is no {request.param}")
    folder, _ = trained(LAUNCHERS[request.param], tmp_path_factory.mktemp(request.param), folders, ranks=2)
    return request.param, folder


def weights(folder: Path, key="current_model_state"):
    return read_checkpoint(folder / "checkpoints" / "last.safetensors")[key]


def largest_difference(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def test_the_weights_are_those_of_one_process_with_the_doubled_batch(double, single):
    for job in ("morphology", "association", "accumulated"):
        for key in ("current_model_state", "state_dict"):  # the last weights and the averaged ones
            difference = largest_difference(weights(double[1] / job, key), weights(single / job, key))
            assert difference < TOLERANCE, (job, key, difference)


def test_validation_is_that_of_all_processes_and_logged_once(double, single):
    def rows(folder):
        with (folder / "validated" / "log" / "metrics.csv").open() as stream:
            return [row for row in csv.DictReader(stream) if row["validation/loss"]]

    (own,), (expected,) = rows(double[1]), rows(single)
    assert float(own["validation/loss"]) == pytest.approx(float(expected["validation/loss"]), rel=1e-4)
    assert own["step"] == expected["step"]


def test_gradients_sent_in_half_precision_change_little(double):
    launcher, folder = double
    difference = largest_difference(weights(folder / "compressed"), weights(folder / "association"))
    if launcher in ("horovodrun", "mpirun"):
        assert 0 < difference < 1e-3
    else:
        assert difference == 0  # only Horovod compresses


@pytest.fixture(scope="module")
def detectors():
    """Weights of the detector by launcher, as they come in."""
    return {}


def test_horovod_and_ddp_agree(double, detectors):
    """The detector's losses are means over regions: a doubled batch weighs tiles otherwise, the launchers do not."""
    launcher, folder = double
    detectors[launcher] = weights(folder / "detector")
    for other in detectors.values():
        assert largest_difference(detectors[launcher], other) < 1e-6


def test_the_record_says_how_it_was_started(double):
    launcher, folder = double
    record = json.loads((folder / "morphology" / "run.json").read_text())
    assert record["launcher"] == launcher and record["world_size"] == 2
    assert record["strategy"] == ("horovod" if launcher in ("horovodrun", "mpirun") else "ddp")


def test_steps_did_move_the_weights(single, folders, tmp_path):
    """Without training the comparison would hold as well."""
    few = {"morphology": jobs(folders, ranks=1)["morphology"] | {"fit": FIT | {"batch_size": 8, "max_steps": 1}}}
    (tmp_path / "jobs.json").write_text(json.dumps(few))
    run_single(["-m", "tests.training.distributed.worker", str(tmp_path / "jobs.json"), str(tmp_path)])
    assert largest_difference(weights(tmp_path / "morphology"), weights(single / "morphology")) > 100 * TOLERANCE
