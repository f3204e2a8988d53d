"""Sets of real maps: the picture undone against injected truth, groupings by hand, small sets made here, real ones."""

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.measure import find_contours

from neanias_ml.datasets.real import REAL_SETS, open_real_set
from neanias_ml.datasets.real.label_set import LabelFileSet
from neanias_ml.datasets.real.mirabest import MiraBest, central_grouping, zoo_groupings
from neanias_ml.datasets.real.pseudo_flux import EIGHT, PictureScaling, beam_noise, rebuild_significance
from neanias_ml.datasets.real.radiogalaxynet import SCALING, RadioGalaxyNet, polygon_mask
from neanias_ml.datasets.real.regions import region_extent, regions_at, robust_significance, size_in_beams
from neanias_ml.datasets.real.vlass import Vlass
from neanias_ml.datasets.sky_splits import assign_splits, overlapping_splits
from neanias_ml.errors import InputError, UsageError
from neanias_ml.models.classes import CLASS_NAMES
from tests.datasets.real_makers import gaussians, write_map

ROOT = os.environ.get("NEANIAS_REAL_DATA", "")
needs_data = pytest.mark.skipif(not Path(ROOT or "/nowhere").is_dir(), reason="NEANIAS_REAL_DATA names no folder")
SIGMA = 9.0 / 2.3548


def as_picture(significance, *, clip=3.0):
    """What the makers of such pictures do: clip, logarithm, every island to its own peak."""
    islands, count = ndimage.label(significance > clip, EIGHT)
    peaks = np.append(clip * math.e, ndimage.maximum(significance, islands, np.arange(1, count + 1)))
    logs = np.log(np.maximum(significance, clip) / clip) / np.log(peaks / clip)[islands]
    return np.where(islands > 0, np.maximum(np.round(65535 * logs), 1), 0).astype(np.uint16), islands


SOURCES = [
    (20.0, 50, 50, SIGMA, SIGMA), (60.0, 150, 50, SIGMA, SIGMA), (300.0, 250, 50, SIGMA, SIGMA),
    (30.0, 50, 150, 2 * SIGMA, SIGMA), (100.0, 145, 150, SIGMA, SIGMA), (80.0, 155, 150, SIGMA, SIGMA),
    (200.0, 250, 150, 1.5 * SIGMA, SIGMA),
]  # fmt: skip


def test_peaks_come_back_from_a_picture_within_a_factor():
    truth = gaussians((200, 300), SOURCES) + beam_noise((200, 300), beam_sigma=SIGMA, seed=4)
    picture, _ = as_picture(truth)
    rebuilt = rebuild_significance(picture, scaling=PictureScaling(beam_sigma=SIGMA), seed=8)
    ratios = []
    for _, x, y, _, _ in SOURCES:
        window = np.s_[y - 6 : y + 7, x - 6 : x + 7]
        ratios.append(float(rebuilt[window].max() / truth[window].max()))
    assert all(0.4 < ratio < 2.5 for ratio in ratios)
    assert abs(np.mean(np.log(ratios))) < 0.35


def test_order_within_an_island_is_kept_and_the_noise_is_that_of_a_map():
    truth = gaussians((300, 300), SOURCES) + beam_noise((300, 300), beam_sigma=SIGMA, seed=1)
    picture, islands = as_picture(truth)
    rebuilt = rebuild_significance(picture, scaling=PictureScaling(beam_sigma=SIGMA), seed=2)
    for number in np.unique(islands[islands > 0]):
        inside = islands == number
        assert (np.diff(truth[inside][np.argsort(rebuilt[inside], kind="stable")]) > -1e-2).all()
        if inside.sum() > 200:
            assert np.corrcoef(np.log(rebuilt[inside]), np.log(truth[inside]))[0, 1] > 0.999
    assert rebuilt[islands > 0].min() >= 3.0 - 1e-4
    empty = ndimage.distance_transform_edt(islands == 0) > 4 * SIGMA
    assert rebuilt[empty].std() == pytest.approx(1.0, abs=0.1)
    shifted = np.corrcoef(rebuilt[250:, :-4][empty[250:, :-4]], rebuilt[250:, 4:][empty[250:, :-4]])[0, 1]
    assert shifted == pytest.approx(math.exp(-16 / (2 * SIGMA**2)), abs=0.15)


