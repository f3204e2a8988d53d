"""Bundles put into a registry that is a database file."""

from __future__ import annotations

import io
import json
import pickle
import sqlite3

import pytest
import torch

from neanias_ml.errors import NeaniasError
from neanias_ml.models.bundle_folder import verify_bundle, write_digests
from neanias_ml.models.pickle_check import require_no_pickle
from neanias_ml.registry.model_registry import ModelRegistry
from tests.registry.makers import DATA, TRAINING_DATA, make_report, make_run


def refused(action, *arguments, **keywords):
    with pytest.raises(NeaniasError) as caught:
        action(*arguments, **keywords)
    return caught.value


def test_a_version_carries_digests_lineage_and_evidence(registry, tmp_path):
    first, parent = make_run(tmp_path / "a", seed=1)
    registry.register(first, "island-rcnn")
    bundle, digest = make_run(tmp_path / "b", seed=2, score=0.75, manifest={"parent_digest": parent})
    done = registry.register(bundle, "island-rcnn")
    version = registry.store.version("island-rcnn", 2)
    assert (done.is_new, done.evaluation_attached, done.version.number) == (True, True, 2)
    assert {key: value for key, value in version.tags.items() if key != "evaluation_digest"} == {
        "bundle_digest": digest,
        "network": "island-rcnn",
        "data_digest": TRAINING_DATA,
        "parent_digest": parent,
        "code_version": "0.1",
        "git_commit": "a" * 40,
        "primary_metric": "f1",
        "primary_value": "0.75",
        "evaluation_data_digest": DATA,
        "evaluation_split": "test",
    }
    assert registry.store.report(version) == make_report(digest, 0.75)
    assert registry.show("island-rcnn").parents == {2: "models:/island-rcnn/1"}
    files = tmp_path / "store" / "artifacts" / version.run_id / "artifacts" / "models" / "island-rcnn" / digest[:16]
    assert verify_bundle(files / "bundle") == digest
    assert {path.name for path in files.iterdir()} == {"bundle", "evaluation.json", "run.json", "config.yaml"}


def test_the_same_bundle_is_registered_once_under_a_name(registry, tmp_path):
    bundle, digest = make_run(tmp_path / "run", score=0.5)
    first = registry.register(bundle, "one")
    again = registry.register(bundle, "one")
    assert (again.is_new, again.evaluation_attached, again.version.number) == (False, False, 1)
    assert first.version.digest == again.version.digest == digest
    other = registry.register(bundle, "two")
    assert other.is_new and other.version.number == 1
    assert sorted(registry.list_models()) == ["one", "two"]


def test_a_report_is_attached_later_or_replaced_by_name(registry, tmp_path):
    bundle, digest = make_run(tmp_path / "run")
    assert not registry.register(bundle, "net").version.has_evaluation
    make_report(digest, 0.4).write(tmp_path / "run" / "evaluation.json")
    assert registry.register(bundle, "net").version.score == 0.4
    make_report(digest, 0.9).write(tmp_path / "run" / "evaluation.json")
    assert registry.register(bundle, "net").version.score == 0.4
    done = registry.register(bundle, "net", evaluation=tmp_path / "run" / "evaluation.json")
    assert (done.is_new, done.evaluation_attached, done.version.score) == (False, True, 0.9)
    assert registry.store.report(done.version).score == 0.9


def test_the_files_lie_with_the_run_of_the_training(registry, tmp_path):
    client = registry.store.client
    experiment = client.create_experiment("training", artifact_location=(tmp_path / "elsewhere").as_uri())
    run_id = client.create_run(experiment).info.run_id
    tracking = {"uri": registry.store.uri, "run_id": run_id}
    bundle, _ = make_run(tmp_path / "a", seed=1, manifest={"tracking": tracking})
    assert registry.register(bundle, "net").version.run_id == run_id
    bundle, _ = make_run(tmp_path / "b", seed=2, manifest={"tracking": tracking | {"uri": "http://other:1"}})
    assert registry.register(bundle, "net").version.run_id != run_id
    client.delete_run(run_id)
    bundle, _ = make_run(tmp_path / "c", seed=3, manifest={"tracking": tracking})
    assert registry.register(bundle, "net").version.run_id != run_id


