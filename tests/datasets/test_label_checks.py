"""Checks of labels: every fault that is put in is found, and nothing else; sheets and statistics of what is drawn."""

import dataclasses

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from neanias_ml.datasets.labels.checks import CheckConfig, check_labels, overlaps
from neanias_ml.datasets.labels.contact_sheet import draw_sheets, signal_to_noise, write_sheets
from neanias_ml.datasets.labels.images import open_image
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelledImage, LabelSet, SkyPlace
from neanias_ml.datasets.labels.leaks import shared_sky, sight_of, thumbnail_of
from neanias_ml.errors import InputError, UsageError
from tests.conftest import correlated_noise, gaussian, round_covariance
from tests.datasets.label_makers import SHAPE, disc, labelled, sample_labels, write_map

BIG = (96, 96)


def codes(findings):
    return sorted(finding.code for finding in findings)


def one_image(tmp_path, *objects, shape=SHAPE, **fields):
    """A set of one image with some objects."""
    path = write_map(tmp_path / "a.fits", shape=shape)
    return LabelSet((LabelledImage(path, shape, objects, **fields),), CAESAR_CLASSES)


def sky_image(folder, name, *, seed, ra, n_sources=25, shape=BIG, turned=0, noise=0):
    """An image of point sources; seed and turn say of what sky."""
    rng = np.random.default_rng(seed)
    pixels = 0.5 * correlated_noise(shape, np.random.default_rng(1000 + noise))
    for x, y, peak in zip(*rng.uniform(5, 90, (2, n_sources)), rng.uniform(5, 60, n_sources), strict=True):
        pixels += peak * gaussian(shape, x, y, round_covariance(5.0))
    path = write_map(folder / name, pixels=np.rot90(pixels, turned), shape=shape, ra=ra)
    return LabelledImage(path, shape, (labelled(disc(48, 48, 5, shape=shape)),))


def test_good_labels_have_no_findings(tmp_path):
    labels = sample_labels(tmp_path)
    assert check_labels({"train": labels}) == []


@pytest.mark.parametrize(
    ("objects", "code", "severity"),
    [
        ([labelled(np.zeros(SHAPE, dtype=bool))], "EmptyMask", "error"),
        ([labelled(disc(9, 9, 1.0) & (np.arange(SHAPE[1]) < 10))], "TinyMask", "warning"),
        ([labelled(disc(9, 9, 4) | disc(20, 20, 1.0) & (np.arange(SHAPE[1]) == 20))], "Specks", "warning"),
        ([labelled(disc(9, 9, 4), "quasar")], "ClassUnknown", "error"),
        ([labelled(disc(9, 9, 4), "extended-multisland")], "ClassRule", "error"),
        ([labelled(disc(9, 9, 4) | disc(20, 20, 3), "compact")], "ClassRule", "error"),
        ([labelled(disc(9, 9, 4) | disc(20, 20, 3), "extended")], "ClassRule", "warning"),
        ([labelled(disc(9, 9, 4)), labelled(disc(10, 9, 4))], "MasksOverlap", "error"),
        ([labelled(disc(9, 9, 4), attributes={"bbox": [30, 30, 5, 5]})], "BoxDiffers", "warning"),
        ([labelled(disc(1, 9, 4), attributes={"segmentation": [[-9, 9, 5, 5, 5, 14]]})], "MaskOutside", "error"),
    ],
)
def test_each_fault_of_a_mask_or_class_is_found(tmp_path, objects, code, severity):
    (finding,) = check_labels({"train": one_image(tmp_path, *objects)})
    assert (finding.code, finding.severity) == (code, severity)
    assert finding.place.startswith("a.fits object") and finding.split == "train"


def test_ignored_objects_may_be_anything_that_is_a_mask(tmp_path):
    mask = disc(9, 9, 1.0)
    ignored = [labelled(mask, "extended-multisland", ignored=True), labelled(disc(9, 9, 4), "compact")]
    assert check_labels({"train": one_image(tmp_path, *ignored)}) == []


def test_simulated_truth_counts_its_islands_itself(tmp_path):
    several = labelled(disc(9, 9, 4) | disc(20, 20, 3), "extended")
    assert check_labels({"train": one_image(tmp_path, several, attributes={"simulated": True})}) == []


def test_shares_of_overlap_are_those_of_the_smaller_mask():
    objects = [labelled(disc(20, 20, 8)), labelled(disc(20, 20, 3)), labelled(disc(40, 35, 3))]
    assert list(overlaps(objects, most=0.99)) == [(0, 1, 1.0)] and list(overlaps(objects, most=1.0)) == []


