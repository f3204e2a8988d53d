"""Run lengths and COCO's rasterisation of polygons, against pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from neanias_ml.datasets.labels.run_length import RunLengthMask, compress_runs, expand_runs
from tests.datasets.label_makers import masks

numbers = st.one_of(st.integers(-20, 40), st.integers(-40, 80).map(lambda value: value / 2), st.floats(-20, 40))


@given(masks)
def test_masks_go_through_runs_and_text_and_agree_with_pycocotools(mask):
    runs = RunLengthMask.of(mask)
    assert np.array_equal(runs.pixels(), mask) and runs.area == mask.sum()
    theirs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert runs.text == theirs["counts"].decode() and list(mask.shape) == theirs["size"]
    assert RunLengthMask.from_text(runs.text, shape=mask.shape) == runs
    x, y, width, height = coco_mask.toBbox(theirs)
    assert runs.box == ((x, y, x + width, y + height) if mask.any() else (0, 0, 0, 0))


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_any_runs_survive_the_text_form(runs):
    assert expand_runs(compress_runs(np.array(runs))) == runs


@given(
    st.lists(st.lists(numbers, min_size=6, max_size=24).map(lambda v: v[: len(v) // 2 * 2]), min_size=1, max_size=3),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.booleans(),
)
def test_polygons_are_the_pixels_that_pycocotools_makes_of_them(polygons, shape, closed):
    polygons = [[*polygon, *(polygon[:2] if closed else [])] for polygon in polygons]
    theirs = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *shape)))
    assert np.array_equal(RunLengthMask.of_polygons(polygons, shape=shape).pixels(), theirs.astype(bool))


def test_square_polygon_has_the_pixels_it_covers():
    mask = RunLengthMask.of_polygons([[2, 1, 6, 1, 6, 4, 2, 4]], shape=(8, 9))
    expected = np.zeros((8, 9), dtype=bool)
    expected[1:4, 2:6] = True
    assert np.array_equal(mask.pixels(), expected) and mask.box == (2, 1, 6, 4)


@pytest.mark.parametrize("runs", [(3, 4), (5, -1, 8), ()])
def test_runs_that_do_not_fill_the_image_are_refused(runs):
    with pytest.raises(ValueError, match="do not fill"):
        RunLengthMask((3, 4), runs)


@pytest.mark.parametrize("text", ["0P", "\x7f", "é"])
def test_text_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="run lengths"):
        RunLengthMask.from_text(text, shape=(3, 4))


@pytest.mark.parametrize(
    "polygon", [[1, 1, 2, 2], [1, 1, 2, 2, 3], [1, 1, 2, float("nan"), 3, 3], [0, 0, 1, 1, 1e9, 2]]
)
def test_polygons_that_are_none_are_refused(polygon):
    with pytest.raises(ValueError, match="polygon"):
        RunLengthMask.of_polygons([polygon], shape=(5, 5))
