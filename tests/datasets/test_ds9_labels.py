"""DS9 regions as labels: pixels inside shapes, against the package regions; classes, objects, named refusals."""

import json

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from regions import PixCoord, Regions

from neanias_ml.datasets.labels.ds9_labels import read_ds9, write_ds9
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelledImage, LabelSet
from neanias_ml.errors import InputError, UsageError
from tests.conftest import make_wcs
from tests.datasets.label_makers import SHAPE, disc, labelled, masks, sample_labels, write_map

GRID = PixCoord(*np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0])))


def region_file(folder, *lines, image=True):
    """A region file, beside a map of the same name."""
    if image:
        write_map(folder / "a.fits")
    (folder / "a.reg").write_text("\n".join(["# Region file format: DS9 version 4.1", *lines]) + "\n")
    return folder / "a.reg"


def their_mask(path, *, wcs: WCS | None = None):
    """Pixels that the package regions puts inside the shapes of a file, added and cut out in turn."""
    mask = np.zeros(SHAPE, dtype=bool)
    for region in Regions.read(str(path), format="ds9"):
        pixel_region = region.to_pixel(wcs) if wcs is not None else region
        mask[pixel_region.contains(GRID)] = bool(region.meta.get("include", True))
    return mask


def test_labels_come_back_from_pixels_and_from_the_sky(tmp_path):
    labels = sample_labels(tmp_path)
    for on_sky in (False, True):
        folder = tmp_path / f"sky{on_sky}"
        assert write_ds9(labels, folder, on_sky=on_sky) == []
        assert read_ds9(folder) == labels
        assert ("icrs" in (folder / "map0.reg").read_text().splitlines()) == on_sky


@given(masks.filter(np.any))
def test_any_mask_comes_back(tmp_path_factory, mask):
    folder = tmp_path_factory.mktemp("ds9")
    image = LabelledImage(folder / "a.fits", mask.shape, (labelled(mask, "extended", name="x"),))
    labels = LabelSet((image,), CAESAR_CLASSES)
    write_ds9(labels, folder / "a.reg")
    assert read_ds9(folder / "a.reg") == labels


def test_the_package_regions_reads_the_same_pixels(tmp_path):
    mask = disc(8, 30, 4) | (disc(28, 24, 8) & ~disc(28, 24, 5))
    path = write_map(tmp_path / "a.fits")
    labels = LabelSet((LabelledImage(path, SHAPE, (labelled(mask, "extended-multisland"),)),), CAESAR_CLASSES)
    write_ds9(labels, tmp_path / "pixels.reg", colour=lambda name: "#e69f00")
    write_ds9(labels, tmp_path / "sky.reg", on_sky=True)
    assert np.array_equal(their_mask(tmp_path / "pixels.reg"), mask)
    assert np.array_equal(their_mask(tmp_path / "sky.reg", wcs=make_wcs(SHAPE)), mask)
    regions = Regions.read(str(tmp_path / "pixels.reg"), format="ds9")
    assert [(region.meta["text"], region.meta["tag"]) for region in regions] == 3 * [
        ("extended-multisland", ["object 1"])
    ]


@pytest.mark.parametrize(
    "shape",
    [
        "circle(20.3,15.8,7.4)",
        "ellipse(21,18,12.2,5.1,33)",
        "box(22.4,19.6,17.3,8.2,120)",
        "polygon(4.3,4.2,40.1,9.4,20.7,30.6)",
    ],
)
def test_shapes_in_pixels_hold_the_pixels_of_the_package_regions(tmp_path, shape):
    path = region_file(tmp_path, "image", f"{shape} # text={{compact}}")
    (one,) = read_ds9(path).images[0].objects
    assert np.array_equal(one.mask.pixels(), their_mask(path))


