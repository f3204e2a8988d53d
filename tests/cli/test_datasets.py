"""`datasets check | sheet | stats` as a user runs them."""

import csv
import json

import numpy as np
import pytest

from neanias_ml.cli.datasets import class_looks
from neanias_ml.datasets.labels.formats import write_labels
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelSet
from neanias_ml.models.class_styles import OTHER, STYLES
from tests.datasets.label_makers import SHAPE, labelled, sample_labels


@pytest.fixture
def label_file(tmp_path):
    write_labels(sample_labels(tmp_path), tmp_path / "labels.json")
    return tmp_path / "labels.json"


def test_good_labels_pass(run, label_file):
    code, printed, err = run("datasets", "check", label_file)
    assert (code, err) == (0, "") and "nothing is wrong" in printed and "11 objects of 2 images" in printed


def test_errors_end_with_code_3_and_a_table(run, tmp_path, label_file):
    labels = sample_labels(tmp_path / "b")
    bad = labels.images[0].objects[1].replace(class_name="extended-multisland")
    images = (labels.images[0].replace(objects=(bad, labelled(np.zeros(SHAPE, dtype=bool)))),)
    write_labels(LabelSet(images, CAESAR_CLASSES), tmp_path / "bad.json")
    code, printed, err = run(
        "datasets", "check", "--split", f"train={label_file}", "--split", f"test={tmp_path / 'bad.json'}",
        "-o", tmp_path / "findings.csv",
    )  # fmt: skip
    assert code == 3 and "LabelsFaulty" in err and len(err.strip().splitlines()) == 1
    assert "ClassRule" in printed and "EmptyMask" in printed and "LeakSamePixels" in printed
    with (tmp_path / "findings.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["severity"] for row in rows] == ["error"] * 3
    assert {row["code"] for row in rows} == {"ClassRule", "EmptyMask", "LeakSamePixels"}
    assert run("datasets", "check", label_file, "-o", tmp_path / "findings.csv")[0] == 2


def test_problems_of_reading_are_findings_beside_the_others(run, tmp_path, label_file):
    document = json.loads(label_file.read_text())
    document["annotations"][0]["category_id"] = 77
    document["annotations"][1]["segmentation"] = {"size": [5, 5], "counts": [25]}
    label_file.write_text(json.dumps(document))
    (tmp_path / "broken.json").write_text("{")
    code, printed, err = run("datasets", "check", label_file, tmp_path / "broken.json")
    assert code == 3 and "LabelsFaulty" in err
    for name in ("ClassUnknown", "MaskShape", "JsonBroken"):
        assert name in printed
    assert "9 objects of 2 images" in printed


@pytest.mark.parametrize("folder", ["", "/gone/"])
def test_objects_of_missing_images_are_checked_all_the_same(run, tmp_path, label_file, folder):
    document = json.loads(label_file.read_text())
    for number, entry in enumerate(document["images"]):
        entry["file_name"] = f"{folder}away{number}.png"
    document["annotations"][0]["category_id"] = 4
    document["annotations"].append(document["annotations"][2])
    label_file.write_text(json.dumps(document))
    code, printed, _ = run("datasets", "check", label_file, "-o", tmp_path / "findings.csv")
    assert code == 3 and "11 objects of 2 images" in printed
    with (tmp_path / "findings.csv").open() as stream:
        found = sorted(row["code"] for row in csv.DictReader(stream))
    assert found == ["ClassRule", "CocoIds", "ImageMissing", "ImageMissing"]


def test_a_sheet_warns_of_missing_images(run, tmp_path, label_file):
    (tmp_path / "images" / "map0.fits").unlink()
    code, printed, _ = run("datasets", "sheet", label_file, "-o", tmp_path / "sheets")
    assert code == 0 and "warning: 1 image(s)" in printed


def test_options_reach_the_check(run, label_file):
    code, printed, _ = run("datasets", "check", label_file, "--check.fewest_pixels", "60")
    assert code == 0 and "TinyMask" in printed
    assert run("datasets", "check", label_file, "--check.most_overlap", "3")[0] == 2
    code, printed, _ = run("datasets", "check", label_file, "--check.classes", "[compact,extended]")
    assert code == 3 and "the class is none of compact, extended" in printed


def test_sheets_are_drawn_and_replaced_as_a_whole(run, tmp_path, label_file):
    out = tmp_path / "sheets"
    assert run("datasets", "sheet", label_file, "-o", out, "--per-page", "1")[0] == 0
    assert sorted(path.name for path in out.iterdir()) == ["sheet_001.png", "sheet_002.png"]
    code, _, err = run("datasets", "sheet", label_file, "-o", out)
    assert code == 2 and "OutputExists" in err
    assert run("datasets", "sheet", label_file, "-o", out, "--overwrite", "--quiet")[:2] == (0, "")
    assert [path.name for path in out.iterdir()] == ["sheet_001.png"]


def test_statistics_are_printed_and_written(run, tmp_path, label_file):
    code, printed, _ = run("datasets", "stats", label_file, "-o", tmp_path / "stats.json")
    assert code == 0 and "extended-multisland" in printed
    classes = json.loads((tmp_path / "stats.json").read_text())["labels"]["classes"]
    assert classes["compact"]["objects"] == 2 and classes["compact"]["ignored"] == 1
    assert classes["extended-multisland"]["islands"] == {"1": 0, "2": 2, "3+": 0}


def test_no_two_classes_of_a_set_look_the_same():
    looks = class_looks(LabelSet((), ("FR-I", "FR-II", "compact", "FR-X")))
    assert looks["compact"] == STYLES["compact"]
    assert len(set(looks.values())) == 4 and OTHER not in looks.values()


@pytest.mark.parametrize(
    ("words", "code", "mentions"),
    [
        (["look"], "ActionUnknown", "check, sheet, stats"),
        (["check"], "LabelsNeeded", "at least one"),
        (["check", "--split", "train"], "SplitOption", "NAME=PATH"),
        (["check", "--split", "a=x.json", "--split", "a=y.json"], "SplitOption", "'a'"),
        (["sheet", "x.json"], "OutputMissing", "-o"),
    ],
)
def test_wrong_usage_is_one_sentence(run, words, code, mentions):
    returned, _, err = run("datasets", *words)
    assert returned == 2 and code in err and mentions in err and len(err.strip().splitlines()) == 1


def test_help_names_the_actions(run):
    code, printed, _ = run("datasets", "--help")
    assert code == 0 and all(word in printed for word in ("check", "sheet", "stats"))
    assert run("datasets")[0] == 2
    code, printed, _ = run("datasets", "check", "--help")
    assert code == 0 and "--split" in printed and "--check.correlation" in printed
