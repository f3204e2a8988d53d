import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.morphology import max_tree

from neanias_ml.extraction.nested.component_tree import ComponentTree

EIGHT = np.ones((3, 3))
STEPPED = st.floats(-3, 3, width=32).map(lambda value: round(value * 2) / 2)


def tree_of(image, mask=None):
    """Tree of the pixels of a mask, with their rows and columns."""
    y, x = np.nonzero(np.ones(image.shape, dtype=bool) if mask is None else mask)
    return ComponentTree.build(y.astype(np.int32), x.astype(np.int32), image[y, x].astype(np.float32)), y, x


def areas_by_skimage(image):
    """Pixels of the smallest component of each pixel's own level, from scikit-image's tree."""
    parent, traverser = (values.ravel() for values in max_tree(image, connectivity=2))
    area = np.ones(image.size, dtype=int)
    for pixel in traverser[::-1]:
        if parent[pixel] != pixel:
            area[parent[pixel]] += area[pixel]
    level = image.ravel()
    canonical = np.where(level[parent] == level, parent, np.arange(image.size))
    return area[canonical]


@given(
    image=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=12), elements=STEPPED)
)
@settings(max_examples=60, deadline=None)
def test_components_are_those_of_scikit_image(image):
    tree, _, _ = tree_of(image)
    np.testing.assert_array_equal(tree.size[tree.node_of(np.arange(len(tree)))], areas_by_skimage(image))


@given(
    image=hnp.arrays(np.float32, (9, 11), elements=STEPPED),
    mask=hnp.arrays(bool, (9, 11), elements=st.booleans()),
)
@settings(max_examples=60, deadline=None)
def test_every_node_is_a_connected_set_above_its_level(image, mask):
    tree, y, x = tree_of(image, mask)
    for pixel in range(len(tree)):
        labels, _ = ndimage.label(mask & (image >= image[y[pixel], x[pixel]]), structure=EIGHT)
        expected = np.flatnonzero(labels[y, x] == labels[y[pixel], x[pixel]])
        node = int(tree.node_of(pixel))
        np.testing.assert_array_equal(tree.pixels(node), expected)
        np.testing.assert_array_equal(np.flatnonzero(tree.contains(node, np.arange(len(tree)))), expected)
        assert tree.level[tree.peak[node]] == tree.level[expected].max()


@given(image=hnp.arrays(np.float32, (8, 9), elements=STEPPED), cut=STEPPED)
@settings(max_examples=60, deadline=None)
def test_the_lowest_set_above_a_level(image, cut):
    tree, y, x = tree_of(image)
    pixels = np.flatnonzero(image[y, x] >= cut)
    nodes = tree.lowest_above(tree.node_of(pixels), np.full(len(pixels), cut))
    labels, _ = ndimage.label(image >= cut, structure=EIGHT)
    for pixel, node in zip(pixels, nodes, strict=True):
        expected = np.flatnonzero(labels[y, x] == labels[y[pixel], x[pixel]])
        np.testing.assert_array_equal(tree.pixels(int(node)), expected)


def test_two_gaussians_merge_at_their_saddle():
    rows, cols = np.mgrid[:41, :61].astype(np.float64)

    def both(row, col):
        bright = 10.0 * np.exp(-((row - 20) ** 2 + (col - 20) ** 2) / (2 * 4.0**2))
        return bright + 6.0 * np.exp(-((row - 20) ** 2 + (col - 38) ** 2) / (2 * 4.0**2))

    tree, y, x = tree_of(both(rows, cols))
    peaks, saddles = tree.branches()
    order = np.argsort(-tree.level[peaks])
    assert [(y[p], x[p]) for p in peaks[order]] == [(20, 20), (20, 38)]
    along_the_axis = both(20.0, np.arange(20, 39).astype(float))
    assert tree.level[saddles[order[1]]] == pytest.approx(along_the_axis.min(), rel=1e-6)
    assert tree.level[saddles[order[0]]] == tree.level.min()


def test_prominences_do_not_depend_on_orientation():
    image = np.random.default_rng(3).standard_normal((30, 40)).astype(np.float32)

    def prominences(pixels):
        tree, _, _ = tree_of(pixels)
        peaks, saddles = tree.branches()
        return np.sort(tree.level[peaks] - tree.level[saddles])

    for turned in (image[::-1], image[:, ::-1], image.T, np.rot90(image)):
        np.testing.assert_array_equal(prominences(turned), prominences(image))
    np.testing.assert_array_equal(prominences(4 * image), 4 * prominences(image))
    np.testing.assert_allclose(prominences(image + 8), prominences(image), atol=1e-5)


def test_plateaus_are_one_node_with_the_first_pixel_for_a_peak():
    image = np.zeros((5, 7), dtype=np.float32)
    image[1:4, 1:3] = 2.0
    image[1:4, 4:6] = 2.0
    tree, y, x = tree_of(image)
    peaks, saddles = tree.branches()
    assert sorted((y[p], x[p]) for p in peaks) == [(1, 1), (1, 4)]
    assert (tree.level[saddles] == 0).all()
    assert sorted(tree.size[np.unique(tree.node_of(np.arange(35)))].tolist()) == [6, 6, 35]


def test_separate_parts_have_separate_roots():
    mask = np.zeros((3, 9), dtype=bool)
    mask[:, :3] = mask[:, 6:] = True
    tree, _, _ = tree_of(np.arange(27.0).reshape(3, 9), mask)
    roots = np.flatnonzero(tree.parent == np.arange(len(tree)))
    assert sorted(tree.size[roots].tolist()) == [9, 9]


@pytest.mark.parametrize("levels", [[3.0, np.nan], [np.inf, 1.0]])
def test_levels_must_be_finite(levels):
    with pytest.raises(ValueError, match="finite"):
        ComponentTree.build(np.array([0, 0], np.int32), np.array([0, 1], np.int32), np.array(levels, np.float32))


def test_pixels_must_be_in_row_order():
    with pytest.raises(ValueError, match="row by row"):
        ComponentTree.build(np.array([1, 0], np.int32), np.array([0, 1], np.int32), np.ones(2, np.float32))
