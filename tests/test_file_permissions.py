"""What a run leaves on a cluster can be read by those whom the process's mask lets read any new file."""

import os
import stat

import pytest
import torch

from neanias_ml.datasets.cutout_store import CUTOUT_SUFFIX, write_cutouts
from neanias_ml.datasets.graph_store import GRAPH_SUFFIX, write_graphs
from neanias_ml.datasets.manifest import write_json
from neanias_ml.datasets.shards import SHARD_SUFFIX, write_shard
from neanias_ml.evaluation.report import EvaluationReport, Metric
from neanias_ml.models.bundle_folder import verify_bundle, write_bundle_folder
from neanias_ml.models.weights import SHARD_BYTES
from neanias_ml.registry.bundle_files import copy_bundle
from neanias_ml.training.checkpoint_files import write_checkpoint
from tests.datasets.tile_makers import sky_tile
from tests.models.morphology.cutout_makers import drawn_set
from tests.training.association.toy import toy_field

REPORT = EvaluationReport(
    network="a", bundle_digest="b", data_digest="c", split="test", primary="f1", metrics={"f1": Metric(value=0.5)}
)
WRITERS = {
    f"a{SHARD_SUFFIX}": lambda path: write_shard(path, [sky_tile(0)]),
    f"a{GRAPH_SUFFIX}": lambda path: write_graphs(path, [toy_field(0)]),
    f"a{CUTOUT_SUFFIX}": lambda path: write_cutouts(path, drawn_set(1, seed=1)),
    "manifest.json": lambda path: write_json(path, {"a": 1}),
    "evaluation.json": REPORT.write,
    "last.safetensors": lambda path: write_checkpoint({"weight": torch.ones(3)}, path),
}
MASKS = (0o022, 0o027, 0o002, 0o077)


@pytest.fixture(params=MASKS, ids=oct)
def mask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", WRITERS)
def test_files_have_the_permissions_of_any_new_file(tmp_path, mask, name):
    for _ in range(2):  # also when an earlier one is replaced
        WRITERS[name](tmp_path / name)
        assert mode(tmp_path / name) == 0o666 & ~mask
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_bundles_and_their_copies_have_them_too(tmp_path, mask):
    state = {"a": torch.zeros(SHARD_BYTES // 4, 1), "b": torch.zeros(2, 2)}
    for _ in range(2):
        write_bundle_folder(
            tmp_path / "bundle", state=state, config="{}", card="# Card", storage="float32", overwrite=True
        )
    (tmp_path / "bundle" / "config.json").chmod(0o600)
    (tmp_path / "bundle").chmod(0o700)
    copy = copy_bundle(tmp_path / "bundle", tmp_path / "copy")
    assert verify_bundle(copy) == verify_bundle(tmp_path / "bundle")
    assert mode(copy) == 0o777 & ~mask
    assert {mode(path) for path in copy.iterdir()} == {0o666 & ~mask}
    written = {mode(path) for path in (tmp_path / "bundle").iterdir() if path.name != "config.json"}
    assert written == {0o666 & ~mask} and len(list(copy.glob("*.safetensors"))) == 2


def test_a_new_bundle_folder_may_be_entered_by_whom_the_mask_lets(tmp_path, mask):
    write_bundle_folder(tmp_path / "bundle", state={"a": torch.ones(2, 2)}, config="{}", card="# Card")
    assert mode(tmp_path / "bundle") == 0o777 & ~mask