def test_images_that_are_missing_of_another_shape_or_blank_are_found(tmp_path):
    labels = one_image(tmp_path, labelled(disc(9, 9, 4)))
    (image,) = labels
    pixels = fits.getdata(image.path)
    pixels[disc(9, 9, 4)] = np.nan
    fits.writeto(tmp_path / "blank.fits", pixels, fits.getheader(image.path))
    blank = image.replace(path=tmp_path / "blank.fits")
    write_map(tmp_path / "small.fits", shape=(20, 20), ra=10.0, seed=4)
    small = image.replace(path=tmp_path / "small.fits")
    gone = image.replace(path=tmp_path / "gone.fits")
    findings = check_labels({"train": dataclasses.replace(labels, images=(blank, small, gone))})
    assert codes(findings) == ["ImageMissing", "ImageShape", "MaskOnBlank"]
    assert codes(
        check_labels({"a": dataclasses.replace(labels, images=(gone,))}, config=CheckConfig(pixels=False))
    ) == ["ImageMissing"]


def test_sets_without_objects_and_problems_of_reading_are_findings(tmp_path):
    empty = LabelSet((LabelledImage(write_map(tmp_path / "a.fits"), SHAPE, ()),), CAESAR_CLASSES)
    assert codes(check_labels({"train": empty})) == ["NoObjects"]
    problems = {"train": [InputError("MaskShape", "the mask of object 3 ...")]}
    assert codes(check_labels({"train": one_image(tmp_path / "b", labelled(disc(9, 9, 4)))}, problems=problems)) == [
        "MaskShape"
    ]


def test_leaks_of_every_kind_are_found(tmp_path):
    base = sky_image(tmp_path, "base.fits", seed=1, ra=10.0)
    same = sky_image(tmp_path, "same.fits", seed=1, ra=60.0)  # identical pixels elsewhere
    near = sky_image(tmp_path, "near.fits", seed=2, ra=10.0 + 20 / 3600)  # overlapping position
    turned = sky_image(tmp_path, "turned.fits", seed=1, ra=90.0, turned=3, noise=7)
    group = sky_image(tmp_path, "group.fits", seed=3, ra=120.0).replace(sky_group="G")
    other = sky_image(tmp_path, "other.fits", seed=4, ra=150.0).replace(sky_group="G")
    train = LabelSet((base, group), CAESAR_CLASSES)
    test = LabelSet((same, near, turned, other), CAESAR_CLASSES)
    findings = check_labels({"train": train, "test": test})
    leaks = {finding.code: finding for finding in findings if finding.severity == "error"}
    assert set(leaks) == {"LeakSamePixels", "LeakSamePlace", "LeakNearDuplicate", "LeakSameGroup"}
    for code, name in (
        ("SamePixels", "same"),
        ("SamePlace", "near"),
        ("NearDuplicate", "turned"),
        ("SameGroup", "other"),
    ):
        assert f"test/{name}.fits" in leaks[f"Leak{code}"].message
    assert codes(finding for finding in findings if finding.severity == "warning") == ["DoubleNearDuplicate"]
    assert (
        check_labels(
            {"train": train, "test": LabelSet((sky_image(tmp_path, "new.fits", seed=9, ra=200.0),), CAESAR_CLASSES)}
        )
        == []
    )


def test_an_image_twice_in_one_split_is_found_at_its_own_place_too(tmp_path):
    first = sky_image(tmp_path, "a.fits", seed=1, ra=10.0)
    again = sky_image(tmp_path, "b.fits", seed=1, ra=10.0, noise=5)
    beside = sky_image(tmp_path, "c.fits", seed=2, ra=10.0 + 20 / 3600)  # of the same sky, but no copy
    assert codes(check_labels({"train": LabelSet((first, again, beside), CAESAR_CLASSES)})) == ["DoubleNearDuplicate"]


@pytest.mark.parametrize("segmentation", [[], ["x"], [5], [[1, 2, 3]]])
def test_a_segmentation_that_is_none_is_no_obstacle(tmp_path, segmentation):
    objects = [labelled(disc(20, 20, 5), attributes={"segmentation": segmentation})]
    assert check_labels({"train": one_image(tmp_path, *objects)}) == []


def test_simulated_images_do_not_leak_by_position(tmp_path):
    images = [sky_image(tmp_path, f"{seed}.fits", seed=seed, ra=10.0) for seed in (1, 2)]
    sets = {name: LabelSet((image,), CAESAR_CLASSES) for name, image in zip("ab", images, strict=True)}
    assert codes(check_labels(sets)) == ["LeakSamePlace"]
    simulated = {
        name: LabelSet(tuple(i.replace(attributes={"simulated": True}) for i in labels), CAESAR_CLASSES)
        for name, labels in sets.items()
    }
    assert check_labels(simulated) == []


