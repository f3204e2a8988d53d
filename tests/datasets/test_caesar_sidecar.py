"""CAESAR's sidecars and lists: classes by its rules, fields measured or kept, paths that moved, named refusals."""

import csv
import json

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from scipy import ndimage

from neanias_ml.datasets.labels.caesar_sidecar import class_of, read_caesar
from neanias_ml.datasets.labels.caesar_writing import JSON_LIST, ROW_LIST, unique_stems, write_caesar
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelledImage, LabelSet
from neanias_ml.errors import InputError, UsageError
from tests.datasets.label_makers import SHAPE, disc, labelled, masks, sample_labels, without_ids, write_map


def write_sidecar(folder, *, objects=None, **fields):
    """A sidecar as CAESAR writes it, with two objects by default; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "img.fits").exists():
        write_map(folder / "img.fits")
    for number, place in enumerate([(10, 10), (30, 25)]):
        fits.writeto(folder / f"mask{number}.fits", disc(*place, 4).astype(np.float32), overwrite=True)
    if objects is None:
        objects = [
            {
                "mask": f"mask{number}.fits",
                "class": name,
                "nislands": 1,
                "sidelobe-mixed": 0,
                "name": f"S{number}",
                "snr": 9.5,
            }
            for number, name in enumerate(["source", "galaxy"])
        ]
    document = {"img": "img.fits", "telescope": "ASKAP", "bkg": 0.1, "rms": 1.0, "bmaj": 10.0, "bmin": 10.0, "dx": 2.0}
    document |= {"dy": 2.0, "nx": SHAPE[1], "ny": SHAPE[0], "objs": objects, **fields}
    path = folder / "img.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("name", "nislands", "mixed", "expected"),
    [
        ("sidelobe", 1, 0, "spurious"),
        ("source", 1, 0, "compact"),
        ("galaxy", 1, 0, "extended"),
        ("galaxy_C1", 1, 0, "extended"),
        ("galaxy_C2", 2, 0, "extended-multisland"),
        ("extended", 1, 0, "extended"),
        ("extended", 2, 0, "extended-multisland"),
        ("galaxy", 3, 0, "extended-multisland"),
        ("extended-multisland", 2, 1, "flagged"),
        ("compact", 1, 1, "flagged"),
        ("compact", 4, 0, "compact"),
        ("diffuse", 1, 0, None),
    ],
)
def test_classes_follow_caesars_rules(name, nislands, mixed, expected):
    assert class_of({"class": name, "nislands": nislands, "sidelobe-mixed": mixed}) == expected


def test_a_sidecar_is_read_with_all_its_fields(tmp_path):
    (image,) = read_caesar(write_sidecar(tmp_path, custom={"a": 1}))
    assert image.path == tmp_path / "img.fits" and image.shape == SHAPE
    assert image.attributes["telescope"] == "ASKAP" and image.attributes["custom"] == {"a": 1}
    first, second = image.objects
    assert (first.class_name, second.class_name, second.name) == ("compact", "extended", "S1")
    assert np.array_equal(second.mask.pixels(), disc(30, 25, 4)) and second.attributes["snr"] == 9.5


def test_what_caesar_wrote_is_written_back(tmp_path):
    path = write_sidecar(tmp_path / "in", custom=[1])
    write_caesar(read_caesar(path), tmp_path / "out")
    old, new = json.loads(path.read_text()), json.loads((tmp_path / "out" / "img.json").read_text())
    for theirs, ours in zip(old.pop("objs"), new.pop("objs"), strict=True):
        assert {key: ours[key] for key in theirs if key != "mask"} == {k: v for k, v in theirs.items() if k != "mask"}
        pixels = [
            fits.getdata(folder / one["mask"]) > 0
            for folder, one in ((tmp_path / "in", theirs), (tmp_path / "out", ours))
        ]
        assert np.array_equal(*pixels)
    assert {key: new[key] for key in old if key != "img"} == {key: old[key] for key in old if key != "img"}


def test_labels_of_other_origin_come_back(tmp_path):
    labels = sample_labels(tmp_path)
    notes = write_caesar(labels, tmp_path / "caesar")
    assert read_caesar(tmp_path / "caesar" / JSON_LIST) == labels
    assert notes == ["1 ignored object(s) are ordinary ones to CAESAR's own programs"]


@given(masks)
def test_any_mask_comes_back(tmp_path_factory, mask):
    folder = tmp_path_factory.mktemp("caesar")
    image = LabelledImage(folder / "a.fits", mask.shape, (labelled(mask, "extended"), labelled(~mask, "compact")))
    write_caesar(LabelSet((image,), CAESAR_CLASSES), folder / "out")
    assert without_ids(read_caesar(folder / "out")) == without_ids(LabelSet((image,), CAESAR_CLASSES))


def test_foreign_classes_keep_their_order(tmp_path):
    image = LabelledImage(tmp_path / "a.fits", SHAPE, (labelled(disc(9, 9, 3), "R"),))
    labels = LabelSet((image,), ("FR-II", "R", "FR-I"))
    write_caesar(labels, tmp_path / "out")
    assert read_caesar(tmp_path / "out") == labels


def test_measured_fields_are_those_of_the_pixels(tmp_path):
    rng = np.random.default_rng(3)
    mask = disc(8, 30, 4) | disc(18, 34, 3)
    pixels = rng.normal(2.0, 0.5, SHAPE) + 100.0 * mask
    path = write_map(tmp_path / "a.fits", pixels=pixels, TELESCOP="ASKAP")
    near, far = labelled(disc(14, 26, 2), "spurious"), labelled(disc(45, 2, 2), "flagged")
    write_caesar(
        LabelSet((LabelledImage(path, SHAPE, (labelled(mask, "extended-multisland"), near, far)),), CAESAR_CLASSES),
        tmp_path / "out",
    )
    document = json.loads((tmp_path / "out" / "a.json").read_text())
    assert (document["telescope"], document["nx"], document["ny"]) == ("ASKAP", SHAPE[1], SHAPE[0])
    assert document["bkg"] == pytest.approx(2.0, abs=0.1) and document["rms"] == pytest.approx(0.5, abs=0.05)
    assert [document[key] for key in ("bmaj", "bmin", "dx", "dy")] == pytest.approx([10, 10, 2, 2], rel=1e-6)
    whole, _, flagged = document["objs"]
    values = pixels.astype(np.float32)[mask].astype(float)
    assert whole["Stot"] == pytest.approx(values.sum()) and whole["npix"] == mask.sum() and whole["nislands"] == 2
    expected = (values.sum() - document["bkg"] * mask.sum()) / (document["rms"] * np.sqrt(mask.sum()))
    assert whole["snr"] == pytest.approx(expected)
    assert whole["nbeams"] == pytest.approx(mask.sum() / (np.pi * 25 / (4 * np.log(2))), rel=1e-6)
    assert whole["maxsize_beam"] == pytest.approx(max(whole["bbox_w"], whole["bbox_h"]) / 5, rel=1e-6)
    assert (whole["sidelobe-near"], whole["sidelobe-mixed"], whole["border"]) == (1, 0, 0)
    assert (flagged["sidelobe-near"], flagged["sidelobe-mixed"], flagged["border"]) == (0, 1, 1)
    assert ndimage.label(mask, np.ones((3, 3)))[1] == whole["nislands"]


def test_what_cannot_be_known_is_minus_999(tmp_path):
    image = LabelledImage(tmp_path / "gone.fits", SHAPE, (labelled(disc(9, 9, 3)),))
    notes = write_caesar(LabelSet((image,), CAESAR_CLASSES), tmp_path / "out")
    document = json.loads((tmp_path / "out" / "gone.json").read_text())
    assert document["rms"] == document["bmaj"] == document["objs"][0]["Stot"] == -999 and "missing" in notes[0]


def test_three_forms_of_lists_give_the_same_labels(tmp_path):
    labels = sample_labels(tmp_path)
    plain = LabelSet(labels.images, labels.class_names)
    write_caesar(plain, tmp_path / "out")
    assert read_caesar(tmp_path / "out" / JSON_LIST) == plain
    found = {image.path: image for image in read_caesar(tmp_path / "out")}
    assert tuple(found[image.path] for image in plain) == plain.images
    rows = read_caesar(tmp_path / "out" / ROW_LIST)
    for image, row in zip(plain, rows, strict=True):
        assert image.path == row.path
        assert [(one.class_name, one.mask) for one in image.objects] == [(o.class_name, o.mask) for o in row.objects]
    with (tmp_path / "out" / ROW_LIST).open() as stream:
        cells = list(csv.reader(stream))
    (tmp_path / "out" / "absolute.csv").write_text(
        "image,mask,label\n" + "".join(f"{tmp_path / 'out' / a},{tmp_path / 'out' / b},{c}\n" for a, b, c in cells)
    )
    assert [i.objects for i in read_caesar(tmp_path / "out" / "absolute.csv")] == [i.objects for i in rows]


def test_absolute_paths_that_are_gone_are_found_beside_the_sidecar(tmp_path):
    path = write_sidecar(tmp_path)
    document = json.loads(path.read_text())
    document["img"] = "/gone/img.fits"
    for entry in document["objs"]:
        entry["mask"] = f"/gone/{entry['mask']}"
    path.write_text(json.dumps(document))
    (image,) = read_caesar(path)
    assert image.path == tmp_path / "img.fits" and len(image.objects) == 2
    (tmp_path / "img.fits").unlink()
    (image,) = read_caesar(path)
    assert str(image.path) == "/gone/img.fits" and len(image.objects) == 2


def test_images_of_one_name_get_files_of_their_own(tmp_path):
    assert unique_stems([tmp_path / "a" / "m.fits", tmp_path / "b" / "m.fits", tmp_path / "c.fits"]) == [
        "a-m",
        "b-m",
        "c",
    ]
    assert unique_stems([tmp_path / "a" / "m.fits"] * 2) == ["a-m", "a-m-2"]


def test_earlier_labels_are_kept_unless_overwritten_and_other_files_always(tmp_path):
    labels = sample_labels(tmp_path)
    write_caesar(labels, tmp_path / "out")
    (tmp_path / "out" / "mine.json").write_text("{}")
    with pytest.raises(UsageError, match="--overwrite"):
        write_caesar(labels, tmp_path / "out")
    write_caesar(LabelSet(labels.images[1:], labels.class_names), tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "map0.json").exists() and (tmp_path / "out" / "mine.json").exists()
    assert len(list((tmp_path / "out").glob("*_mask*.fits"))) == 5


def other_shape(folder):
    path = write_sidecar(folder)
    fits.writeto(folder / "mask1.fits", np.ones((5, 6), dtype=np.uint8), overwrite=True)
    return path


def no_mask(folder):
    path = write_sidecar(folder)
    (folder / "mask1.fits").unlink()
    return path


def broken_mask(folder):
    path = write_sidecar(folder)
    (folder / "mask1.fits").write_text("no FITS")
    return path


def listed(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "list.txt").write_text(text)
    return folder / "list.txt"


def only(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.json").write_text(text)
    return folder / "a.json"


@pytest.mark.parametrize(
    ("make", "code", "mentions"),
    [
        (other_shape, "MaskShape", "(5, 6)"),
        (no_mask, "MaskMissing", "mask1.fits"),
        (broken_mask, "MaskBroken", "mask1.fits"),
        (lambda f: write_sidecar(f, objects=[{"mask": "mask0.fits", "class": "quasar"}]), "ClassUnknown", "'quasar'"),
        (
            lambda f: write_sidecar(f, objects=[{"mask": "/gone/x.fits", "class": "source"}]),
            "MaskMissing",
            "/gone/x.fits",
        ),
        (lambda f: write_sidecar(f, objects=[{"class": "source"}]), "SidecarFields", "object 0"),
        (lambda f: write_sidecar(f, img="/gone/x.fits", objs=[], nx=None), "ImageMissing", "/gone/x.fits"),
        (lambda f: write_sidecar(f, objs=None), "SidecarFields", "objs"),
        (lambda f: only(f, '{"img": '), "JsonBroken", "a.json"),
        (lambda f: only(f, "[]"), "SidecarFields", "img"),
        (lambda f: listed(f, "\n"), "ListBroken", "list.txt"),
        (lambda f: listed(f, "gone.json\n"), "LabelsMissing", "gone.json"),
        (lambda f: listed(f, '"a.fits,m.fits,source\n'), "ListBroken", "row 1"),
        (lambda f: listed(f, "a.fits,,source\n"), "ListBroken", "row 1"),
        (lambda f: write_sidecar(f, img=300 * "x" + ".fits"), "PathBroken", "xxx"),
        (lambda f: f / "none", "LabelsMissing", "none"),
        (lambda f: f, "LabelsMissing", "no label file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, make, code, mentions):
    with pytest.raises(InputError) as caught:
        read_caesar(make(tmp_path))
    assert caught.value.code == code and mentions in caught.value.message


def test_a_field_of_ours_that_is_damaged_is_passed_over(tmp_path):
    damaged = {"set": 5, "class_names": 5, "computed": 5}
    objects = [{"mask": "mask0.fits", "class": "source", "neanias_ml": damaged}]
    labels = read_caesar(write_sidecar(tmp_path, objects=objects, neanias_ml=damaged))
    assert labels.class_names == CAESAR_CLASSES and labels.attributes == {}
    assert [one.class_name for one in labels.images[0].objects] == ["compact"]


def test_problems_can_be_collected_and_the_rest_read(tmp_path):
    problems = []
    labels = read_caesar(no_mask(tmp_path), report=problems.append)
    assert [problem.code for problem in problems] == ["MaskMissing"] and labels.n_objects == 1