@pytest.mark.parametrize("system", ["icrs", "fk5"])
@pytest.mark.parametrize(
    "shape", ['circle({},{},14.8")', 'ellipse({},{},24.4",10.2",33)', 'box({},{},34.6",16.4",120)']
)
def test_shapes_on_the_sky_hold_the_pixels_of_the_package_regions(tmp_path, system, shape):
    centre = make_wcs(SHAPE).pixel_to_world(21.3, 18.7).transform_to(system)
    angles = centre.spherical.lon.deg, centre.spherical.lat.deg
    path = region_file(tmp_path, system, f"{shape.format(*angles)} # text={{compact}}")
    ours = read_ds9(path).images[0].objects[0].mask.pixels()
    theirs = their_mask(path, wcs=make_wcs(SHAPE))
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.98


@pytest.mark.parametrize("system", ["galactic", "fk4", "fk5", "icrs"])
def test_angles_count_from_the_axes_of_the_shape_s_own_system(tmp_path, system):
    """As in DS9; the package regions counts them from the map's axes."""
    wcs = make_wcs(SHAPE)
    centre = wcs.pixel_to_world(21.3, 18.7).transform_to(system)
    place = f"{centre.spherical.lon.deg},{centre.spherical.lat.deg}"
    path = region_file(tmp_path, system, f'ellipse({place},24.4",8.2",33) # text={{compact}}')
    ours = read_ds9(path).images[0].objects[0].mask.pixels()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    east, north = (part.arcsec for part in centre.spherical_offsets_to(wcs.pixel_to_world(x, y).transform_to(system)))
    turn = np.radians(33)
    along, across = -east * np.cos(turn) + north * np.sin(turn), east * np.sin(turn) + north * np.cos(turn)
    theirs = (along / 24.4) ** 2 + (across / 8.2) ** 2 <= 1
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.97


@pytest.mark.parametrize(
    "comment",
    [
        'set {"class_names": 5}',
        'set {"attributes": 5}',
        'image {"number": "x"}',
        'image {"fields": 5}',
        'image {"file_name": 5}',
        'object {"attributes": 5}',
    ],
)
def test_damaged_comments_are_told_by_their_line(tmp_path, comment):
    path = region_file(tmp_path, f"# neanias-ml {comment}", "image", "circle(11,11,4) # text={compact}")
    with pytest.raises(InputError, match="comment in line 2") as caught:
        read_ds9(path)
    assert caught.value.code == "RegionsUnreadable"


def test_sexagesimal_positions_are_read(tmp_path):
    centre = make_wcs(SHAPE).pixel_to_world(21, 18)
    words = centre.to_string("hmsdms", sep=":", precision=4).replace(" ", ",")
    path = region_file(tmp_path, f'fk5;circle({words},9.6") # tag={{galaxy}}')
    (one,) = read_ds9(path).images[0].objects
    assert one.class_name == "extended" and np.array_equal(one.mask.pixels(), disc(21, 18, 4.8))


def test_classes_come_from_text_or_tags_and_tags_join_shapes(tmp_path):
    path = region_file(
        tmp_path,
        'global color=green font="helvetica"',
        "image",
        "circle(11,11,4) # text={3C 48} tag={group} tag={compact}",
        "circle(21,21,6) # color=red text={extended-multisland} tag={object B}",
        "-circle(21,21,3) # tag={object B}",
        "circle(36,21,3) # tag={object B}",
        "point(5,5) # text={nothing}",
        "ellipse(11,11,3,3,0) # tag={component 1} tag={object B}",
        "-circle(36,24,2)",
    )
    single, joined = read_ds9(path).images[0].objects
    assert (single.class_name, joined.class_name, joined.name) == ("compact", "extended-multisland", "B")
    expected = (disc(20, 20, 6) & ~disc(20, 20, 3)) | (disc(35, 20, 3) & ~disc(35, 23, 2))
    assert np.array_equal(joined.mask.pixels(), expected)


