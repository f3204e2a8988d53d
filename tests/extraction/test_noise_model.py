"""Interpolated meshes: exact for planes, never beyond the nodes, the same from every window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.extraction.noise.model import BrightSources, MeshNoise, SidelobeNoise
from neanias_ml.maps import Window

SHAPE = (256, 320)


def random_mesh(seed, *, cell=55, shape=SHAPE, nodes=(5, 6), sidelobes=True):
    rng = np.random.default_rng(seed)
    count = 4
    added = SidelobeNoise(
        sources=BrightSources(
            x=rng.integers(0, shape[1], count),
            y=rng.integers(0, shape[0], count),
            peak_flux=rng.uniform(1, 2, count),
            radius=np.array([22.0, 37.0, 52.0, 22.0]),
        ),
        variance=np.pad(rng.uniform(0.2, 5.0, (count, 5)), ((0, 0), (0, 2))),
        ring=7.5,
    )
    return MeshNoise(rng.normal(size=nodes), rng.uniform(1, 2, size=nodes), cell, shape, added if sidelobes else None)


@given(
    seed=st.integers(0, 50),
    cell=st.integers(3, 90),
    y0=st.integers(0, 200),
    x0=st.integers(0, 260),
    height=st.integers(1, 56),
    width=st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
def test_a_window_sees_the_values_of_the_whole_map(seed, cell, y0, x0, height, width):
    """Bit for bit, or islands taller than a band would depend on the bands."""
    model = random_mesh(seed, cell=cell)
    window = Window(y0, y0 + height, x0, x0 + width)
    for complete, cut in zip(model.evaluate(), model.evaluate(window), strict=True):
        assert cut.dtype == np.float32
        np.testing.assert_array_equal(complete[window.slices], cut)


@given(
    seed=st.integers(0, 50), cell=st.integers(3, 90), sidelobes=st.booleans(), count=st.integers(0, 300),
    in_order=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_single_pixels_have_the_values_of_the_map(seed, cell, sidelobes, count, in_order):
    """Bit for bit, in whatever order they come."""
    model = random_mesh(seed, cell=cell, sidelobes=sidelobes)
    rng = np.random.default_rng(seed)
    y, x = (rng.integers(0, length, count).astype(np.int32) for length in SHAPE)
    if in_order:
        y = np.sort(y)
    for complete, single in zip(model.evaluate(), model.at(y, x), strict=True):
        assert single.dtype == np.float32
        np.testing.assert_array_equal(complete[y, x], single)


def test_each_pixel_at_a_time_has_the_values_of_the_map():
    model = random_mesh(8, shape=(48, 64))
    rows, cols = np.indices((48, 64), dtype=np.int32)
    for complete, single in zip(model.evaluate(), model.at(rows.ravel(), cols.ravel()), strict=True):
        np.testing.assert_array_equal(complete.ravel(), single)


def test_added_noise_of_every_third_pixel_is_that_of_the_pixels():
    model = random_mesh(3)
    whole = Window(0, SHAPE[0], 0, SHAPE[1])
    complete, thin = np.ones(SHAPE, np.float32), np.ones((86, 107), np.float32)
    model.sidelobes.raise_noise(complete, window=whole)
    model.sidelobes.raise_noise(thin, window=whole, step=3)
    assert complete.max() > 1.5
    np.testing.assert_array_equal(complete[::3, ::3], thin)


@given(
    a=st.floats(-3, 3), b=st.floats(-3, 3), c=st.floats(-3, 3), rows=st.integers(2, 7), cols=st.integers(2, 7),
    cell=st.integers(4, 40),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_planes_are_reproduced_exactly(a, b, c, rows, cols, cell):
    centres_y, centres_x = np.arange(rows)[:, None] + 0.5, np.arange(cols)[None, :] + 0.5
    mesh = a + b * centres_y + c * centres_x
    shape = (rows * cell, cols * cell)
    background, _ = MeshNoise(mesh, np.ones((rows, cols)), cell, shape).evaluate()
    y, x = (np.arange(shape[0])[:, None] + 0.5) / cell, (np.arange(shape[1])[None, :] + 0.5) / cell
    np.testing.assert_allclose(background, a + b * y + c * x, atol=2e-5)


@given(seed=st.integers(0, 1000), cell=st.integers(2, 50), rows=st.integers(1, 6), cols=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_noise_never_leaves_the_range_of_the_nodes_around(seed, cell, rows, cols):
    rng = np.random.default_rng(seed)
    mesh = np.exp(rng.normal(scale=2.0, size=(rows, cols)))
    shape = (rows * cell + cell // 3, cols * cell + cell // 2)
    _, noise = MeshNoise(np.zeros((rows, cols)), mesh, cell, shape).evaluate()
    padded = np.pad(mesh, 1, mode="edge")
    around = np.stack([padded[j : j + rows, i : i + cols] for j in range(3) for i in range(3)])
    row, col = np.minimum(np.arange(shape[0]) // cell, rows - 1), np.minimum(np.arange(shape[1]) // cell, cols - 1)
    own = np.ix_(row, col)
    rounding = 1e-6 * around.max(axis=0)[own]  # of 32-bit values
    assert (noise <= around.max(axis=0)[own] + rounding).all()
    assert (noise >= around.min(axis=0)[own] - rounding).all()


def test_values_and_slopes_are_continuous_across_cells():
    """Second differences are those of parabolas over a cell: no steps and no kinks."""
    cell, nodes = 40, (5, 6)
    model = random_mesh(9, cell=cell, shape=(nodes[0] * cell, nodes[1] * cell), nodes=nodes, sidelobes=False)
    for values, mesh in zip(model.evaluate(), (model.background_mesh, model.noise_mesh), strict=True):
        steepest = np.abs(np.diff(np.pad(mesh, 1, mode="reflect", reflect_type="odd"), n=2, axis=1)).max()
        bend = np.abs(np.diff(values.astype(float), n=2, axis=1))
        assert bend.max() < 1.1 * max(steepest, np.ptp(mesh)) / cell**2


def test_sidelobes_raise_the_noise_by_their_profile_and_nowhere_else():
    profile = np.array([3.0, 2.0, 1.0, 0.0, 0.0])
    sources = BrightSources(
        x=np.array([150]), y=np.array([100]), peak_flux=np.array([1.0]), radius=np.array([3.5 * 8.0])
    )
    model = MeshNoise(
        np.zeros((1, 1)), np.full((1, 1), 2.0), 320, SHAPE, SidelobeNoise(sources, profile[None, :], ring=8.0)
    )
    _, noise = model.evaluate()
    rows, cols = np.indices(SHAPE)
    distance = np.hypot(rows - 100, cols - 150)
    expected = 2.0 * np.sqrt(1 + np.interp(distance / 8.0 - 0.5, np.arange(5), profile))
    np.testing.assert_allclose(noise, expected, rtol=1e-5)
    assert noise[distance > 28].max() == pytest.approx(2.0)
