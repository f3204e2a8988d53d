"""`detect` with and without the networks for association and morphology."""

import json

import pytest
import torch
from astropy.table import Table

from neanias_ml.cli import detect, shipped_models
from neanias_ml.cli.shipped_models import optional_model
from neanias_ml.models.association.bundle import GraphSettings, save_graph_bundle
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.network import IslandGraphNetwork
from neanias_ml.models.morphology.bundle import save_morphology_bundle
from neanias_ml.models.morphology.config import MorphologyConfig
from neanias_ml.models.morphology.network import MorphologyNetwork
from neanias_ml.models.morphology.settings import MorphologySettings


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A graph network and a morphology network with random weights."""
    folder = tmp_path_factory.mktemp("bundles")
    torch.manual_seed(8)
    graph, morphology = IslandGraphConfig(), MorphologyConfig()
    settings = GraphSettings.of(graph, extractor={"finder": {"seed_threshold": 6.5}, "seed_jitter": [6.0, 7.0]})
    save_graph_bundle(IslandGraphNetwork(graph), folder / "my-graph", settings=settings, card="# Card")
    save_morphology_bundle(
        MorphologyNetwork(morphology),
        folder / "my-morphology",
        settings=MorphologySettings(architecture=morphology, unsure_below=1.0),
        card="# Card",
    )
    return folder


def manifest(folder):
    return json.loads((folder / "run.json").read_text())


def test_all_networks_are_named_in_the_manifest(run, map_file, tmp_path, bundles):
    words = ("--association", bundles / "my-graph", "--morphology", bundles / "my-morphology", "--no-pictures")
    code, _, err = run("detect", map_file, "-o", tmp_path, "--quiet", *words)
    assert code == 0, err
    record = manifest(tmp_path)
    names = {role: one["name"] for role, one in record["models"].items()}
    assert names == {"detector": "island-rcnn-small", "association": "my-graph", "morphology": "my-morphology"}
    assert len({one["sha256"] for one in record["models"].values()}) == 3
    assert {"network", "association", "objects", "morphology"} <= set(record["timings_s"])
    assert any("association network's training: seed_threshold 5.0" in text for text in record["warnings"])
    objects, islands = (Table.read(tmp_path / f"{name}.ecsv") for name in ("objects", "islands"))
    assert set(islands["object_id"]) == set(objects["object_id"])
    extended = [name.startswith("extended") for name in objects["class_name"]]
    morphology = objects["morphology"].filled("") if hasattr(objects["morphology"], "filled") else objects["morphology"]
    assert [text == "unsure" for text in morphology] == extended


def test_networks_can_be_done_without(run, map_file, tmp_path):
    code, _, err = run(
        "detect", map_file, "-o", tmp_path, "--quiet", "--association", "none", "--morphology", "none", "--no-pictures"
    )
    assert code == 0, err
    record = manifest(tmp_path)
    assert list(record["models"]) == ["detector"]
    assert not any("did without" in text for text in record["warnings"])
    assert "morphology" not in record["timings_s"]


def test_what_is_not_shipped_is_done_without_and_said(tmp_path):
    absent = optional_model(
        str(tmp_path / "island-graph-small"), role="association", shipped=tmp_path / "island-graph-small",
        tracking_uri=None,
    )  # fmt: skip
    assert absent.folder is None and "did without --association" in absent.warnings[0]
    named = optional_model("elsewhere", role="association", shipped=tmp_path / "x", tracking_uri=None)
    assert str(named.folder) == "elsewhere" and named.warnings == ()
    (tmp_path / "x").mkdir()
    assert optional_model(str(tmp_path / "x"), role="r", shipped=tmp_path / "x", tracking_uri=None).folder is not None


@pytest.mark.parametrize("option", ["--association", "--morphology"])
@pytest.mark.parametrize(
    ("value", "error"), [("nowhere", "BundleMissing"), (str(shipped_models.DETECTOR), "OtherNetwork")]
)
def test_a_named_network_must_be_there_and_of_the_right_kind(run, map_file, tmp_path, option, value, error):
    code, _, err = run("detect", map_file, "-o", tmp_path / "out", "--quiet", option, value)
    assert code == 5 and error in err
    assert len(err.strip().splitlines()) == 1 and not (tmp_path / "out").exists()


def test_defaults_are_the_shipped_networks(run):
    parser = detect.build_parser()
    assert parser.get_defaults().association == str(shipped_models.ASSOCIATION)
    assert parser.get_defaults().morphology == str(shipped_models.MORPHOLOGY)