def test_a_class_changed_in_ds9_counts(tmp_path):
    """DS9 drops comments when it saves: what is left is the class in the text."""
    labels = sample_labels(tmp_path, n_images=1)
    write_ds9(labels, tmp_path / "map0.reg")
    text = (tmp_path / "map0.reg").read_text().replace("text={compact} tag={object 1}", "text={flagged} tag={object 1}")
    kept = [line for line in text.splitlines() if not line.startswith("# neanias-ml")]
    for name, lines in (("map0.reg", text.splitlines()), ("saved/map0.reg", kept)):
        (tmp_path / "saved").mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(lines))
        image = read_ds9(tmp_path / name, image_root=tmp_path / "images").images[0]
        assert image.objects[0].class_name == "flagged"
        assert [one.mask for one in image.objects] == [one.mask for one in labels.images[0].objects]


def test_objects_without_a_pixel_are_said_to_be_lost(tmp_path):
    image = LabelledImage(tmp_path / "a.fits", SHAPE, (labelled(np.zeros(SHAPE, dtype=bool)), labelled(disc(9, 9, 3))))
    losses = write_ds9(LabelSet((image,), CAESAR_CLASSES), tmp_path / "a.reg")
    assert len(losses) == 1 and "no pixels" in losses[0] and read_ds9(tmp_path / "a.reg").n_objects == 1


def test_several_images_do_not_go_into_one_file(tmp_path):
    with pytest.raises(UsageError) as caught:
        write_ds9(sample_labels(tmp_path), tmp_path / "a.reg")
    assert caught.value.code == "OneImagePerFile" and not (tmp_path / "a.reg").exists()


@given(st.text(alphabet="abc(){},;#=+-0123456789 \"'", max_size=40))
def test_no_line_brings_the_reader_down(tmp_path_factory, line):
    folder = tmp_path_factory.mktemp("lines")
    (folder / "a.reg").write_text(
        f"# neanias-ml image {json.dumps({'file_name': 'a.fits', 'shape': list(SHAPE)})}\nimage\n{line}\n"
    )
    problems = []
    labels = read_ds9(folder / "a.reg", report=problems.append)
    assert labels.n_objects == 0 or not problems


@pytest.mark.parametrize(
    ("line", "code", "mentions"),
    [
        ("circle(11,11,4) # text={quasar}", "ClassUnknown", "'quasar'"),
        ("circle(11,11,4)", "ClassUnknown", "line 3"),
        ("circle(11,11) # text={compact}", "RegionsUnreadable", "line 3"),
        ("circle(a,11,4) # text={compact}", "RegionsUnreadable", "line 3"),
        ("polygon(1,1,2,2) # text={compact}", "RegionsUnreadable", "three pairs"),
        ("circle(11,11,-4) # text={compact}", "RegionsUnreadable", "positive"),
        ("annulus(11,11,4,6) # text={compact}", "RegionsUnreadable", "circle, ellipse, box or polygon"),
        ('icrs;circle(330,30,4") # text={compact}', "NoSkyCoordinates", "line 3"),
        ("# neanias-ml object {", "RegionsUnreadable", "line 3"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, line, code, mentions):
    path = region_file(tmp_path, "image", line)
    with pytest.raises(InputError) as caught:
        read_ds9(path)
    assert caught.value.code == code and mentions in caught.value.message and str(path) in caught.value.message


def test_sky_shapes_need_a_map_with_coordinates(tmp_path):
    path = region_file(tmp_path, 'icrs;circle(150,-30,4") # text={compact}', image=False)
    with pytest.raises(InputError) as caught:
        read_ds9(path)
    assert caught.value.code == "ImageMissing" and "a.fits" in caught.value.message
    write_map(tmp_path / "a.fits", CTYPE1="NONSENSE")
    with pytest.raises(InputError) as caught:
        read_ds9(path)
    assert caught.value.code == "NoSkyCoordinates"
    for name in ("none.reg", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=name):
            read_ds9(tmp_path / name)
