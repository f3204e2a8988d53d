import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.extraction.islands.gather import GatheredIslands
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.islands.wings import grown_sums
from tests.conftest import gaussian


def gathered(flux, island, known, *, noise=1.0):
    """One island of a map with all known pixels for its margin."""
    y, x = (place.astype(np.int32) for place in np.nonzero(known))
    pixels = IslandPixels(
        offsets=np.array([0, len(y)], np.int64),
        y=y,
        x=x,
        flux=flux[y, x].astype(np.float32),
        noise=np.full(len(y), noise, np.float32),
        inside=island[y, x],
    )
    return GatheredIslands(pixels, np.zeros(len(y), np.float32), np.zeros((1, 4), np.int64), np.zeros(1, bool))


@pytest.mark.parametrize("seed", range(8))
def test_rings_are_those_of_the_euclidean_distance(seed):
    """An island of any shape: emission up to a distance is summed, ring by ring, and nothing beyond it."""
    rng = np.random.default_rng(seed)
    island = ndimage.gaussian_filter(rng.normal(size=(60, 70)), 3) > 0.15
    known = ndimage.distance_transform_edt(~island) <= 15
    distance = ndimage.distance_transform_edt(~island)
    bright = distance <= 7.5
    sums, pixels = grown_sums(gathered(np.where(bright, 5.0, 0.0), island, known), beam_area=20.0, ring=2.5)
    assert pixels[0] == np.count_nonzero(bright & known)
    assert sums[0] == pytest.approx(5.0 * pixels[0])


def test_wings_below_the_threshold_are_put_back():
    image = 20 * gaussian((161, 161), 80, 80, np.eye(2) * 12.0**2)
    island = image > 2.6
    known = ndimage.distance_transform_edt(~island) <= 15
    whole = 20 * 2 * np.pi * 12.0**2
    sums, _ = grown_sums(gathered(image, island, known), beam_area=28.0, ring=2.5)
    assert image[island].sum() == pytest.approx(0.87 * whole, rel=0.01)
    assert 0.95 * whole < sums[0] < whole


def test_a_sky_without_emission_adds_nothing():
    island = np.zeros((50, 50), bool)
    island[20:30, 18:33] = True
    sums, pixels = grown_sums(
        gathered(np.where(island, 8.0, 0.0), island, np.ones_like(island)), beam_area=28.0, ring=2.5
    )
    assert pixels[0] == 150
    assert sums[0] == pytest.approx(8 * 150)
