"""Symmetries, rotation and scale: a group that moves pixels and boxes together, and noise that stays noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.datasets.tiles import IGNORED, label_boxes
from neanias_ml.datasets.variation.added_noise import beam_noise
from neanias_ml.datasets.variation.dihedral import transform_array, transform_boxes, transform_tile
from neanias_ml.errors import UsageError
from tests.datasets.tile_makers import (
    BEAM,
    COMPACT,
    EXTENDED,
    assert_consistent,
    assert_same,
    gaussian,
    sky_tile,
    tile_of,
)

SYMMETRY = st.integers(0, 7)


def rotation(**settings):
    pytest.importorskip("albumentations", reason="rotation is done by albumentations")
    from neanias_ml.datasets.variation.geometry import GeometricAugmentation

    return GeometricAugmentation(**settings)


def composed(first: int, then: int) -> int:
    """The one symmetry that does what first and then do one after the other.

    A symmetry is quarter turns r and then a mirror m; a turn after a mirror is the opposite turn before it.
    """
    turns = first % 4 + (-(then % 4) if first >= 4 else then % 4)
    return turns % 4 + (4 if (first >= 4) != (then >= 4) else 0)


def inverse(symmetry: int) -> int:
    """The symmetry that undoes another; mirrored ones undo themselves."""
    return symmetry if symmetry >= 4 else -symmetry % 4


@pytest.mark.parametrize("symmetry", range(8))
def test_symmetries_move_boxes_with_their_pixels(symmetry):
    tile = sky_tile(3, blank=True)
    moved = transform_tile(tile, symmetry)
    assert_consistent(moved)
    np.testing.assert_array_equal(moved.labels, tile.labels)
    np.testing.assert_array_equal(moved.island_instance, tile.island_instance)
    np.testing.assert_array_equal(np.bincount(moved.instances.ravel() + 1), np.bincount(tile.instances.ravel() + 1))
    beyond = tile.replace(island_boxes=tile.island_boxes - np.float32([30, 0, 0, 0]))
    boxes = transform_tile(beyond, symmetry).island_boxes
    np.testing.assert_array_equal(transform_boxes(boxes, inverse(symmetry), size=tile.size), beyond.island_boxes)


@settings(max_examples=64, deadline=None)
@given(first=SYMMETRY, second=SYMMETRY, third=SYMMETRY)
def test_symmetries_are_the_group_of_the_square(first, second, third):
    tile = sky_tile(5)
    one_by_one = transform_tile(transform_tile(tile, first), second)
    assert_same(one_by_one, transform_tile(tile, composed(first, second)))
    assert composed(composed(first, second), third) == composed(first, composed(second, third))
    assert composed(first, inverse(first)) == composed(inverse(first), first) == 0
    assert composed(0, first) == composed(first, 0) == first


def test_symmetries_are_eight_different_ones_and_those_of_albumentations():
    functional = pytest.importorskip("albumentations").augmentations.geometric.functional
    square = np.arange(9, dtype=np.int16).reshape(3, 3)
    images = {transform_array(square, symmetry).tobytes() for symmetry in range(8)}
    names = ("e", "r90", "r180", "r270", "v", "hvt", "h", "t")
    assert images == {np.ascontiguousarray(functional.d4(square, name)).tobytes() for name in names}
    assert len(images) == 8
    np.testing.assert_array_equal(transform_array(square, 0), square)
    with pytest.raises(ValueError, match="from 0 to 7"):
        transform_tile(sky_tile(0), 8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), blank=st.booleans())
def test_rotation_keeps_boxes_islands_and_instances_together(seed, blank):
    tile = sky_tile(seed, blank=blank)
    turned = rotation(scale_change=0.15)(tile, np.random.default_rng(seed))
    assert_consistent(turned)
    assert turned.channels.shape == tile.channels.shape
    assert len(turned.labels) <= len(tile.labels) and set(turned.island_fluxes) <= set(tile.island_fluxes)
    assert_same(turned, rotation(scale_change=0.15)(tile, np.random.default_rng(seed)))


def test_rotation_without_strength_is_the_identity():
    tile = sky_tile(2)
    assert rotation(degrees=0, scale_change=0)(tile, np.random.default_rng(0)) is tile


def test_a_turned_source_lies_where_its_mask_and_box_are():
    model = gaussian(128, 40, 74, peak=100, fwhm=2 * BEAM)
    tile = tile_of([model], [EXTENDED], noise=np.zeros((128, 128), np.float32))
    for seed in range(8):
        turned = rotation(degrees=180, scale_change=0.1)(tile, np.random.default_rng(seed))
        y, x = np.unravel_index(np.nanargmax(turned.significance), (128, 128))
        assert turned.instances[y, x] == 1 and turned.islands[y, x] == 1
        x0, y0, x1, y1 = turned.island_boxes[0]
        assert x == pytest.approx((x0 + x1) / 2, abs=1.5) and y == pytest.approx((y0 + y1) / 2, abs=1.5)
        distance = np.hypot(y - 63.5, x - 63.5) / np.hypot(40 - 63.5, 74 - 63.5)
        assert 0.87 < distance < 1.13
        assert turned.significance[y, x] == pytest.approx(100, rel=0.03)


def test_scales_change_sizes_in_both_directions_and_areas_by_their_product():
    tile = tile_of([gaussian(128, 64, 64, peak=200, fwhm=5 * BEAM)], [EXTENDED], noise=np.zeros((128, 128), np.float32))
    scale, ratios = rotation(degrees=0, scale_change=0.1), []
    for seed in range(20):
        scaled = scale(tile, np.random.default_rng(seed))
        x0, y0, x1, y1 = (
            scaled.island_boxes[0] / (tile.island_boxes[0, 2:] - tile.island_boxes[0, :2]).repeat(2)[[0, 2, 1, 3]]
        )
        area = (scaled.instances == 1).sum() / (tile.instances == 1).sum()
        assert area == pytest.approx((x1 - x0) * (y1 - y0), rel=0.03)
        ratios += [x1 - x0, y1 - y0]
    assert 0.88 < min(ratios) < 0.95 and 1.05 < max(ratios) < 1.12


def test_rotated_noise_keeps_its_rms_and_mean():
    turn = rotation(scale_change=0.05)
    kept = []
    for seed in range(8):
        noise, _ = beam_noise(np.random.default_rng(seed), size=128, pixels_per_beam=BEAM)
        tile = tile_of([], [], noise=noise)
        turned = turn(tile, np.random.default_rng(seed)).significance
        inner = np.hypot(*(np.mgrid[:128, :128] - 63.5)) < 55
        kept.append(turned[inner].std() / noise[inner].std())
    assert np.mean(kept) == pytest.approx(1.0, abs=0.015)


def test_corners_turned_in_are_blank_and_hold_nothing():
    sources = [gaussian(96, 5, 5, peak=50, fwhm=BEAM), gaussian(96, 48, 48, peak=50, fwhm=BEAM)]
    tile = tile_of(sources, [COMPACT, COMPACT], noise=np.zeros((96, 96), np.float32))
    turn = rotation(degrees=45, scale_change=0)
    blanks = []
    for seed in range(6):
        turned = turn(tile, np.random.default_rng(seed))
        blank = ~turned.valid
        blanks.append(blank.mean())
        assert not turned.channels[:, blank].any()
        assert not turned.instances[blank].any() and not turned.islands[blank].any()
    assert max(blanks) > 0.05


def test_instances_that_are_mostly_turned_out_are_ignored():
    corner = gaussian(96, 3, 3, peak=80, fwhm=2 * BEAM)
    tile = tile_of([corner], [EXTENDED], noise=np.zeros((96, 96), np.float32))
    turn = rotation(degrees=45, scale_change=0)
    outcomes = [turn(tile, np.random.default_rng(seed)) for seed in range(30)]
    cut = [one for one in outcomes if len(one.labels) == 0 and len(one.island_instance)]
    assert cut
    for one in cut:
        assert (one.island_instance == IGNORED).all() and set(np.unique(one.instances)) <= {IGNORED, 0}
        np.testing.assert_array_equal(one.island_boxes, label_boxes(one.islands, len(one.island_instance)))


@pytest.mark.parametrize(("name", "value"), [("scale_change", 0.5), ("degrees", 181), ("degrees", float("nan"))])
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(UsageError, match=name):
        rotation(**{name: value})
