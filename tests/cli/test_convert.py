"""`convert` as a user runs it: formats guessed, chains without loss, a simulated field, refusals."""

import json

import numpy as np
import pytest

from neanias_ml.datasets.labels.coco import read_coco
from neanias_ml.datasets.labels.ds9_labels import read_ds9
from neanias_ml.datasets.labels.formats import read_labels, source_format
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES
from neanias_ml.errors import InputError
from neanias_ml.simulation.files import read_truth
from tests.datasets.label_makers import sample_labels, without_ids
from tests.simulation.makers import field, point


def one_sentence(err, *, code, mentions):
    assert code in err and mentions in err, err
    assert len(err.strip().splitlines()) == 1 and "bug of ours" not in err


@pytest.fixture
def coco_file(tmp_path):
    """The sample as COCO, by way of the command's own writer."""
    from neanias_ml.datasets.labels.formats import write_labels

    write_labels(sample_labels(tmp_path), tmp_path / "labels.json")
    return tmp_path / "labels.json"


def test_labels_go_through_all_formats_and_come_back(run, tmp_path, coco_file):
    first = read_coco(coco_file)
    for source, output, more in (
        ("labels.json", "caesar", ["--to", "caesar"]),
        ("caesar", "regions", ["--to", "ds9", "--sky"]),
        ("regions", "pixels", ["--to", "ds9"]),
        ("pixels", "again.json", []),
    ):
        code, printed, err = run("convert", tmp_path / source, tmp_path / output, *more)
        assert code == 0, err
        assert (
            "lost: nothing" in printed and "11 object(s) of 2 image(s)" in printed and str(tmp_path / output) in printed
        )
    assert without_ids(read_coco(tmp_path / "again.json")) == without_ids(first)
    again, before = (json.loads(path.read_text()) for path in (tmp_path / "again.json", coco_file))
    assert again == before


def test_truth_of_a_simulated_field_becomes_labels(run, tmp_path):
    from neanias_ml.simulation.files import write_simulation

    sky = field(point(40.0, 50.0, 60.0), point(90.0, 80.0, 12.0), point(60.0, 20.0, 4.0))
    for name in ("one", "two"):
        write_simulation(sky, tmp_path / "fields" / name)
    code, printed, err = run("convert", tmp_path / "fields", tmp_path / "labels.json")
    assert code == 0 and "(simulated)" in printed, err
    truth = read_truth(tmp_path / "fields" / "one")
    labels = read_coco(tmp_path / "labels.json")
    assert [image.path for image in labels] == [tmp_path / "fields" / name / "map.fits" for name in ("one", "two")]
    assert labels.class_names == CAESAR_CLASSES and labels.images[0].sky_group == labels.images[1].sky_group != ""
    objects = labels.images[0].objects
    assert [one.ignored for one in objects] == [not visible for visible in truth.objects.visible.tolist()]
    for one in objects:
        source = truth.faint_labels if one.ignored else truth.object_labels
        assert np.array_equal(one.mask.pixels(), source == one.attributes["true_object_id"])
        row = one.attributes["true_object_id"] - 1
        assert one.class_name == truth.objects.class_name[row] and one.attributes["true_snr"] == truth.objects.snr[row]


def test_rows_of_a_list_keep_what_the_sidecars_beside_say(run, tmp_path, coco_file):
    code, printed, _ = run("convert", coco_file, tmp_path / "caesar", "--to", "caesar")
    assert code == 0 and "1 ignored" in printed
    rows = tmp_path / "caesar" / "datalist.csv"
    assert run("convert", rows, tmp_path / "back.json")[0] == 0
    first, back = read_coco(coco_file), read_coco(tmp_path / "back.json")
    assert without_ids(back) == without_ids(first) and back.counts == first.counts
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join([lines[0].replace("compact", "flagged"), *lines[2:]]))
    edited = read_labels(rows).images[0].objects
    assert [one.class_name for one in edited] == ["flagged", *(one.class_name for one in first.images[0].objects[2:])]
    for sidecar in (tmp_path / "caesar").glob("*.json"):
        sidecar.unlink()
    assert read_labels(rows).n_objects == 10


def test_regions_on_the_sky_say_which_images_have_none(run, tmp_path, coco_file):
    (tmp_path / "images" / "map0.fits").unlink()
    code, printed, _ = run("convert", coco_file, tmp_path / "regions", "--to", "ds9", "--sky")
    assert code == 0 and "note: written in image pixels: 1 image(s)" in printed
    code, printed, _ = run("convert", coco_file, tmp_path / "pixels", "--to", "ds9")
    assert code == 0 and "note" not in printed


