"""`neanias-ml evaluate` as a user calls it."""

import json

import pytest

from neanias_ml.evaluation.report import read_report


def test_simulated_fields_by_the_shipped_model_and_by_two_processes(run, tmp_path):
    words = ("evaluate", "--fields", 2, "--size", 96, "--seed", 5, "--association", "none")
    code, out, err = run(*words, "-o", tmp_path / "one")
    assert code == 0, err
    assert "f1_all" in out and "2 simulated fields" in out
    assert "maps (2)" in err
    code, out, err = run(*words, "-o", tmp_path / "two", "--workers", 2, "--quiet")
    assert (code, out, err) == (0, "", "")
    one, two = (read_report(tmp_path / name / "evaluation.json") for name in ("one", "two"))
    assert one == two
    assert one.network == "detection" and 0 <= one.score <= 1
    assert json.loads((tmp_path / "one" / "evaluation.json").read_text())["details"]["set"] == "simulated"
    code, _, err = run(*words, "-o", tmp_path / "one")
    assert code == 2 and "--overwrite" in err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((), 2, "-o FOLDER"),
        (("-o", "out", "--set", "nowhere.json"), 2, "SetUnknown"),
        (("-o", "out", "--set", "vlass", "--fields", "3"), 2, "--fields describe simulated fields"),
        (("-o", "out", "--set", "vlass", "--real-data", "nothing"), 3, "RealSetMissing"),
        (("-o", "out", "--workers", "0"), 2, "--workers must be at least 1"),
        (("-o", "out", "--fields", "0"), 2, "SimulatedFields"),
        (("-o", "out", "--model", "no-such-bundle"), 5, "no-such-bundle"),
        (("-o", "out", "--fielsd", "3"), 2, "did you mean fields"),
    ],
)
def test_wrong_words_are_told(run, tmp_path, monkeypatch, words, code, text):
    monkeypatch.chdir(tmp_path)
    got, _, err = run("evaluate", *words)
    assert got == code and text in err
    assert not (tmp_path / "out").exists()


def test_a_real_set_by_name(run, tmp_path, real_data):
    code, out, err = run(
        "evaluate", "--set", "caesar_samples", "--split", "all", "--real-data", real_data, "--association", "none",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert code == 0, err
    report = read_report(tmp_path / "out" / "evaluation.json")
    assert report.split == "all" and report.details["counts"]["maps"] == 3
    assert "caesar_samples, all: 3 maps in 3 areas" in out
    code, _, err = run("evaluate", "--set", "caesar_samples", "--real-data", real_data, "-o", tmp_path / "other")
    assert code == 3 and "--split all" in err
