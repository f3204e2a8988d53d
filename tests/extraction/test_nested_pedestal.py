import numpy as np
import pytest

from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.nested.find import NestedIslands, find_nested
from neanias_ml.extraction.nested.pedestal import local_pedestal
from tests.conftest import correlated_noise
from tests.extraction.test_nested import BEAM, disk, islands_of, point

NOISE = 2e-5


def test_recovers_the_plane_under_a_source():
    rng = np.random.default_rng(1)
    shape = (141, 141)
    rows, cols = np.indices(shape)
    plane = 20 + 0.15 * (cols - 70) - 0.08 * (rows - 70)
    deviations, slopes = [], []
    for _ in range(12):
        sky = np.where(disk(shape, 60, 1.0) > 0.5, plane, 0) + point(shape, 66, 72, 30) + correlated_noise(shape, rng)
        islands = islands_of(sky, noise=NOISE)
        nested = find_nested(islands, beam_covariance=BEAM)
        row = int(np.argmax(nested.contrast))
        pedestals = local_pedestal(islands, nested, beam_covariance=BEAM)
        under = pedestals.at(row, np.array([72.0]), np.array([66.0]))[0] / NOISE
        deviations.append((under - plane[72, 66]) / (pedestals.error[row] / NOISE))
        slopes.append(pedestals.slope[row] / NOISE)
    assert abs(np.mean(deviations)) < 1.2
    assert 0.4 < np.std(deviations) < 2.0
    np.testing.assert_allclose(np.mean(slopes, axis=0), [-0.08, 0.15], atol=0.03)


def test_leaves_out_neighbours_and_stands_on_the_parent():
    rng = np.random.default_rng(3)
    shape = (201, 201)
    sky = disk(shape, 90, 12) + correlated_noise(shape, rng)
    sky += point(shape, 100, 100, 90, widths=3.0) + point(shape, 107, 104, 60) + point(shape, 150, 100, 40)
    sky += point(shape, 150, 113, 300)
    islands = islands_of(sky)
    nested = find_nested(islands, beam_covariance=BEAM)
    pedestals = local_pedestal(islands, nested, beam_covariance=BEAM)

    def under(x, y):
        row = [row for row, one in enumerate(nested.pixels) if ((one.x == x) & (one.y == y)).any()][-1]
        return pedestals.at(row, np.array([y]), np.array([x]))[0]

    # the bright neighbour, 13 pixels away, would lift the mean of the ring by far more
    assert under(150, 100) == pytest.approx(12, abs=2)
    assert under(150, 113) == pytest.approx(12, abs=2)
    on_the_knot = 12 + point(shape, 100, 100, 90, widths=3.0)[104, 107]
    assert 20 < under(107, 104) < on_the_knot + 5


def test_nothing_around_is_no_pedestal():
    one = IslandPixels.from_labels(
        np.ones((6, 6), np.int32), flux=np.ones((6, 6), np.float32), noise=np.ones((6, 6), np.float32)
    )
    whole = NestedIslands(
        pixels=one,
        mother_row=np.array([0]),
        parent=np.array([-1]),
        level=np.array([1], np.int32),
        scale=np.array([2], np.float32),
        contrast=np.array([5], np.float32),
    )
    pedestals = local_pedestal(one, whole, beam_covariance=BEAM)
    assert pedestals.value.tolist() == [0.0]
    assert np.isnan(pedestals.error[0])
    assert pedestals.n_pixels.tolist() == [0]