def test_evidence_of_another_bundle_is_refused(registry, tmp_path):
    bundle, _ = make_run(tmp_path / "a", seed=1)
    _, other = make_run(tmp_path / "b", seed=2, score=0.9, manifest={})
    error = refused(registry.register, bundle, "net", evaluation=tmp_path / "b" / "evaluation.json")
    assert error.code == "ReportOfAnotherModel" and other[:12] in error.message
    assert refused(registry.register, bundle, "net", run=tmp_path / "b" / "run.json").code == "ManifestOfAnotherModel"
    assert refused(registry.register, bundle, "net", evaluation=tmp_path / "none.json").code == "ReportMissing"
    (tmp_path / "bad.json").write_text("{")
    assert refused(registry.register, bundle, "net", run=tmp_path / "bad.json").code == "ManifestInvalid"
    assert registry.store.names() == []


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def pickled(protocol):
    return pickle.dumps(Harmful(), protocol=protocol)


def saved_by_torch():
    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, stream)
    return stream.getvalue()


@pytest.mark.parametrize("content", [pickled(2), pickled(5), saved_by_torch()], ids=["2", "5", "torch"])
@pytest.mark.parametrize("name", ["model.safetensors", "extra.json"])
def test_a_pickle_is_refused_under_any_name_with_the_right_digest(registry, tmp_path, content, name):
    bundle, _ = make_run(tmp_path / "run")
    (bundle / name).write_bytes(content)
    write_digests(bundle)
    verify_bundle(bundle)
    error = refused(registry.register, bundle, "net")
    assert error.qualified_code == "ModelError:PickleRefused" and name in error.message


@pytest.mark.parametrize("content", [b"", b"x" * 100, pickled(0)])
def test_what_is_not_safetensors_is_refused(registry, tmp_path, content):
    bundle, _ = make_run(tmp_path / "run")
    (bundle / "model.safetensors").write_bytes(content)
    write_digests(bundle)
    assert refused(registry.register, bundle, "net").code == "WeightsDamaged"


def test_weights_whose_header_looks_like_a_pickle_pass(tmp_path):
    bundle, _ = make_run(tmp_path / "run")
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode().ljust(0x280)
    content = len(header).to_bytes(8, "little") + header + b"\0"
    assert content[:2] == pickled(2)[:2]
    (bundle / "model.safetensors").write_bytes(content)
    require_no_pickle(bundle)


def test_an_altered_bundle_and_bad_names_are_refused(registry, tmp_path):
    bundle, _ = make_run(tmp_path / "run")
    assert refused(registry.register, bundle, "a/b").code == "ModelName"
    (bundle / "config.json").write_text("{}")
    assert refused(registry.register, bundle, "net").code == "WeightsDamaged"
    assert refused(registry.register, tmp_path / "none", "net").code == "BundleMissing"
    assert registry.store.names() == []


def test_an_altered_report_is_noticed(registry, tmp_path):
    bundle, _ = make_run(tmp_path / "run", score=0.5)
    version = registry.register(bundle, "net").version
    (report,) = (tmp_path / "store" / "artifacts").rglob("evaluation.json")
    report.write_text(report.read_text().replace("0.5", "0.9"))
    assert refused(registry.promote, "net", 1, "champion").code == "ReportAltered"
    report.unlink()
    assert refused(registry.store.report, version).code == "ArtifactMissing"


def test_a_version_of_another_program_is_listed_but_not_served(registry, tmp_path):
    client = registry.store.client
    client.create_registered_model("theirs")
    client.create_model_version("theirs", (tmp_path / "x").as_uri())
    assert registry.list_models()["theirs"][0].document()["bundle_digest"] is None
    assert refused(registry.pull, "models:/theirs/1").code == "NotABundle"


def test_a_file_that_is_no_database_is_an_error_for_the_user(tmp_path):
    (tmp_path / "broken.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / "broken.db").execute("select * from sqlite_master")
    error = refused(ModelRegistry(str(tmp_path / "broken.db")).list_models)
    assert error.qualified_code == "ResourceError:RegistryUnreachable" and "broken.db" in error.message
