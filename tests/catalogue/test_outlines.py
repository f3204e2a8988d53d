"""Outlines enclose the pixels of an island with few vertices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Curve
from scipy import ndimage

from neanias_ml.catalogue.outlines import island_outlines, mask_outline, signed_area
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.tables import Extraction, Islands, IslandTable


def disc(radius: float) -> np.ndarray:
    """A filled circle."""
    ys, xs = np.mgrid[: int(2 * radius) + 3, : int(2 * radius) + 3] - radius - 1
    return xs**2 + ys**2 <= radius**2


@given(seed=st.integers(0, 10_000), size=st.integers(3, 24))
@settings(max_examples=40, deadline=None)
def test_pixels_of_a_random_region_lie_inside(seed: int, size: int) -> None:
    """With holes filled, the sharp outline holds all pixel centres of the region and none other."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size + 3)), 1.2)
    labels, count = ndimage.label(noise > 0, structure=np.ones((3, 3)))
    if count == 0:
        labels, count = np.ones((size, size), dtype=int), 1
    mask = labels == np.argmax(np.bincount(labels[labels > 0]))
    polygon = mask_outline(mask, offset=(7, -2), max_vertices=10_000)
    ys, xs = np.mgrid[: mask.shape[0], : mask.shape[1]]
    inside = Curve(np.concatenate([polygon, polygon[:1]])).contains_points(
        np.stack([xs.ravel() + 7, ys.ravel() - 2], 1)
    )
    filled = ndimage.binary_fill_holes(mask)
    assert np.array_equal(inside.reshape(mask.shape), filled)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (2, 2)])
def test_slivers_keep_an_area(shape: tuple[int, int]) -> None:
    polygon = mask_outline(np.ones(shape, dtype=bool), offset=(10, 20))
    assert len(polygon) >= 4 and abs(signed_area(polygon)) == pytest.approx(shape[0] * shape[1], abs=0.51)
    assert polygon.mean(axis=0) == pytest.approx([10 + (shape[1] - 1) / 2, 20 + (shape[0] - 1) / 2])


def test_pixels_that_touch_by_a_corner_share_one_outline() -> None:
    polygon = mask_outline(np.eye(4, dtype=bool))
    assert np.ptp(polygon[:, 0]) == pytest.approx(4.0) and np.ptp(polygon[:, 1]) == pytest.approx(4.0)


def test_large_round_island_needs_few_vertices() -> None:
    polygon = mask_outline(disc(100.0))
    assert len(polygon) <= 240
    assert abs(signed_area(polygon)) == pytest.approx(disc(100.0).sum(), rel=0.01)


def test_frayed_island_is_smoothed_and_keeps_its_area() -> None:
    rng = np.random.default_rng(1)
    mask = disc(120.0) & (ndimage.gaussian_filter(rng.standard_normal(disc(120.0).shape), 1) > -0.35)
    labels, _ = ndimage.label(mask)
    mask = ndimage.binary_fill_holes(labels == np.argmax(np.bincount(labels[labels > 0])))
    sharp = mask_outline(mask, max_vertices=100_000)
    polygon = mask_outline(mask)
    assert len(sharp) > 240 >= len(polygon) >= 20
    assert abs(signed_area(polygon)) == pytest.approx(mask.sum(), rel=0.1)


def test_one_outline_for_each_island(extraction: Extraction) -> None:
    outlines = island_outlines([extraction.islands])
    table = extraction.islands.table
    assert len(outlines) == len(table)
    for polygon, x0, x1, y0, y1 in zip(outlines, table.x0, table.x1, table.y0, table.y1, strict=True):
        assert (polygon.min(axis=0) >= [x0 - 0.5, y0 - 0.5]).all() and (
            polygon.max(axis=0) <= [x1 - 0.5, y1 - 0.5]
        ).all()


def layer_of(masks: list[np.ndarray], places: list[tuple[int, int]], *, shape: tuple[int, int]) -> Islands:
    """Islands of some masks at (y, x), which may overlap."""
    pixels = [np.argwhere(mask) + place for mask, place in zip(masks, places, strict=True)]
    offsets = np.cumsum([0, *map(len, pixels)])
    y, x = np.concatenate(pixels).astype(np.int32).T
    boxes = np.array([[*part.min(axis=0), *(part.max(axis=0) + 1)] for part in pixels], dtype=np.int64)
    empty = IslandTable.empty()
    columns = {
        name: np.zeros(len(masks), dtype=getattr(empty, name).dtype) for name in IslandTable.__dataclass_fields__
    }
    columns |= {"island_id": np.arange(1, len(masks) + 1)}
    columns |= dict(zip(("y0", "x0", "y1", "x1"), boxes.T, strict=True))
    return Islands(Runs.from_pixels(offsets, y, x), IslandTable(**columns), shape)


def test_outlines_of_all_islands_at_once_are_those_of_their_masks() -> None:
    """Pixels, slivers, rings, fringes with too many corners, islands inside others."""
    rng = np.random.default_rng(5)
    ring = disc(9.0) & ~np.pad(disc(4.0), 5)
    fringed = disc(90.0) & (ndimage.gaussian_filter(rng.standard_normal(disc(90.0).shape), 1) > -0.3)
    labels, _ = ndimage.label(fringed)
    fringed = labels == np.argmax(np.bincount(labels[labels > 0]))
    masks = [np.ones((1, 1), bool), ring, disc(2.0), np.eye(5, dtype=bool), fringed, disc(30.0), np.ones((1, 7), bool)]
    places = [(0, 0), (5, 3), (11, 9), (30, 1), (40, 60), (60, 90), (250, 250)]
    layer = layer_of(masks, places, shape=(260, 260))
    for most in (240, 40, 10_000):
        for row, outline in enumerate(island_outlines([layer, layer], max_vertices=most)[len(masks) :]):
            offset = (int(layer.table.x0[row]), int(layer.table.y0[row]))
            expected = mask_outline(layer.mask(row), offset=offset, max_vertices=most)
            np.testing.assert_array_equal(outline, expected)
    assert max(map(len, island_outlines([layer], max_vertices=10_000))) > 240


def test_no_islands_have_no_outlines() -> None:
    assert island_outlines([Islands.none((20, 20))]) == ()
