"""Runs of pixels: joined regions equal those of independent floods, and every form of them turns into every other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from neanias_ml.extraction.islands.runs import Runs, join_scanned, runs_above
from neanias_ml.maps import Window

MAPS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=18),
    elements=st.sampled_from([np.nan, -3.0, -1.0, 0.0, 1.0, 2.0, 2.5, 3.0, 7.0]),
)
MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16))


def scanned(values, *, merge=2.0, connectivity=8, rows=None, negative=False):
    """Regions of a map whose background is 0 and noise 1, scanned some rows at a time."""
    height = rows or len(values)
    parts = [
        runs_above(values[y : y + height], merge=merge, y0=y, negative=negative) for y in range(0, len(values), height)
    ]
    return join_scanned(parts, connectivity=connectivity)


def whole(shape):
    return Window(0, shape[0], 0, shape[1])


def ordered_labels(mask, connectivity):
    """`scipy.ndimage.label`, renumbered by first pixel."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)) if connectivity == 8 else None)
    _, first = np.unique(labels.ravel(), return_index=True)
    values = labels.ravel()[np.sort(first)]
    lookup = np.zeros(count + 1, np.int64)
    lookup[values[values > 0]] = np.arange(1, count + 1)
    return lookup[labels]


def same(left, right):
    assert left.count == right.count
    np.testing.assert_array_equal(left.runs, right.runs)
    np.testing.assert_array_equal(left.region, right.region)


@given(values=MAPS, connectivity=st.sampled_from([4, 8]), negative=st.booleans())
@settings(max_examples=150, deadline=None)
def test_regions_equal_those_of_scipy(values, connectivity, negative):
    regions = scanned(values, connectivity=connectivity, negative=negative)
    with np.errstate(invalid="ignore"):
        significance = -values if negative else values
        mask = significance >= 2.0
    np.testing.assert_array_equal(regions.paint(whole(values.shape)), ordered_labels(mask, connectivity))
    labels = ordered_labels(mask, connectivity)
    if regions.count:
        index = np.arange(1, regions.count + 1)
        np.testing.assert_array_equal(regions.region_pixels, ndimage.sum_labels(mask, labels, index))
        peaks = ndimage.maximum(np.where(mask, significance, -9), labels, index)
        np.testing.assert_array_equal(regions.region_peak, peaks)


@given(values=MAPS, connectivity=st.sampled_from([4, 8]), rows=st.integers(1, 18))
@settings(max_examples=100, deadline=None)
def test_any_split_in_bands_gives_the_same_regions(values, connectivity, rows):
    reference = scanned(values, connectivity=connectivity)
    cut = scanned(values, connectivity=connectivity, rows=rows)
    same(cut, reference)
    np.testing.assert_array_equal(cut.peak, reference.peak)


def spiral(side):
    """One winding line of pixels: its runs meet again and again far from where they began."""
    mask = np.zeros((side, side), bool)
    y, x, dy, dx = 0, 0, 0, 1
    mask[y, x] = True
    turns = 0
    while turns < 2:
        ny, nx = y + dy, x + dx
        ahead = (ny + dy, nx + dx)
        free = 0 <= ny < side and 0 <= nx < side and not mask[ny, nx]
        if free and (not (0 <= ahead[0] < side and 0 <= ahead[1] < side) or not mask[ahead]):
            y, x, turns = ny, nx, 0
            mask[y, x] = True
        else:
            dy, dx, turns = dx, -dy, turns + 1
    return mask


@pytest.mark.parametrize("connectivity", [4, 8])
def test_a_spiral_is_one_region(connectivity):
    mask = spiral(41)
    values = np.where(mask, 3.0, 0.0).astype(np.float32)
    for rows in (None, 1, 5):
        assert scanned(values, connectivity=connectivity, rows=rows).count == 1


