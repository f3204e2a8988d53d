"""Outlines enclose the pixels of an island with few vertices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Curve
from scipy import ndimage

from neanias_ml.catalogue.outlines import island_outlines, mask_outline, signed_area
from neanias_ml.extraction.tables import Extraction


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
