"""`models register | promote | ...` as a user runs them."""

import json
import shutil

import pytest

from neanias_ml.cli import main as program
from neanias_ml.errors import ModelError, UsageError
from neanias_ml.models.bundle_folder import verify_bundle
from tests.registry.makers import database_template, make_report, make_run


@pytest.fixture
def models(run, tmp_path, tmp_path_factory, monkeypatch):
    """Runs an action of the verb at a registry of the test's own."""
    monkeypatch.setitem(program.VERBS, "models", "the registry")
    database = shutil.copy(database_template(tmp_path_factory.getbasetemp()), tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(database))
    monkeypatch.setenv("NEANIAS_CACHE", str(tmp_path / "cache"))
    return lambda *words: run("models", *words)


@pytest.fixture
def bundles(tmp_path):
    """Two bundles of a model, the second one better and a child of the first."""
    first, digest = make_run(tmp_path / "a", seed=1, score=0.5, manifest={"parent_digest": None})
    second, _ = make_run(tmp_path / "b", seed=2, score=0.7, manifest={"parent_digest": digest})
    return first, second


def test_from_a_bundle_to_a_name_and_back(models, bundles, tmp_path):
    first, second = bundles
    code, printed, err = models("register", first, "--name", "net")
    assert (code, err) == (0, "") and "as models:/net/1" in printed and "evaluation attached: f1 0.5" in printed
    assert "already registered" in models("register", first, "--name", "net")[1]
    assert models("register", second, "--name", "net", "--quiet") == (0, "", "")
    assert models("promote", "net", 1, "--alias", "champion")[:2] == (0, "models:/net@champion is version 1\n")
    assert models("promote", "net", 2, "--alias", "champion")[0] == 0
    code, _, err = models("promote", "net", 1, "--alias", "champion")
    assert code == ModelError.exit_code and "0.5 is not above the 0.7" in err and "PromotionRefused" in err
    assert models("promote", "net", 1, "--alias", "champion", "--force", "for a talk")[0] == 0
    code, printed, _ = models("show", "net")
    assert code == 0 and "for a talk" in printed and "models:/net/1" in printed and "version 2 to version 1" in printed
    code, printed, _ = models("pull", "models:/net@champion", "-o", tmp_path / "out")
    assert code == 0 and "every digest verified" in printed
    assert verify_bundle(tmp_path / "out") == verify_bundle(first)
    for place in (tmp_path / "out", "models:/net/1"):
        assert verify_bundle(first) in models("verify", place)[1]
    assert "no longer champion" in models("demote", "net", "--alias", "champion", "--reason", "over")[1]
    assert "taken from version 1" in models("show", "net")[1]


def test_json_for_programs(models, bundles):
    assert json.loads(models("list", "--json")[1]) == []
    assert "no model is registered" in models("list")[1]
    for number, bundle in enumerate(bundles, start=1):
        models("register", bundle, "--name", "net")
        models("promote", "net", number, "--alias", "champion")
    listed = json.loads(models("list", "--json")[1])
    assert [(version["version"], version["primary_value"], version["aliases"]) for version in listed] == [
        (1, 0.5, []), (2, 0.7, ["champion"]),
    ]  # fmt: skip
    shown = json.loads(models("show", "net", "--json")[1])
    assert [version["parent"] for version in shown["versions"]] == [None, "models:/net/1"]
    assert [(record["previous"], record["version"]) for record in shown["promotions"]] == [(None, 1), (1, 2)]
    assert shown["versions"][1]["parent_digest"] == verify_bundle(bundles[0])
    assert "champion" in models("list")[1]


def test_evidence_by_name(models, tmp_path):
    bundle, digest = make_run(tmp_path / "run")
    code, printed, _ = models("register", bundle, "--name", "net")
    assert code == 0 and "without an evaluation report" in printed
    report = make_report(digest, 0.25).write(tmp_path / "report.json")
    assert "f1 0.25" in models("register", bundle, "--name", "net", "--evaluation", report)[1]
    other = make_report("0" * 64, 0.25).write(tmp_path / "other.json")
    code, _, err = models("register", bundle, "--name", "net", "--evaluation", other)
    assert code == ModelError.exit_code and "ReportOfAnotherModel" in err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("register", "BUNDLE"), UsageError.exit_code, "--name NAME"),
        (("register", "BUNDLE", "--name", "a/b"), UsageError.exit_code, "ModelName"),
        (("register", "NOWHERE", "--name", "net"), ModelError.exit_code, "BundleMissing"),
        (("promote", "net", "1"), UsageError.exit_code, "--alias champion"),
        (("promote", "net", "1", "--alias", "champion"), ModelError.exit_code, "ModelUnknown"),
        (("pull", "models:/net@champion"), UsageError.exit_code, "-o FOLDER"),
        (("pull", "net", "-o", "OUT"), UsageError.exit_code, "ModelReference"),
        (("verify", "NOWHERE"), ModelError.exit_code, "BundleMissing"),
        (("export", "BUNDLE"), UsageError.exit_code, "-o FOLDER"),
        (("list", "--tracking-uri", "ftp://host"), UsageError.exit_code, "TrackingUri"),
        (("adopt",), UsageError.exit_code, "ActionUnknown"),
    ],
)
def test_what_goes_wrong_is_said_with_its_remedy(models, tmp_path, words, code, text):
    bundle, _ = make_run(tmp_path / "run")
    places = {"BUNDLE": bundle, "NOWHERE": tmp_path / "nowhere", "OUT": tmp_path / "out"}
    got, _, err = models(*(places.get(word, word) for word in words))
    assert got == code and text in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_help(models):
    code, printed, _ = models("--help")
    assert code == 0 and all(action in printed for action in ("register", "promote", "pull", "export"))
    code, printed, _ = models("register", "--help")
    assert code == 0 and "--evaluation" in printed and "--tracking-uri" in printed


def test_export_takes_a_folder_or_a_reference(models, bundles, tmp_path, monkeypatch):
    given = []

    class Report:
        def lines(self):
            return ["exported"]

    def export(folder, output, *, overwrite):
        given.append((verify_bundle(folder), str(output), overwrite))
        return Report()

    monkeypatch.setattr("neanias_ml.models.onnx_export.export_onnx", export)
    models("register", bundles[0], "--name", "net")
    for place in (bundles[0], "models:/net/1"):
        assert models("export", place, "-o", tmp_path / "onnx")[:2] == (0, "exported\n")
    assert given == [(verify_bundle(bundles[0]), str(tmp_path / "onnx"), False)] * 2
