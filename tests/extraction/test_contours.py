import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import find_contours

from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.shapes.contours import _trace_in_list, boundary_chain, mask_outline, outline, signed_area


def island(mask, *, y0=0, x0=0):
    """One island of the set pixels of a mask."""
    ones = np.ones(mask.shape, dtype=np.float32)
    return IslandPixels.from_labels(mask.astype(np.int32), flux=ones, noise=ones, y0=y0, x0=x0)


def random_region(seed, *, size=24):
    """The largest 8-connected piece of a smooth random field above zero."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size + 5)), 1.2)
    labels, _ = ndimage.label(noise > 0, structure=np.ones((3, 3)))
    return labels == np.argmax(np.bincount(labels[labels > 0]))


@given(seed=st.integers(0, 100_000))
@settings(max_examples=60, deadline=None)
def test_outline_is_the_marching_squares_contour(seed):
    """scikit-image's contour of the mask has the same turning points."""
    mask = random_region(seed)
    contours = find_contours(np.pad(mask, 1).astype(float), 0.5, fully_connected="high")
    judge = max(contours, key=lambda contour: abs(signed_area(contour)))[:, ::-1] - 1.0
    ours = outline(island(mask, y0=7, x0=-3)) - [-3, 7]
    assert signed_area(ours) == pytest.approx(abs(signed_area(judge[:-1])))
    assert {tuple(vertex) for vertex in ours} <= {tuple(vertex) for vertex in judge}


@given(seed=st.integers(0, 100_000))
@settings(max_examples=40, deadline=None)
def test_outline_encloses_the_filled_region_less_half_a_pixel_per_loop(seed):
    mask = ndimage.binary_closing(random_region(seed), iterations=1)
    labels, _ = ndimage.label(mask)  # 4-connected: a single loop without pinches
    mask = labels == np.argmax(np.bincount(labels[labels > 0], minlength=2))
    filled = ndimage.binary_fill_holes(mask)
    pinched = ndimage.binary_erosion(~np.pad(filled, 1), border_value=1).sum() == 0
    assert signed_area(outline(island(mask))) == pytest.approx(filled.sum() - 0.5, abs=0.5 if pinched else 1e-9)


def test_holes_are_filled_and_corners_connect():
    ring = np.ones((7, 7), dtype=bool)
    ring[2:5, 2:5] = False
    assert signed_area(outline(island(ring))) == pytest.approx(48.5)
    diagonal = outline(island(np.eye(4, dtype=bool)))
    assert np.ptp(diagonal, axis=0) == pytest.approx([4.0, 4.0])


@pytest.mark.parametrize("seed", range(8))
def test_boundaries_do_not_depend_on_the_way_they_are_traced(seed):
    pixels = island(random_region(seed, size=40), y0=30, x0=-8)
    chain = np.empty(4 * len(pixels.x), dtype=np.int8)
    length = _trace_in_list(pixels.y, pixels.x, chain)
    np.testing.assert_array_equal(boundary_chain(pixels.y, pixels.x), chain[:length])


def test_margin_pixels_do_not_count():
    mask = np.zeros((9, 9), dtype=bool)
    mask[3:6, 3:6] = True
    pixels = island(np.ones((9, 9), dtype=bool))
    inside = IslandPixels(pixels.offsets, pixels.y, pixels.x, pixels.flux, pixels.noise, mask.ravel())
    np.testing.assert_allclose(outline(inside), outline(island(mask)))


def test_outline_of_a_long_diagonal_is_linear_in_its_pixels():
    """A thin line across 4000 x 4000 pixels needs no raster of its box."""
    place = np.arange(4000, dtype=np.int32)
    ones = np.ones(4000, dtype=np.float32)
    line = IslandPixels(np.array([0, 4000]), place, place, ones, ones, ones > 0)
    assert signed_area(outline(line)) == pytest.approx(4000 * 0.5 + 3999 * 0.5)


def test_outline_needs_one_island():
    pair = IslandPixels.from_labels(np.array([[1, 0, 2]], dtype=np.int32), flux=np.ones((1, 3)), noise=np.ones((1, 3)))
    with pytest.raises(ValueError, match="one island"):
        outline(pair)


def test_frayed_masks_get_few_vertices():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[-100:101, -100:101]
    mask = (x**2 + y**2 < 9000) & (ndimage.gaussian_filter(rng.standard_normal(x.shape), 1) > -0.3)
    labels, _ = ndimage.label(mask)
    mask = labels == np.argmax(np.bincount(labels[labels > 0]))
    few = mask_outline(mask, offset=(5, 6), max_vertices=60)
    assert 10 <= len(few) <= 60
    assert abs(signed_area(few)) == pytest.approx(ndimage.binary_fill_holes(mask).sum(), rel=0.1)
