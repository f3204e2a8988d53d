"""Pixels of islands with a margin: equal to a dilation by a disc that leaves out other islands and blanks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from neanias_ml.extraction.islands.gather import disc_half_widths, gather
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.islands.search import label_islands, scan_map
from neanias_ml.extraction.noise.model import MeshNoise, SuppliedNoise
from neanias_ml.maps import Window
from tests.conftest import correlated_noise, make_map

SHAPE = (150, 110)


def disc(radius):
    reach = int(radius)
    rows, cols = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return rows**2 + cols**2 <= radius**2


@pytest.fixture(scope="module")
def field():
    """A map with many islands of all sizes, some tall, some beside blank pixels, and its noise model."""
    rng = np.random.default_rng(1)
    pixels = correlated_noise(SHAPE, rng) + 0.3
    pixels[:, 60:64] += 4.0  # from the first row to the last
    pixels[20:30, 20:40] = np.nan
    pixels[80, 61] = np.nan
    noise = MeshNoise(rng.uniform(-0.1, 0.1, (3, 2)), rng.uniform(0.8, 1.2, (3, 2)), 55, SHAPE)
    radio_map = make_map(pixels)
    return radio_map, noise, scan_map(radio_map, noise, merge=1.5).positive


def assert_same(left, right):
    for name in ("offsets", "y", "x", "flux", "noise", "inside"):
        np.testing.assert_array_equal(getattr(left.pixels, name), getattr(right.pixels, name), err_msg=name)
    for name in ("background", "boxes", "touches_blank"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


@pytest.mark.parametrize("margin", [0.0, 1.0, 2.5, 7.3])
def test_margins_are_discs_without_other_islands_and_blanks(field, margin):
    radio_map, noise, runs = field
    gathered = gather(radio_map, noise, runs, margin=margin)
    labels = runs.paint(radio_map.extent)
    background, rms = noise.evaluate()
    assert len(gathered.pixels) == runs.count > 20
    for row, island in enumerate(gathered.pixels):
        own = labels == row + 1
        grown = ndimage.binary_dilation(own, disc(margin)) & ((labels == 0) | own) & np.isfinite(radio_map.data)
        y, x = np.nonzero(grown)
        np.testing.assert_array_equal(island.y, y)
        np.testing.assert_array_equal(island.x, x)
        np.testing.assert_array_equal(island.inside, own[y, x])
        np.testing.assert_array_equal(island.noise, rms[y, x])
        np.testing.assert_array_equal(island.flux, (radio_map.data - background)[y, x])
    np.testing.assert_array_equal(gathered.background, background[gathered.pixels.y, gathered.pixels.x])


def test_boxes_and_blank_flags(field):
    radio_map, noise, runs = field
    gathered = gather(radio_map, noise, runs, margin=2.5)
    labels = runs.paint(radio_map.extent)
    blank = ~np.isfinite(radio_map.data)
    for row, slices in enumerate(ndimage.find_objects(labels)):
        expected = [slices[0].start, slices[0].stop, slices[1].start, slices[1].stop]
        assert gathered.boxes[row].tolist() == expected
        beside = ndimage.binary_dilation(labels == row + 1, np.ones((3, 3))) & blank
        assert gathered.touches_blank[row] == beside.any()
    assert 1 < np.count_nonzero(gathered.touches_blank) < runs.count


@pytest.mark.parametrize("rows, workers", [(1, 1), (5, 3), (40, 2), (1000, 1)])
def test_bands_and_threads_change_nothing(field, rows, workers):
    """The island from the first row to the last is taller than any of these bands."""
    radio_map, noise, runs = field
    heights = np.diff(runs.region_boxes[:, :2], axis=1)
    assert heights.max() == SHAPE[0]
    assert_same(
        gather(radio_map, noise, runs, margin=2.5, rows=rows, workers=workers),
        gather(radio_map, noise, runs, margin=2.5),
    )


def test_some_islands_are_gathered_as_among_all(field):
    radio_map, noise, runs = field
    everything = gather(radio_map, noise, runs, margin=4.0)
    wanted = np.array([0, 3, 4, runs.count - 1])
    some = gather(radio_map, noise, runs, margin=4.0, only=wanted, rows=9)
    np.testing.assert_array_equal(some.boxes, everything.boxes[wanted])
    expected = everything.pixels.select(wanted)
    for name in ("offsets", "y", "x", "flux", "noise", "inside"):
        np.testing.assert_array_equal(getattr(some.pixels, name), getattr(expected, name))


@given(
    significance=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=16),
        elements=st.sampled_from([np.nan, 0.0, 1.0, 3.0, 6.0]),
    ),
    margin=st.floats(0, 6),
    rows=st.integers(1, 17),
)
@settings(max_examples=80, deadline=None)
def test_small_maps_of_any_kind(significance, margin, rows):
    shape = significance.shape
    radio_map = make_map(significance, wcs=None)
    noise = MeshNoise(np.zeros((1, 1)), np.ones((1, 1)), 20, shape)
    labels = label_islands(significance, seed=3.0, merge=3.0, min_pixels=1)
    gathered = gather(radio_map, noise, Runs.from_labels(labels), margin=margin, rows=rows)
    for row, island in enumerate(gathered.pixels):
        own = labels == row + 1
        grown = ndimage.binary_dilation(own, disc(margin)) & ((labels == 0) | own) & np.isfinite(significance)
        np.testing.assert_array_equal(np.stack([island.y, island.x]), np.stack(np.nonzero(grown)))


def test_no_islands():
    radio_map = make_map(np.zeros((20, 20)))
    noise = MeshNoise(np.zeros((1, 1)), np.ones((1, 1)), 20, (20, 20))
    gathered = gather(radio_map, noise, Runs.none(), margin=2.0)
    assert len(gathered.pixels) == 0 and gathered.boxes.shape == (0, 4) and gathered.touches_blank.shape == (0,)


def test_pixels_without_a_supplied_noise_are_blank():
    pixels = np.zeros((30, 30), np.float32)
    pixels[10:15, 10:15] = 9.0
    noise = np.ones((30, 30))
    noise[:, 15:] = np.nan
    supplied = SuppliedNoise(make_map(noise))
    runs = scan_map(make_map(pixels), supplied, merge=3.0).positive
    gathered = gather(make_map(pixels), supplied, runs, margin=3.0)
    assert gathered.pixels.x.max() == 14 and np.isfinite(gathered.pixels.noise).all()
    assert gathered.touches_blank.tolist() == [True]


def test_the_inverted_pixels_are_those_of_the_inverted_map(field):
    radio_map, noise, runs = field
    mirrored = MeshNoise(-noise.background_mesh, noise.noise_mesh, noise.cell, noise.shape)
    assert_same(
        gather(radio_map, noise, runs, margin=2.0).inverted(),
        gather(make_map(-radio_map.data), mirrored, runs, margin=2.0),
    )


@pytest.mark.parametrize("radius", [0.0, 0.9, 1.0, 2.0, 3.7])
def test_half_widths_make_a_disc(radius):
    half = disc_half_widths(radius)
    reach = len(half) - 1
    drawn = np.abs(np.arange(-reach, reach + 1))[None, :] <= half[np.abs(np.arange(-reach, reach + 1))][:, None]
    np.testing.assert_array_equal(drawn, disc(radius))


def test_windows_of_runs_paint_what_was_gathered(field):
    radio_map, noise, runs = field
    inside = gather(radio_map, noise, runs, margin=3.0).pixels.without_margin()
    labels = np.zeros(SHAPE, np.int32)
    labels[inside.y, inside.x] = inside.island + 1
    np.testing.assert_array_equal(labels, runs.paint(Window(0, SHAPE[0], 0, SHAPE[1])))