@pytest.mark.parametrize(("apart", "reason"), [(1.2, "SamePlace"), (1.6, "TouchingPlaces"), (2.1, None)])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9999, 60.0), (12.0, 89.99)])
def test_places_are_compared_on_the_sphere(tmp_path, ra, dec, apart, reason):
    """Two circles of radius 1 deg whose centres are apart along a meridian, over the pole where need be."""
    other = (ra, dec - apart)
    sights = [
        sight_of(None, split=split, path=tmp_path / split, sky_group="", place=SkyPlace(*place, 1.0))
        for split, place in (("a", (ra, dec)), ("b", other))
    ]
    assert [pair.reason for pair in shared_sky(sights, correlation=0.8)] == ([reason] if reason else [])


def test_unrelated_skies_and_empty_ones_are_not_alike(tmp_path):
    thumbnails = []
    for seed in range(12):
        image = sky_image(tmp_path, f"{seed}.fits", seed=seed, ra=0.0, noise=seed)
        thumbnails.append(thumbnail_of(open_image(image.path).pixels()))
    products = np.array([[float((a * b).sum()) for b in thumbnails] for a in thumbnails])
    assert np.allclose(np.diag(products), 1.0, atol=1e-5)
    assert products[~np.eye(12, dtype=bool)].max() < 0.5
    assert thumbnail_of(np.zeros((64, 64), dtype=np.float32)) is None
    assert thumbnail_of(np.full((64, 64), np.nan, dtype=np.float32)) is None


@pytest.mark.parametrize("option", [{"fewest_pixels": 0}, {"most_overlap": 1.5}, {"correlation": -0.1}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        CheckConfig(**option)


@dataclasses.dataclass(frozen=True)
class Look:
    colour: str
    dashes: tuple[float, ...] = ()


LOOKS = {
    name: Look(f"#{64 * (number > 1):02x}{200:02x}{60 * number:02x}") for number, name in enumerate(CAESAR_CLASSES)
}


def test_sheets_hold_every_image_and_the_colours_of_its_classes(tmp_path):
    labels = sample_labels(tmp_path)
    many = LabelSet(labels.images * 3, labels.class_names)
    paths = write_sheets(many, tmp_path, looks=LOOKS, per_page=4, title="sample $x")
    assert [path.name for path in paths] == ["sheet_001.png", "sheet_002.png"]
    pixels = np.asarray(Image.open(paths[0]).convert("RGB")).reshape(-1, 3)
    for look in LOOKS.values():
        colour = np.array([int(look.colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(pixels.astype(int) - colour).max(axis=1) <= 2).sum() > 20, look
    titles = [axes.get_title() for axes in next(draw_sheets(many, looks=LOOKS, per_page=6)).axes]
    assert titles == ["images/map0.fits", "images/map1.fits"] * 3


@pytest.mark.parametrize(("name", "on_top"), [("gone.fits", False), ("gone.png", True)])
def test_missing_images_are_drawn_the_way_up_that_they_would_be(tmp_path, name, on_top):
    image = LabelledImage(tmp_path / name, SHAPE, (labelled(disc(9, 9, 4)),))
    (page,) = draw_sheets(LabelSet((image,), CAESAR_CLASSES), looks=LOOKS)
    assert page.axes[0].yaxis_inverted() == on_top


def test_missing_images_are_drawn_as_masks(tmp_path):
    image = LabelledImage(tmp_path / "gone.fits", (900, 500), (labelled(disc(100, 80, 20, shape=(900, 500))),))
    (page,) = draw_sheets(LabelSet((image,), CAESAR_CLASSES), looks=LOOKS)
    (axes,) = page.axes
    assert "missing" in axes.get_title() and len(axes.lines) == 1
    x, y = axes.lines[0].get_xdata(), axes.lines[0].get_ydata()
    assert (x.min(), x.max(), y.min(), y.max()) == (79.5, 120.5, 59.5, 100.5)
    assert axes.images[0].get_extent() == pytest.approx([-0.5, 500 - 0.5, -0.5, 900 - 0.5], abs=3)


def test_signal_to_noise_is_that_of_the_pixels_outside_of_the_masks(tmp_path):
    mask = disc(20, 20, 12)
    rng = np.random.default_rng(1)
    pixels = rng.normal(5.0, 2.0, SHAPE) + 1000.0 * mask
    path = write_map(tmp_path / "a.fits", pixels=pixels)
    shown = signal_to_noise(open_image(path), LabelledImage(path, SHAPE, (labelled(mask),)))
    assert shown[~mask].std() == pytest.approx(1.0, abs=0.1) and shown[mask].mean() == pytest.approx(500, rel=0.1)


@pytest.mark.parametrize("per_page", [0, 49])
def test_pages_of_no_or_too_many_images_are_refused(tmp_path, per_page):
    with pytest.raises(UsageError, match="1 to 48"):
        list(draw_sheets(sample_labels(tmp_path), looks=LOOKS, per_page=per_page))
