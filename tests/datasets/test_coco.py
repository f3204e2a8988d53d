"""COCO files: all forms of masks, all fields back, agreement with pycocotools, refusals that name what is wrong."""

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from neanias_ml.datasets.labels.coco import kept_ids, read_coco, write_coco
from neanias_ml.datasets.labels.labelled import LabelledImage, LabelSet
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.errors import InputError
from tests.datasets.label_makers import SHAPE, disc, labelled, masks, sample_labels, without_ids

POLYGON = [[2.5, 3.0, 20.0, 4.5, 12.0, 18.0], [30.0, 30.0, 36.0, 30.0, 36.0, 36.0]]


def document(**changes):
    """A small file with one annotation of each form of mask."""
    mask = RunLengthMask.of(disc(20, 20, 5))
    forms = [POLYGON, {"size": list(SHAPE), "counts": list(mask.runs)}, {"size": list(SHAPE), "counts": mask.text}]
    content = {
        "info": {"year": 2024},
        "licenses": [{"id": 1, "name": "ours"}],
        "images": [{"id": 3, "file_name": "a.png", "height": SHAPE[0], "width": SHAPE[1], "sky_group": 388}],
        "categories": [{"id": 9, "name": "FR-II", "supercategory": "radio"}, {"id": 2, "name": "R"}],
        "annotations": [
            {
                "id": 10 + number, "image_id": 3, "category_id": (9, 2, 9)[number], "segmentation": form,
                "bbox": [1.5, 2.5, 9.0, 9.0], "area": 81.0, "iscrowd": int(number == 1), "object_id": 5,
                "island_ids": [4, 6], "score": None, "keypoints": [1, 2, 2],
            }
            for number, form in enumerate(forms)
        ],
        "more": [1, {"two": 2}],
    }  # fmt: skip
    return content | changes