def test_what_is_lost_is_said(run, tmp_path, coco_file):
    document = json.loads(coco_file.read_text())
    document["images"] = document["images"][:1]
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] == document["images"][0]["id"]]
    height, width = document["images"][0]["height"], document["images"][0]["width"]
    document["annotations"][1]["segmentation"] = {"size": [height, width], "counts": [height * width]}
    (tmp_path / "one.json").write_text(json.dumps(document))
    code, printed, _ = run("convert", tmp_path / "one.json", tmp_path / "one.reg")
    assert code == 0 and "lost: object 2 (extended)" in printed and "lost: nothing" not in printed
    assert read_ds9(tmp_path / "one.reg").n_objects == 5
    assert run("convert", tmp_path / "one.json", tmp_path / "two.reg", "--quiet")[:2] == (0, "")


def test_images_elsewhere_are_found_by_their_folder(run, tmp_path, coco_file):
    document = json.loads(coco_file.read_text())
    for entry in document["images"]:
        entry["file_name"] = f"/gone/{entry['file_name']}"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "labels.json").write_text(json.dumps(document))
    code, _, err = run("convert", tmp_path / "elsewhere" / "labels.json", tmp_path / "missing.json")
    assert code == 0, err
    assert str(read_coco(tmp_path / "elsewhere" / "labels.json").images[0].path) == "/gone/images/map0.fits"
    code, _, err = run(
        "convert", tmp_path / "elsewhere" / "labels.json", tmp_path / "out.json", "--image-root", tmp_path / "images"
    )
    assert code == 0, err
    assert read_coco(tmp_path / "out.json").images[0].path == tmp_path / "images" / "map0.fits"


def test_formats_are_told_by_their_looks(tmp_path, coco_file, run):
    for name, target in (("caesar", "caesar"), ("regions", "ds9")):
        run("convert", coco_file, tmp_path / name, "--to", target)
    expected = {
        "labels.json": "coco",
        "caesar": "caesar",
        "caesar/map0.json": "caesar",
        "caesar/datalist.csv": "caesar",
    }
    expected |= {"caesar/datalist_json.txt": "caesar", "regions": "ds9", "regions/map0.reg": "ds9"}
    assert {name: source_format(tmp_path / name) for name in expected} == expected
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "masks.json").write_text(coco_file.read_text())
    assert source_format(tmp_path / "run") == "coco" and read_labels(tmp_path / "run").n_objects == 11
    (tmp_path / "other.json").write_text("{}")
    for name in ("other.json", "images/map0.fits", "images", "none"):
        with pytest.raises(InputError, match=name):
            source_format(tmp_path / name)


def test_results_are_kept_unless_overwritten(run, tmp_path, coco_file):
    before = coco_file.read_text()
    code, _, err = run("convert", coco_file, tmp_path / "out.json")
    assert code == 0
    code, _, err = run("convert", coco_file, tmp_path / "out.json")
    assert code == 2
    one_sentence(err, code="OutputExists", mentions="--overwrite")
    assert run("convert", coco_file, "-o", tmp_path / "out.json", "--overwrite")[0] == 0
    for words in ([], [tmp_path / "out.json", "-o", tmp_path / "out.json"]):
        code, _, err = run("convert", coco_file, *words)
        assert code == 2
        one_sentence(err, code="Output", mentions="where the labels go")
    code, _, err = run("convert", coco_file, coco_file, "--overwrite")
    assert code == 2 and coco_file.read_text() == before
    one_sentence(err, code="InputIsOutput", mentions="labels.json")


def empty(path):
    document = json.loads(path.read_text())
    document["annotations"] = []
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("spoil", "words", "exit_code", "code", "mentions"),
    [
        (lambda path: None, ["folder"], 2, "FormatUnknown", "--to"),
        (lambda path: None, ["out.json", "--to", "caesar"], 2, "OutputNotADirectory", "out.json"),
        (lambda path: None, ["out.reg"], 2, "OneImagePerFile", "--to ds9"),
        (lambda path: None, ["out.json", "--from", "caesar"], 3, "SidecarFields", "labels.json"),
        (lambda path: path.write_text("{"), ["out.json"], 3, "JsonBroken", "labels.json"),
        (lambda path: path.unlink(), ["out.json"], 3, "LabelsMissing", "labels.json"),
        (empty, ["out.json"], 3, "NoObjects", "labels.json"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, tmp_path, coco_file, spoil, words, exit_code, code, mentions):
    spoil(coco_file)
    returned, _, err = run("convert", coco_file, tmp_path / words[0], *words[1:])
    assert returned == exit_code
    one_sentence(err, code=code, mentions=mentions)
    assert not (tmp_path / words[0]).exists()
