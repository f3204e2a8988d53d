"""The common form of labels, its polygons, and the images behind it."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from neanias_ml.datasets.labels.files import image_extras, locate, short_names
from neanias_ml.datasets.labels.images import image_stem, open_image
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelledImage, LabelSet, SkyPlace
from neanias_ml.datasets.labels.polygons import mask_polygons, pixel_corners, polygon_pixels, smallest_box
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.datasets.labels.statistics import class_statistics
from neanias_ml.errors import InputError
from neanias_ml.models.classes import CLASS_NAMES
from tests.datasets.label_makers import SHAPE, disc, labelled, masks, sample_labels, write_map


def test_classes_are_those_of_the_detector_in_the_same_order():
    assert CAESAR_CLASSES == CLASS_NAMES


def test_mask_of_another_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\(5, 5\), the image \(40, 48\)"):
        LabelledImage(tmp_path / "a.fits", SHAPE, (labelled(np.ones((5, 5), dtype=bool)),))


def test_counts_leave_ignored_objects_out(tmp_path):
    labels = sample_labels(tmp_path)
    assert labels.n_objects == 11
    assert labels.counts == {name: 2 for name in CAESAR_CLASSES}
    assert class_statistics(labels)["compact"].ignored == 1


def test_statistics_of_known_masks(tmp_path):
    found = class_statistics(sample_labels(tmp_path, n_images=1))
    assert found["extended-multisland"].islands == (0, 1, 0) and found["spurious"].islands == (0, 1, 0)
    area = int(disc(40, 8, 4).sum())
    assert found["extended"].pixels == (area, area, area) and found["extended"].sizes[1] == 1


def test_another_mask_drops_what_was_measured_on_the_old_one():
    one = labelled(disc(9, 9, 3), attributes={"bbox": [6, 6, 7, 7], "npix": 29, "score": 0.5})
    other = one.with_mask(RunLengthMask.of(disc(20, 20, 2)))
    assert dict(other.attributes) == {"score": 0.5} and other.mask.area == disc(20, 20, 2).sum()


@given(masks)
def test_polygons_of_a_mask_give_it_back(mask):
    """Islands that touch at corners, holes, and islands in holes."""
    again = np.zeros_like(mask)
    for polygon, is_hole in mask_polygons(mask):
        again[polygon_pixels(polygon, mask.shape)] = not is_hole
    assert np.array_equal(again, mask)


@given(masks.filter(np.any))
def test_smallest_box_has_the_area_of_opencvs_and_holds_all_corners(mask):
    corners = pixel_corners(mask)
    x, y, width, height, angle = smallest_box(corners)
    _, sides, _ = cv2.minAreaRect(corners.astype(np.float32))
    assert width * height == pytest.approx(sides[0] * sides[1], rel=1e-3)
    turn = np.radians(angle)
    along = (corners - [x, y]) @ [np.cos(turn), np.sin(turn)]
    across = (corners - [x, y]) @ [-np.sin(turn), np.cos(turn)]
    assert np.abs(along).max() == pytest.approx(width / 2) and np.abs(across).max() == pytest.approx(height / 2)
    assert 0 <= angle < 90


def test_files_that_moved_are_found_by_the_end_of_their_path(tmp_path):
    file = tmp_path / "set" / "masks" / "a.fits"
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert locate("/gone/away/masks/a.fits", folders=[tmp_path / "set"]) == file
    assert locate("masks/a.fits", folders=[tmp_path, tmp_path / "set"]) == file
    assert locate(str(file), folders=[]) == file
    assert locate("/gone/b.fits", folders=[tmp_path / "set"]) is None
    assert short_names([tmp_path / "x" / "map.fits", tmp_path / "y" / "map.fits", file]) == [
        "x/map.fits", "y/map.fits", "a.fits",
    ]  # fmt: skip


def test_images_open_without_a_beam_or_coordinates(tmp_path):
    path = write_map(tmp_path / "map.fits", beam=None)
    image = open_image(path)
    assert image.shape == SHAPE and not image.has_beam and image.has_scale and not image.first_row_on_top
    assert image.place.ra == pytest.approx(150.0, abs=1e-3) and image.place.dec == pytest.approx(-30.0, abs=1e-3)
    assert image.place.radius == pytest.approx(np.hypot(*SHAPE) / 2 * 2 / 3600, rel=1e-6)


@pytest.mark.parametrize(
    "said",
    [None, 5, {"ra": 1.0}, {"ra": "1", "dec": 2, "radius": 3}, {"ra": float("nan"), "dec": 2, "radius": 3},
     {"ra": 1, "dec": 91, "radius": 3}, {"ra": 1, "dec": 2, "radius": True}],
)  # fmt: skip
def test_a_place_that_is_none_stays_a_field(said):
    found = image_extras({"sky_place": said}, used=())
    assert found["place"] is None and found["attributes"] == {"sky_place": said}
    assert image_extras({"sky_place": {"ra": 1, "dec": 2, "radius": 3}}, used=())["place"] == SkyPlace(1.0, 2.0, 3.0)


def test_simulated_maps_lie_nowhere_on_the_sky(tmp_path):
    assert open_image(write_map(tmp_path / "map.fits", TELESCOP="SIMULATION")).place is None


def test_pictures_are_grey_values_from_the_top(tmp_path):
    grey = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(grey).save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    assert image.first_row_on_top and image.place is None and np.array_equal(image.pixels(), grey)
    assert image_stem(tmp_path / "a.b.fits.gz") == "a.b"


def test_images_that_are_none_are_named(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    for name, code in (("a.png", "ImageUnreadable"), ("b.png", "ImageMissing")):
        with pytest.raises(InputError, match=name) as caught:
            open_image(tmp_path / name)
        assert caught.value.code == code


def test_set_is_iterated_in_order(tmp_path):
    labels = sample_labels(tmp_path)
    assert [image.path.name for image in labels] == ["map0.fits", "map1.fits"] and len(LabelSet((), ())) == 0