@pytest.mark.parametrize("connectivity", [4, 8])
def test_large_random_map_equals_scipy(connectivity):
    """Near the percolation threshold regions are large and tangled."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 300)).astype(np.float32) + np.float32(2.0)
    cut = 1.77 if connectivity == 4 else 2.23
    regions = scanned(values, merge=cut, connectivity=connectivity, rows=37)
    np.testing.assert_array_equal(regions.paint(whole(values.shape)), ordered_labels(values >= cut, connectivity))


def test_more_runs_than_room_was_made_for():
    values = np.zeros((120, 1200), np.float32)
    values[:, ::2] = 5.0
    runs = scanned(values, connectivity=4)
    assert len(runs.runs) == 120 * 600 and runs.count == 600


def test_rows_count_from_the_first_one_and_blanks_end_runs():
    part = runs_above(np.array([[3.0, 1.0, 2.5, np.nan, 4.0]], np.float32), merge=2.5, y0=9)
    assert part.runs.tolist() == [[9, 0, 1], [9, 2, 3], [9, 4, 5]]
    np.testing.assert_allclose(part.peak, [3.0, 2.5, 4.0])


@given(mask=MASKS, connectivity=st.sampled_from([4, 8]), data=st.data())
@settings(max_examples=80, deadline=None)
def test_keep_and_only_are_selections_of_the_label_map(mask, connectivity, data):
    labels = ordered_labels(mask, connectivity).astype(np.int32)
    runs = Runs.from_labels(labels)
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=runs.count, max_size=runs.count)), dtype=bool)
    kept = runs.keep(wanted)
    lookup = np.concatenate([[0], np.where(wanted, np.cumsum(wanted), 0)])
    np.testing.assert_array_equal(kept.paint(whole(mask.shape)), lookup[labels])
    np.testing.assert_array_equal(kept.region_pixels, runs.region_pixels[wanted])
    for region in range(runs.count):
        np.testing.assert_array_equal(runs.only(region).paint(whole(mask.shape)), labels == region + 1)


@given(mask=MASKS, connectivity=st.sampled_from([4, 8]))
@settings(max_examples=60, deadline=None)
def test_labels_and_pixel_lists_round_trip(mask, connectivity):
    labels = ordered_labels(mask, connectivity).astype(np.int32)
    runs = Runs.from_labels(labels)
    np.testing.assert_array_equal(runs.paint(whole(mask.shape)), labels)
    same(runs, scanned(np.where(mask, 3.0, 0.0).astype(np.float32), connectivity=connectivity))
    lists = [np.nonzero(labels == number) for number in range(1, runs.count + 1)]
    offsets = np.cumsum([0, *(len(y) for y, _ in lists)]).astype(np.int64)
    y, x = (np.concatenate([np.empty(0, int), *(one[axis] for one in lists)]).astype(np.int32) for axis in (0, 1))
    back = Runs.from_pixels(offsets, y, x)
    np.testing.assert_array_equal(back.paint(whole(mask.shape)), labels)
    assert back.count == runs.count and len(back.runs) == len(runs.runs)
    assert (np.diff(back.runs[:, 0]) >= 0).all()


def test_overlapping_pixel_lists_keep_all_their_pixels():
    y, x = (part.ravel().astype(np.int32) for part in np.mgrid[:4, :4])
    inner = (y > 0) & (y < 3) & (x > 0) & (x < 3)
    offsets = np.array([0, 16, 20])
    runs = Runs.from_pixels(offsets, np.append(y, y[inner]), np.append(x, x[inner]))
    assert runs.region_pixels.tolist() == [16, 4]
    assert np.count_nonzero(runs.only(0).paint(Window(0, 4, 0, 4))) == 16
    painted = runs.paint(Window(0, 4, 0, 4))
    assert np.count_nonzero(painted == 2) == 4 and np.count_nonzero(painted == 1) == 12


@given(
    mask=MASKS, y0=st.integers(0, 12), x0=st.integers(0, 12), height=st.integers(1, 10), width=st.integers(1, 10),
    margin=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_paint_of_a_window_is_that_of_the_map(mask, y0, x0, height, width, margin):
    labels = ordered_labels(mask, 8).astype(np.int32)
    runs = Runs.from_labels(labels)
    size = (max(mask.shape[0], y0 + height), max(mask.shape[1], x0 + width))
    window = Window(y0, y0 + height, x0, x0 + width)
    grown = runs.paint(window, margin=margin) > 0
    padded = np.zeros(size, bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    expected = ndimage.binary_dilation(padded, np.ones((2 * margin + 1, 2 * margin + 1))) if margin else padded
    np.testing.assert_array_equal(grown, expected[window.slices])


def test_no_runs():
    none = Runs.none()
    assert none.count == 0 and none.paint(Window(0, 3, 0, 3)).max() == 0
    assert join_scanned([], connectivity=8).count == 0
    assert Runs.from_pixels(np.array([0]), np.empty(0, np.int32), np.empty(0, np.int32)).count == 0
    assert Runs.from_labels(np.zeros((3, 4), np.int32)).count == 0
    assert len(none.region_peak) == len(none.region_pixels) == 0