def written(tmp_path, content, name="labels.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def judge(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_every_form_and_field_is_read(tmp_path):
    labels = read_coco(written(tmp_path, document()))
    (image,) = labels
    assert labels.class_names == ("FR-II", "R") and image.sky_group == "388" and image.shape == SHAPE
    polygon, listed, text = image.objects
    assert (polygon.class_name, listed.class_name) == ("FR-II", "R")
    assert (polygon.ignored, listed.ignored) == (False, True)
    assert np.array_equal(text.mask.pixels(), disc(20, 20, 5)) and listed.mask == text.mask
    assert polygon.attributes["segmentation"] == POLYGON and polygon.attributes["island_ids"] == [4, 6]


def test_a_file_is_written_as_it_was_read(tmp_path):
    content = document()
    write_coco(read_coco(written(tmp_path, content)), tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == content


def test_iscrowd_and_ignore_are_told_apart(tmp_path):
    content = document()
    content["annotations"][0] |= {"ignore": 1}
    labels = read_coco(written(tmp_path, content))
    assert [one.ignored for one in labels.images[0].objects] == [True, True, False]
    write_coco(labels, tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == content


def test_labels_of_other_origin_come_back(tmp_path):
    labels = sample_labels(tmp_path)
    write_coco(labels, tmp_path / "labels.json")
    assert without_ids(read_coco(tmp_path / "labels.json")) == without_ids(labels)


@given(masks, st.booleans())
def test_pycocotools_reads_the_pixels_that_were_written(tmp_path_factory, mask, ignored):
    folder = tmp_path_factory.mktemp("coco")
    image = LabelledImage(folder / "a.png", mask.shape, (labelled(mask, ignored=ignored),))
    write_coco(LabelSet((image,), ("spurious", "compact")), folder / "labels.json")
    theirs = judge(folder / "labels.json")
    (annotation,) = theirs.loadAnns(theirs.getAnnIds())
    assert np.array_equal(theirs.annToMask(annotation).astype(bool), mask)
    assert annotation["category_id"] == 2 and annotation["iscrowd"] == int(ignored) and annotation["area"] == mask.sum()
    assert read_coco(folder / "labels.json").images[0].objects[0].mask.text == RunLengthMask.of(mask).text


def test_pycocotools_sees_the_same_pixels_in_every_form(tmp_path):
    path = written(tmp_path, document())
    theirs = judge(path)
    for one, annotation in zip(read_coco(path).images[0].objects, theirs.loadAnns([10, 11, 12]), strict=True):
        assert np.array_equal(one.mask.pixels(), theirs.annToMask(annotation).astype(bool))


def test_numbers_are_kept_where_they_can_be():
    assert kept_ids([5, None, 5, "x", 2, True]) == [5, 6, 7, 8, 2, 9]


def test_new_classes_get_new_numbers(tmp_path):
    labels = read_coco(written(tmp_path, document()))
    more = LabelSet(labels.images, (*labels.class_names, "ring"), labels.attributes)
    write_coco(more, tmp_path / "more.json")
    categories = json.loads((tmp_path / "more.json").read_text())["categories"]
    assert [entry["id"] for entry in categories] == [9, 2, 10] and categories[0]["supercategory"] == "radio"


def test_images_are_found_beside_the_file_and_named_from_it(tmp_path):
    labels = sample_labels(tmp_path)
    write_coco(labels, tmp_path / "deep" / "labels.json")
    entries = json.loads((tmp_path / "deep" / "labels.json").read_text())["images"]
    assert entries[0]["file_name"] == "../images/map0.fits"
    entry = {"id": 3, "file_name": "/gone/map0.fits", "height": SHAPE[0], "width": SHAPE[1]}
    found = read_coco(written(tmp_path, document(images=[entry])))
    assert found.images[0].path == tmp_path / "images" / "map0.fits"
    missing = read_coco(written(tmp_path, document(images=[entry | {"file_name": "/gone/away.png"}])))
    assert str(missing.images[0].path) == "/gone/away.png" and missing.n_objects == 3


def broken(place, **fields):
    """The document with fields of its first image or annotation changed."""
    content = document()
    content[place][0] |= fields
    return content


def test_polygons_give_way_to_a_mask_that_was_edited_in_another_format(tmp_path):
    (tmp_path / "a.png").touch()
    image = read_coco(written(tmp_path, document())).images[0]
    mask = RunLengthMask.of(disc(25, 12, 6))
    edited = tuple(one.replace(mask=mask) for one in image.objects)  # stored polygons and boxes still those of before
    write_coco(LabelSet((image.replace(objects=edited),), ("FR-II", "R")), tmp_path / "new.json")
    for annotation in json.loads((tmp_path / "new.json").read_text())["annotations"][:2]:
        assert annotation["segmentation"] == {"size": list(SHAPE), "counts": mask.text}
        assert annotation["bbox"] == [19, 6, 13, 13] and annotation["score"] is None
    assert [one.mask.area for one in read_coco(tmp_path / "new.json").images[0].objects] == 3 * [mask.area]


def test_numbers_and_categories_of_other_formats_do_not_replace_the_file_s_own(tmp_path):
    fields = {"image_id": 77, "category_id": 5, "note": "kept"}
    image = LabelledImage(tmp_path / "a.fits", SHAPE, (labelled(disc(9, 9, 3), "extended", attributes=fields),))
    labels = LabelSet((image,), ("compact", "extended"), {"categories": [5, {"id": "x"}]})
    write_coco(labels, tmp_path / "labels.json")
    (found,) = read_coco(tmp_path / "labels.json").images[0].objects
    assert found.class_name == "extended" and found.attributes["note"] == "kept"


@pytest.mark.parametrize(
    ("content", "code", "mentions"),
    [
        ("{", "JsonBroken", "line 1"),
        ("[1, 2]", "CocoFields", "images and of annotations"),
        ('{"images": ' + 5000 * "1" + "}", "JsonBroken", "digits"),
        (document(categories=None), "CocoFields", "categories"),
        (broken("annotations", category_id=4), "ClassUnknown", "category_id 4"),
        (broken("annotations", segmentation=[]), "MaskMissing", "annotation 10"),
        (broken("annotations", segmentation={"size": [5, 5], "counts": [25]}), "MaskShape", "(5, 5)"),
        (broken("annotations", segmentation={"size": list(SHAPE), "counts": [25]}), "MaskBroken", "do not fill"),
        (broken("annotations", segmentation={"size": list(SHAPE), "counts": "é"}), "MaskBroken", "annotation 10"),
        (broken("annotations", segmentation={"counts": [25]}), "MaskBroken", "size"),
        (broken("annotations", segmentation=[[1, 2, 3]]), "MaskBroken", "three pairs"),
        (broken("annotations", segmentation=[["a", 2, 3, 4, 5, 6]]), "MaskBroken", "annotation 10"),
        (broken("annotations", image_id=99), "CocoIds", "annotation 0"),
        (broken("annotations", image_id=[3]), "CocoIds", "annotation 0"),
        (document(annotations=document()["annotations"] * 2), "CocoIds", "id 10"),
        (broken("images", height="tall"), "CocoFields", "height"),
        (document(images=document()["images"] * 2), "CocoIds", "id 3"),
        (document(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "CocoIds", "'a'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, code, mentions):
    path = written(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_coco(path)
    assert caught.value.code == code and mentions in caught.value.message and str(path) in caught.value.message


def test_problems_can_be_collected_and_the_rest_read(tmp_path):
    problems = []
    labels = read_coco(written(tmp_path, broken("annotations", category_id=4)), report=problems.append)
    assert [problem.code for problem in problems] == ["ClassUnknown"] and labels.n_objects == 2


def test_missing_file_and_class_of_no_set_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no label file .*none\.json"):
        read_coco(tmp_path / "none.json")
    image = LabelledImage(tmp_path / "a.png", SHAPE, (labelled(disc(5, 5, 2), "odd"),))
    with pytest.raises(InputError, match="'odd'"):
        write_coco(LabelSet((image,), ("compact",)), tmp_path / "labels.json")
    assert not (tmp_path / "labels.json").exists()


@pytest.mark.parametrize("name", ["annotations_val.json", "annotations_train.json"])
def test_real_file_is_written_as_it_was_read(real_data, tmp_path, name):
    folder = real_data / "RadioGalaxyNET"
    labels = read_coco(folder / name)
    write_coco(labels, tmp_path / name, image_root=folder / "images")
    assert json.loads((tmp_path / name).read_text()) == json.loads((folder / name).read_text())
