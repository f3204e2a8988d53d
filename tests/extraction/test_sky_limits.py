"""Limits of sky: no significant pixel lies between them, and few others lie outside."""

import numpy as np
import pytest

from neanias_ml.extraction.noise.limits import STRETCH, SkyLimits
from neanias_ml.extraction.noise.model import BrightSources, MeshNoise, SidelobeNoise
from neanias_ml.maps import Window


def mesh(shape, cell, rng, sidelobes=None):
    nodes = tuple(max(1, length // cell) for length in shape)
    background, noise = rng.uniform(-0.5, 0.5, nodes), rng.uniform(0.5, 1.5, nodes)
    return MeshNoise(background, noise, cell, shape, sidelobes)


@pytest.mark.parametrize("shape, cell", [((150, 3 * STRETCH), 50), ((90, 130), 20), ((40, 31), 60), ((64, 64), 7)])
@pytest.mark.parametrize("merge", [1.0, 2.6])
def test_no_significant_pixel_is_taken_for_sky(shape, cell, merge):
    """Pixels that lie just at the threshold, of one sign and of the other, and at random."""
    rng = np.random.default_rng(3)
    model = mesh(shape, cell, rng)
    background, noise = model.evaluate()
    limits = SkyLimits.of(model, merge=merge)
    scattered = background + noise * rng.normal(0.0, 2.0, shape).astype(np.float32)
    edge = np.float32(1.00001 * merge) * noise
    for pixels in (background + edge, background - edge, scattered):
        for rows in (shape[0], 17):
            found = np.zeros(shape, dtype=bool)
            for y0 in range(0, shape[0], rows):
                window = Window(y0, min(y0 + rows, shape[0]), 0, shape[1])
                y, x = limits.outside(pixels[window.slices], window=window)
                assert not found[y, x].any()
                assert np.all(np.diff(y.astype(np.int64) * shape[1] + x) > 0)
                found[y, x] = True
            beyond = np.abs(pixels - background) >= np.float32(merge) * noise
            assert beyond.any()
            assert not (beyond & ~found).any()


def test_few_pixels_of_sky_need_a_second_look():
    rng = np.random.default_rng(4)
    shape = (400, 512)
    model = MeshNoise(np.zeros((8, 10)), rng.uniform(0.95, 1.05, (8, 10)), 50, shape)
    pixels = rng.normal(size=shape).astype(np.float32)
    y, _ = SkyLimits.of(model, merge=3.0).outside(pixels, window=Window(0, 400, 0, 512))
    beyond = np.count_nonzero(np.abs(pixels) >= 3.0)
    assert beyond <= len(y) < 2 * beyond


def test_blank_pixels_are_not_found_and_room_grows_with_need():
    model = MeshNoise(np.zeros((2, 2)), np.ones((2, 2)), 64, (128, 128))
    pixels = np.full((128, 128), 9.0, np.float32)
    pixels[5] = np.nan
    y, x = SkyLimits.of(model, merge=2.0).outside(pixels, window=Window(0, 128, 0, 128))
    assert len(y) == 127 * 128 and not np.any(y == 5)
    assert np.array_equal(np.unique(x), np.arange(128))


def test_sidelobes_only_raise_the_noise():
    """The limits, which know nothing of sidelobes, leave no pixel out around a source that has some."""
    rng = np.random.default_rng(5)
    sources = BrightSources(
        x=np.array([60]), y=np.array([50]), peak_flux=np.array([100.0]), radius=np.array([40.0])
    )
    model = mesh((128, 128), 32, rng, SidelobeNoise(sources, np.array([[3.0, 2.0, 1.0, 0.0, 0.0]]), 10.0))
    background, noise = model.evaluate()
    pixels = background + 3.0 * noise
    y, _ = SkyLimits.of(model, merge=2.6).outside(pixels, window=Window(0, 128, 0, 128))
    assert len(y) == 128 * 128