def test_emission_goes_on_as_the_wing_of_the_beam_without_a_step():
    truth = gaussians((120, 120), [(50.0, 60, 60, SIGMA, SIGMA)])
    picture, islands = as_picture(truth)
    draws = [rebuild_significance(picture, scaling=PictureScaling(beam_sigma=SIGMA), seed=k) for k in range(40)]
    mean = np.mean(draws, axis=0)
    distance = ndimage.distance_transform_edt(islands == 0)
    for inner in range(6):
        error = (mean - truth)[(distance > inner) & (distance <= inner + 1)]
        assert abs(error.mean()) < 0.35 and error.std() < 0.45
    edge = (distance > 0) & (distance <= 1)
    assert np.std(draws, axis=0)[edge].max() < 0.7


def test_empty_pictures_are_noise_and_seeds_decide_it():
    nothing = np.zeros((90, 90), np.uint16)
    scaling = PictureScaling(beam_sigma=SIGMA)
    one, again, other = (rebuild_significance(nothing, scaling=scaling, seed=k) for k in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    with pytest.raises(ValueError, match="positive"):
        PictureScaling(beam_sigma=0.0)


def test_polygons_traced_around_pixels_give_these_pixels():
    mask = polygon2mask((60, 60), np.array([[10, 12], [40, 20], [30, 50]]))
    contours = [contour[:, ::-1].ravel().tolist() for contour in find_contours(np.pad(mask, 1).astype(float), 0.5)]
    shifted = [[value - 1 for value in contour] for contour in contours]
    np.testing.assert_array_equal(polygon_mask(shifted, (60, 60)), mask)


def test_sizes_are_those_of_gaussians():
    for factor in (1.0, 1.5, 2.5):
        significance = gaussians((150, 150), [(100.0, 75, 75, factor * SIGMA, factor * SIGMA)]).astype(np.float32)
        size = size_in_beams(significance, significance > 3, beam_area=2 * math.pi * SIGMA**2, merge=3.0)
        assert size == pytest.approx(math.sqrt(factor**2 - 1), abs=0.1)
    line = np.zeros((50, 50), bool)
    line[10:41, 20] = True
    assert region_extent(line) == pytest.approx(30, abs=0.1)
    assert region_extent(np.zeros((5, 5), bool)) == 0
    noise = np.random.default_rng(0).normal(3, 2, (200, 200)).astype(np.float32)
    noise[:40] = np.nan
    noise[100:110, 100:110] += 500
    result = robust_significance(noise)
    assert np.isnan(result[:40]).all()
    assert result[150:].std() == pytest.approx(1, abs=0.1) and abs(result[150:].mean()) < 0.05
    assert (robust_significance(np.full((9, 9), 2, np.float32)) == 0).all()


@pytest.fixture
def squares():
    """Islands 1 to 4, from left to right, the second in the middle of the map."""
    regions = np.zeros((101, 101), np.int32)
    for number, x in enumerate((20, 48, 70, 92), start=1):
        regions[48:53, x : x + 5] = number
    return regions


def component(identifier, x, *, parts, consensus):
    return {"rgz_catalog_id": identifier, "num_cpnts": str(parts), "consensus": str(consensus), "x": str(x), "y": "50"}


def test_of_two_groupings_of_an_island_the_more_agreed_one_is_kept(squares):
    rows = [
        component("weak", 22, parts=2, consensus=0.6), component("weak", 50, parts=2, consensus=0.6),
        component("strong", 50, parts=2, consensus=0.9), component("strong", 72, parts=2, consensus=0.9),
        component("single", 50, parts=1, consensus=0.7), component("lost", 5, parts=1, consensus=0.99),
        component("half", 94, parts=2, consensus=0.8), component("half", 5, parts=2, consensus=0.8),
    ]  # fmt: skip
    kept = zoo_groupings(rows, squares, reach=6.0)
    assert [(one.identifier, sorted(one.regions), one.agrees) for one in kept] == [
        ("strong", [2, 3], True),
        ("half", [4], False),
    ]
    assert regions_at(squares, x=35, y=50, reach=6) == 0 and regions_at(squares, x=-50, y=50, reach=6) == 0


def test_the_galaxy_in_the_middle_is_grouped_by_its_size_or_by_the_zoo(squares):
    central, others = central_grouping(squares, [], size=36.0, beam=3.0)
    assert sorted(central.regions) == [2, 3] and central.origin == "size" and central.agrees and others == []
    too_small, _ = central_grouping(squares, [], size=300.0, beam=3.0)
    assert not too_small.agrees
    zoo = zoo_groupings([component("z", 50, parts=1, consensus=0.9)], squares, reach=6.0)
    by_zoo, _ = central_grouping(squares, zoo, size=44.0, beam=3.0)
    assert by_zoo.origin == "rgz" and not by_zoo.agrees  # one island is far smaller than the galaxy
    apart = zoo_groupings([component("z", 94, parts=1, consensus=0.9)], squares, reach=6.0)
    central, others = central_grouping(squares, apart, size=44.0, beam=3.0)
    assert central.origin == "size" and [one.identifier for one in others] == ["z"]
    assert central_grouping(np.zeros((101, 101), np.int32), [], size=44.0, beam=3.0) == (None, [])


def write_table(path, rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def three_sources(seed, *, sigma=1.27, shape=(300, 300)):
    """Two lobes around the middle and a compact neighbour, in noise."""
    sources = [(60.0, 130, 150, 2 * sigma, sigma), (40.0, 170, 150, 2 * sigma, sigma), (30.0, 240, 60, sigma, sigma)]
    return gaussians(shape, sources) + beam_noise(shape, beam_sigma=sigma, seed=seed)


def test_a_small_mirabest_has_its_double_and_ignores_the_neighbour(tmp_path):
    write_map(tmp_path / "fits" / "a.fits.gz", three_sources(1))
    row = {"file": "a.fits.gz", "fr": "FRII", "confidence": "confident", "morph": "standard", "ra": "150", "dec": "20",
           "las_arcsec": "72"}  # fmt: skip
    write_table(tmp_path / "objects.csv", [row])
    other = {"file": "b.fits.gz", "rgz_catalog_id": "1", "num_cpnts": "1", "consensus": "1", "x": "1", "y": "1"}
    write_table(tmp_path / "rgz_components.csv", [other])
    real_set = MiraBest(tmp_path)
    (labelled,) = list(real_set)
    galaxy, rest = labelled.image.objects
    assert galaxy.class_name == "extended-multisland" and not galaxy.ignored and galaxy.attributes["fr"] == "FRII"
    pixels = galaxy.mask.pixels()
    assert pixels[150, 130] and pixels[150, 170] and not pixels[60, 240]
    assert rest.ignored and rest.mask.pixels()[60, 240]
    assert labelled.image.place.ra == 150 and len(real_set.digest) == 64
    (tmp_path / "fits" / "a.fits.gz").unlink()
    with pytest.raises(InputError, match="listed in the labels"):
        list(real_set)


def test_a_small_vlass_knows_spurious_islands_and_ignores_the_rest(tmp_path):
    pixels = three_sources(2, shape=(200, 300))
    write_map(tmp_path / "fits" / "p1_ep1.fits.fz", pixels, pixel=1.0, beam=3.0)
    row = {"file": "p1_ep1.fits.fz", "nx": "300", "ny": "200", "ra": "150", "dec": "20"}
    write_table(tmp_path / "files.csv", [row])
    boxes = {"real": (240, 60), "spurious": (130, 150), "ambiguous": (170, 150)}
    write_table(
        tmp_path / "islands_persistence.csv",
        [
            {"position": "p1", "epoch": "1", "file": "p1_ep1.fits.fz", "xpeak": x, "ypeak": y, "x0": x - 10,
             "y0": y - 10, "x1": x + 11, "y1": y + 11, "snr_peak": 20, "label": label}
            for label, (x, y) in boxes.items()
        ],
    )  # fmt: skip
    (labelled,) = list(Vlass(tmp_path))
    classes = {one.attributes["persistence"]: one for one in labelled.image.objects if "persistence" in one.attributes}
    assert classes["real"].class_name == "compact" and not classes["real"].ignored
    assert classes["spurious"].class_name == "spurious" and classes["ambiguous"].ignored
    for label, (x, y) in boxes.items():
        mask = classes[label].mask
        assert mask.pixels()[y, x] and 10 < mask.area < 21 * 21


def write_pictures(folder):
    """One training picture of a double and a neighbour, one held back."""
    sigma = SCALING.beam_sigma
    sources = [(60.0, 210, 225, sigma, sigma), (60.0, 260, 225, sigma, sigma), (30.0, 80, 80, sigma, sigma)]
    picture, islands = as_picture(gaussians((450, 450), sources))
    (folder / "images").mkdir(parents=True)
    polygons = [contour[:, ::-1].ravel().tolist() for contour in find_contours((islands > 0).astype(float), 0.5)]
    double = [polygon for polygon in polygons if polygon[0] > 150]
    for name, number in (("train", 7), ("val", 9)):
        Image.fromarray(picture).save(folder / "images" / f"{name}.png")
        annotation = {
            "id": 1, "image_id": 1, "category_id": 1, "segmentation": double, "keypoints": [235, 225, 2],
            "n_islands": 2, "second_island_flux_frac": 0.5, "derived_class": "extended-multisland",
        }  # fmt: skip
        document = {
            "images": [{"id": 1, "file_name": f"{name}.png", "width": 450, "height": 450, "sky_group": number}],
            "annotations": [annotation],
            "categories": [{"id": 1, "name": "FR-II"}],
        }
        (folder / f"annotations_{name}.json").write_text(json.dumps(document))
    return islands


def test_a_small_radiogalaxynet_becomes_a_map_with_its_double(tmp_path):
    islands = write_pictures(tmp_path)
    real_set = RadioGalaxyNet(tmp_path)
    labelled, _ = list(real_set.maps(seed=3))
    double, rest = labelled.image.objects
    assert double.class_name == "extended-multisland" and double.attributes["morphology"] == "FR-II"
    np.testing.assert_array_equal(double.mask.pixels(), (islands > 0) & ~rest.mask.pixels())
    assert rest.ignored and rest.mask.pixels()[80, 80]
    assert labelled.image.sky_group == "7" and labelled.radio_map.beam_fwhm == pytest.approx(9.0, rel=1e-3)
    again = real_set.read(real_set.entries[0], seed=5)
    assert not np.array_equal(labelled.radio_map.data, again.radio_map.data)
    splits = assign_splits(real_set.sky_items)
    assert splits["radiogalaxynet:val"] == "test" and splits["radiogalaxynet:train"] != "test"
    (tmp_path / "images" / "train.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="no readable picture"):
        real_set.read(real_set.entries[0])


def test_unknown_and_missing_sets_are_told(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="radiogalaxynet, mirabest"):
        open_real_set("sky", tmp_path)
    with pytest.raises(InputError, match="does not hold the set"):
        open_real_set("mirabest", tmp_path)
    monkeypatch.delenv("NEANIAS_REAL_DATA", raising=False)
    with pytest.raises(UsageError, match="NEANIAS_REAL_DATA"):
        open_real_set("mirabest")
    (tmp_path / "objects.csv").write_text("file,fr\n")
    (tmp_path / "rgz_components.csv").write_text("file\n")
    with pytest.raises(InputError, match="lacks the column"):
        _ = MiraBest(tmp_path).entries
    (tmp_path / "annotations_train.json").write_text("{")
    (tmp_path / "annotations_val.json").write_text("{}")
    with pytest.raises(InputError, match="no readable file of labels"):
        _ = RadioGalaxyNet(tmp_path).entries


def test_own_labels_become_a_set(tmp_path):
    from neanias_ml.datasets.labels.coco import write_coco
    from neanias_ml.datasets.labels.labelled import LabelledImage, LabelledObject, LabelSet
    from neanias_ml.datasets.labels.run_length import RunLengthMask

    pixels = three_sources(5)
    write_map(tmp_path / "a.fits", pixels)
    labelled = LabelledObject("compact", RunLengthMask.of(gaussians((300, 300), [(1, 240, 60, 3, 3)]) > 0.5))
    image = LabelledImage(tmp_path / "a.fits", (300, 300), (labelled,))
    write_coco(LabelSet((image,), ("compact",)), tmp_path / "labels.json")
    real_set = LabelFileSet(tmp_path / "labels.json", name="mine", is_exhaustive=True)
    (found,) = list(real_set)
    np.testing.assert_array_equal(found.image.objects[0].mask.pixels(), labelled.mask.pixels())
    assert found.image.place.ra == pytest.approx(150, abs=0.01) and real_set.is_exhaustive
    assert len(real_set.source_files) == 2


@pytest.mark.parametrize("telescope", ["ASKAP", "SIMULATION"])
def test_own_maps_of_a_group_are_placed_by_their_headers_too(tmp_path, telescope):
    """Or another set of the same sky could go to another split; simulated maps all claim the same place."""
    from neanias_ml.datasets.labels.coco import write_coco
    from neanias_ml.datasets.labels.labelled import LabelledImage, LabelledObject, LabelSet
    from neanias_ml.datasets.labels.run_length import RunLengthMask

    write_map(tmp_path / "a.fits", three_sources(5))
    fits.setval(tmp_path / "a.fits", "TELESCOP", value=telescope)
    labelled = LabelledObject("compact", RunLengthMask.of(np.eye(300, dtype=bool)))
    image = LabelledImage(tmp_path / "a.fits", (300, 300), (labelled,), sky_group="field 1")
    write_coco(LabelSet((image,), ("compact",)), tmp_path / "labels.json")
    (item,) = LabelFileSet(tmp_path / "labels.json", name="mine").sky_items
    assert item.sky_group == "mine:field 1" and (item.place is not None) == (telescope == "ASKAP")


@needs_data
@pytest.mark.parametrize("name", REAL_SETS)
def test_real_sets_have_sound_splits_and_labels_on_emission(name):
    real_set = open_real_set(name)
    splits = assign_splits(real_set.sky_items)
    assert overlapping_splits(real_set.sky_items, splits) == []
    step = max(1, len(real_set) // 12)
    found = 0
    for entry in real_set.entries[::step]:
        labelled = real_set.read(entry, seed=1)
        significance = np.nan_to_num(robust_significance(labelled.radio_map.data))
        for one in labelled.image.objects:
            if not one.ignored:
                assert one.class_name in CLASS_NAMES
                assert significance[one.mask.pixels()].max() > 2.6
                found += 1
    assert found >= 3


@needs_data
def test_epochs_of_one_position_stay_together_and_held_back_sky_is_test():
    vlass = open_real_set("vlass")
    splits = assign_splits(vlass.sky_items)
    for item in vlass.sky_items:
        assert splits[item.name] == splits[item.name[:-1] + "1"]
    pictures = open_real_set("radiogalaxynet")
    splits = assign_splits(pictures.sky_items)
    assert sum(split == "test" for split in splits.values()) == 220
    assert sum(split == "validation" for split in splits.values()) > 100
